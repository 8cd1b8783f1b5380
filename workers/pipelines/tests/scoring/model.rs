//! The built-in model is what ridge regression makes of simulated registrations; with `HEADRACE_REGENERATE=1` it is written anew.

#![expect(clippy::needless_range_loop, reason = "matrices are written as in the formula")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use headrace_core::clock;
use headrace_pipelines::random::Random;
use headrace_pipelines::scoring::linear::LinearModel;
use headrace_pipelines::scoring::offer::TARGETS;
use headrace_pipelines::scoring::registration::{CATEGORIES, Registration, normal};
use headrace_pipelines::scoring::simulate::Features;
use serde_json::{Value, json};

const SEED: u64 = 20_250_116;
const ROWS: u64 = 4_000;
const HELD_OUT: u64 = 1_000;
const ALPHA: f64 = 1.0;

type Targets = [f64; TARGETS.len()];

/// A registration and what its user chose.
struct Row {
    registration: Registration,
    chosen: Targets,
}

/// About normal, with a standard deviation of 1: the sum of twelve even ones.
fn noise(random: &mut Random) -> f64 {
    (0..12).map(|_| random.share()).sum::<f64>() - 6.0
}

fn happens(random: &mut Random, logit: f64) -> f64 {
    f64::from(u8::from(random.share() < 1.0 / (1.0 + (-logit).exp())))
}

/// The rule that the model is to find: wealth of the country, premium of the brand, a discount for organic users, the child's age.
fn chosen(features: &Features, random: &mut Random) -> Targets {
    let wealth = match features.ip_country {
        "us" => 1.0,
        "de" => 0.9,
        "fr" => 0.8,
        "tr" => 0.3,
        "ru" => 0.25,
        "br" => 0.2,
        "kz" => 0.15,
        _ => 0.1,
    };
    let brand = |name: &str| match name {
        "iphone" => 1.0,
        "google" => 0.7,
        "samsung" => 0.5,
        "huawei" | "honor" => 0.3,
        _ => 0.0,
    };
    let premium = brand(features.smartphone_brand) + 0.5 * brand(features.child_smartphone_brand);
    let organic = f64::from(u8::from(features.is_organic));
    let age = f64::from(features.child_age) / 18.0;
    let worry = 4.0 * age * (1.0 - age);
    let cost = 170.0 + 160.0 * wealth + 45.0 * premium + 30.0 * worry - 25.0 * organic + 15.0 * noise(random);
    let months = 1.0 + 5.0 * worry + 3.0 * organic + 1.5 * premium + 2.0 * noise(random);
    let months = [1.0, 3.0, 6.0, 12.0].into_iter().rev().find(|term| *term <= months).unwrap_or(1.0);
    let young = 1.0 - 2.0 * age;
    [
        cost,
        months,
        happens(random, 0.4 + 2.0 * worry - premium),
        happens(random, 2.5 * young + 0.8),
        happens(random, 3.0 * young + wealth),
        happens(random, 4.0 * age - 2.2),
        happens(random, 1.6 * worry + 2.0 * wealth - 1.2),
        happens(random, 1.2 * young - 0.6 + 0.8 * organic),
    ]
}

fn row(number: u64) -> Row {
    let mut random = Random::new(SEED, number);
    let features = Features::random(&mut random);
    let chosen = chosen(&features, &mut random);
    let texts = [
        features.ip_country,
        features.device_country,
        features.device_language,
        features.platform,
        features.platform_store,
        features.smartphone_brand,
        features.child_smartphone_brand,
    ];
    let registration = Registration {
        user_id: 1,
        categories: texts.map(normal),
        is_organic: features.is_organic,
        child_age: features.child_age,
        registered_ms: 0,
    };
    Row { registration, chosen }
}

/// Solves a symmetric positive system for several right sides, by elimination with the greatest pivot.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<Targets>) -> Vec<Targets> {
    let size = matrix.len();
    for step in 0..size {
        let pivot = (step..size).max_by(|&one, &other| matrix[one][step].abs().total_cmp(&matrix[other][step].abs()));
        matrix.swap(step, pivot.unwrap());
        right.swap(step, pivot.unwrap());
        for below in step + 1..size {
            let factor = matrix[below][step] / matrix[step][step];
            for column in step..size {
                matrix[below][column] -= factor * matrix[step][column];
            }
            for target in 0..TARGETS.len() {
                right[below][target] -= factor * right[step][target];
            }
        }
    }
    for step in (0..size).rev() {
        for target in 0..TARGETS.len() {
            let known: f64 = (step + 1..size).map(|column| matrix[step][column] * right[column][target]).sum();
            right[step][target] = (right[step][target] - known) / matrix[step][step];
        }
    }
    right
}

