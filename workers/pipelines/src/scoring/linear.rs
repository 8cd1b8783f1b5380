//! The linear model `tariff-linear-1`: an intercept, two numbers and one weight for each known category, for each of eight targets.
//!
//! Categories are looked up once; a category that training never saw adds nothing and is counted.

use std::collections::HashMap;

use headrace_core::{Error, Result};
use serde::Deserialize;

use super::offer::{Scores, TARGETS};
use super::registration::{CATEGORIES, OLDEST, Registration, normal};

const FORMAT: &str = "tariff-linear-1";
/// Columns before those of the categories.
const NUMBERS: [&str; 3] = ["intercept", "is_organic", "child_age/18"];

type Weights = [f64; TARGETS.len()];
/// The weights of each known category.
type Known = HashMap<String, Weights, foldhash::fast::RandomState>;

/// The model as it is written.
#[derive(Deserialize)]
struct File {
    format: String,
    /// What versions begin with.
    #[serde(default = "default_name")]
    name: String,
    vocabulary: HashMap<String, Vec<String>>,
    columns: Vec<String>,
    weights: HashMap<String, Vec<f64>>,
}

fn default_name() -> String {
    "linear".to_owned()
}

/// A linear model in memory.
#[derive(Clone, Debug)]
pub struct LinearModel {
    name: String,
    numbers: [Weights; NUMBERS.len()],
    categories: [Known; CATEGORIES.len()],
}

/// What one input adds to each target.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The model's column, as `platform=ios`; for an unseen category with weight 0.
    pub column: String,
    /// What it adds, by target.
    pub adds: Weights,
}

impl LinearModel {
    /// Reads a model from JSON.
    ///
    /// # Errors
    /// A data error that names what does not fit.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let bad = |detail: String| Error::data(format!("cannot use the linear model: {detail}"));
        let file: File = serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        if file.format != FORMAT {
            return Err(bad(format!("its format is `{}`, not `{FORMAT}`", file.format)));
        }
        let mut weights: HashMap<&str, Weights> = HashMap::new();
        for (target, name) in TARGETS.iter().enumerate() {
            let values = file.weights.get(*name).ok_or_else(|| bad(format!("there are no weights of `{name}`")))?;
            if values.len() != file.columns.len() {
                let (have, want) = (values.len(), file.columns.len());
                return Err(bad(format!("`{name}` has {have} weights for {want} columns")));
            }
            for (column, value) in file.columns.iter().zip(values) {
                if !value.is_finite() {
                    return Err(bad(format!("the weight of `{column}` for `{name}` is not finite")));
                }
                weights.entry(column).or_insert([0.0; TARGETS.len()])[target] = *value;
            }
        }
        let mut take =
            |column: &str| weights.remove(column).ok_or_else(|| bad(format!("column `{column}` is missing")));
        let mut numbers = [[0.0; TARGETS.len()]; NUMBERS.len()];
        for (name, slot) in NUMBERS.iter().zip(&mut numbers) {
            *slot = take(name)?;
        }
        let mut categories: [Known; CATEGORIES.len()] = Default::default();
        for (field, known) in CATEGORIES.iter().zip(&mut categories) {
            let words = file.vocabulary.get(*field).ok_or_else(|| bad(format!("`{field}` has no vocabulary")))?;
            for word in words {
                known.insert(normal(word).into(), take(&format!("{field}={word}"))?);
            }
        }
        if let Some(column) = weights.keys().min() {
            return Err(bad(format!("column `{column}` belongs to no known field")));
        }
        Ok(Self { name: file.name, numbers, categories })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Scores one registration; also tells whether one of its categories was never seen in training.
    pub fn score(&self, registration: &Registration) -> (Scores, bool) {
        let [intercept, organic, age] = &self.numbers;
        let (is_organic, share) = inputs(registration);
        let mut sums = *intercept;
        let mut unseen = false;
        for (target, sum) in sums.iter_mut().enumerate() {
            *sum += is_organic * organic[target] + share * age[target];
        }
        for (known, category) in self.categories.iter().zip(&registration.categories) {
            match known.get(category.as_str()) {
                Some(weights) => sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight),
                None => unseen = true,
            }
        }
        (Scores::from_raw(&sums), unseen)
    }

    /// What each input adds to each target, before the targets are clipped; their sum is the prediction.
    pub fn contributions(&self, registration: &Registration) -> Vec<Contribution> {
        let (is_organic, share) = inputs(registration);
        let numbers =
            NUMBERS.iter().zip([1.0, is_organic, share]).zip(&self.numbers).map(|((name, value), weights)| {
                Contribution { column: (*name).to_owned(), adds: weights.map(|weight| weight * value) }
            });
        let categories = CATEGORIES.iter().zip(&registration.categories).zip(&self.categories);
        let categories = categories.map(|((field, category), known)| Contribution {
            column: format!("{field}={category}"),
            adds: known.get(category.as_str()).copied().unwrap_or_default(),
        });
        numbers.chain(categories).collect()
    }
}

/// The numbers as the model sees them.
fn inputs(registration: &Registration) -> (f64, f64) {
    let age = f64::from(registration.child_age).min(OLDEST as f64);
    (f64::from(u8::from(registration.is_organic)), age / OLDEST as f64)
}
