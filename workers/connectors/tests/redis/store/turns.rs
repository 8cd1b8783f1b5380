//! Units of one scope follow each other, and a worker that dies or stands still does not stop the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::ErrorKind;
use headrace_core::store::Store;

use super::{claim, commit, fresh, open, rows, sums};
use crate::conformance::{assert_same, reached, read_all};

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_build_on_each_other_and_one_takes_over() {
    let Some(url) = fresh() else { return };
    let (scope, table) = ("two", sums("two"));
    let worker = async |partition: &str| {
        let store = open(&url.to_string()).await;
        store.create(&[&table]).await.unwrap();
        let claims = claim(&store, scope, partition).await;
        for at in 1..=60 {
            let mut unit = store.begin(scope, &claims).await.unwrap();
            let known = unit.read_state("space", &[(1, 0)]).await.unwrap();
            assert_eq!(known.len() as i64, unit.sequence(), "one segment for every commit");
            unit.write_state("space", vec![(1, vec![at as u8])], Vec::new()).await.unwrap();
            unit.upsert(&table, &rows(0..5, 1, partition)).await.unwrap();
            commit(unit, &reached(partition, at)).await.unwrap();
        }
        (store, claims)
    };
    let ((first, old), (second, _)) = tokio::join!(worker("x"), worker("y"));
    assert_eq!(first.counters(scope).await.unwrap().read, 120);
    let sums = read_all(&second, &table).await;
    assert!(sums.column("sum").unwrap().i64().unwrap().iter().all(|sum| sum == Some(120)), "{sums}");
    // The second takes over while the first is in the middle of a unit.
    let mut unit = first.begin(scope, &old).await.unwrap();
    unit.upsert(&table, &rows(0..5, 1_000, "zombie")).await.unwrap();
    let new = claim(&second, scope, "x").await;
    assert_eq!(new[0].position, reached("x", 60).into_values().next());
    let begun = Instant::now();
    let next = second.begin(scope, &new).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "waited for a unit of an old claim");
    assert_eq!(commit(unit, &reached("x", 61)).await.unwrap_err().kind(), ErrorKind::Fenced);
    commit(next, &reached("x", 61)).await.unwrap();
    assert_same(&read_all(&first, &table).await, &sums, "the old claim's rows");
    assert_eq!(first.begin(scope, &old).await.err().unwrap().kind(), ErrorKind::Fenced);
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_keep_the_turn_and_a_silent_worker_loses_it() {
    let Some(mut url) = fresh() else { return };
    url.options.insert("lease".to_owned(), "3s".to_owned());
    let store = Arc::new(open(&url.to_string()).await);
    url.options.insert("lease".to_owned(), "1h".to_owned());
    let silent = open(&url.to_string()).await;
    let table = sums("silent");
    store.create(&[&table]).await.unwrap();
    let (x, y) = (claim(&store, "s", "x").await, claim(&store, "s", "y").await);
    for is_committed in [true, false] {
        let first = store.begin("s", &x).await.unwrap();
        let waiting = tokio::spawn({
            let (store, y) = (store.clone(), y.clone());
            async move { store.begin("s", &y).await.unwrap().sequence() }
        });
        // Longer than the lease.
        tokio::time::sleep(Duration::from_millis(7_500)).await;
        assert!(!waiting.is_finished(), "two units had the turn");
        if is_committed {
            commit(first, &reached("x", 1)).await.unwrap();
        } else {
            drop(first);
        }
        assert_eq!(waiting.await.unwrap(), 1);
    }
    // A worker that stands still: the server forgets its turn as at the end of a lease.
    let mut zombie = silent.begin("s", &x).await.unwrap();
    zombie.upsert(&table, &rows(0..5, 1, "zombie")).await.unwrap();
    let prefix = &url.options["prefix"];
    let turn = format!("{prefix}{{headrace:{prefix}}}:turn:s");
    let mut session = crate::redis::support::raw(&url.to_string()).await;
    redis::cmd("PEXPIRE").arg(&turn).arg(300).exec_async(&mut session).await.unwrap();
    let begun = Instant::now();
    let mut unit = store.begin("s", &y).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(250), "taken over while the lease lasted");
    unit.upsert(&table, &rows(0..5, 7, "living")).await.unwrap();
    let error = commit(zombie, &reached("x", 2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("turn"), "{error}");
    commit(unit, &reached("y", 1)).await.unwrap();
    assert!(read_all(&*store, &table).await.equals_missing(&rows(0..5, 7, "living")));
    // A claim's next unit does not wait for its last one, whose answer may be lost.
    let lost = silent.begin("s", &x).await.unwrap();
    let next = silent.begin("s", &x).await.unwrap();
    assert_eq!(commit(lost, &reached("x", 2)).await.unwrap_err().kind(), ErrorKind::External);
    commit(next, &reached("x", 2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_served_in_the_order_of_coming() {
    let Some(url) = fresh() else { return };
    let store = Arc::new(open(&url.to_string()).await);
    let greedy = claim(&store, "s", "greedy").await;
    let patient = claim(&store, "s", "patient").await;
    let waiting = {
        let store = store.clone();
        let first = store.begin("s", &greedy).await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.begin("s", &patient).await.unwrap().sequence() }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        commit(first, &reached("greedy", 1)).await.unwrap();
        waiting
    };
    // A worker that begins again at once does not keep the turn to itself.
    for at in 2..=20 {
        let unit = store.begin("s", &greedy).await.unwrap();
        commit(unit, &reached("greedy", at)).await.unwrap();
    }
    assert!(waiting.is_finished(), "19 units were before one that had waited");
    assert_eq!(waiting.await.unwrap(), 1);
}
