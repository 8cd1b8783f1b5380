//! A place to stream to, and its tables as they are compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headrace_core::report::Outcome;
use serde_json::{Value, json};

use super::{exported, run};

/// A store and an archive of their own.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: String,
    pub(crate) archive: String,
}

impl Place {
    /// In a new folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("embedded:{}", folder.path().join("store").display());
        let archive = format!("file:{}", folder.path().join("lake").display());
        Self { folder, store, archive }
    }

    pub(crate) async fn stream(&self, events: &Path, batch_rows: u64) {
        let (store, archive) = (&self.store, &self.archive);
        let values = json!({ "from": events, "store": store, "archive": archive, "batch_rows": batch_rows });
        assert_eq!(run("stream", values).await.unwrap().outcome, Outcome::Complete);
    }

    pub(crate) async fn export(&self) -> PathBuf {
        let out = self.folder.path().join("export");
        run("export", json!({ "store": self.store, "out": out })).await.unwrap();
        let verified = run("verify", json!({ "store": self.store, "archive": self.archive })).await.unwrap();
        assert_eq!(verified.outcome, Outcome::Complete, "{:?}", verified.notes);
        out
    }
}

/// A table without the columns that depend on the order of events: late ones are added to those on time.
pub(crate) fn without_order(table: &str, csv: &str) -> Vec<Vec<String>> {
    let mut rows = csv.lines().map(|line| line.split(',').map(ToOwned::to_owned).collect::<Vec<String>>());
    let header = rows.next().unwrap();
    let place = |name: &str| header.iter().position(|column| column == name);
    let sums = [("total_sales", "late_sales"), ("total_orders", "late_orders"), ("product_revenue", "late_revenue")];
    let more = [("orders_count", "late_orders")];
    rows.map(|mut row| {
        if table.starts_with("sales") {
            for (sum, late) in sums.iter().chain(&more) {
                if let (Some(sum), Some(late)) = (place(sum), place(late)) {
                    let whole: i64 =
                        [sum, late].map(|place| row[place].replace('.', "").parse::<i64>().unwrap()).iter().sum();
                    row[sum] = whole.to_string();
                }
            }
            row.retain({
                let mut column = 0;
                let header = &header;
                move |_| {
                    column += 1;
                    !(header[column - 1].starts_with("late") || header[column - 1] == "final")
                }
            });
        }
        row
    })
    .collect()
}

pub(crate) fn tables(export: &Path, names: &[&str]) -> BTreeMap<String, Vec<Vec<String>>> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), without_order(name, &exported(export, &format!("{name}.csv")))))
        .collect()
}

pub(crate) fn quality(export: &Path) -> BTreeMap<String, Value> {
    serde_json::from_str(&exported(export, "quality.json")).unwrap()
}
