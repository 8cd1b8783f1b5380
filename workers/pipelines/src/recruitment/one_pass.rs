//! The whole transform on one frame, without stores: message fields in, hourly table out.
//!
//! It is what Python users call on a pandas, Polars or Arrow table, and, in two halves, what Spark runs on partitions.
//! A frame is all there is: the first row of an event id counts, later ones are copies. Bad input is an
//! error that names the row, since there is no dead-letter output to put it in.

use headrace_core::{Error, Result};
use headrace_transforms::{civil, decimal, time_uuid};
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series, TimeUnit};

use super::classes::Class;
use super::columns::{BID, CAMPAIGN_ID, CUSTOM_TRACK, GROUP_ID, JOB_ID, PUBLISHER_ID};
use super::event::{Event, EventFrame};
use super::hourly::{CLICKS, CONVERSION, DISQUALIFIED, QUALIFIED, SPEND_HOUR, TS, hourly, merge};
use super::reason::{Reason, Refusal};

/// The input columns; others are not looked at.
pub const COLUMNS: [&str; 8] = ["event_id", TS, JOB_ID, CAMPAIGN_ID, GROUP_ID, PUBLISHER_ID, CUSTOM_TRACK, BID];

/// The columns of a part of the table, all integers; `ts` in microseconds, `spend_hour` in millionths.
pub const PART_COLUMNS: [&str; 10] =
    [JOB_ID, TS, PUBLISHER_ID, CAMPAIGN_ID, GROUP_ID, CLICKS, SPEND_HOUR, CONVERSION, QUALIFIED, DISQUALIFIED];

/// Aggregates message fields to the hourly table.
///
/// Input columns: `event_id` (text), `ts` (text `YYYY-MM-DD HH:MM:SS` or null, then the event id's time),
/// `job_id`, `campaign_id`, `group_id`, `publisher_id` (integers or doubles), `custom_track` (text), `bid` (double).
/// NaN counts as null. A row without event id needs a `ts` and is never a copy.
///
/// Output columns: `job_id`, `ts` (datetime), `dates` (date), `hours`, `publisher_id`, `campaign_id`, `group_id`,
/// `bid_set`, `clicks`, `spend_hour`, `conversion`, `qualified_application`, `disqualified_application`;
/// money as doubles, computed exactly and rounded once (`bid_set` to cents).
///
/// # Errors
/// When a column is missing or of another type, or a row is invalid; the text names row and reason.
pub fn recruitment_hourly(frame: &DataFrame) -> Result<DataFrame> {
    typed(recruitment_hourly_part(frame)?)
}

/// Aggregates the message fields of some events to a part of the hourly table, with sums that still add up exactly.
///
/// Input as for [`recruitment_hourly`]; all copies of an event id must be in one frame. Output: [`PART_COLUMNS`].
///
/// # Errors
/// As [`recruitment_hourly`].
pub fn recruitment_hourly_part(frame: &DataFrame) -> Result<DataFrame> {
    hourly(&events(frame)?)
}

/// Adds parts of the hourly table up to what [`recruitment_hourly`] gives for all their events.
///
/// All rows of a key must be in the frame.
///
/// # Errors
/// When a column is missing or of another type.
pub fn recruitment_hourly_whole(parts: &DataFrame) -> Result<DataFrame> {
    typed(merge(std::slice::from_ref(&parts.select(PART_COLUMNS)?))?)
}

fn events(frame: &DataFrame) -> Result<DataFrame> {
    let texts = |name: &str| -> Result<_> { Ok(frame.column(name)?.cast(&DataType::String)?.str()?.clone()) };
    let (ids, times, names) = (texts("event_id")?, texts(TS)?, texts(CUSTOM_TRACK)?);
    let bids = frame.column(BID)?.cast(&DataType::Float64)?.f64()?.clone();
    let [campaigns, groups, jobs, publishers] =
        [CAMPAIGN_ID, GROUP_ID, JOB_ID, PUBLISHER_ID].map(|name| identifiers(frame, name));
    let (campaigns, groups, jobs, publishers) = (campaigns?, groups?, jobs?, publishers?);
    let mut events = EventFrame::default();
    let mut seen = foldhash::HashSet::<[u8; 16]>::default();
    for row in 0..frame.height() {
        let refused =
            |refusal: Refusal| Error::data(format!("row {row} is not valid: {} {}", refusal.reason, refusal.detail));
        let (id, ts) = id_and_time(ids.get(row), times.get(row)).map_err(refused)?;
        let bid_micros = amount(bids.get(row)).map_err(refused)?;
        if id.is_some_and(|id| !seen.insert(id)) {
            continue;
        }
        let job_id = jobs[row];
        events.push(&Event {
            partition: 0,
            ts,
            job_id,
            publisher_id: publishers[row],
            campaign_id: campaigns[row],
            group_id: groups[row],
            bid_micros,
            class: Class::of(names.get(row), job_id.is_some()),
        });
    }
    events.finish()
}

