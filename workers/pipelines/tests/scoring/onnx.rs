//! ONNX models against what ONNX Runtime computes with the same file, and what is told of files that cannot be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_pipelines::scoring::model::{Model, ModelFile, Scored};
use headrace_pipelines::scoring::offer::Scores;
use headrace_pipelines::scoring::registration::{self, Registration};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Expected {
    payload: Value,
    /// What ONNX Runtime gives, before it is clipped.
    raw: [f64; 8],
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

fn expected() -> (Vec<Registration>, Vec<Scores>) {
    let text = std::fs::read_to_string(fixture("expected.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Expected>(line).unwrap());
    rows.map(|row| {
        let message = json!({ "payload": row.payload }).to_string();
        (registration::read(Some(message.as_bytes()), 0).unwrap(), Scores::from_raw(&row.raw))
    })
    .unzip()
}

fn model() -> Arc<dyn Model> {
    ModelFile::open(Some(&fixture("model.onnx"))).unwrap().current()
}

fn assert_close(scored: &[Scored], expected: &[Scores]) {
    assert_eq!(scored.len(), expected.len());
    for (row, ((scores, _), expected)) in scored.iter().zip(expected).enumerate() {
        for (have, want) in scores.0.iter().zip(expected.0) {
            assert!((have - want).abs() <= want.abs().max(1.0) * 1e-5, "row {row}: {scores:?} is not {expected:?}");
        }
    }
}

#[test]
fn scores_are_those_of_onnx_runtime_in_any_batches() {
    let (registrations, expected) = expected();
    let model = model();
    assert!(model.version().starts_with("fixture-trees-"), "{}", model.version());
    let whole = model.score(&registrations).unwrap();
    assert_close(&whole, &expected);
    // Only the first one has a brand that training never saw.
    assert_eq!(whole.iter().filter(|(_, unseen)| *unseen).count(), 1);
    assert!(whole[0].1);
    for size in [1, 3, 7, 8, 9, 39] {
        let parts: Vec<Scored> = registrations.chunks(size).flat_map(|part| model.score(part).unwrap()).collect();
        assert_eq!(parts, whole, "batches of {size}");
    }
    let many: Vec<Registration> = std::iter::repeat_n(&registrations, 50).flatten().cloned().collect();
    assert_eq!(model.score(&many).unwrap()[1_000..1_040], whole);
    assert_eq!(model.score(&[]).unwrap(), []);
    assert_eq!(model.contributions(&registrations[0]), None);
}

#[test]
fn an_age_above_eighteen_scores_as_eighteen() {
    let (registrations, _) = expected();
    let aged = |child_age| Registration { child_age, ..registrations[1].clone() };
    let scored = model().score(&[aged(18), aged(120)]).unwrap();
    assert_eq!(scored[0], scored[1]);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let content = std::fs::read(fixture("model.onnx")).unwrap();
    let refused = |content: &[u8]| {
        let path = directory.path().join("candidate.onnx");
        std::fs::write(&path, content).unwrap();
        ModelFile::open(Some(&path)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for cut in [0, 10, content.len() / 2, content.len() - 1] {
        let told = refused(&content[..cut]);
        assert!(told.contains("candidate.onnx"), "{cut}: {told}");
    }
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let place = content.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut changed = content.clone();
        changed[place..place + from.len()].copy_from_slice(to.as_bytes());
        refused(&changed)
    };
    assert!(replaced("TreeEnsembleRegressor", "TreeEnsembleRegresser").contains("candidate.onnx"));
    assert!(replaced("tariff-onnx-1", "tariff-onnx-9").contains("tariff-onnx-9"));
    assert!(replaced("platform=ios", "platfirm=ios").contains("platfirm"));
    assert!(replaced("child_age/18", "child_age/19").contains("child_age/19"));
}

#[test]
fn metadata_may_lie_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut content = std::fs::read(fixture("model.onnx")).unwrap();
    // The property under another name is no metadata.
    let place = content.windows(10).position(|bytes| bytes == b"\n\x08headrace").unwrap();
    content[place + 2..place + 10].copy_from_slice(b"somebody");
    let path = directory.path().join("candidate.onnx");
    std::fs::write(&path, &content).unwrap();
    let told = ModelFile::open(Some(&path)).err().unwrap().to_string();
    assert!(told.contains("candidate.onnx.json"), "{told}");

    let start = content.windows(10).position(|bytes| bytes == b"{\"columns\"").unwrap();
    let metadata: Value = serde_json::Deserializer::from_slice(&content[start..]).into_iter().next().unwrap().unwrap();
    std::fs::write(directory.path().join("candidate.onnx.json"), metadata.to_string()).unwrap();
    let (registrations, expected) = expected();
    let model = ModelFile::open(Some(&path)).unwrap().current();
    assert_close(&model.score(&registrations).unwrap(), &expected);
}
