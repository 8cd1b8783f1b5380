//! Rows for the stores, column by column, from scored registrations and back.

use compact_str::ToCompactString;
use headrace_core::{Error, Result};
use polars::prelude::{Column, DataFrame, IntoSeries, NamedFrom, Series, StringChunkedBuilder};

use super::cache_value::OfferTexts;
use super::offer::{Scores, TARGETS};
use super::registration::{CATEGORIES, Registration};
use super::schema::{
    CACHE_KEY, CACHE_VALUE, KAFKA_OFFSET, KAFKA_PARTITION, MODEL_VERSION, REGISTERED_MS, SCORED_AT, USER_ID, VERSION,
    predicted,
};
use super::scored::ScoredRegistration;

/// One offer, as the tables of offers keep it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The user.
    pub user_id: u32,
    /// The eight numbers.
    pub scores: Scores,
    /// The model that scored it.
    pub model_version: String,
    /// What decides between two offers of a user.
    pub version: i64,
}

impl Offer {
    /// What a registration's scores are as an offer.
    pub fn of(row: &ScoredRegistration, model_version: &str) -> Self {
        Self {
            user_id: row.registration.user_id,
            scores: row.scores,
            model_version: model_version.to_owned(),
            version: row.version(),
        }
    }
}

fn ints(name: &str, values: impl Iterator<Item = i64>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

fn predictions<'a>(rows: impl Iterator<Item = &'a Scores> + Clone) -> impl Iterator<Item = Column> {
    TARGETS.iter().enumerate().map(move |(target, name)| {
        let values: Vec<f32> = rows.clone().map(|scores| scores.0[target]).collect();
        Series::new(predicted(name).into(), values).into()
    })
}

fn constant(name: &str, value: &str, height: usize) -> Column {
    Series::new(name.into(), vec![value; height]).into()
}

/// Rows of the history, scored at a time.
///
/// # Errors
/// When the frame cannot be built.
pub fn history(rows: &[&ScoredRegistration], model_version: &str, now_us: i64) -> Result<DataFrame> {
    let mut columns = vec![
        ints(KAFKA_PARTITION, rows.iter().map(|row| i64::from(row.partition))),
        ints(KAFKA_OFFSET, rows.iter().map(|row| row.offset)),
        ints(USER_ID, rows.iter().map(|row| i64::from(row.registration.user_id))),
    ];
    columns.extend(predictions(rows.iter().map(|row| &row.scores)));
    columns.push(constant(MODEL_VERSION, model_version, rows.len()));
    columns.push(ints(VERSION, rows.iter().map(|row| row.version())));
    // The contract's column has milliseconds.
    columns.push(ints(SCORED_AT, rows.iter().map(|_| now_us / 1_000 * 1_000)));
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Rows of the offers.
///
/// # Errors
/// When the frame cannot be built.
pub fn offers(rows: &[Offer]) -> Result<DataFrame> {
    let mut columns = vec![ints(USER_ID, rows.iter().map(|row| i64::from(row.user_id)))];
    columns.extend(predictions(rows.iter().map(|row| &row.scores)));
    let models: Vec<&str> = rows.iter().map(|row| row.model_version.as_str()).collect();
    columns.push(Series::new(MODEL_VERSION.into(), models).into());
    columns.push(ints(VERSION, rows.iter().map(|row| row.version)));
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Rows of the registrations behind the offers.
///
/// # Errors
/// When the frame cannot be built.
pub fn registrations(rows: &[&ScoredRegistration]) -> Result<DataFrame> {
    let mut columns = vec![ints(USER_ID, rows.iter().map(|row| i64::from(row.registration.user_id)))];
    for (index, category) in CATEGORIES.iter().enumerate() {
        let values: Vec<&str> = rows.iter().map(|row| row.registration.categories[index].as_str()).collect();
        columns.push(Series::new((*category).into(), values).into());
    }
    columns.push(ints("is_organic", rows.iter().map(|row| i64::from(row.registration.is_organic))));
    columns.push(ints("child_age", rows.iter().map(|row| i64::from(row.registration.child_age))));
    columns.push(ints(REGISTERED_MS, rows.iter().map(|row| row.registration.registered_ms)));
    columns.push(ints(KAFKA_PARTITION, rows.iter().map(|row| i64::from(row.partition))));
    columns.push(ints(KAFKA_OFFSET, rows.iter().map(|row| row.offset)));
    columns.push(ints(VERSION, rows.iter().map(|row| row.version())));
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// Rows of the cache, written at a time.
///
/// # Errors
/// When the frame cannot be built.
pub fn cache(rows: &[Offer], now_us: i64) -> Result<DataFrame> {
    let mut keys = StringChunkedBuilder::new(CACHE_KEY.into(), rows.len());
    let mut values = StringChunkedBuilder::new(CACHE_VALUE.into(), rows.len());
    let mut texts = OfferTexts::default();
    for row in rows {
        keys.append_value(row.user_id.to_compact_string());
        values.append_value(texts.of(row.user_id, &row.scores, row.version, &row.model_version, now_us / 1_000_000)?);
    }
    let (keys, values) = (keys.finish().into_series(), values.finish().into_series());
    let columns = vec![keys.into(), values.into(), ints(VERSION, rows.iter().map(|row| row.version))];
    Ok(DataFrame::new(rows.len(), columns)?)
}

fn user(number: Option<i64>) -> Result<u32> {
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| Error::data(format!("a stored user id is out of range: {number:?}")))
}

/// Reads offers back from rows of the offers or the history.
///
/// # Errors
/// When a column is missing or of another type, or a user id is out of range.
pub fn read_offers(frame: &DataFrame) -> Result<Vec<Offer>> {
    let users = frame.column(USER_ID)?.i64()?;
    let (models, versions) = (frame.column(MODEL_VERSION)?.str()?, frame.column(VERSION)?.i64()?);
    let scores = TARGETS
        .iter()
        .map(|target| Ok(frame.column(&predicted(target))?.f32()?.clone()))
        .collect::<Result<Vec<_>>>()?;
    (0..frame.height())
        .map(|row| {
            Ok(Offer {
                user_id: user(users.get(row))?,
                scores: Scores(std::array::from_fn(|target| scores[target].get(row).unwrap_or(f32::NAN))),
                model_version: models.get(row).unwrap_or_default().to_owned(),
                version: versions.get(row).unwrap_or_default(),
            })
        })
        .collect()
}

/// Reads registrations and their offers' versions back.
///
/// # Errors
/// When a column is missing or of another type, or a value is out of range.
pub fn read_registrations(frame: &DataFrame) -> Result<Vec<(Registration, i64)>> {
    let int = |name: &str| -> Result<_> { Ok(frame.column(name)?.i64()?.clone()) };
    let (users, organic, ages) = (int(USER_ID)?, int("is_organic")?, int("child_age")?);
    let (times, versions) = (int(REGISTERED_MS)?, int(VERSION)?);
    let categories =
        CATEGORIES.iter().map(|name| Ok(frame.column(name)?.str()?.clone())).collect::<Result<Vec<_>>>()?;
    (0..frame.height())
        .map(|row| {
            let registration = Registration {
                user_id: user(users.get(row))?,
                categories: std::array::from_fn(|field| categories[field].get(row).unwrap_or_default().into()),
                is_organic: organic.get(row) == Some(1),
                child_age: ages.get(row).and_then(|age| u8::try_from(age).ok()).unwrap_or(u8::MAX),
                registered_ms: times.get(row).unwrap_or_default(),
            };
            Ok((registration, versions.get(row).unwrap_or_default()))
        })
        .collect()
}