/// Ridge regression of every target, the intercept not penalised, as a file of the format.
fn train(rows: &[Row]) -> Value {
    let mut vocabulary: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for (field, category) in CATEGORIES.iter().zip(&row.registration.categories) {
            vocabulary.entry(field).or_default().insert(category);
        }
    }
    let mut columns: Vec<String> = ["intercept", "is_organic", "child_age/18"].map(str::to_owned).into();
    for field in CATEGORIES {
        columns.extend(vocabulary[field].iter().map(|word| format!("{field}={word}")));
    }
    let place = |field: &str, word: &str| columns.iter().position(|column| *column == format!("{field}={word}"));
    let mut matrix = vec![vec![0.0; columns.len()]; columns.len()];
    let mut right = vec![[0.0; TARGETS.len()]; columns.len()];
    for row in rows {
        let registration = &row.registration;
        let mut inputs = vec![(0, 1.0), (1, f64::from(u8::from(registration.is_organic)))];
        inputs.push((2, f64::from(registration.child_age.min(18)) / 18.0));
        let categories = CATEGORIES.iter().zip(&registration.categories);
        inputs.extend(categories.map(|(field, word)| (place(field, word).unwrap(), 1.0)));
        for &(one, value) in &inputs {
            for &(other, factor) in &inputs {
                matrix[one][other] += value * factor;
            }
            for target in 0..TARGETS.len() {
                right[one][target] += value * row.chosen[target];
            }
        }
    }
    for (number, line) in matrix.iter_mut().enumerate().skip(1) {
        line[number] += ALPHA;
    }
    let solved = solve(matrix, right);
    let weights: BTreeMap<&str, Vec<f64>> = TARGETS
        .iter()
        .enumerate()
        .map(|(target, name)| (*name, solved.iter().map(|weights| rounded(weights[target])).collect()))
        .collect();
    let mut model = json!({ "format": "tariff-linear-1", "name": "simulated", "alpha": ALPHA, "vocabulary": vocabulary,
        "columns": columns, "weights": weights });
    let scored = LinearModel::from_json(model.to_string().as_bytes()).unwrap();
    model["distribution"] = distribution(rows, &scored);
    model
}

/// The shares of ranges that begin at edges.
fn ranges(values: &[f64], edges: &[f64]) -> Value {
    let mut counts = vec![0; edges.len() + 1];
    values.iter().for_each(|value| counts[edges.partition_point(|edge| edge <= value)] += 1);
    let shares: Vec<f64> = counts.iter().map(|count| f64::from(*count) / values.len() as f64).collect();
    json!({ "edges": edges, "shares": shares })
}

/// How the rows, and what the model makes of them, are distributed; as the trainer tells it.
fn distribution(rows: &[Row], model: &LinearModel) -> Value {
    let mut features: BTreeMap<&str, Value> = BTreeMap::new();
    for (index, field) in CATEGORIES.iter().enumerate() {
        let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
        for row in rows {
            *counts.entry(&row.registration.categories[index]).or_default() += 1.0 / rows.len() as f64;
        }
        features.insert(field, counts.into_iter().map(|(word, share)| (word.to_owned(), rounded(share))).collect());
    }
    let numbers =
        |of: fn(&Registration) -> u8| -> Vec<f64> { rows.iter().map(|row| f64::from(of(&row.registration))).collect() };
    features.insert("is_organic", ranges(&numbers(|registration| u8::from(registration.is_organic)), &[1.0]));
    features.insert("child_age", ranges(&numbers(|registration| registration.child_age), &[3.0, 6.0, 9.0, 12.0, 15.0]));
    let scores = TARGETS.iter().enumerate().map(|(target, name)| {
        let mut values: Vec<f64> =
            rows.iter().map(|row| f64::from(model.score(&row.registration).0.0[target])).collect();
        values.sort_by(f64::total_cmp);
        let mut edges: Vec<f64> =
            (1..10).map(|tenth| (values[values.len() * tenth / 10] * 1e3).round() / 1e3).collect();
        edges.dedup();
        edges.retain(|edge| values[0] < *edge && *edge <= values[values.len() - 1]);
        (*name, ranges(&values, &edges))
    });
    let scores: BTreeMap<&str, Value> = scores.collect();
    json!({ "rows": rows.len(), "features": features, "scores": scores })
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn built_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/scoring/model/simulated.json")
}

#[test]
fn the_built_in_model_is_what_training_gives() {
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    let trained = train(&rows);
    if clock::environment("HEADRACE_REGENERATE").is_some() {
        std::fs::write(built_in(), format!("{}\n", serde_json::to_string(&trained).unwrap())).unwrap();
        eprintln!("wrote {}", built_in().display());
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(built_in()).unwrap()).unwrap();
    for member in ["format", "name", "alpha", "vocabulary", "columns"] {
        assert_eq!(stored[member], trained[member], "{member}");
    }
    assert_eq!(stored["distribution"]["features"], trained["distribution"]["features"]);
    for target in TARGETS {
        let weights = |model: &Value| -> Vec<f64> { serde_json::from_value(model["weights"][target].clone()).unwrap() };
        for (one, other) in weights(&stored).iter().zip(weights(&trained)) {
            assert!((one - other).abs() < 1e-4, "{target}: {one} {other}");
        }
    }
}

/// It finds the rule: on rows it was not trained on it is far better than their mean.
#[test]
fn the_built_in_model_predicts() {
    let model = LinearModel::from_json(&std::fs::read(built_in()).unwrap()).unwrap();
    let rows: Vec<Row> = (ROWS..ROWS + HELD_OUT).map(row).collect();
    let count = rows.len() as f64;
    for (target, name) in TARGETS.iter().enumerate() {
        let mean = rows.iter().map(|row| row.chosen[target]).sum::<f64>() / count;
        let (mut error, mut spread) = (0.0, 0.0);
        for row in &rows {
            let (scores, unseen) = model.score(&row.registration);
            assert!(!unseen);
            error += (f64::from(scores.0[target]) - row.chosen[target]).powi(2);
            spread += (mean - row.chosen[target]).powi(2);
        }
        let share = error / spread;
        let most = if *name == "cost" { 0.12 } else { 1.0 };
        assert!(share < most, "{name}: {share}");
    }
}
