//! Turns of units in Cassandra: who waits, who takes over, and that nothing written late does harm.

use std::time::{Duration, Instant};

use headrace_connectors::cassandra::Cassandra;
use headrace_core::store::{Leftovers, Store, Unit};
use headrace_core::table::{Kind, Table};
use headrace_core::{Claim, Counts, ErrorKind};
use polars::prelude::DataFrame;

use super::{claim, connect, unique, url};
use crate::conformance::{frame, ident, ints, reached, read_all, texts};

async fn store(lease: &str) -> Option<Cassandra> {
    let store = connect(&url("HEADRACE_TEST_CASSANDRA", &format!("?lease={lease}"))?).await;
    store.create(&[]).await.unwrap();
    Some(store)
}

async fn begin(store: &Cassandra, scope: &str, claims: &[Claim], at: i64) -> Box<dyn Unit> {
    store.begin_in_turn(scope, claims, &reached(&claims[0].partition.0, at)).await.unwrap()
}

async fn commit(unit: Box<dyn Unit>, partition: &str, at: i64) -> headrace_core::Result<()> {
    unit.commit(&reached(partition, at), &Counts::default()).await
}

async fn table(store: &Cassandra) -> Table {
    let table = Table::new(ident(&unique("t"), "rows")).key("id", Kind::Int).unwrap();
    let table = table.value("a", Kind::Int).unwrap().value("b", Kind::Text).unwrap();
    store.create(&[&table]).await.unwrap();
    table
}

fn row(a: Option<i64>, b: Option<&'static str>) -> DataFrame {
    frame(vec![ints("id", [1]), ints("a", [a]), texts("b", [b])])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_waits_until_the_turn_ends_by_commit_or_by_drop() {
    let Some(store) = store("3s").await else { return };
    let scope = unique("wait");
    let (x, y) = (claim(&store, &scope, "x").await, claim(&store, &scope, "y").await);
    for is_committed in [true, false] {
        let first = begin(&store, &scope, &x, 1).await;
        let waiting = tokio::spawn({
            let (store, scope, y) = (store.clone(), scope.clone(), y.clone());
            async move { begin(&store, &scope, &y, 1).await }
        });
        // Longer than the lease: signs of life keep the turn.
        tokio::time::sleep(Duration::from_millis(7_500)).await;
        assert!(!waiting.is_finished(), "two units had the turn");
        if is_committed {
            commit(first, "x", 1).await.unwrap();
        } else {
            drop(first);
        }
        let second = waiting.await.unwrap();
        let left = if is_committed { Leftovers::None } else { Leftovers::Elsewhere };
        assert_eq!((second.sequence(), second.leftovers()), (1 + i64::from(!is_committed), left));
        commit(second, "y", 1).await.unwrap();
    }
    // The partition that was left behind knows it until it has passed the place.
    let unit = begin(&store, &scope, &x, 0).await;
    assert_eq!(unit.leftovers(), Leftovers::Here);
    commit(unit, "x", 0).await.unwrap();
    let unit = begin(&store, &scope, &x, 1).await;
    assert_eq!(unit.leftovers(), Leftovers::Here);
    commit(unit, "x", 1).await.unwrap();
    assert_eq!(begin(&store, &scope, &x, 2).await.leftovers(), Leftovers::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_worker_loses_its_turn_and_what_it_sends_late_is_beneath() {
    let (Some(store), Some(silent)) = (store("1s").await, store("1h").await) else { return };
    let (scope, table) = (unique("silent"), table(&store).await);
    let (x, y) = (claim(&store, &scope, "x").await, claim(&store, &scope, "y").await);
    // With a lease of an hour it gives a sign of life every ten minutes.
    let mut zombie = begin(&silent, &scope, &x, 1).await;
    let began = Instant::now();
    let mut unit = begin(&store, &scope, &y, 1).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "taken over while the lease lasted");
    assert_eq!(unit.leftovers(), Leftovers::Elsewhere);
    unit.upsert(&table, &row(Some(2), None)).await.unwrap();
    zombie.upsert(&table, &row(Some(1), Some("zombie"))).await.unwrap();
    // The value that counts stays; what was left in the other column can be swept away, for ever.
    unit.sweep(&table, &row(None, None)).await.unwrap();
    assert!(read_all(&store, &table).await.equals_missing(&row(Some(2), None)));
    zombie.upsert(&table, &row(Some(1), Some("zombie"))).await.unwrap();
    assert!(read_all(&store, &table).await.equals_missing(&row(Some(2), None)));
    commit(unit, "y", 1).await.unwrap();
    let error = commit(zombie, "x", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    // Its own partition need not wait, and its next unit clears the row.
    let mut again = begin(&silent, &scope, &x, 1).await;
    assert_eq!((again.leftovers(), again.positions().len()), (Leftovers::Here, 0));
    again.delete(&table, &row(None, None)).await.unwrap();
    again.upsert(&table, &row(None, Some("again"))).await.unwrap();
    commit(again, "x", 1).await.unwrap();
    assert!(read_all(&store, &table).await.equals_missing(&row(None, Some("again"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claiming_a_dead_workers_partition_ends_its_turn_at_once() {
    let Some(store) = store("1h").await else { return };
    let scope = unique("dead");
    let (x, y) = (claim(&store, &scope, "x").await, claim(&store, &scope, "y").await);
    let dead = begin(&store, &scope, &x, 5).await;
    let newer = claim(&store, &scope, "x").await;
    let unit = begin(&store, &scope, &y, 1).await;
    assert_eq!(unit.leftovers(), Leftovers::Elsewhere);
    commit(unit, "y", 1).await.unwrap();
    assert_eq!(commit(dead, "x", 5).await.unwrap_err().kind(), ErrorKind::Fenced);
    let unit = begin(&store, &scope, &newer, 5).await;
    assert_eq!(unit.leftovers(), Leftovers::Here);
    commit(unit, "x", 5).await.unwrap();
    assert_eq!(begin(&store, &scope, &y, 2).await.leftovers(), Leftovers::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_without_turns_gets_them() {
    let Some(url) = url("HEADRACE_TEST_CASSANDRA", "") else { return };
    let driver = super::driver().await;
    let keyspace = unique("headrace_old");
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    driver.query_unpaged(format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"), ()).await.unwrap();
    let columns = "scope text, last_epoch bigint static, generation bigint static, sequence bigint static, \
                   counters text static, unit text static, unit_sequence bigint static, unit_keys text static, \
                   partition text, epoch bigint, position bigint, detail text, PRIMARY KEY ((scope), partition)";
    driver.query_unpaged(format!("CREATE TABLE {keyspace}.headrace_ledger ({columns})"), ()).await.unwrap();
    let store = connect(&url.replace(super::KEYSPACE, &keyspace)).await;
    store.create(&[]).await.unwrap();
    let claims = claim(&store, "scope", "x").await;
    commit(begin(&store, "scope", &claims, 1).await, "x", 1).await.unwrap();
    assert_eq!(store.positions("scope").await.unwrap(), reached("x", 1));
    driver.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await.unwrap();
}
