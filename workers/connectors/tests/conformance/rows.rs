//! What every store of rows without units of work must do: rows written twice are there once, an older version never
//! replaces a newer one, values come back as they were.

use std::time::Duration;

use headrace_core::ErrorKind;
use headrace_core::rows::Rows;
use headrace_core::store::Select;
use headrace_core::table::{Kind, Merge, Table, Value};
use polars::prelude::DataFrame;

use super::versions::{rows as versions, versioned};
use super::{assert_same, bytes, doubles, frame, ident, ints, singles, texts};

/// Runs everything, one after another, and says what it runs.
pub async fn everything(store: &dyn Rows, unique: &str) {
    macro_rules! run {
        ($($name:ident),* $(,)?) => { $(println!("conformance: {}", stringify!($name)); $name(store, unique).await;)* };
    }
    run![
        creates_and_checks_tables,
        written_twice_is_written_once,
        an_older_version_never_replaces,
        the_greatest_version_wins_between_writers,
        every_kind_comes_back,
        texts_cannot_do_anything,
        reads_conditions_and_pages,
        refuses_what_does_not_fit,
        many_rows_at_once,
    ];
}

/// All rows and columns of a table in key order.
pub async fn read_all(store: &dyn Rows, table: &Table) -> DataFrame {
    read(store, table, Vec::new(), Vec::new(), 1_000_000).await
}

async fn read(
    store: &dyn Rows,
    table: &Table,
    equal: Vec<(&str, Value)>,
    after: Vec<Value>,
    limit: usize,
) -> DataFrame {
    let columns = table.columns.iter().map(|column| column.name.as_str()).collect();
    store.select(&Select { table, columns, equal, after, limit }).await.unwrap()
}

fn simple(unique: &str, name: &str) -> Table {
    let table = Table::new(ident(unique, name)).key("id", Kind::Int).unwrap().key("name", Kind::Name(40)).unwrap();
    table.value("amount", Kind::Int).unwrap().value("note", Kind::Text).unwrap()
}

fn simple_rows(ids: std::ops::Range<i64>, amount: i64) -> DataFrame {
    let names: Vec<String> = ids.clone().map(|id| format!("name {}", id % 7)).collect();
    frame(vec![
        ints("id", ids.clone()),
        texts("name", names.iter().map(String::as_str)),
        ints("amount", ids.clone().map(|id| id * amount)),
        texts("note", ids.map(|id| (id % 2 == 0).then_some("even"))),
    ])
}

/// `create` may be repeated; a table that is there with other columns, types or keys is refused by name, a missing one when read.
pub async fn creates_and_checks_tables(store: &dyn Rows, unique: &str) {
    let table = simple(unique, "made");
    let select = Select { table: &table, columns: vec!["id"], equal: vec![], after: vec![], limit: 1 };
    let error = store.select(&select).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(table.name.as_str()), "{error}");
    store.create(&[&table]).await.unwrap();
    store.create(&[&table, &table]).await.unwrap();
    assert_same(&read_all(store, &table).await, &simple_rows(0..0, 1), "empty");
    let more = table.clone().value("surplus", Kind::Int).unwrap();
    let key = || Table::new(table.name.clone()).key("id", Kind::Int).unwrap();
    let retyped = key().key("name", Kind::Name(40)).unwrap().value("amount", Kind::Text).unwrap();
    let retyped = retyped.value("note", Kind::Text).unwrap();
    let rekeyed = key().column("name", Kind::Name(40), false, Merge::Replace).unwrap();
    let rekeyed = rekeyed.value("amount", Kind::Int).unwrap().value("note", Kind::Text).unwrap();
    for (other, named) in [(more, "surplus"), (retyped, "amount"), (rekeyed, "key")] {
        let error = store.create(&[&other]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        assert!(text.contains(table.name.as_str()) && text.contains(named), "{text:?} does not name {named}");
    }
    let added = simple(unique, "added").column("sum", Kind::Int, true, Merge::Add).unwrap();
    let error = store.create(&[&added]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("sum"), "{error}");
}

/// Writing the same rows again, whole or in other cuts, under the same name or another, leaves the same table.
pub async fn written_twice_is_written_once(store: &dyn Rows, unique: &str) {
    let table = simple(unique, "twice");
    store.create(&[&table]).await.unwrap();
    let rows = simple_rows(0..250, 3);
    store.write(&table, &rows, "first").await.unwrap();
    assert_same(&read_all(store, &table).await, &rows, "once");
    store.write(&table, &rows, "first").await.unwrap();
    store.write(&table, &rows, "second").await.unwrap();
    store.write(&table, &rows.slice(100, 90), "third").await.unwrap();
    store.write(&table, &rows.reverse(), "fourth").await.unwrap();
    store.write(&table, &rows.head(Some(0)), "fifth").await.unwrap();
    assert_same(&read_all(store, &table).await, &rows, "again");
    store.write(&table, &simple_rows(200..300, 5), "sixth").await.unwrap();
    let wanted = simple_rows(0..200, 3).vstack(&simple_rows(200..300, 5)).unwrap();
    assert_same(&read_all(store, &table).await, &wanted, "replaced");
}

