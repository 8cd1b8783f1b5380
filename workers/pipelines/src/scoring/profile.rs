//! How often each category and each range of scores occurred, by hour of scoring and by model: what drift is measured by.
//!
//! Only buckets that the model's own file tells of are counted, so there are few. Of a large batch some registrations stand for
//! all. Memory: one number for each bucket.

use std::collections::BTreeMap;

use headrace_core::Result;
use headrace_core::store::Unit;
use headrace_core::table::Table;
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::model::Model;
use super::schema::{BUCKET, FEATURE, HOUR, MODEL_VERSION, REGISTRATIONS};
use super::scored::ScoredRegistration;

/// An hour, in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;
/// Of a batch at most so many registrations are counted, evenly spread.
const SAMPLE: usize = 1_000;

/// Counts by model, feature and bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile(BTreeMap<(String, String, String), u64>);

impl Profile {
    /// Counts accepted registrations of one model; nothing where the model does not tell what it was trained on.
    pub fn of(model: &dyn Model, rows: &[&ScoredRegistration]) -> Self {
        let Some(distribution) = model.distribution() else { return Self::default() };
        let sample = rows.iter().step_by(rows.len().div_ceil(SAMPLE).max(1));
        let counts = distribution.count(sample.map(|row| (&row.registration, &row.scores)));
        let counted = distribution.features.iter().zip(counts).flat_map(|(feature, counts)| {
            let buckets = feature.buckets.iter().zip(counts).filter(|(_, count)| *count > 0);
            buckets
                .map(|((bucket, _), count)| ((model.version().to_owned(), feature.name.clone(), bucket.clone()), count))
        });
        Self(counted.collect())
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_default() += count;
        }
    }
}

/// Adds a profile to the hour of a time.
///
/// # Errors
/// When the store fails.
pub async fn write(unit: &mut dyn Unit, table: &Table, profile: &Profile, now_us: i64) -> Result<()> {
    if profile.0.is_empty() {
        return Ok(());
    }
    let rows = profile.0.len();
    let text = |name: &str, values: Vec<&str>| Series::new(name.into(), values).into();
    let counts: Vec<i64> = profile.0.values().map(|count| i64::try_from(*count).unwrap_or(i64::MAX)).collect();
    let columns = vec![
        Series::new(HOUR.into(), vec![now_us.div_euclid(HOUR_US) * HOUR_US; rows]).into(),
        text(MODEL_VERSION, profile.0.keys().map(|(model, _, _)| model.as_str()).collect()),
        text(FEATURE, profile.0.keys().map(|(_, feature, _)| feature.as_str()).collect()),
        text(BUCKET, profile.0.keys().map(|(_, _, bucket)| bucket.as_str()).collect()),
        Series::new(REGISTRATIONS.into(), counts).into(),
    ];
    unit.upsert(table, &DataFrame::new(rows, columns)?).await
}
