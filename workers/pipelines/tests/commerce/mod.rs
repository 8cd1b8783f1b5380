//! The commerce steps. What their tests share is here: steps by name, and files of events.

mod dead_letters;
mod defects;
mod golden;
mod keeps;
mod kill;
mod laws;
mod letters_kept;
mod place;
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headrace_core::{Control, Report, Result};
use headrace_pipelines::commerce::file_source::Line;
use headrace_pipelines::steps::steps;
use serde_json::Value;

/// Runs a step with some parameters and the defaults of the others.
pub(crate) async fn run(name: &str, values: Value) -> Result<Report> {
    let Value::Object(values) = values else { panic!("parameters are no object") };
    let step = steps().into_iter().find(|step| step.system == "commerce" && step.name == name).unwrap();
    step.run_values(&values, Control::default()).await
}

/// The folder of the shared golden files, or a visible skip.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/data/commerce");
    if !folder.join("events.jsonl").exists() {
        println!("SKIP: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// The product's own golden files.
pub(crate) fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/commerce")
}

/// The lines of a file of events.
pub(crate) fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes a file of events.
pub(crate) fn write_lines(path: &Path, lines: &[Line]) {
    let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    std::fs::write(path, text).unwrap();
}

/// A file of the export.
pub(crate) fn exported(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The number of each line by topic, partition and offset.
pub(crate) fn line_numbers(events: &Path) -> BTreeMap<(String, i32, i64), u64> {
    lines(events).into_iter().map(|line| ((line.topic, line.partition, line.offset), line.line)).collect()
}

/// Rewrites an exported list that names events by place into one that names them by line, as the golden files do.
pub(crate) fn by_line(csv: &str, numbers: &BTreeMap<(String, i32, i64), u64>, columns: &[&str]) -> Vec<Vec<String>> {
    let mut rows = csv.lines().map(|line| line.split(',').map(ToOwned::to_owned).collect::<Vec<String>>());
    let header = rows.next().unwrap();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (topic, partition, offset) = (place("topic"), place("partition"), place("offset"));
    let mut out: Vec<Vec<String>> = rows
        .map(|row| {
            let key = (row[topic].clone(), row[partition].parse().unwrap(), row[offset].parse().unwrap());
            let number = numbers[&key].to_string();
            columns
                .iter()
                .map(|name| if name.ends_with("line") { number.clone() } else { row[place(name)].clone() })
                .collect()
        })
        .collect();
    out.sort();
    out
}

/// The rows of a golden list, in the same form.
pub(crate) fn rows_of(csv: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut rows = csv.lines().map(|line| line.split(',').map(ToOwned::to_owned).collect::<Vec<String>>());
    let header = rows.next().unwrap();
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    (header, rows)
}

/// The tables that a golden folder has whole.
pub(crate) const TABLES: [&str; 8] = [
    "sales_per_minute",
    "sales_by_product",
    "orders_avg_ticket",
    "views_by_category",
    "top_products",
    "conversion_pairs",
    "conversion_attributed",
    "funnel",
];

/// Compares an export with a golden folder, file by file.
pub(crate) fn assert_golden(export: &Path, golden: &Path) {
    for table in TABLES {
        let expected = std::fs::read_to_string(golden.join(format!("expected_{table}.csv"))).unwrap();
        assert_eq!(exported(export, &format!("{table}.csv")), expected, "{table}");
    }
    let expected = std::fs::read_to_string(golden.join("expected_quality.json")).unwrap();
    assert_eq!(exported(export, "quality.json"), expected);
    let numbers = line_numbers(&golden.join("events.jsonl"));
    for (ours, theirs) in
        [("late.csv", "late"), ("window_closings.csv", "window_closings"), ("dead_letter.csv", "dead_letter")]
    {
        let expected = std::fs::read_to_string(golden.join(format!("expected_{theirs}.csv"))).unwrap();
        let (header, expected) = rows_of(&expected);
        let columns: Vec<&str> = header.iter().map(String::as_str).collect();
        assert_eq!(by_line(&exported(export, ours), &numbers, &columns), expected, "{theirs}");
    }
}