/// The greatest version of a row stays as a whole, nulls included; an equal one replaces.
pub async fn an_older_version_never_replaces(store: &dyn Rows, unique: &str) {
    let table = versioned(unique, "versioned");
    store.create(&[&table]).await.unwrap();
    let largest = 9_007_199_254_740_992;
    let write = async |number: i64, rows: DataFrame| {
        store.write(&table, &rows, &format!("versioned {number}")).await.unwrap();
    };
    write(1, versions(&[(1, 5), (2, 5), (3, 5), (4, largest), (6, -3)])).await;
    write(2, versions(&[(1, 4), (2, 6), (3, 5), (4, largest - 1), (5, 0), (6, -20)])).await;
    let wanted = versions(&[(1, 5), (2, 6), (3, 5), (4, largest), (5, 0), (6, -3)]);
    assert_same(&read_all(store, &table).await, &wanted, "second");
    write(3, versions(&[(2, 5), (1, 10), (4, 1), (5, -1), (6, -2)])).await;
    let wanted = versions(&[(1, 10), (2, 6), (3, 5), (4, largest), (5, 0), (6, -2)]);
    assert_same(&read_all(store, &table).await, &wanted, "third");
    let same_version = frame(vec![
        ints("id", [1]),
        ints("version", [10]),
        ints("amount", [None]),
        singles("score", [None]),
        texts("note", [Some("again")]),
    ]);
    write(4, same_version.clone()).await;
    assert_same(&read_all(store, &table).await.head(Some(1)), &same_version, "an equal version replaces");
}

/// Writers write versions of the same rows at once, in different orders; the greatest stays of each.
pub async fn the_greatest_version_wins_between_writers(store: &dyn Rows, unique: &str) {
    const IDS: i64 = 60;
    const VERSIONS: i64 = 24;
    let table = versioned(unique, "raced");
    store.create(&[&table]).await.unwrap();
    let writer = async |number: usize| {
        for step in 0..VERSIONS {
            // Each writer goes through all versions in an order of its own; the strides have no factor in common with 24.
            let stride = [5, 7, 11, 13][number];
            let batch: Vec<(i64, i64)> = (0..IDS).map(|id| (id, (id + step * stride) % VERSIONS)).collect();
            store.write(&table, &versions(&batch), &format!("raced {number} {step}")).await.unwrap();
        }
    };
    futures::future::join_all((0..4).map(writer)).await;
    let wanted: Vec<(i64, i64)> = (0..IDS).map(|id| (id, VERSIONS - 1)).collect();
    assert_same(&read_all(store, &table).await, &versions(&wanted), "the greatest");
}

fn every_kind(unique: &str) -> (Table, DataFrame) {
    let table = Table::new(ident(unique, "kinds")).key("id", Kind::Int).unwrap().value("whole", Kind::Int).unwrap();
    let table = table.value("small", Kind::Small).unwrap().value("real", Kind::Double).unwrap();
    let table = table.value("score", Kind::Single).unwrap().value("body", Kind::Text).unwrap();
    let table = table.value("title", Kind::Name(100)).unwrap().value("raw", Kind::Bytes).unwrap();
    let table = table.value("money", Kind::Decimal { scale: 6 }).unwrap().value("moment", Kind::DateTime).unwrap();
    let table = table.value("day", Kind::Date).unwrap().value("event", Kind::TimeUuid).unwrap();
    let everything: Vec<u8> = (0..=255).collect();
    let uuids = [[1, 2, 3, 4, 5, 6, 0x10, 1, 0x80, 9, 10, 11, 12, 13, 14, 15], [255; 16]];
    let most = 999_999_999_999_999_999;
    // The first microsecond of 1900 and the last of 2299.
    let moments = [-2_208_988_800_000_000, 10_413_791_999_999_999];
    let rows = frame(vec![
        ints("id", [i64::MIN, -1, 0, 1, i64::MAX]),
        ints("whole", [Some(i64::MIN), Some(i64::MAX), Some(0), None, Some(-1)]),
        ints("small", [Some(0), Some(127), Some(23), None, Some(-1)]),
        doubles("real", [Some(f64::MAX), Some(f64::MIN_POSITIVE), Some(0.1), None, Some(-1.0 / 3.0)]),
        singles("score", [Some(f32::MAX), Some(f32::MIN_POSITIVE), Some(0.1), None, Some(-1.0 / 3.0)]),
        texts(
            "body",
            [Some(""), Some("naïve 日本 \u{1F980}"), Some("a\tb\nc\r\n\\\"'`%_;--\0"), None, Some("\u{10FFFF} ")],
        ),
        texts("title", [Some("trailing  "), Some(""), Some("ÄÖÜ"), None, Some("O'Hara \\ \"x\"")]),
        bytes("raw", [Some(&b""[..]), Some(&everything), Some(b"\0"), None, Some(b"\xff\xfe")]),
        ints("money", [Some(most), Some(-most), Some(0), None, Some(-1)]),
        ints("moment", [Some(moments[0]), Some(moments[1]), Some(0), None, Some(1_658_894_301_226_123)]),
        ints("day", [Some(120_529), Some(-25_567), Some(0), None, Some(-1)]),
        bytes("event", [Some(&uuids[0][..]), Some(&uuids[1]), Some(&uuids[0]), None, Some(&uuids[1])]),
    ]);
    (table, rows)
}

