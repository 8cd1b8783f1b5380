//! Cassandra against a real server: conformance, and what only Cassandra does.
//!
//! `HEADRACE_TEST_CASSANDRA=cassandra://HOST:PORT` switches these tests on, `HEADRACE_TEST_CASSANDRA_SECURE` those with
//! login and TLS (`HEADRACE_TEST_CERTIFICATES` names the folder with `ca.crt` and `other-ca.crt`).

mod faults;
mod turns;

use std::collections::BTreeSet;

use headrace_connectors::cassandra::Cassandra;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::{Kind, Table, Value};
use headrace_core::{Counts, ErrorKind, Partition, StoreUrl, clock};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::conformance::{self, bytes, drain, frame, ident, ints, reached, read_all, read_equal, texts, write};

const KEYSPACE: &str = "headrace_test";

/// The URL of the test server with a path and options, or a visible skip.
fn url(variable: &str, rest: &str) -> Option<String> {
    let url = clock::environment(variable);
    if url.is_none() {
        println!("SKIP: set {variable}");
    }
    url.map(|url| format!("{url}/{KEYSPACE}{rest}"))
}

async fn connect(url: &str) -> Cassandra {
    Cassandra::connect(&StoreUrl::parse(url).unwrap()).await.unwrap()
}

async fn store() -> Option<Cassandra> {
    Some(connect(&url("HEADRACE_TEST_CASSANDRA", "")?).await)
}

/// A text unique to the run and to the test.
fn unique(name: &str) -> String {
    format!("{name}{:x}", clock::now_us() & 0xffff_ffff_ffff)
}

/// The driver itself, to look behind the store.
async fn driver() -> Session {
    let url = StoreUrl::parse(&clock::environment("HEADRACE_TEST_CASSANDRA").unwrap()).unwrap();
    SessionBuilder::new().known_node(url.host_list(9042)).build().await.unwrap()
}

async fn claim(store: &Cassandra, scope: &str, partition: &str) -> Vec<headrace_core::Claim> {
    store.claim(scope, &[Partition::new(partition)]).await.unwrap()
}

