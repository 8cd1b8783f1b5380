//! The golden events give the golden files: as one sequence, in any batches, twice, with the archive beside.

use std::path::Path;

use headrace_connectors::lake::{Lake, LakePath};
use headrace_core::StoreUrl;
use headrace_core::report::Outcome;
use serde_json::json;

use super::{assert_golden, own, run, shared};

/// Rows of the archive by data set and day, as CSV.
async fn raw_counts(archive: &str) -> String {
    let lake = Lake::open(&StoreUrl::parse(archive).unwrap()).await.unwrap();
    let mut out = "dataset,fecha,rows\n".to_owned();
    for dataset in ["cart", "orders", "views"] {
        let mut days = std::collections::BTreeMap::new();
        for file in lake.list(&LakePath::new(dataset).unwrap()).await.unwrap() {
            let info = lake.info(&file.path).await.unwrap().unwrap();
            let path = file.path.to_string();
            let day = path.split("fecha=").nth(1).unwrap()[..10].to_owned();
            *days.entry(day).or_insert(0) += info.rows;
        }
        days.iter().for_each(|(day, rows)| out.push_str(&format!("{dataset},{day},{rows}\n")));
    }
    out
}

async fn check(golden: &Path, batch_rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", folder.path().join("store").display());
    let archive = format!("file:{}", folder.path().join("lake").display());
    let events = golden.join("events.jsonl").display().to_string();
    // The second run finds nothing new, and changes nothing.
    for _ in 0..2 {
        let stream = json!({ "from": events, "store": store, "archive": archive, "batch_rows": batch_rows });
        let report = run("stream", stream).await.unwrap();
        assert_eq!(report.outcome, Outcome::Complete);
        let export = folder.path().join("export");
        run("export", json!({ "store": store, "out": export })).await.unwrap();
        assert_golden(&export, golden);
        let expected = std::fs::read_to_string(golden.join("expected_raw_counts.csv")).unwrap();
        assert_eq!(raw_counts(&archive).await, expected);
        let verified = run("verify", json!({ "store": store, "archive": archive })).await.unwrap();
        assert_eq!(verified.outcome, Outcome::Complete, "{:?}", verified.notes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_events_give_the_golden_files() {
    let Some(golden) = shared() else { return };
    for batch_rows in [1_000_000, 100, 7] {
        check(&golden, batch_rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_events_give_the_golden_files() {
    for batch_rows in [1_000_000, 3] {
        check(&own(), batch_rows).await;
    }
}
