//! Redis as a store with units of work and a ledger: conformance, sizes, and what is refused.

mod faults;
mod turns;

use std::time::Instant;

use headrace_connectors::redis::RedisStore;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{Claim, Counts, Error, ErrorKind, Ident, Partition, StoreUrl};
use polars::prelude::DataFrame;

use crate::conformance::{self, assert_same, frame, ident, ints, reached, read_all, read_equal, texts, write};
use crate::redis::support::{Server, apart, cluster, raw, server, servers};

async fn open(url: &str) -> RedisStore {
    RedisStore::connect(&StoreUrl::parse(url).unwrap()).await.unwrap()
}

/// The test server with keys of its own.
fn fresh() -> Option<StoreUrl> {
    server("HEADRACE_TEST_REDIS").map(|url| apart(&url))
}

async fn claim(store: &RedisStore, scope: &str, partition: &str) -> Vec<Claim> {
    store.claim(scope, &[Partition::new(partition)]).await.unwrap()
}

async fn commit(unit: Box<dyn Unit>, reached: &Reached) -> Result<(), Error> {
    unit.commit(reached, &Counts { read: 1, written: 1, ..Counts::default() }).await
}

/// A table that adds up.
fn sums(name: &str) -> Table {
    let table = Table::new(ident("t", name)).key("id", Kind::Int).unwrap();
    let table = table.column("sum", Kind::Int, true, Merge::Add).unwrap().value("note", Kind::Text).unwrap();
    table.column("first", Kind::Int, true, Merge::First).unwrap()
}