async fn state(unit: &mut dyn Unit, key: i64) -> Vec<(i64, Vec<u8>)> {
    let segments = unit.read_state("space", &[(key, 0)]).await.unwrap();
    segments.into_iter().map(|segment| (segment.sequence, segment.blob)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some(store) = store().await else { return };
    conformance::store::everything(&store, &unique("c")).await;
}

#[tokio::test]
async fn nulls_write_no_tombstone_and_remove_nothing() {
    let Some(store) = store().await else { return };
    let table = Table::new(ident(&unique("n"), "nulls")).key("id", Kind::Int).unwrap();
    let table = table.value("amount", Kind::Int).unwrap().value("note", Kind::Text).unwrap();
    store.create(&[&table]).await.unwrap();
    let row = |amount: Option<i64>, note: Option<&'static str>| {
        frame(vec![ints("id", [1]), ints("amount", [amount]), texts("note", [note])])
    };
    write(&store, "nulls", 1, &table, &row(Some(5), None)).await;
    let times = format!("SELECT WRITETIME(amount), WRITETIME(note) FROM {KEYSPACE}.\"{}\" WHERE id = 1", table.name);
    let driver = driver().await;
    let read = async || {
        let rows = driver.query_unpaged(times.as_str(), ()).await.unwrap().into_rows_result().unwrap();
        rows.single_row::<(Option<i64>, Option<i64>)>().unwrap()
    };
    let (amount, note) = read().await;
    assert!(amount.is_some());
    assert_eq!(note, None);
    write(&store, "nulls", 2, &table, &row(None, Some("x"))).await;
    assert!(read_all(&store, &table).await.equals_missing(&row(Some(5), Some("x"))));
    assert_eq!(read().await.0, amount, "a null must not be written at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_scan_gives_what_was_written_also_when_resumed() {
    let Some(store) = store().await else { return };
    let unique = unique("s");
    let table = Table::new(ident(&unique, "scan")).key("id", Kind::Int).unwrap();
    let table = table.value("note", Kind::Text).unwrap().value("amount", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let total = 50_000;
    let notes: Vec<String> = (0..total).map(|id| format!("note {id}")).collect();
    let rows = frame(vec![
        ints("id", 0..total),
        texts("note", notes.iter().map(String::as_str)),
        ints("amount", (0..total).map(|id| (id % 3 > 0).then_some(id * 7))),
    ]);
    write(&store, &unique, 1, &table, &rows).await;
    let columns = ["id", "note", "amount"];
    // Half of it, then the rest by another source that knows the positions only.
    let first = drain(&mut *store.scan(&table, &columns, 16, &[]).await.unwrap(), &Default::default(), 3).await;
    assert!(!first.ended);
    let rest = drain(&mut *store.scan(&table, &columns, 16, &[]).await.unwrap(), &first.reached, usize::MAX).await;
    assert!(rest.ended);
    let mut all = first.frames[0].clone();
    for more in first.frames.iter().skip(1).chain(&rest.frames) {
        all.vstack_mut(more).unwrap();
    }
    let all = all.sort(["id"], Default::default()).unwrap();
    assert!(all.equals_missing(&rows), "{} rows instead of {total}", all.height());
    // The end is remembered too.
    let again = drain(&mut *store.scan(&table, &columns, 16, &[]).await.unwrap(), &rest.reached, usize::MAX).await;
    assert!(again.ended && again.frames.iter().all(|frame| frame.height() == 0));
    assert!(rest.reached.keys().any(|partition| partition.0 == "tokens 16 of 16"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wide_partitions_are_grouped_paged_and_never_cut() {
    let Some(store) = store().await else { return };
    let unique = unique("w");
    let mut table = Table::new(ident(&unique, "by_hour")).key("hour", Kind::DateTime).unwrap();
    table = table.key("event", Kind::TimeUuid).unwrap().value("note", Kind::Text).unwrap();
    store.create(&[&table]).await.unwrap();
    let (hours, each) = (5_i64, 7_000_u32);
    let uuids: Vec<[u8; 16]> = (0..hours as u32 * each)
        .map(|number| {
            let mut uuid = [0x80; 16];
            uuid[..4].copy_from_slice(&number.to_be_bytes());
            uuid[6] = 0x10;
            uuid
        })
        .collect();
    let rows = frame(vec![
        ints("hour", (0..uuids.len() as i64).map(|number| number % hours * 3_600_000_000)),
        bytes("event", uuids.iter().map(|uuid| &uuid[..])),
        texts("note", uuids.iter().map(|_| "forty characters or so, to fill batches up")),
    ]);
    write(&store, &unique, 1, &table, &rows).await;
    let one = read_equal(&store, &table, vec![("hour", Value::Int(3_600_000_000))]).await;
    assert_eq!(one.height(), each as usize);
    // Pages by key inside one partition.
    let mut after = Vec::new();
    let mut seen = 0;
    loop {
        let select =
            Select { table: &table, columns: vec!["event"], equal: vec![("hour", Value::Int(0))], after, limit: 3_000 };
        let page = store.select(&select).await.unwrap();
        let Some(last) = page.height().checked_sub(1) else { break };
        seen += page.height();
        let event = page.column("event").unwrap().binary().unwrap().get(last).unwrap().to_vec();
        after = vec![Value::Int(0), Value::Bytes(event)];
    }
    assert_eq!(seen, each as usize);
    // Stopped after every batch: whole hours only, each once.
    let mut at = Default::default();
    let mut found: BTreeSet<i64> = BTreeSet::new();
    loop {
        let given = drain(&mut *store.scan(&table, &["hour"], 1, &[]).await.unwrap(), &at, 1).await;
        let batch = given.ints("hour");
        let here: BTreeSet<i64> = batch.iter().copied().collect();
        for hour in &here {
            assert_eq!(batch.iter().filter(|other| *other == hour).count(), each as usize);
            assert!(found.insert(*hour), "hour {hour} came twice");
        }
        at = given.reached;
        if given.ended {
            break;
        }
    }
    assert_eq!(found.len(), hours as usize);
}

#[tokio::test]
async fn two_workers_fence_each_other_and_garbage_of_failed_units_never_shows() {
    let Some(first) = store().await else { return };
    let second = store().await.unwrap();
    first.create(&[]).await.unwrap();
    let scope = unique("fence");
    let old = claim(&first, &scope, "p").await;
    // The first worker writes state, stops for a while, and is overtaken.
    let mut stalled = first.begin(&scope, &old).await.unwrap();
    stalled.write_state("space", vec![(1, b"stalled".to_vec()), (2, b"stalled".to_vec())], Vec::new()).await.unwrap();
    let new = claim(&second, &scope, "p").await;
    assert!(new[0].epoch > old[0].epoch);
    let mut unit = second.begin(&scope, &new).await.unwrap();
    unit.write_state("space", vec![(1, b"kept".to_vec())], Vec::new()).await.unwrap();
    unit.commit(&reached("p", 10), &Counts { read: 1, ..Counts::default() }).await.unwrap();
    let refused = stalled.commit(&reached("p", 99), &Counts { read: 9, ..Counts::default() }).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    assert_eq!(first.begin(&scope, &old).await.err().unwrap().kind(), ErrorKind::Fenced);
    // A unit that crashed leaves garbage under the number of the next commit.
    let mut crashed = second.begin(&scope, &new).await.unwrap();
    crashed.write_state("space", vec![(1, b"crashed".to_vec()), (3, b"crashed".to_vec())], Vec::new()).await.unwrap();
    drop(crashed);
    let mut unit = second.begin(&scope, &new).await.unwrap();
    unit.write_state("space", vec![(1, b"more".to_vec())], Vec::new()).await.unwrap();
    unit.commit(&reached("p", 20), &Counts { read: 1, ..Counts::default() }).await.unwrap();
    for store in [&first, &second] {
        let mut unit = store.begin(&scope, &new).await.unwrap();
        assert_eq!(state(&mut *unit, 1).await, [(1, b"kept".to_vec()), (2, b"more".to_vec())]);
        assert!(state(&mut *unit, 2).await.is_empty());
        assert!(state(&mut *unit, 3).await.is_empty());
        assert_eq!(store.positions(&scope).await.unwrap(), reached("p", 20));
        assert_eq!(store.counters(&scope).await.unwrap().read, 2);
    }
    // Readers removed the garbage they met.
    let left = format!(
        "SELECT unit FROM {KEYSPACE}.headrace_state WHERE scope = '{scope}' AND generation = 0 AND space = 'space' AND key = 1 AND chunk = 0 ALLOW FILTERING"
    );
    let driver = driver().await;
    let rows = driver.query_unpaged(left, ()).await.unwrap().into_rows_result().unwrap();
    assert_eq!(rows.rows_num(), 2);
}

#[tokio::test]
async fn state_is_seen_when_its_worker_died_right_behind_the_commit() {
    let Some(store) = store().await else { return };
    store.create(&[]).await.unwrap();
    let scope = unique("mark");
    let claims = claim(&store, &scope, "p").await;
    for at in 1..=2 {
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        unit.write_state("space", vec![(1, vec![at])], Vec::new()).await.unwrap();
        unit.commit(&reached("p", i64::from(at)), &Counts::default()).await.unwrap();
    }
    // As if the worker had died before it could mark its last segment.
    let driver = driver().await;
    let unit: (String,) = driver
        .query_unpaged(format!("SELECT unit FROM {KEYSPACE}.headrace_ledger WHERE scope = ?"), (scope.as_str(),))
        .await
        .unwrap()
        .into_rows_result()
        .unwrap()
        .first_row()
        .unwrap();
    let unmark = format!(
        "DELETE committed FROM {KEYSPACE}.headrace_state WHERE scope = ? AND generation = 0 AND space = 'space' AND key = 1 AND sequence = 2 AND unit = ? AND chunk = 0"
    );
    driver.query_unpaged(unmark, (scope.as_str(), unit.0.as_str())).await.unwrap();
    let wanted = [(1, vec![1]), (2, vec![2])];
    // The same process believes it is marked; the ledger names it, so it shows.
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert_eq!(state(&mut *unit, 1).await, wanted);
    // Another process marks it before the ledger names another.
    let other = self::store().await.unwrap();
    let mut unit = other.begin(&scope, &claims).await.unwrap();
    unit.write_state("space", vec![(2, vec![9])], Vec::new()).await.unwrap();
    unit.commit(&reached("p", 3), &Counts::default()).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert_eq!(state(&mut *unit, 1).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_one_scope_commit_side_by_side() {
    let Some(store) = store().await else { return };
    store.create(&[]).await.unwrap();
    let scope = unique("side");
    let worker = |name: String| {
        let (store, scope) = (store.clone(), scope.clone());
        async move {
            let claims = claim(&store, &scope, &name).await;
            for at in 1..=10 {
                let unit = store.begin(&scope, &claims).await.unwrap();
                unit.commit(&reached(&name, at), &Counts { read: 1, ..Counts::default() }).await.unwrap();
            }
        }
    };
    let workers: Vec<_> = (0..3).map(|number| tokio::spawn(worker(format!("p{number}")))).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let positions = store.positions(&scope).await.unwrap();
    assert_eq!(positions, (0..3).flat_map(|number| reached(&format!("p{number}"), 10)).collect());
    assert_eq!(store.counters(&scope).await.unwrap().read, 30);
}

#[tokio::test]
async fn state_that_was_read_before_another_commit_is_not_built_upon() {
    let Some(store) = store().await else { return };
    store.create(&[]).await.unwrap();
    let scope = unique("stale");
    let (x, y) = (claim(&store, &scope, "x").await, claim(&store, &scope, "y").await);
    let mut behind = store.begin(&scope, &x).await.unwrap();
    assert!(state(&mut *behind, 1).await.is_empty());
    let mut ahead = store.begin(&scope, &y).await.unwrap();
    ahead.write_state("space", vec![(1, b"new".to_vec())], Vec::new()).await.unwrap();
    ahead.commit(&reached("y", 1), &Counts::default()).await.unwrap();
    let error = behind.commit(&reached("x", 1), &Counts::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    let mut again = store.begin(&scope, &x).await.unwrap();
    assert!(again.positions().is_empty());
    assert_eq!(state(&mut *again, 1).await, [(1, b"new".to_vec())]);
    again.commit(&reached("x", 1), &Counts::default()).await.unwrap();
}
