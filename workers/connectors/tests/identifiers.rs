//! Names and values that try to be more than names and values: quotes, semicolons, comments, reserved words, all of Unicode.
//!
//! The law: a text in a place of a name is refused by `Ident`, in one line, or it is a name in every store, reserved word or
//! not; a text in a place of a value (scopes, partitions, state, topics, groups, keys, cells) comes back as it was. Nothing else in
//! the store changes. On the embedded store always, on Cassandra, Kafka, MariaDB and MySQL where the environment names them.

use std::collections::BTreeSet;
use std::time::Duration;

use headrace_connectors::cassandra::Cassandra;
use headrace_connectors::embedded::Embedded;
use headrace_connectors::kafka::Kafka;
use headrace_connectors::mysql::MySql;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::store::Store;
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{Counts, ErrorKind, Ident, Partition, Position, StoreUrl, clock};
use mysql_async::prelude::Queryable;
use polars::prelude::DataFrame;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::conformance::{self, assert_same, bytes, drain, frame, ident, ints, read_all, read_equal, texts, write};

/// Rows that must be there at the end; hostile texts name the table.
const SENTINEL: &str = "sentinel";

/// Words that mean something to one of the stores, and names in another case.
const RESERVED: [&str; 24] = [
    "select",
    "table",
    "order",
    "group",
    "key",
    "primary",
    "from",
    "where",
    "insert",
    "update",
    "delete",
    "drop",
    "index",
    "values",
    "token",
    "set",
    "use",
    "in",
    "and",
    "null",
    "rowid",
    "TIMESTAMP",
    "Rank",
    "_",
];

/// Texts that have broken out of quotes elsewhere.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        format!("'; DROP TABLE {SENTINEL}; --"),
        format!("\"; DROP TABLE {SENTINEL}; --"),
        format!("`; DROP TABLE {SENTINEL}; --"),
        format!("x' UNION SELECT * FROM {SENTINEL} -- "),
        format!("\\'; TRUNCATE {SENTINEL}; #"),
        "' OR '1'='1".to_owned(),
        "$$; DROP KEYSPACE system; $$".to_owned(),
        "%s%n{0}?:name@var".to_owned(),
        "../../etc/passwd".to_owned(),
        "a\0b".to_owned(),
        "ʼ＇\u{2019}′".to_owned(),
    ]);
    let letters = prop::sample::select(vec![
        '\'',
        '"',
        '`',
        ';',
        '-',
        '/',
        '*',
        '\\',
        '%',
        '_',
        '?',
        ':',
        '@',
        '#',
        '$',
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        '=',
        ',',
        '.',
        ' ',
        '\n',
        '\t',
        '\0',
        '\u{1b}',
        'a',
        'Z',
        '0',
        'é',
        'ß',
        'İ',
        '漢',
        '🦀',
        '\u{200d}',
        '\u{202e}',
        '\u{301}',
        '\u{feff}',
        '\u{10ffff}',
    ]);
    let mixed = prop::collection::vec(letters, 1..40).prop_map(|letters| letters.into_iter().collect());
    prop_oneof![1 => known, 3 => mixed, 1 => "\\PC{1,20}"]
}

/// Different hostile texts, others in every run; a failed check shows its text.
fn hostile_texts(count: usize) -> Vec<String> {
    let mut runner = TestRunner::new(ProptestConfig::default());
    let mut draw = || hostile().new_tree(&mut runner).unwrap().current();
    let mut all = BTreeSet::new();
    while all.len() < count {
        all.insert(draw());
    }
    all.into_iter().collect()
}

/// A hostile text in percent-escapes, as it may stand in a URL.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_plain_or_refused_in_one_line(text in hostile()) {
        let is_plain = text.len() <= 48
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let url = |place: &str| StoreUrl::parse(place).unwrap();
        let part = escaped(&text);
        let tries = [
            Ident::new(&text),
            Ident::new("t").unwrap().with_suffix(&text).and_then(|_| Ident::new(&text)),
            Table::new(ident("t", "x")).key(&text, Kind::Int).map(|table| table.columns[0].name.clone()),
            url(&format!("cassandra://h/{part}/t")).database("d"),
            url(&format!("mysql://u@h/d/{part}")).table("t"),
            url(&format!("embedded:dir?table={part}")).table("t"),
        ];
        for name in tries {
            match name {
                Ok(name) => prop_assert!(is_plain && name.as_str() == text, "{text:?} became {name}"),
                Err(error) => {
                    prop_assert!(!is_plain);
                    prop_assert_eq!(error.kind(), ErrorKind::Configuration);
                    prop_assert!(!error.to_string().chars().any(char::is_control), "{}", error);
                }
            }
        }
        let topic = url(&format!("kafka://h/{part}")).topic("t");
        let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        prop_assert!(fits || topic.is_err_and(|error| !error.to_string().chars().any(char::is_control)));
    }
}