fn id_and_time(id: Option<&str>, ts: Option<&str>) -> Result<(Option<[u8; 16]>, i64), Refusal> {
    let parse = |text: &str| time_uuid::parse(text.as_bytes()).ok_or_else(|| Refusal::new(Reason::BadEventId, text));
    let id = id.map(parse).transpose()?;
    if let Some(id) = id.filter(|id| !time_uuid::is_time_uuid(id)) {
        return Err(Refusal::new(Reason::NotTimeUuid, time_uuid::to_text(&id)));
    }
    let parse = |text: &str| civil::parse_timestamp(text.as_bytes()).ok_or_else(|| Refusal::new(Reason::BadTs, text));
    let ts = ts.map(parse).transpose()?;
    let event_time_us = id.as_ref().map(time_uuid::event_time_us);
    match (event_time_us, ts) {
        (Some(event_time_us), Some(ts)) if (event_time_us - ts).abs() >= civil::SECOND_US => {
            Err(Refusal::new(Reason::TimeMismatch, civil::timestamp_text(event_time_us)))
        }
        (_, Some(ts)) => Ok((id, ts)),
        (Some(event_time_us), None) => Ok((id, event_time_us - event_time_us.rem_euclid(civil::SECOND_US))),
        (None, None) => Err(Refusal::new(Reason::MissingTs, "")),
    }
}

/// Gives a bid in millionths, through the shortest decimal of the double, which is what its text was.
fn amount(bid: Option<f64>) -> Result<i64, Refusal> {
    let Some(bid) = bid.filter(|bid| !bid.is_nan()) else { return Ok(0) };
    let text = format!("{bid:?}");
    if bid < 0.0 {
        return Err(Refusal::new(Reason::NegativeBid, format!("bid={text}")));
    }
    let micros = decimal::Number::parse(text.as_bytes()).and_then(|number| number.micros());
    micros.ok_or_else(|| Refusal::new(Reason::BadNumber, format!("bid={text}")))
}

fn identifiers(frame: &DataFrame, name: &str) -> Result<Vec<Option<i64>>> {
    let column = frame.column(name)?;
    let refused = |row: usize, value: String| {
        Error::data(format!("row {row} is not valid: {} {name}={value}", Reason::BadIdentifier))
    };
    if column.dtype().is_float() {
        let doubles = column.cast(&DataType::Float64)?;
        let whole = |(row, value): (usize, Option<f64>)| match value.filter(|value| !value.is_nan()) {
            Some(value) if value.fract() != 0.0 || !(0.0..=decimal::MAX_IDENTIFIER as f64).contains(&value) => {
                Err(refused(row, value.to_string()))
            }
            value => Ok(value.map(|value| value as i64)),
        };
        return doubles.f64()?.iter().enumerate().map(whole).collect();
    }
    let integers = column.strict_cast(&DataType::Int64)?;
    let valid = |(row, value): (usize, Option<i64>)| match value {
        Some(value) if !(0..=decimal::MAX_IDENTIFIER).contains(&value) => Err(refused(row, value.to_string())),
        value => Ok(value),
    };
    integers.i64()?.iter().enumerate().map(valid).collect()
}

