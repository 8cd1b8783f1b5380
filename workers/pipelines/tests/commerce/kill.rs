//! The stream in processes that are killed at each of their places: what the next run leaves is what one straight run leaves.

use std::path::Path;

use headrace_core::report::Outcome;
use serde_json::{Value, json};

use super::{assert_golden, own, run};
use crate::process::{Ended, Worker};

/// Streams in a process under a failpoint, to its end.
async fn stream(values: &Value, failpoint: &str) -> Ended {
    Worker::step("commerce", "stream", values, failpoint).end().await
}

fn values(folder: &Path, batch_rows: u64) -> Value {
    json!({
        "from": own().join("events.jsonl"),
        "store": format!("embedded:{}", folder.join("store").display()),
        "archive": format!("file:{}", folder.join("lake").display()),
        "archive_every": "0s",
        "batch_rows": batch_rows,
    })
}

async fn check(folder: &Path, values: &Value) {
    let export = folder.join("export");
    run("export", json!({ "store": values["store"], "out": export })).await.unwrap();
    assert_golden(&export, &own());
    let verified = run("verify", json!({ "store": values["store"], "archive": values["archive"] })).await.unwrap();
    assert_eq!(verified.outcome, Outcome::Complete, "{:?}", verified.notes);
}

/// `after-write` is visited behind a batch's rows and, with a plan after every batch, behind its files.
const PLACES: [&str; 12] = [
    "after-read:2:kill",
    "after-decode:2:kill",
    "before-write:2:kill",
    "after-write:1:kill",
    "after-write:2:kill",
    "after-write:3:kill",
    "before-dead-letter:1:kill",
    "after-dead-letter:2:kill",
    "before-commit:3:kill",
    "after-commit:1:kill",
    "after-acknowledge:2:kill",
    "before-close:1:kill",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_anywhere_changes_nothing() {
    for place in PLACES {
        let folder = tempfile::tempdir().unwrap();
        let values = values(folder.path(), 180);
        stream(&values, place).await.assert_killed_at(place);
        assert!(stream(&values, "").await.is_well_or_killed(), "{place}");
        check(folder.path(), &values).await;
    }
}

/// Killed again and again, each time a little later.
#[tokio::test(flavor = "multi_thread")]
async fn many_kills_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let values = values(folder.path(), 60);
    let mut kills = 0;
    while !stream(&values, &format!("after-write:{}:kill", 1 + kills % 5)).await.is_well_or_killed() {
        kills += 1;
        assert!(kills < 100, "no run comes to an end");
    }
    assert!(kills > 3);
    check(folder.path(), &values).await;
}