/// Every kind comes back as it was written, and is found by its value: nulls, empty values, Unicode and extremes.
pub async fn every_kind_comes_back(store: &dyn Rows, unique: &str) {
    let (table, rows) = every_kind(unique);
    store.create(&[&table]).await.unwrap();
    store.write(&table, &rows, "kinds").await.unwrap();
    assert_same(&read_all(store, &table).await, &rows, "every kind");
    for (column, value, wanted) in [
        ("id", Value::Int(i64::MAX), 4),
        ("whole", Value::Int(i64::MIN), 0),
        ("whole", Value::Null, 3),
        ("real", Value::Double(-1.0 / 3.0), 4),
        ("score", Value::Double(f64::from(f32::MAX)), 0),
        ("body", Value::Text("a\tb\nc\r\n\\\"'`%_;--\0".to_owned()), 2),
        ("body", Value::Text(String::new()), 0),
        ("raw", Value::Bytes(vec![255, 254]), 4),
        ("money", Value::Int(-1), 4),
        ("moment", Value::Int(1_658_894_301_226_123), 4),
        ("day", Value::Int(-1), 4),
    ] {
        let found = read(store, &table, vec![(column, value)], Vec::new(), 10).await;
        assert_same(&found, &rows.slice(wanted, 1), column);
    }
}

/// Texts and names that look like parts of a language are only texts; columns may be called like words of it.
pub async fn texts_cannot_do_anything(store: &dyn Rows, unique: &str) {
    let table = Table::new(ident(unique, "select")).key("order", Kind::Name(60)).unwrap();
    let table = table.key("from", Kind::Name(60)).unwrap().value("group", Kind::Text).unwrap();
    store.create(&[&table]).await.unwrap();
    let mut keys = [
        "",
        "'; DROP TABLE x; --",
        "\\' OR 1=1",
        "a:b",
        "a%3ab",
        "{a}:*?[x]",
        "`\"`",
        "日本\u{1F980}",
        "\0",
        "\r\nDEL x\r\n",
    ];
    keys.sort_unstable();
    let pairs: Vec<(&str, &str)> = keys.iter().flat_map(|one| keys.iter().map(move |other| (*one, *other))).collect();
    let rows = frame(vec![
        texts("order", pairs.iter().map(|pair| pair.0)),
        texts("from", pairs.iter().map(|pair| pair.1)),
        texts("group", pairs.iter().map(|pair| Some(pair.1).filter(|text| !text.is_empty()))),
    ]);
    store.write(&table, &rows, "'quoted\" `token`; \\").await.unwrap();
    store.write(&table, &rows.reverse(), "'quoted\" `token`, again").await.unwrap();
    assert_same(&read_all(store, &table).await, &rows, "texts");
    for (at, (one, other)) in pairs.iter().enumerate().step_by(7) {
        let equal = vec![("from", Value::Text((*other).to_owned())), ("order", Value::Text((*one).to_owned()))];
        let wanted = rows.slice(i64::try_from(at).unwrap(), 1);
        assert_same(&read(store, &table, equal, Vec::new(), 10).await, &wanted, "one");
    }
    for name in ["a`b", "a;b", "naïve", "a b", "1a", ""] {
        assert!(headrace_core::Ident::new(name).is_err(), "{name}");
        assert!(Table::new(ident(unique, "t")).key(name, Kind::Int).is_err(), "{name}");
    }
}