/// A table whose name and columns are all reserved words, and all that can be done with it.
async fn reserved_words_are_names(store: &dyn Store, unique: &str) {
    for name in ["Order", "select"] {
        let mut table = Table::new(Ident::new(&format!("{name}{unique}")).unwrap()).key("key", Kind::Int).unwrap();
        for word in RESERVED.iter().filter(|word| **word != "key") {
            table = table.value(word, Kind::Text).unwrap();
        }
        store.create(&[&table]).await.unwrap();
        store.create(&[&table]).await.unwrap();
        let cells = |text: &'static str| {
            let mut columns = vec![ints("key", [1, 2])];
            columns.extend(RESERVED.iter().filter(|word| **word != "key").map(|word| texts(word, [text, "other"])));
            frame(columns)
        };
        write(store, unique, 1, &table, &cells("first")).await;
        write(store, unique, 2, &table, &cells("second")).await;
        assert_same(&read_all(store, &table).await, &cells("second"), name);
        assert_eq!(read_equal(store, &table, vec![("key", Value::Int(2))]).await.height(), 1);
        let mut scan = store.scan(&table, &["key", "order"], 2, &[]).await.unwrap();
        let scanned = drain(&mut *scan, &Reached::new(), usize::MAX).await;
        assert_eq!(scanned.ints("key").into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
        if store.is_transactional() {
            let claims = store.claim(unique, &[Partition::new("only")]).await.unwrap();
            let mut unit = store.begin(unique, &claims).await.unwrap();
            let set = ("order", Value::Text("third".into()));
            assert_eq!(unit.update(&table, set, ("group", Value::Text("second".into()))).await.unwrap(), 1);
            unit.commit(&conformance::reached("only", 3), &Counts::default()).await.unwrap();
        }
        assert!(store.has_table(&table.name).await.unwrap());
    }
}

/// Hostile texts as keys, cells, scopes, partitions and spaces come back as they were.
async fn hostile_values_are_values(store: &dyn Store, unique: &str) {
    let hostile = hostile_texts(60);
    let shown: Vec<&str> = hostile.iter().map(String::as_str).collect();
    let table = Table::new(ident(unique, "values")).key("name", Kind::Name(120)).unwrap();
    let table = table.value("note", Kind::Text).unwrap().value("raw", Kind::Bytes).unwrap();
    store.create(&[&table]).await.unwrap();
    let raw: Vec<&[u8]> = hostile.iter().map(String::as_bytes).collect();
    let rows = frame(vec![texts("name", shown.clone()), texts("note", shown.iter().rev().copied()), bytes("raw", raw)]);
    write(store, &format!("{unique} rows"), 1, &table, &rows).await;
    assert_same(&read_all(store, &table).await, &rows, "rows");
    for (row, text) in shown.iter().enumerate().step_by(7) {
        let found = read_equal(store, &table, vec![("name", Value::Text((*text).to_owned()))]).await;
        assert_same(&found, &rows.slice(row as i64, 1), text);
    }
    for text in shown.iter().step_by(10) {
        let scope = format!("{unique} {text}");
        let partitions: Vec<Partition> = shown.iter().take(5).map(|name| Partition::new(*name)).collect();
        let claims = store.claim(&scope, &partitions).await.unwrap();
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        unit.write_state("space '\"`;", vec![(7, text.as_bytes().to_vec())], Vec::new()).await.unwrap();
        let reached: Reached = partitions
            .iter()
            .zip(1..)
            .map(|(partition, at)| (partition.clone(), Position::with_detail(at, *text)))
            .collect();
        let mut counts = Counts { read: 3, ..Counts::default() };
        counts.class(*text, 3);
        unit.commit(&reached, &counts).await.unwrap();
        assert_eq!(store.positions(&scope).await.unwrap(), reached, "{text:?}");
        assert_eq!(store.counters(&scope).await.unwrap(), counts, "{text:?}");
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        let state = unit.read_state("space '\"`;", &[(7, 0)]).await.unwrap();
        assert_eq!(state[0].blob, text.as_bytes(), "{text:?}");
        drop(unit);
        store.forget(&scope).await.unwrap();
        assert!(store.positions(&scope).await.unwrap().is_empty());
    }
}

/// Both laws, beside rows that must stay.
async fn laws(store: &dyn Store, unique: &str) {
    let sentinel = Table::new(Ident::new(SENTINEL).unwrap()).key("id", Kind::Int).unwrap();
    let sentinel = sentinel.column("note", Kind::Text, true, Merge::Replace).unwrap();
    store.create(&[&sentinel]).await.unwrap();
    let rows = frame(vec![ints("id", 0..50), texts("note", ["here"; 50])]);
    write(store, "sentinel", 1, &sentinel, &rows).await;
    reserved_words_are_names(store, unique).await;
    hostile_values_are_values(store, unique).await;
    assert_same(&read_all(store, &sentinel).await, &rows, "the sentinel");
}

