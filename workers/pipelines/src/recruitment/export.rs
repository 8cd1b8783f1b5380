//! The results as CSV: what finance and campaign managers get, byte for byte the same every time.
//!
//! Lines end with LF, nulls are empty, money has two decimals, rounded half away from zero.

use std::io::Write;

use headrace_core::{Error, Result};
use headrace_transforms::{civil, decimal};
use polars::prelude::{DataFrame, Int64Chunked};

use super::columns::CUSTOM_TRACK;
use super::hourly::{CLICKS, COMPANY_ID, CONVERSION, DISQUALIFIED, EVENTS, KEYS, QUALIFIED, SPEND_HOUR, TS};

/// The store the events came from, as the original system names it.
pub const SOURCES: &str = "Cassandra";

/// The columns of the hourly export.
pub const HOURLY_HEADER: &str = "job_id,ts,dates,hours,publisher_id,campaign_id,group_id,bid_set,clicks,spend_hour,\
     conversion,qualified_application,disqualified_application,company_id,sources\n";
/// The columns of the export of unattributed events.
pub const UNATTRIBUTED_HEADER: &str = "ts,custom_track,events\n";

/// Writes header and rows of the hourly table, joined with the companies, in the frame's order.
///
/// # Errors
/// When a column is missing or of another type, or writing fails.
pub fn export_csv(hourly: &DataFrame, writer: &mut impl Write) -> Result<()> {
    write_all(writer, HOURLY_HEADER.as_bytes())?;
    write_hourly_rows(hourly, writer)
}

/// Writes rows of the hourly table without header, for exports in parts.
///
/// # Errors
/// When a column is missing or of another type, or writing fails.
pub fn write_hourly_rows(hourly: &DataFrame, writer: &mut impl Write) -> Result<()> {
    let column = |name: &str| -> Result<&Int64Chunked> { Ok(hourly.column(name)?.i64()?) };
    let [jobs, times, publishers, campaigns, groups] = KEYS.map(column);
    let (jobs, times, dimensions) = (jobs?, times?, [publishers?, campaigns?, groups?]);
    let (clicks, spends) = (column(CLICKS)?, column(SPEND_HOUR)?);
    let rest = [column(CONVERSION)?, column(QUALIFIED)?, column(DISQUALIFIED)?, column(COMPANY_ID)?];
    let mut out = Vec::new();
    for row in 0..hourly.height() {
        let time_us = times.get(row).ok_or_else(|| Error::data(format!("an hourly row has no `{TS}`")))?;
        integer(jobs.get(row), &mut out);
        out.push(b',');
        civil::write_timestamp(time_us, &mut out);
        out.push(b',');
        civil::write_date(civil::date(time_us), &mut out);
        out.push(b',');
        integer(Some(civil::hour_of_day(time_us).into()), &mut out);
        for dimension in dimensions {
            out.push(b',');
            integer(dimension.get(row), &mut out);
        }
        let (clicks, spend) = (clicks.get(row), spends.get(row));
        out.push(b',');
        money(clicks.zip(spend).and_then(|(clicks, spend)| decimal::average_cents(spend, clicks)), &mut out);
        out.push(b',');
        integer(clicks, &mut out);
        out.push(b',');
        money(spend.map(decimal::cents), &mut out);
        for value in rest {
            out.push(b',');
            integer(value.get(row), &mut out);
        }
        out.push(b',');
        out.extend_from_slice(SOURCES.as_bytes());
        out.push(b'\n');
    }
    write_all(writer, &out)
}

/// Writes header and rows of the table of unattributed events, in the frame's order.
///
/// # Errors
/// When a column is missing or of another type, or writing fails.
pub fn export_unattributed_csv(unattributed: &DataFrame, writer: &mut impl Write) -> Result<()> {
    let times = unattributed.column(TS)?.i64()?;
    let names = unattributed.column(CUSTOM_TRACK)?.str()?;
    let events = unattributed.column(EVENTS)?.i64()?;
    let mut out = UNATTRIBUTED_HEADER.as_bytes().to_vec();
    for ((time_us, name), events) in times.iter().zip(names.iter()).zip(events.iter()) {
        if let Some(time_us) = time_us {
            civil::write_timestamp(time_us, &mut out);
        }
        out.push(b',');
        out.extend_from_slice(name.unwrap_or_default().as_bytes());
        out.push(b',');
        integer(events, &mut out);
        out.push(b'\n');
    }
    write_all(writer, &out)
}

fn integer(value: Option<i64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        decimal::write_integer(value, out);
    }
}

fn money(cents: Option<i64>, out: &mut Vec<u8>) {
    if let Some(cents) = cents {
        decimal::write_cents(cents, out);
    }
}

fn write_all(writer: &mut impl Write, bytes: &[u8]) -> Result<()> {
    writer.write_all(bytes).map_err(|error| Error::external("cannot write the export", error))
}