/// Conditions and pages by key give every row once in key order.
pub async fn reads_conditions_and_pages(store: &dyn Rows, unique: &str) {
    let table = simple(unique, "paged");
    store.create(&[&table]).await.unwrap();
    let rows = simple_rows(-20..40, 2);
    store.write(&table, &rows.reverse(), "paged").await.unwrap();
    let mut after = Vec::new();
    let mut seen: Option<DataFrame> = None;
    loop {
        let page = read(store, &table, Vec::new(), after, 7).await;
        assert!(page.height() <= 7);
        let Some(last) = page.height().checked_sub(1) else { break };
        let id = page.column("id").unwrap().i64().unwrap().get(last).unwrap();
        let name = page.column("name").unwrap().str().unwrap().get(last).unwrap().to_owned();
        after = vec![Value::Int(id), Value::Text(name)];
        seen = Some(seen.map_or_else(|| page.clone(), |seen| seen.vstack(&page).unwrap()));
    }
    assert_same(&seen.unwrap(), &rows, "pages");
    let even = read(store, &table, vec![("note", Value::Text("even".into()))], Vec::new(), 100).await;
    assert_eq!(even.height(), 30);
    let select = Select {
        table: &table,
        columns: vec!["amount", "id"],
        equal: vec![("id", Value::Int(7))],
        after: vec![],
        limit: 5,
    };
    let wanted = frame(vec![ints("amount", [14]), ints("id", [7])]);
    assert_same(&store.select(&select).await.unwrap(), &wanted, "columns in the order asked for");
    for wrong in [("nowhere", Value::Int(1)), ("id", Value::Text("x".into()))] {
        let select = Select { table: &table, columns: vec!["id"], equal: vec![wrong], after: vec![], limit: 5 };
        assert_eq!(store.select(&select).await.unwrap_err().kind(), ErrorKind::Configuration);
    }
}

/// Wrong types, nulls, missing columns and numbers that are none are data errors that name table and column, and write nothing.
pub async fn refuses_what_does_not_fit(store: &dyn Rows, unique: &str) {
    let table = Table::new(ident(unique, "strict")).key("id", Kind::Int).unwrap();
    let table =
        table.column("name", Kind::Name(3), false, Merge::Replace).unwrap().value("real", Kind::Double).unwrap();
    store.create(&[&table]).await.unwrap();
    let row = |name: Option<&'static str>, real: f64| {
        frame(vec![ints("id", [1]), texts("name", [name]), doubles("real", [real])])
    };
    for (rows, named) in [
        (row(None, 1.0), "name"),
        (row(Some("four"), 1.0), "name"),
        (row(Some("x"), f64::NAN), "real"),
        (frame(vec![ints("id", [1]), ints("name", [1]), doubles("real", [1.0])]), "name"),
        (frame(vec![ints("id", [1]), texts("name", ["x"])]), "real"),
    ] {
        let error = store.write(&table, &rows, "strict").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let text = error.to_string();
        assert!(text.contains(table.name.as_str()) && text.contains(named), "{text}");
    }
    assert_eq!(read_all(store, &table).await.height(), 0);
}

/// A large frame arrives whole.
pub async fn many_rows_at_once(store: &dyn Rows, unique: &str) {
    let table = simple(unique, "many");
    store.create(&[&table]).await.unwrap();
    let rows = simple_rows(0..20_000, 1);
    store.write(&table, &rows, "many").await.unwrap();
    assert_same(&read_all(store, &table).await, &rows, "many");
}

/// Batches of rows that are written while the server is killed and started again, each until it succeeds, are all there once: of each
/// row the newest. `pace` is about the time that a write may take; every kill waits ten times as long.
pub async fn survives_kills(
    store: &dyn Rows,
    table: &Table,
    pace: Duration,
    (batches, kills): (i64, usize),
    mut kill: impl AsyncFnMut(),
) {
    let batch =
        |number: i64| -> Vec<(i64, i64)> { (number * 100..number * 100 + 300).map(|id| (id, number + 1)).collect() };
    let writer = async {
        let mut failures = 0;
        for number in 0..batches {
            while let Err(error) = store.write(table, &versions(&batch(number)), &format!("batch {number}")).await {
                assert_eq!(error.kind(), ErrorKind::External, "{error}");
                failures += 1;
                assert!(failures < 3_000, "{error}");
                tokio::time::sleep(pace).await;
            }
            tokio::time::sleep(pace / 2).await;
        }
        failures
    };
    let killer = async {
        for _ in 0..kills {
            tokio::time::sleep(pace * 10).await;
            kill().await;
        }
    };
    let (failures, ()) = tokio::join!(writer, killer);
    assert!(failures > 0, "no write met the dead server");
    let wanted: Vec<(i64, i64)> = (0..batches * 100 + 200).map(|id| (id, (id / 100).min(batches - 1) + 1)).collect();
    assert_same(&read_all(store, table).await, &versions(&wanted), "after the kills");
}
