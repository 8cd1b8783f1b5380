//! Golden sets: a topic, a model, and what must come out of them. One is our own, one is supplied.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrace_pipelines::scoring::cache_value::CachedOffer;
use headrace_pipelines::scoring::frames::Offer;
use headrace_pipelines::scoring::model::{Model, ModelFile};
use headrace_pipelines::scoring::offer::TARGETS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Record, TOPIC, Written, assert_agrees};

/// A golden set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Golden {
    pub directory: PathBuf,
    pub model: PathBuf,
}

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Our own set; its model is the built-in one.
pub fn own() -> Golden {
    let model = manifest().join("src/scoring/model/simulated.json");
    Golden { directory: manifest().join("tests/golden/scoring"), model }
}

/// The supplied set; where it is absent, that is shown.
pub fn supplied() -> Option<Golden> {
    let directory = manifest().join("../../../shared/spec/data/scoring");
    if !directory.join("registrations.jsonl").exists() {
        eprintln!("SKIP: {} is not there", directory.display());
        return None;
    }
    Some(Golden { model: directory.join("reference_model.json"), directory })
}

/// All sets there are.
pub fn sets() -> Vec<Golden> {
    [Some(own()), supplied()].into_iter().flatten().collect()
}

fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

/// Whether scores are within the contract's tolerances.
fn assert_close(scores: &[f32; TARGETS.len()], expected: &dyn Fn(&str) -> f64, what: &str) {
    for (index, target) in TARGETS.iter().enumerate() {
        let (found, wanted) = (f64::from(scores[index]), expected(&format!("predicted_{target}")));
        let most = if index == 0 { 1e-3 } else { 1e-4 };
        assert!((found - wanted).abs() <= most, "{what}: {target} is {found}, not {wanted}");
    }
}

fn assert_row(offer: &Offer, row: &HashMap<String, String>, what: &str) {
    assert_close(&offer.scores.0, &|name| row[name].parse().unwrap(), what);
    assert_eq!(offer.user_id.to_string(), row["user_id"], "{what}");
    assert_eq!(offer.version.to_string(), row["version"], "{what}");
    assert_eq!(offer.scores.selected_functions().join(","), row["selected_functions"], "{what}");
}

impl Golden {
    /// The topic's records, in the order of arrival.
    pub fn records(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(self.directory.join("registrations.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn model(&self) -> Arc<dyn Model> {
        ModelFile::open(Some(&self.model)).unwrap().current()
    }

    /// Holds what was written against the expected files.
    pub fn assert_written(&self, written: &Written) {
        self.assert_written_from(written, TOPIC);
    }

    /// The same for a topic of another name.
    pub fn assert_written_from(&self, written: &Written, topic: &str) {
        assert_agrees(written);
        self.assert_rows(written);
        self.assert_cache(&written.cache);
        let expected: Vec<(String, String)> = rows(&self.directory.join("expected_dead_letter.csv"))
            .iter()
            .map(|row| (format!("{}-{}", row["partition"], row["offset"]), row["reason"].clone()))
            .collect();
        let found: BTreeMap<&str, &str> =
            written.letters.iter().map(|letter| (letter.1.as_str(), letter.2.as_str())).collect();
        let expected: BTreeMap<&str, &str> =
            expected.iter().map(|(place, reason)| (place.as_str(), reason.as_str())).collect();
        assert_eq!(found, expected);
        let values: HashMap<String, Option<Vec<u8>>> = self
            .records()
            .into_iter()
            .map(|record| (format!("{}-{}", record.partition, record.offset), record.value))
            .collect();
        for (source, place, _, raw) in &written.letters {
            assert_eq!((source.as_str(), raw), (topic, &values[place]), "{place}");
        }
        self.assert_counts(written);
    }

    fn assert_rows(&self, written: &Written) {
        let expected = rows(&self.directory.join("expected_personal_offer.csv"));
        assert_eq!(written.offers.len(), expected.len());
        let mut expected: Vec<_> = expected.into_iter().map(|row| (row["user_id"].parse().unwrap(), row)).collect();
        expected.sort_by_key(|(user_id, _): &(u32, _)| *user_id);
        for (offer, (user_id, row)) in written.offers.iter().zip(&expected) {
            assert_row(offer, row, &format!("the offer of user {user_id}"));
        }
        let lines: HashMap<String, (i64, i64)> = self
            .lines()
            .into_iter()
            .map(|(line, record)| (line, (i64::from(record.partition), record.offset)))
            .collect();
        let expected = rows(&self.directory.join("expected_predictions.csv"));
        assert_eq!(written.history.len(), expected.len());
        for row in &expected {
            let (partition, offset) = lines[&row["line"]];
            let found = written.history.iter().find(|found| (found.0, found.1) == (partition, offset)).unwrap();
            assert_row(&found.2, row, &format!("line {}", row["line"]));
        }
    }

    fn assert_cache(&self, cache: &BTreeMap<String, CachedOffer>) {
        let text = std::fs::read_to_string(self.directory.join("expected_redis.jsonl")).unwrap();
        assert_eq!(text.lines().count(), cache.len());
        for line in text.lines() {
            let expected: Value = serde_json::from_str(line).unwrap();
            let key = expected["key"].as_str().unwrap();
            let found = serde_json::to_value(&cache[key]).unwrap();
            assert_close(&cache[key].scores().0, &|name| expected["value"][name].as_f64().unwrap(), key);
            for name in ["user_id", "selected_functions", "version"] {
                assert_eq!(found[name], expected["value"][name], "{key}: {name}");
            }
            let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            let mut wanted = names(&expected["value"]);
            wanted.extend(["model_version", "inserted_datetime"].map(str::to_owned));
            assert_eq!(names(&found), wanted);
        }
    }

    fn assert_counts(&self, written: &Written) {
        let text = std::fs::read_to_string(self.directory.join("expected_quality.json")).unwrap();
        let expected: BTreeMap<String, u64> = serde_json::from_str(&text).unwrap();
        let counts = &written.counts;
        let mut found = counts.classes.clone();
        for (name, count) in [
            ("read", counts.read),
            ("accepted", counts.written),
            ("duplicate", counts.duplicate),
            ("dead_letter", counts.dead_lettered),
        ] {
            found.insert(name.to_owned(), count);
        }
        assert_eq!(found, expected);
    }

    /// The records with the numbers of their lines.
    fn lines(&self) -> Vec<(String, Record)> {
        let text = std::fs::read_to_string(self.directory.join("registrations.jsonl")).unwrap();
        text.lines()
            .map(|line| {
                let number = serde_json::from_str::<Value>(line).unwrap()["line"].to_string();
                (number, serde_json::from_str(line).unwrap())
            })
            .collect()
    }
}
