//! What happens when the server does not answer, or the way to it breaks.

mod refusals;

use std::time::Duration;

use headrace_core::store::{Store, is_committed};
use headrace_core::table::{Kind, Table};
use headrace_core::{Counts, ErrorKind, StoreUrl, clock};

use super::{KEYSPACE, claim, connect, state, unique, url};
use crate::conformance::{self, frame, ident, ints, reached, texts};
use crate::proxy::Proxy;

/// A proxy to the test server, and a URL through it.
async fn through_proxy(options: &str) -> Option<(Proxy, String)> {
    url("HEADRACE_TEST_CASSANDRA", "")?;
    let server = StoreUrl::parse(&clock::environment("HEADRACE_TEST_CASSANDRA").unwrap()).unwrap().host_list(9042);
    let proxy = Proxy::to(server).await;
    let url = format!("cassandra://{}/{KEYSPACE}?{options}", proxy.address);
    Some((proxy, url))
}

/// Creates tables on the straight way: a server that has just started takes longer for that than these tests let it.
async fn create(tables: &[&Table]) {
    let store = connect(&url("HEADRACE_TEST_CASSANDRA", "").unwrap()).await;
    store.create(tables).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_wait_for_a_server_that_stalls_and_reconnect_to_one_that_went_away() {
    let Some((proxy, url)) = through_proxy("timeout=2s").await else { return };
    let store = connect(&url).await;
    let unique = unique("f");
    let table = Table::new(ident(&unique, "stalled")).key("id", Kind::Int).unwrap().value("note", Kind::Text).unwrap();
    create(&[&table]).await;
    let total = 30_000;
    let rows = frame(vec![ints("id", 0..total), texts("note", (0..total).map(|_| "some text"))]);
    let disturb = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.hold_answers(true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        proxy.hold_answers(false);
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.break_connections();
    };
    let begun = std::time::Instant::now();
    tokio::join!(conformance::write(&store, &unique, 1, &table, &rows), disturb);
    assert!(begun.elapsed() > Duration::from_secs(5), "the stall must have been in the way");
    // All of them, read while the way breaks again.
    let reading = connect(&url).await;
    let disturb = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        proxy.break_connections();
    };
    let (read, ()) = tokio::join!(conformance::read_all(&reading, &table), disturb);
    conformance::assert_same(&read, &rows, "after a stall");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_resolved_by_reading_the_position() {
    let Some((proxy, url)) = through_proxy("timeout=2s").await else { return };
    let store = connect(&url).await;
    create(&[]).await;
    let scope = unique("lost");
    let claims = claim(&store, &scope, "p").await;
    let read = Counts { read: 1, ..Counts::default() };
    for at in 1..=4 {
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        unit.write_state("space", vec![(1, vec![at])], Vec::new()).await.unwrap();
        proxy.hold_answers(true);
        let error = unit.commit(&reached("p", i64::from(at)), &read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        if at % 2 == 0 {
            proxy.break_connections();
        }
        proxy.hold_answers(false);
        // What the run loop does: look whether it happened, and do it again if not.
        let mut unit = store.begin(&scope, &claims).await.unwrap();
        if !is_committed(&*unit, &reached("p", i64::from(at))) {
            unit.write_state("space", vec![(1, vec![at])], Vec::new()).await.unwrap();
            unit.commit(&reached("p", i64::from(at)), &read).await.unwrap();
        }
    }
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    assert_eq!(state(&mut *unit, 1).await, (1..=4).map(|at| (i64::from(at), vec![at])).collect::<Vec<_>>());
    assert_eq!(store.positions(&scope).await.unwrap(), reached("p", 4));
    assert_eq!(store.counters(&scope).await.unwrap().read, 4);
}
