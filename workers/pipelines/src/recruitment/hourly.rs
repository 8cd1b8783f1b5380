//! The hourly table and the table of unattributed events, from frames of events.
//!
//! One row for each job, hour, publisher, campaign and group. A count that no event reached is null,
//! never 0, and spend is null exactly where clicks are; so adding rows up with "null adds nothing" gives
//! the same table however the events were cut into batches.

use headrace_core::{Error, Result};
use headrace_transforms::decimal;
use polars::prelude::{
    Column, DataFrame, DataType, Expr, IntoLazy, LazyFrame, NULL, NamedFrom, Series, SortMultipleOptions, UnionArgs,
    col, concat, lit, when,
};

use super::classes::{Class, Metric};
use super::columns::{CAMPAIGN_ID, CUSTOM_TRACK, GROUP_ID, JOB_ID, PUBLISHER_ID};
use super::event::{BID_MICROS, CLASS, HOUR};

/// Column of the start of the hour, in microseconds since 1970.
pub const TS: &str = "ts";
/// Column of the number of clicks.
pub const CLICKS: &str = "clicks";
/// Column of the sum of the clicks' bids, in millionths.
pub const SPEND_HOUR: &str = "spend_hour";
/// Column of the number of applications.
pub const CONVERSION: &str = "conversion";
/// Column of the number of qualified applications.
pub const QUALIFIED: &str = "qualified_application";
/// Column of the number of unqualified applications.
pub const DISQUALIFIED: &str = "disqualified_application";
/// Column of the job's company, in the joined table and in the dimension.
pub const COMPANY_ID: &str = "company_id";
/// Column of the number of unattributed events.
pub const EVENTS: &str = "events";
/// Column of the job in the dimension.
pub const DIMENSION_ID: &str = "id";

/// The columns by which rows of the hourly table are told apart and sorted.
pub const KEYS: [&str; 5] = [JOB_ID, TS, PUBLISHER_ID, CAMPAIGN_ID, GROUP_ID];
/// The columns that add up, null adding nothing.
pub const SUMS: [&str; 5] = [CLICKS, SPEND_HOUR, CONVERSION, QUALIFIED, DISQUALIFIED];

/// Aggregates events: the hourly rows in key order. Events that are not counted are passed over.
///
/// # Errors
/// When a column is missing or of another type, or a spend exceeds `DECIMAL(18,6)`.
pub fn hourly(events: &DataFrame) -> Result<DataFrame> {
    let counted = events.clone().lazy().filter(col(CLASS).lt(lit(Class::COUNTED_END)));
    refuse_overflow(events, &counted)?;
    let rows = counted.group_by(keys()).agg([
        count(Metric::Click, CLICKS),
        when(is(Metric::Click)).then(col(BID_MICROS)).otherwise(lit(0i64)).sum().alias(SPEND_HOUR),
        count(Metric::Conversion, CONVERSION),
        count(Metric::Qualified, QUALIFIED),
        count(Metric::Unqualified, DISQUALIFIED),
    ]);
    let counts = [CLICKS, CONVERSION, QUALIFIED, DISQUALIFIED];
    let or_null = |name: &str, by: &str| when(col(by).gt(lit(0i64))).then(col(name)).otherwise(null()).alias(name);
    let nulls = counts.iter().map(|name| or_null(name, name)).chain([or_null(SPEND_HOUR, CLICKS)]);
    Ok(rows.with_columns(nulls.collect::<Vec<_>>()).sort(KEYS, SortMultipleOptions::default()).collect()?)
}

/// Adds hourly tables up, row by row: the table of all their events, in key order.
///
/// # Errors
/// When a column is missing or of another type.
pub fn merge(tables: &[DataFrame]) -> Result<DataFrame> {
    let tables: Vec<LazyFrame> = tables.iter().map(|table| table.clone().lazy()).collect();
    let sum = |name: &str| {
        let sum = when(col(name).count().gt(lit(0))).then(col(name).sum()).otherwise(null());
        sum.alias(name)
    };
    let merged = concat(tables, UnionArgs::default())?.group_by(KEYS.map(col)).agg(SUMS.map(sum));
    Ok(merged.sort(KEYS, SortMultipleOptions::default()).collect()?)
}

