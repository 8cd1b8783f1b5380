//! A member of a group that died where nobody can see its process.

use headrace_core::clock;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use tempfile::TempDir;

use super::open;
use crate::conformance::log::{all, drained, numbers, options, produce_numbers};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_takes_over_the_share_of_a_member_that_has_died() {
    let directory = TempDir::new().unwrap();
    let log = open(directory.path());
    log.create_topic("t", 4).await.unwrap();
    produce_numbers(&log, "t", 0..100, 20).await;
    let options = options("g", false);
    drained(&log, "t", &options, &Reached::new()).await;
    // Two of the four partitions are meant for it, and one is its own; three seconds later it counts as dead.
    let group = rusqlite::Connection::open(directory.path().join("groups.sqlite")).unwrap();
    let beat_ms = clock::now_ms() - 7_000;
    group.execute("INSERT INTO members VALUES ('t', 'g', 'dead', 0, ?, 'another machine', 1)", [beat_ms]).unwrap();
    group.execute("INSERT INTO owners VALUES ('t', 'g', 0, 'dead')", []).unwrap();
    let given = drained(&log, "t", &options, &Reached::new()).await;
    assert_eq!(numbers(&all(&given)), (0..100).collect::<Vec<_>>());
}