/// Topics (where any text may be one) and groups.
async fn hostile_groups_read_everything(log: &dyn Log, topics: &[String]) {
    for (topic, group) in topics.iter().zip(hostile_texts(topics.len())) {
        log.create_topic(topic, 2).await.unwrap();
        let keys: Vec<&[u8]> = vec![b"a", b"b", b"'; DROP"];
        let messages: DataFrame = frame(vec![bytes("key", keys.clone()), bytes("value", keys)]);
        log.produce(topic, &messages).await.unwrap();
        let interval = Duration::from_millis(50);
        let mut options = Consume { group, follow: false, batch_rows: 100, batch_bytes: 1 << 20, interval };
        if options.check().is_err() {
            is_refused(log, topic, &options).await;
            options.group = format!("g{}", options.group.replace('\0', "0"));
        }
        let given = drain(&mut *log.consume(topic, &options).await.unwrap(), &Reached::new(), usize::MAX).await;
        assert_eq!(given.frames.iter().map(DataFrame::height).sum::<usize>(), 3, "{topic:?} {:?}", options.group);
        assert_eq!(log.extents(topic).await.unwrap().unwrap().len(), 2);
        for group in ["", " ", "\tg", "\x0bg", "\ng", "a\0b"] {
            is_refused(log, topic, &Consume { group: group.to_owned(), ..options.clone() }).await;
        }
    }
}

async fn is_refused(log: &dyn Log, topic: &str, options: &Consume) {
    let refused = log.consume(topic, options).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Configuration, "{:?} {refused}", options.group);
    assert!(refused.to_string().contains("consumer group"), "{:?} {refused}", options.group);
}

fn unique() -> String {
    format!("i{:x}", clock::now_us() & 0xff_ffff_ffff)
}

/// The URLs that a variable names, or a visible skip.
fn servers(variables: &[&str]) -> Vec<StoreUrl> {
    let found: Vec<String> = variables.iter().filter_map(|name| clock::environment(name)).collect();
    if found.is_empty() {
        println!("SKIP: set {}", variables[0]);
    }
    found.iter().flat_map(|urls| urls.split_whitespace()).map(|url| StoreUrl::parse(url).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_names_and_values_apart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(&StoreUrl::parse(&format!("embedded:{}", directory.path().display())).unwrap()).unwrap();
    laws(&store, &unique()).await;
    hostile_groups_read_everything(&store, &hostile_texts(6)).await;
    // SQLite takes no notice of case: a name in another case is the same table there, with the same columns or refused.
    let table = Table::new(Ident::new("SENTINEL").unwrap()).key("other", Kind::Int).unwrap();
    assert_eq!(store.create(&[&table]).await.unwrap_err().kind(), ErrorKind::Configuration);
}

#[tokio::test(flavor = "multi_thread")]
async fn cassandra_keeps_names_and_values_apart() {
    for mut url in servers(&["HEADRACE_TEST_CASSANDRA"]) {
        let keyspace = format!("Select_{}", unique());
        url.path = vec![keyspace.clone()];
        let store = Cassandra::connect(&url).await.unwrap();
        laws(&store, &unique()).await;
        let nodes = scylla::client::session_builder::SessionBuilder::new().known_node(url.host_list(9042));
        let session = nodes.build().await.unwrap();
        session.query_unpaged(format!("DROP KEYSPACE \"{keyspace}\""), ()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_keeps_names_and_values_apart() {
    for mut url in servers(&["HEADRACE_TEST_MYSQL", "HEADRACE_TEST_MYSQL9"]) {
        let database = format!("Select_{}", unique());
        url.path = vec![database.clone()];
        let store = MySql::connect(&url).await.unwrap();
        laws(&store, &unique()).await;
        drop(store);
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname(url.hosts[0].0.clone())
            .tcp_port(url.hosts[0].1.unwrap_or(3306))
            .user(url.user.as_deref())
            .pass(url.password.as_ref().map(|password| password.reveal()))
            .prefer_socket(false);
        let mut session = mysql_async::Conn::new(options).await.unwrap();
        session.query_drop(format!("DROP DATABASE `{database}`")).await.unwrap();
        session.disconnect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_takes_any_group_and_refuses_what_is_no_topic() {
    for url in servers(&["HEADRACE_TEST_KAFKA"]) {
        let log = Kafka::connect(&url).unwrap();
        let topics: Vec<String> = (0..3).map(|number| format!("{}.{number}-_", unique())).collect();
        hostile_groups_read_everything(&log, &topics).await;
        for topic in ["", "a b", "a'b", "漢", "a/b"] {
            let error = log.create_topic(topic, 1).await.unwrap_err();
            assert_ne!(error.kind(), ErrorKind::Fenced);
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