fn rows(ids: std::ops::Range<i64>, sum: i64, note: &str) -> DataFrame {
    let count = ids.clone().count();
    frame(vec![
        ints("id", ids),
        ints("sum", vec![sum; count]),
        texts("note", vec![note; count]),
        ints("first", vec![sum; count]),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    for url in servers() {
        let store = RedisStore::connect(&apart(&url)).await.unwrap();
        conformance::store::without_expressions(&store, "c").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_on_one_node_of_a_cluster() {
    let Some(nodes) = cluster().await else { return };
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = format!("redis://{}?cluster=true&prefix=app-", hosts.join(","));
    conformance::store::without_expressions(&open(&url).await, "c").await;
    let mut holding = 0;
    for node in &nodes {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut raw(&node.url()).await).await.unwrap();
        assert!(keys.iter().all(|key| key.starts_with("app-{headrace:app-}:")), "{keys:?}");
        holding += usize::from(!keys.is_empty());
    }
    assert_eq!(holding, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_rows_and_megabytes_of_state_are_one_commit() {
    let Some(url) = fresh() else { return };
    let (store, table) = (open(&url.to_string()).await, sums("many"));
    store.create(&[&table]).await.unwrap();
    let claims = claim(&store, "many", "p").await;
    for at in 1..=2_i64 {
        let mut unit = store.begin("many", &claims).await.unwrap();
        let begun = Instant::now();
        unit.upsert(&table, &rows(0..50_000, at, "a note of some length")).await.unwrap();
        let blobs = (0..40).map(|key| (key, vec![at as u8; 100_000 + key as usize])).collect();
        unit.write_state("space", blobs, Vec::new()).await.unwrap();
        assert_eq!(read_all(&store, &table).await.height(), if at == 1 { 0 } else { 50_000 }, "seen too early");
        let staged = begun.elapsed();
        commit(unit, &reached("p", at)).await.unwrap();
        println!("50,000 rows and 4 MB of state: {staged:?} to stage, {:?} in all", begun.elapsed());
    }
    let mut wanted = rows(0..50_000, 3, "a note of some length");
    wanted.with_column(ints("first", vec![1; 50_000])).unwrap();
    assert_same(&read_all(&store, &table).await, &wanted, "many");
    let mut unit = store.begin("many", &claims).await.unwrap();
    let wanted: Vec<(i64, i64)> = (0..40).map(|key| (key, 0)).collect();
    let found = unit.read_state("space", &wanted).await.unwrap();
    assert_eq!(found.len(), 80);
    for segment in found {
        assert_eq!(segment.blob, vec![segment.sequence as u8; 100_000 + segment.key as usize]);
    }
    // Nothing staged is left.
    drop(unit);
    let left: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{}*:unit:*", url.options["prefix"]))
        .query_async(&mut raw(&url.to_string()).await)
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn sums_are_exact_up_to_64_bits_and_refused_behind() {
    let Some(url) = fresh() else { return };
    let (store, table) = (open(&url.to_string()).await, sums("exact"));
    store.create(&[&table]).await.unwrap();
    let (max, min, exact) = (i64::MAX, i64::MIN, 1_i64 << 53);
    let pairs = [
        (max, min),
        (min, max),
        (max - 1, 1),
        (min + 1, -1),
        (exact, 1),
        (exact, exact),
        (-exact, -1),
        (-exact - 1, exact + 1),
        (exact - 1, 1),
        (999_999_999, 1),
        (-999_999_999, -1),
        (max, -999_999_999),
        (min, 1_000_000_000),
        (0, 0),
        (-5, 5),
        (4_611_686_018_427_387_904, 4_611_686_018_427_387_903),
        (exact * 3, -exact * 2 - 7),
        (1_000_000_000_000_000_000, -1),
    ];
    let frame_of = |pick: &dyn Fn(&(i64, i64)) -> i64| {
        frame(vec![
            ints("id", 0..pairs.len() as i64),
            ints("sum", pairs.iter().map(pick)),
            texts("note", pairs.iter().map(|_| "")),
            ints("first", vec![None; pairs.len()]),
        ])
    };
    write(&store, "exact", 1, &table, &frame_of(&|pair| pair.0)).await;
    write(&store, "exact", 2, &table, &frame_of(&|pair| pair.1)).await;
    let wanted = frame_of(&|pair| pair.0 + pair.1);
    assert_same(&read_all(&store, &table).await, &wanted, "sums");
    // One row too many: nothing of the unit is there, and it is said which.
    let claims = claim(&store, "exact", "only").await;
    for (first, added) in [(max, 1), (min, -1), (1, max), (-1, min), (exact * 1_000, max - exact * 999)] {
        write(&store, "set", 1, &table, &rows(100..101, 0, "")).await;
        let mut unit = store.begin("exact", &claims).await.unwrap();
        let one = frame(vec![ints("id", [100]), ints("sum", [first]), texts("note", ["x"]), ints("first", [None])]);
        let other = frame(vec![ints("id", [100]), ints("sum", [added]), texts("note", ["y"]), ints("first", [None])]);
        unit.upsert(&table, &rows(200..201, 1, "")).await.unwrap();
        unit.upsert(&table, &one).await.unwrap();
        unit.upsert(&table, &other).await.unwrap();
        let error = commit(unit, &reached("only", 9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("`sum` of table `t_exact`"), "{error}");
        assert_eq!(store.positions("exact").await.unwrap(), reached("only", 2));
    }
    let rest = read_all(&store, &table).await;
    assert_same(&rest.head(Some(pairs.len())), &wanted, "unchanged");
    assert_same(&rest.slice(pairs.len() as i64, 9), &rows(100..101, 0, ""), "unchanged");
}

#[tokio::test]
async fn changes_of_one_unit_follow_each_other() {
    let Some(url) = fresh() else { return };
    let (store, table) = (open(&url.to_string()).await, sums("order"));
    store.create(&[&table]).await.unwrap();
    write(&store, "order", 1, &table, &rows(0..6, 1, "old")).await;
    let claims = claim(&store, "order", "only").await;
    let mut unit = store.begin("order", &claims).await.unwrap();
    let key = |id: i64| frame(vec![ints("id", [id])]);
    unit.update(&table, ("note", Value::Text("changed".into())), ("sum", Value::Int(1))).await.unwrap();
    // A row that the unit has changed cannot be asked for any more.
    let again = unit.update(&table, ("sum", Value::Int(0)), ("note", Value::Text("old".into()))).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Configuration, "{again}");
    assert!(again.to_string().contains("`note`"), "{again}");
    drop(unit);
    let mut unit = store.begin("order", &claims).await.unwrap();
    assert_eq!(unit.update(&table, ("note", Value::Text("by key".into())), ("id", Value::Int(5))).await.unwrap(), 1);
    unit.upsert(&table, &rows(0..3, 10, "new")).await.unwrap();
    unit.delete(&table, &key(1)).await.unwrap();
    unit.upsert(&table, &rows(1..4, 100, "newer")).await.unwrap();
    unit.delete(&table, &key(4)).await.unwrap();
    unit.delete(&table, &key(77)).await.unwrap();
    commit(unit, &reached("only", 2)).await.unwrap();
    let wanted = frame(vec![
        ints("id", [0, 1, 2, 3, 5]),
        ints("sum", [11, 100, 111, 101, 1]),
        texts("note", ["new", "newer", "newer", "newer", "by key"]),
        ints("first", [1, 100, 1, 1, 1]),
    ]);
    assert_same(&read_all(&store, &table).await, &wanted, "in order");
    assert_same(&read_equal(&store, &table, vec![("id", Value::Null)]).await, &wanted.head(Some(0)), "no null key");
}

#[tokio::test]
async fn what_cannot_be_kept_or_is_not_safe_is_refused() {
    let refused = async |url: &str| {
        let error = RedisStore::connect(&StoreUrl::parse(url).unwrap()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        error.to_string()
    };
    if let Some(url) = fresh() {
        let store = open(&url.to_string()).await;
        let computed = Merge::Computed { mysql: "1", sqlite: "1" };
        let key = || Table::new(Ident::new("broken").unwrap()).key("id", Kind::Int).unwrap();
        let error = store.create(&[&key().column("twice", Kind::Int, true, computed).unwrap()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("broken") && error.to_string().contains("twice"), "{error}");
        assert!(!store.has_table(&Ident::new("broken").unwrap()).await.unwrap());
        let mut session = raw(&url.to_string()).await;
        let prefix = &url.options["prefix"];
        let tables = format!("{prefix}{{headrace:{prefix}}}:tables");
        redis::cmd("HSET").arg(tables).arg("").arg("headrace format 1000").exec_async(&mut session).await.unwrap();
        let text = refused(&url.to_string()).await;
        assert!(text.contains("newer headrace") && text.contains("1000"), "{text}");
        let mut expiring = apart(&url);
        expiring.options.insert("expire".to_owned(), "1h".to_owned());
        assert!(refused(&expiring.to_string()).await.contains("expire"));
        let mut strict = apart(&url);
        strict.options.insert("durability".to_owned(), "always".to_owned());
        let text = refused(&strict.to_string()).await;
        assert!(text.contains("appendfsync everysec") && text.contains("appendfsync always"), "{text}");
    }
    let Some(forgetful) = Server::start(&["--appendonly", "no"]).await else { return };
    let text = refused(&forgetful.url()).await;
    assert!(text.contains("appendonly no") && text.contains("durability=none"), "{text}");
    open(&format!("{}?durability=none", forgetful.url())).await;
    let settings = ["--appendfsync", "always", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(dropping) = Server::start(&settings).await else { return };
    let text = refused(&dropping.url()).await;
    assert!(text.contains("allkeys-lru") && text.contains("noeviction"), "{text}");
    let Some(full) = Server::start(&["--maxmemory", "8mb", "--appendfsync", "always"]).await else { return };
    let (store, table) = (open(&format!("{}?durability=always", full.url())).await, sums("full"));
    store.create(&[&table]).await.unwrap();
    let claims = claim(&store, "full", "p").await;
    let mut unit = store.begin("full", &claims).await.unwrap();
    let work = async {
        unit.upsert(&table, &rows(0..20_000, 1, &"a long note ".repeat(50))).await?;
        commit(unit, &reached("p", 1)).await
    };
    let error = work.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("maxmemory"), "{error}");
    assert!(store.positions("full").await.unwrap().is_empty());
    assert_eq!(read_all(&store, &table).await.height(), 0);
}
