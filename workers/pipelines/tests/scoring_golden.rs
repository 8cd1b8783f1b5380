//! The scoring contract's golden cases: each record of the supplied topic against its expected offer or reason.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use headrace_pipelines::scoring::linear::LinearModel;
use headrace_pipelines::scoring::offer::Scores;
use headrace_pipelines::scoring::registration::{self, Registration};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    line: u32,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    line: u32,
    partition: i32,
    offset: i64,
    reason: String,
}

fn supplied() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.to_owned();
    let directory = root.parent()?.join("shared/spec/data/scoring");
    if !directory.is_dir() {
        eprintln!("SKIP: the supplied scoring data is not there");
        return None;
    }
    Some(directory)
}

fn rows<T: for<'de> Deserialize<'de>>(path: PathBuf) -> Vec<T> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Line, partition, offset and reason.
type Letter = (u32, i32, i64, &'static str);

/// Accepted records by line, and refused ones.
fn read(records: &[Record]) -> (BTreeMap<u32, Registration>, Vec<Letter>) {
    let (mut accepted, mut refused) = (BTreeMap::new(), Vec::new());
    for record in records {
        match registration::read(record.value.as_deref().map(str::as_bytes), record.timestamp_ms) {
            Ok(registration) => drop(accepted.insert(record.line, registration)),
            Err(refusal) => refused.push((record.line, record.partition, record.offset, refusal.reason)),
        }
    }
    (accepted, refused)
}

fn close(scores: &Scores, expected: &HashMap<String, String>) -> bool {
    let names = ["cost", "subscription"].iter().map(|name| format!("predicted_{name}"));
    let functions = ["map", "ignore_sound", "listen_sound", "detailed_routes", "sos_signal", "invite_second_parent"];
    let names = names.chain(functions.iter().map(|name| format!("predicted_function_{name}")));
    names.zip(scores.0).enumerate().all(|(index, (name, score))| {
        let expected: f64 = expected[&name].parse().unwrap();
        (f64::from(score) - expected).abs() <= if index == 0 { 1e-3 } else { 1e-4 }
    })
}

#[test]
fn supplied_registrations_give_the_expected_offers_and_reasons() {
    let Some(directory) = supplied() else { return };
    let text = std::fs::read_to_string(directory.join("registrations.jsonl")).unwrap();
    let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let model = LinearModel::from_json(&std::fs::read(directory.join("reference_model.json")).unwrap()).unwrap();
    let (accepted, refused) = read(&records);

    let expected: Vec<Refused> = rows(directory.join("expected_dead_letter.csv"));
    let expected: Vec<(u32, i32, i64, &str)> =
        expected.iter().map(|row| (row.line, row.partition, row.offset, row.reason.as_str())).collect();
    assert_eq!(refused, expected);

    let offsets: HashMap<u32, i64> = records.iter().map(|record| (record.line, record.offset)).collect();
    let expected: Vec<HashMap<String, String>> = rows(directory.join("expected_predictions.csv"));
    for row in &expected {
        let line: u32 = row["line"].parse().unwrap();
        let registration = &accepted[&line];
        let (scores, unseen) = model.score(registration);
        assert!(close(&scores, row), "line {line}: {scores:?} is not {row:?}");
        assert_eq!(registration.user_id.to_string(), row["user_id"], "line {line}");
        assert_eq!(registration.version(offsets[&line]).to_string(), row["version"], "line {line}");
        assert_eq!(scores.selected_functions().join(","), row["selected_functions"], "line {line}");
        assert_eq!(unseen, line == 7, "line {line}");
        let sum: f64 = model.contributions(registration).iter().map(|contribution| contribution.adds[0]).sum();
        assert!((sum - f64::from(scores.cost())).abs() < 1e-3, "line {line}: contributions sum up to the cost");
    }
    // Line 13 repeats line 1 byte for byte, which only a sink that remembers values can see.
    assert_eq!(accepted.len(), expected.len() + 1);
}