/// Gives the hourly table the types that a data frame user expects.
fn typed(hourly: DataFrame) -> Result<DataFrame> {
    let ts = hourly.column(TS)?;
    let times: Vec<i64> = ts.i64()?.iter().flatten().collect();
    let days: Vec<i32> = times.iter().map(|&time_us| civil::days(time_us) as i32).collect();
    let hours: Vec<i32> = times.iter().map(|&time_us| civil::hour_of_day(time_us).into()).collect();
    let spends: Vec<Option<i64>> = hourly.column(SPEND_HOUR)?.i64()?.iter().collect();
    let clicks = hourly.column(CLICKS)?.i64()?.iter();
    let averages = clicks.zip(&spends).map(|(clicks, spend)| decimal::average_cents((*spend)?, clicks?));
    let averages: Vec<Option<f64>> = averages.map(|cents| Some(cents? as f64 / 100.0)).collect();
    let spends: Vec<Option<f64>> = spends.iter().map(|micros| Some((*micros)? as f64 / 1e6)).collect();
    let date: Column = Series::new("dates".into(), days).cast(&DataType::Date)?.into();
    let mut columns = Vec::with_capacity(13);
    for column in hourly.columns() {
        match column.name().as_str() {
            TS => {
                columns.push(ts.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?);
                columns.push(date.clone());
                columns.push(Series::new("hours".into(), &hours).into());
            }
            CLICKS => {
                columns.push(Series::new("bid_set".into(), &averages).into());
                columns.push(column.clone());
            }
            SPEND_HOUR => columns.push(Series::new(SPEND_HOUR.into(), &spends).into()),
            _ => columns.push(column.clone()),
        }
    }
    Ok(DataFrame::new(hourly.height(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    fn frame() -> DataFrame {
        df!(
            "event_id" => [
                Some("a5957ff6-d75e-11ee-8000-000000000001"), // 2024-02-29 23:59:59.999
                Some("A5957FF6-D75E-11EE-8000-000000000001"),
                Some("a5958000-d75e-11ee-8000-000000000002"), // 2024-03-01 00:00:00
                None,
                None,
            ],
            "ts" => [None, Some("2024-02-29 23:59:59"), None, Some("2024-03-01 00:10:00"), Some("2024-03-01 00:10:00")],
            "job_id" => [Some(10.0), Some(10.0), Some(10.0), Some(10.0), Some(f64::NAN)],
            "campaign_id" => [5i32, 5, 5, 5, 5],
            "group_id" => [None::<i64>, None, None, None, None],
            "publisher_id" => [1i64, 1, 1, 1, 1],
            "custom_track" => [Some("click"), Some("click"), Some("click"), Some("click"), Some("click")],
            "bid" => [Some(0.005), Some(0.005), Some(2.0), None, Some(7.0)],
        )
        .unwrap()
    }

    #[test]
    fn counts_every_event_once_in_typed_columns() {
        let table = recruitment_hourly(&frame()).unwrap();
        assert_eq!(table.height(), 2);
        let cell = |name: &str, row| table.column(name).unwrap().get(row).unwrap().to_string();
        let row = |row| table.columns().iter().map(|column| cell(column.name(), row)).collect::<Vec<_>>().join("|");
        assert_eq!(row(0), "10|2024-02-29 23:00:00|2024-02-29|23|1|5|0|0.01|1|0.005|null|null|null");
        assert_eq!(row(1), "10|2024-03-01 00:00:00|2024-03-01|0|1|5|0|1.0|2|2.0|null|null|null");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let (frame, whole) = (frame(), recruitment_hourly(&frame()).unwrap());
        // The copies of an id stay together; the two events without one are apart.
        let part = |offset, rows| recruitment_hourly_part(&frame.slice(offset, rows)).unwrap();
        let mut parts = part(3, 2);
        parts.vstack_mut(&part(0, 3)).unwrap();
        assert!(parts.get_column_names().into_iter().eq(PART_COLUMNS));
        assert!(recruitment_hourly_whole(&parts).unwrap().equals_missing(&whole));
        assert_eq!(recruitment_hourly_whole(&parts.slice(0, 0)).unwrap().height(), 0);
    }

    #[test]
    fn names_the_row_that_is_not_valid() {
        let refused = |name: &str, values: Column| {
            let mut frame = frame();
            frame.with_column(values.with_name(name.into())).unwrap();
            recruitment_hourly(&frame).unwrap_err().to_string()
        };
        let texts = |text: &str| Column::new("".into(), vec![text; 5]);
        let doubles = |value: f64| Column::new("".into(), vec![0.0, value, 0.0, 0.0, 0.0]);
        assert_eq!(refused("event_id", texts("x")), "row 0 is not valid: bad_event_id x");
        assert_eq!(refused("ts", texts("2024-03-01")), "row 0 is not valid: bad_ts 2024-03-01");
        assert_eq!(
            refused("ts", texts("2024-02-29 23:59:59")),
            "row 2 is not valid: time_mismatch 2024-03-01 00:00:00"
        );
        assert_eq!(refused("bid", doubles(-1.0)), "row 1 is not valid: negative_bid bid=-1.0");
        assert_eq!(refused("bid", doubles(1e12)), "row 1 is not valid: bad_number bid=1000000000000.0");
        assert_eq!(refused("job_id", doubles(10.5)), "row 1 is not valid: bad_identifier job_id=10.5");
        let negative = Column::new("".into(), vec![0i64, -1, 0, 0, 0]);
        assert_eq!(refused("group_id", negative), "row 1 is not valid: bad_identifier group_id=-1");
    }
}