/// Counts metric events without a job by hour and event name, in that order: columns `ts`, `custom_track`, `events`.
///
/// # Errors
/// When a column is missing or of another type.
pub fn unattributed(events: &DataFrame) -> Result<DataFrame> {
    let is_unattributed = col(CLASS).gt_eq(lit(Class::COUNTED_END)).and(col(CLASS).lt(lit(Class::UNATTRIBUTED_END)));
    let counts = events
        .clone()
        .lazy()
        .filter(is_unattributed)
        .group_by([col(HOUR).alias(TS), col(CLASS)])
        .agg([col(BID_MICROS).len().cast(DataType::Int64).alias(EVENTS)])
        .sort([TS, CLASS], SortMultipleOptions::default())
        .collect()?;
    let name = |code: Option<i32>| Metric::ALL.get((code? - Class::COUNTED_END) as usize).map(|metric| metric.name());
    let names: Vec<_> = counts.column(CLASS)?.i32()?.iter().map(name).collect();
    let columns = vec![counts.column(TS)?.clone(), text(CUSTOM_TRACK, names), counts.column(EVENTS)?.clone()];
    Ok(DataFrame::new(counts.height(), columns)?)
}

/// Adds the column `company_id` from the dimension (`id`, `company_id`); null where job or company are unknown.
///
/// # Errors
/// When a column is missing or of another type.
pub fn join_company(hourly: &DataFrame, jobs: &DataFrame) -> Result<DataFrame> {
    let ids = jobs.column(DIMENSION_ID)?.i64()?.iter();
    let companies = jobs.column(COMPANY_ID)?.i64()?.iter();
    // A map and not a join of frames: a job that comes twice must not double its rows.
    let company_of: foldhash::HashMap<Option<i64>, Option<i64>> = ids.zip(companies).collect();
    let companies = hourly.column(JOB_ID)?.i64()?.iter().map(|job| company_of.get(&job).copied().flatten());
    let companies: Vec<Option<i64>> = companies.collect();
    let mut joined = hourly.clone();
    joined.with_column(Series::new(COMPANY_ID.into(), companies).into())?;
    Ok(joined)
}

/// Gives the keys of an event's row; a dimension that is null in the event is 0 in the table.
fn keys() -> [Expr; 5] {
    let or_zero = |name: &str| col(name).fill_null(lit(0i64));
    [col(JOB_ID), col(HOUR).alias(TS), or_zero(PUBLISHER_ID), or_zero(CAMPAIGN_ID), or_zero(GROUP_ID)]
}

fn is(metric: Metric) -> Expr {
    col(CLASS).eq(lit(Class::Counted(metric).code()))
}

fn count(metric: Metric, name: &str) -> Expr {
    is(metric).sum().cast(DataType::Int64).alias(name)
}

fn null() -> Expr {
    lit(NULL)
}

fn text(name: &str, values: Vec<Option<&str>>) -> Column {
    Series::new(name.into(), values).into()
}

/// Refuses sums that do not fit. The bounds of a batch nearly always show that none is near.
fn refuse_overflow(events: &DataFrame, counted: &LazyFrame) -> Result<()> {
    let largest = events.column(BID_MICROS)?.i64()?.iter().flatten().max().unwrap_or_default();
    if i128::from(largest) * events.height() as i128 <= i128::from(decimal::MAX_MICROS) {
        return Ok(());
    }
    let spend = col(BID_MICROS).cast(DataType::Float64).sum().alias(SPEND_HOUR);
    let sums = counted.clone().filter(is(Metric::Click)).group_by(keys()).agg([spend]).collect()?;
    let largest = sums.column(SPEND_HOUR)?.f64()?.iter().flatten().fold(0.0, f64::max);
    if largest > decimal::MAX_MICROS as f64 {
        return Err(Error::data("the spend of one hour exceeds DECIMAL(18,6)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
