//! Shadow scoring: how a candidate's scores differ from those of the model in use, target by target.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::Scored;
use super::offer::{Scores, TARGETS};

/// Differences of two models on the same registrations, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Registrations scored, by the candidate's version.
    pub registrations: BTreeMap<String, u64>,
    /// Registrations for which other functions would be selected.
    pub other_functions: u64,
    /// Registrations for which the price differs by more than one rouble.
    pub other_price: u64,
    sums: [f64; TARGETS.len()],
    absolute_sums: [f64; TARGETS.len()],
    greatest: [f64; TARGETS.len()],
}

impl Differences {
    /// Compares the scores of the model in use with those of a candidate.
    pub fn between(used: &[Scored], candidate: &[Scored], version: &str) -> Self {
        let mut differences = Self::default();
        for ((one, _), (other, _)) in used.iter().zip(candidate) {
            differences.compare(one, other);
        }
        differences.registrations.insert(version.to_owned(), used.len() as u64);
        differences
    }

    fn compare(&mut self, one: &Scores, other: &Scores) {
        self.other_functions += u64::from(one.selected_functions() != other.selected_functions());
        self.other_price += u64::from((one.cost() - other.cost()).abs() > 1.0);
        for (target, (one, other)) in one.0.iter().zip(other.0).enumerate() {
            let difference = f64::from(other) - f64::from(*one);
            self.sums[target] += difference;
            self.absolute_sums[target] += difference.abs();
            self.greatest[target] = self.greatest[target].max(difference.abs());
        }
    }

    /// Adds another batch's differences to these.
    pub fn add(&mut self, other: &Self) {
        for (version, count) in &other.registrations {
            *self.registrations.entry(version.clone()).or_default() += count;
        }
        self.other_functions += other.other_functions;
        self.other_price += other.other_price;
        for target in 0..TARGETS.len() {
            self.sums[target] += other.sums[target];
            self.absolute_sums[target] += other.absolute_sums[target];
            self.greatest[target] = self.greatest[target].max(other.greatest[target]);
        }
    }

    /// The report: counts, and for each target the mean and the greatest absolute difference, and the mean one with its sign.
    pub fn report(&self) -> Value {
        let count = self.registrations.values().sum::<u64>().max(1) as f64;
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let targets: Vec<Value> = TARGETS
            .iter()
            .enumerate()
            .map(|(target, name)| {
                json!({
                    "target": name,
                    "mean absolute": rounded(self.absolute_sums[target] / count),
                    "greatest": rounded(self.greatest[target]),
                    "mean": rounded(self.sums[target] / count),
                })
            })
            .collect();
        json!({
            "registrations by model": self.registrations,
            "other functions": self.other_functions,
            "price differs by more than 1": self.other_price,
            "differences": targets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Differences, Scores};

    #[test]
    fn differences_add_up_however_they_are_cut() {
        let scores = |cost: f32, map: f32| (Scores([cost, 1.0, map, 0.0, 0.0, 0.0, 0.0, 0.0]), false);
        let used = [scores(100.0, 0.4), scores(200.0, 0.6), scores(300.0, 0.6)];
        let candidate = [scores(110.0, 0.6), scores(196.0, 0.6), scores(300.5, 0.7)];
        let whole = Differences::between(&used, &candidate, "b");
        let mut parts = Differences::between(&used[..1], &candidate[..1], "b");
        parts.add(&Differences::between(&used[1..], &candidate[1..], "b"));
        assert_eq!(parts.report(), whole.report());
        assert_eq!((whole.other_functions, whole.other_price), (1, 2));
        let report = whole.report();
        let cost = &report["differences"][0];
        assert_eq!(cost["mean absolute"], 4.833_333);
        assert_eq!((&cost["greatest"], &cost["mean"]), (&10.0.into(), &2.166_667.into()));
        assert_eq!(report["registrations by model"]["b"], 3);
    }
}
