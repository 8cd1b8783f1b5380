//! Writes raw rows as messages: key, the decimal job id; value, the JSON object.
//!
//! The raw store may hold rows that Headrace did not write. What cannot be a valid identifier or
//! amount is written as it is (`10.5`, `"NaN"`), so that the consumer refuses the message with a
//! reason and nothing disappears on the way.

use headrace_core::batch::message_columns::{KEY, VALUE};
use headrace_core::{Error, Result};
use headrace_transforms::{civil, decimal, time_uuid};
use polars::prelude::{BinaryChunkedBuilder, DataFrame, Float64Chunked, IntoColumn};

use crate::recruitment::columns::{BID, CAMPAIGN_ID, CREATE_TIME, CUSTOM_TRACK, GROUP_ID, JOB_ID, PUBLISHER_ID};

/// Whole doubles up to here are written as integers.
const MAX_WHOLE: f64 = decimal::MAX_IDENTIFIER as f64;

/// Encodes raw rows as messages, in the same order: columns `key` (null without a job) and `value`.
///
/// # Errors
/// When a column is missing or of another type, or a row has no 16-byte event id.
pub fn encode(rows: &DataFrame) -> Result<DataFrame> {
    let double = |name: &str| -> Result<&Float64Chunked> { Ok(rows.column(name)?.f64()?) };
    let (jobs, bids) = (double(JOB_ID)?, double(BID)?);
    let (campaigns, groups, publishers) = (double(CAMPAIGN_ID)?, double(GROUP_ID)?, double(PUBLISHER_ID)?);
    let ids = rows.column(CREATE_TIME)?.binary()?.iter();
    let names = rows.column(CUSTOM_TRACK)?.str()?.iter();
    let amounts = jobs.iter().zip(bids.iter());
    let dimensions = campaigns.iter().zip(groups.iter()).zip(publishers.iter());
    let mut keys = BinaryChunkedBuilder::new(KEY.into(), rows.height());
    let mut values = BinaryChunkedBuilder::new(VALUE.into(), rows.height());
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for (row, (((id, name), (job, bid)), ((campaign, group), publisher))) in
        ids.zip(names).zip(amounts).zip(dimensions).enumerate()
    {
        let id = id.and_then(|id| <&[u8; 16]>::try_from(id).ok());
        let id = id.ok_or_else(|| Error::data(format!("raw row {row} of a batch has no 16-byte `{CREATE_TIME}`")))?;
        key.clear();
        write_identifier(job, &mut key);
        value.clear();
        value.extend_from_slice(b"{\"event_id\":\"");
        value.extend_from_slice(&time_uuid::format(id));
        value.extend_from_slice(b"\",\"ts\":\"");
        civil::write_timestamp(time_uuid::event_time_us(id), &mut value);
        value.extend_from_slice(b"\",\"job_id\":");
        value.extend_from_slice(&key);
        value.extend_from_slice(b",\"custom_track\":");
        write_text(name, &mut value)?;
        value.extend_from_slice(b",\"bid\":");
        write_amount(bid, &mut value);
        for (name, identifier) in [("campaign", campaign), ("group", group), ("publisher", publisher)] {
            value.extend_from_slice(b",\"");
            value.extend_from_slice(name.as_bytes());
            value.extend_from_slice(b"_id\":");
            write_identifier(identifier, &mut value);
        }
        value.push(b'}');
        keys.append_option(job.map(|_| &key));
        values.append_value(&value);
    }
    Ok(DataFrame::new(rows.height(), vec![keys.finish().into_column(), values.finish().into_column()])?)
}

/// Bytes of an event name that a message carries.
const LONGEST_NAME: usize = 1_000;

fn write_text(text: Option<&str>, out: &mut Vec<u8>) -> Result<()> {
    match text.filter(|text| !text.is_empty()) {
        None => out.extend_from_slice(b"null"),
        Some(text) => {
            // Event names are short; a text that is none must not make a message too large to send.
            let end = text.floor_char_boundary(LONGEST_NAME);
            serde_json::to_writer(out, &text[..end]).map_err(|error| Error::data(error.to_string()))?;
        }
    }
    Ok(())
}

fn write_identifier(value: Option<f64>, out: &mut Vec<u8>) {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() <= MAX_WHOLE => decimal::write_integer(value as i64, out),
        other => write_double(other, out),
    }
}

/// Writes an amount with a decimal point: `1.0`, `0.005`.
fn write_amount(value: Option<f64>, out: &mut Vec<u8>) {
    match value {
        Some(value) if value.fract() == 0.0 && value.abs() <= MAX_WHOLE => {
            decimal::write_integer(value as i64, out);
            out.extend_from_slice(b".0");
        }
        other => write_double(other, out),
    }
}

/// Writes the shortest decimal that reads back as the same double.
fn write_double(value: Option<f64>, out: &mut Vec<u8>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(value) if value.is_finite() => out.extend_from_slice(format!("{value:?}").as_bytes()),
        Some(value) => out.extend_from_slice(format!("\"{value}\"").as_bytes()),
    }
}
