//! How far the registrations of the last hour are from those that a model was trained on.
//!
//! The measure is the population stability index of each feature and score: the sum over its buckets of
//! (found − trained) · ln(found ÷ trained), by shares. Memory: the profile of two hours.

use std::collections::HashMap;

use headrace_core::Result;
use headrace_core::store::{Select, Store};
use headrace_core::table::{Table, Value};

use super::distribution::{Distribution, UNSEEN};
use super::model::Model;
use super::profile::HOUR_US;
use super::schema::{BUCKET, FEATURE, HOUR, MODEL_VERSION, REGISTRATIONS};

/// From here on a feature has shifted.
pub const SHIFTED: f64 = 0.1;
/// From here on it has drifted: the model should be trained anew.
pub const DRIFTED: f64 = 0.25;
/// Fewer registrations tell nothing: chance alone would look like a shift.
pub const ENOUGH: u64 = 200;
/// A share counts as at least this, so that an empty bucket has a logarithm.
const LEAST: f64 = 1e-4;
/// Rows of the profile that are read: more than two hours of any model have.
const ROWS: usize = 100_000;

/// What is thought of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Too few registrations to tell.
    TooFew,
    /// As in training.
    Stable,
    /// Somewhat different.
    Shifted,
    /// Different.
    Drifted,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::TooFew => "too few",
            Self::Stable => "stable",
            Self::Shifted => "shifted",
            Self::Drifted => "drifted",
        }
    }
}

/// One feature or score.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureDrift {
    /// Its name.
    pub name: String,
    /// The index: 0 where nothing has changed.
    pub index: f64,
    /// What is thought of it.
    pub state: State,
    /// The share of categories that training never saw; none for numbers and scores.
    pub unseen: Option<f64>,
    /// The bucket that changed most, its share in training and now.
    pub moved: (String, f64, f64),
}

/// All features and scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// The beginning of what was looked at, microseconds since 1970.
    pub since_us: i64,
    /// Registrations looked at.
    pub registrations: u64,
    /// The greatest index first.
    pub features: Vec<FeatureDrift>,
}

/// Counts by feature and bucket.
type Counts = HashMap<(String, String), u64>;

/// Measures the drift of the hour that runs and of the one before; none where the model does not tell what it was trained on.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, profile: &Table, model: &dyn Model, now_us: i64) -> Result<Option<Drift>> {
    let Some(distribution) = model.distribution() else { return Ok(None) };
    let mut since_us = (now_us.div_euclid(HOUR_US) - 1) * HOUR_US;
    let mut counts = Counts::new();
    // A store of an older version has no profile until something is scored into it.
    if store.has_table(&profile.name).await? {
        let columns = vec![HOUR, MODEL_VERSION, FEATURE, BUCKET, REGISTRATIONS];
        let text = || Value::Text(String::new());
        let after = vec![Value::Int(since_us - 1), text(), text(), text()];
        let select = Select { table: profile, columns, equal: Vec::new(), after, limit: ROWS };
        let page = store.select(&select).await?;
        let (hours, numbers) = (page.column(HOUR)?.i64()?, page.column(REGISTRATIONS)?.i64()?);
        let (models, names) = (page.column(MODEL_VERSION)?.str()?, page.column(FEATURE)?.str()?);
        let buckets = page.column(BUCKET)?.str()?;
        let ours = (0..page.height()).filter(|row| models.get(*row) == Some(model.version()));
        for (number, row) in ours.enumerate() {
            if number == 0 {
                since_us = hours.get(row).unwrap_or(since_us);
            }
            let key = (names.get(row).unwrap_or_default().to_owned(), buckets.get(row).unwrap_or_default().to_owned());
            *counts.entry(key).or_default() +=
                numbers.get(row).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        }
    }
    Ok(Some(measure(distribution, &counts, since_us)))
}

