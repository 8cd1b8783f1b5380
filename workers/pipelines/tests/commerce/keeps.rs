//! `--keep sales`: the same sales per minute as with everything, of orders alone, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use headrace_core::report::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{by_line, exported, line_numbers, own, rows_of, run};

/// A store and an archive.
struct Kept {
    folder: TempDir,
    store: String,
    archive: String,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("embedded:{}", folder.path().join("store").display());
        let archive = format!("file:{}", folder.path().join("lake").display());
        Self { folder, store, archive }
    }

    fn stream(&self, from: &str, keep: &str, batch_rows: u64) -> Value {
        json!({ "from": from, "store": self.store, "archive": self.archive, "keep": keep, "batch_rows": batch_rows })
    }

    async fn export(&self) -> std::path::PathBuf {
        let export = self.folder.path().join("export");
        run("export", json!({ "store": self.store, "out": export })).await.unwrap();
        export
    }
}

fn events() -> String {
    own().join("events.jsonl").display().to_string()
}

fn is_empty(export: &Path, name: &str) -> bool {
    exported(export, name).lines().count() == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_are_those_of_the_golden_files_and_nothing_else_is_kept() {
    for batch_rows in [1_000_000, 3] {
        let kept = Kept::new();
        for _ in 0..2 {
            let report = run("stream", kept.stream(&events(), "sales", batch_rows)).await.unwrap();
            assert_eq!(report.outcome, Outcome::Complete);
        }
        let export = kept.export().await;
        let golden = |name: &str| std::fs::read_to_string(own().join(format!("expected_{name}.csv"))).unwrap();
        assert_eq!(exported(&export, "sales_per_minute.csv"), golden("sales_per_minute"));
        let numbers = line_numbers(Path::new(&events()));
        let (header, mut late) = rows_of(&golden("late"));
        late.retain(|row| row[1] == "sales");
        let columns: Vec<&str> = header.iter().map(String::as_str).collect();
        assert_eq!(by_line(&exported(&export, "late.csv"), &numbers, &columns), late);
        for table in ["sales_by_product", "orders_avg_ticket", "views_by_category", "conversion_pairs", "funnel"] {
            assert!(is_empty(&export, &format!("{table}.csv")), "{table}");
        }
        let verified = run("verify", json!({ "store": kept.store, "archive": kept.archive })).await.unwrap();
        assert_eq!(verified.outcome, Outcome::Complete, "{:?}", verified.notes);
        let day = json!({ "store": kept.store, "archive": kept.archive, "date": "2025-06-30" });
        let recounted = run("recompute", day).await.unwrap();
        assert_eq!((recounted.outcome, recounted.facts["differences"].clone()), (Outcome::Complete, json!(0)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_the_same_for_all_time() {
    for (first, other) in [("sales", "everything"), ("everything", "sales")] {
        let kept = Kept::new();
        run("stream", kept.stream(&events(), first, 100)).await.unwrap();
        let before = exported(&kept.export().await, "quality.json");
        let error = run("stream", kept.stream(&events(), other, 100)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("--keep {first}")) && error.contains("--store"), "{error}");
        assert_eq!(exported(&kept.export().await, "quality.json"), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrected_letters_are_counted_as_sales_alone() {
    let kept = Kept::new();
    run("stream", kept.stream(&events(), "sales", 100)).await.unwrap();
    let replayed = run("dead-letters replay", json!({ "store": kept.store, "archive": kept.archive })).await.unwrap();
    assert!(replayed.counts.read > 0 && replayed.counts.read == replayed.counts.dead_lettered, "{replayed:?}");
    let verified = run("verify", json!({ "store": kept.store, "archive": kept.archive })).await.unwrap();
    assert_eq!(verified.outcome, Outcome::Complete, "{:?}", verified.notes);
    assert!(is_empty(&kept.export().await, "funnel.csv"));
}

/// Orders and revenue of each minute, on time and late together.
fn minutes(export: &Path) -> BTreeMap<String, (u64, i64)> {
    let (header, rows) = rows_of(&exported(export, "sales_per_minute.csv"));
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let cents = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    let of_row = |row: Vec<String>| {
        let number = |name: &str| row[column(name)].parse::<u64>().unwrap();
        let revenue = cents(&row[column("total_sales")]) + cents(&row[column("late_sales")]);
        (row[column("window_start")].clone(), (number("total_orders") + number("late_orders"), revenue))
    };
    rows.into_iter().map(of_row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_topic_of_orders_is_read() {
    let log = Kept::new();
    run("simulate", json!({ "to": log.store, "events": 5_000, "users": 500, "seed": 11 })).await.unwrap();
    let (all, sales) = (Kept::new(), Kept::new());
    let everything = run("stream", all.stream(&log.store, "everything", 700)).await.unwrap();
    let orders = run("stream", sales.stream(&log.store, "sales", 700)).await.unwrap();
    assert_eq!(everything.counts.classes["accepted:purchase"], orders.counts.classes["accepted:purchase"]);
    assert!(orders.counts.read < everything.counts.read / 3, "{} of {}", orders.counts.read, everything.counts.read);
    let (all, sales) = (minutes(&all.export().await), minutes(&sales.export().await));
    assert!(!sales.is_empty());
    assert_eq!(all, sales);
}