fn measure(distribution: &Distribution, counts: &Counts, since_us: i64) -> Drift {
    let mut registrations = 0;
    let mut features: Vec<FeatureDrift> = Vec::new();
    for feature in &distribution.features {
        let of = |bucket: &str| counts.get(&(feature.name.clone(), bucket.to_owned())).copied().unwrap_or_default();
        let total: u64 = feature.buckets.iter().map(|(bucket, _)| of(bucket)).sum();
        registrations = registrations.max(total);
        let found = |bucket: &str| if total == 0 { 0.0 } else { of(bucket) as f64 / total as f64 };
        let part = |trained: f64, found: f64| {
            let (trained, found) = (trained.max(LEAST), found.max(LEAST));
            (found - trained) * (found / trained).ln()
        };
        let index =
            if total == 0 { 0.0 } else { feature.buckets.iter().map(|(name, share)| part(*share, found(name))).sum() };
        let state = match index {
            _ if total < ENOUGH => State::TooFew,
            _ if index >= DRIFTED => State::Drifted,
            _ if index >= SHIFTED => State::Shifted,
            _ => State::Stable,
        };
        let shares = feature.buckets.iter().map(|(name, trained)| (name.clone(), *trained, found(name)));
        let moved = shares.max_by(|one, other| (one.2 - one.1).abs().total_cmp(&(other.2 - other.1).abs()));
        let unseen = feature.buckets.iter().any(|(name, _)| name == UNSEEN).then(|| found(UNSEEN));
        let name = feature.name.clone();
        features.push(FeatureDrift { name, index, state, unseen, moved: moved.unwrap_or_default() });
    }
    features.sort_by(|one, other| other.index.total_cmp(&one.index));
    Drift { since_us, registrations, features }
}

#[cfg(test)]
mod tests {
    use super::{Counts, ENOUGH, State, measure};
    use crate::scoring::distribution::Distribution;

    fn state(android: u64, ios: u64, windows: u64) -> (State, f64, (String, f64, f64), Option<f64>) {
        let json = br#"{"distribution": {"features": {"platform": {"android": 0.7, "ios": 0.3}}, "scores": {}}}"#;
        let distribution = Distribution::from_metadata(json).unwrap().unwrap();
        let counted = [("android", android), ("ios", ios), ("(never seen)", windows)];
        let key = |bucket: &str| ("platform".to_owned(), bucket.to_owned());
        let counts: Counts = counted.map(|(bucket, count)| (key(bucket), count)).into();
        let mut drift = measure(&distribution, &counts, 0);
        assert_eq!(drift.registrations, android + ios + windows);
        let feature = drift.features.remove(0);
        (feature.state, feature.index, feature.moved, feature.unseen)
    }

    #[test]
    fn the_index_tells_how_far_shares_have_moved() {
        let (stable, index, _, unseen) = state(700, 300, 0);
        assert_eq!((stable, unseen), (State::Stable, Some(0.0)));
        assert!(index.abs() < 1e-9, "{index}");
        // (0.5 − 0.7)·ln(0.5 ÷ 0.7) + (0.5 − 0.3)·ln(0.5 ÷ 0.3)
        let (shifted, index, moved, _) = state(500, 500, 0);
        assert!((index - 0.169_459).abs() < 1e-5, "{index}");
        assert_eq!((shifted, moved.0.as_str()), (State::Shifted, "ios"));
        assert_eq!(state(300, 700, 0).0, State::Drifted);
        let (state_of_new, _, moved, unseen) = state(600, 200, 200);
        assert_eq!((state_of_new, unseen, moved.0.as_str()), (State::Drifted, Some(0.2), "(never seen)"));
    }

    #[test]
    fn few_registrations_tell_nothing() {
        assert_eq!(state(0, ENOUGH - 1, 0).0, State::TooFew);
        assert_eq!(state(0, ENOUGH, 0).0, State::Drifted);
        assert_eq!(state(0, 0, 0).1, 0.0);
    }
}
