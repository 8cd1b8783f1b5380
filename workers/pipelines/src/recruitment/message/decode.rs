//! Reads messages: every one becomes an event or is refused with a reason.
//!
//! Numbers are read from their text, never through doubles. Unknown fields are ignored. A field that
//! comes twice makes the message invalid, since readers would disagree about which one counts.

use std::borrow::Cow;

use headrace_core::Result;
use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, VALUE};
use headrace_transforms::decimal::Number;
use headrace_transforms::{civil, time_uuid};
use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::recruitment::classes::Class;
use crate::recruitment::columns::MAX_BID_MICROS;
use crate::recruitment::event::{Event, EventFrame};
use crate::recruitment::reason::{Reason, Refusal};

/// A refused message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedMessage {
    /// The partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Why it was refused.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value as it came.
    pub raw: Option<Vec<u8>>,
}

/// The events of a batch of messages, and the refused messages.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// One row for each event, in message order; columns as in [`crate::recruitment::event`].
    pub events: DataFrame,
    /// The event id of each event; `None` from a producer that sends none (see [`super::place_id`]).
    pub ids: Vec<Option<[u8; 16]>>,
    /// The offset of each event in its partition.
    pub offsets: Vec<i64>,
    /// The refused messages, in message order.
    pub rejected: Vec<RejectedMessage>,
}

/// Decodes a frame of raw messages.
///
/// # Errors
/// When a column of the frame is missing or of another type.
pub fn decode(frame: &DataFrame) -> Result<Decoded> {
    let keys = frame.column(KEY)?.binary()?.iter();
    let values = frame.column(VALUE)?.binary()?.iter();
    let partitions = frame.column(PARTITION)?.i32()?.iter();
    let offsets = frame.column(OFFSET)?.i64()?.iter();
    let mut events = EventFrame::default();
    let mut ids = Vec::with_capacity(frame.height());
    let mut numbers = Vec::with_capacity(frame.height());
    let mut rejected = Vec::new();
    for ((key, raw), (partition, offset)) in keys.zip(values).zip(partitions.zip(offsets)) {
        let (partition, offset) = (partition.unwrap_or_default(), offset.unwrap_or_default());
        match read(raw.unwrap_or_default(), partition) {
            Ok((id, event)) => {
                ids.push(id);
                numbers.push(offset);
                events.push(&event);
            }
            Err(Refusal { reason, detail }) => rejected.push(RejectedMessage {
                partition,
                offset,
                reason,
                detail,
                key: key.map(<[u8]>::to_vec),
                raw: raw.map(<[u8]>::to_vec),
            }),
        }
    }
    Ok(Decoded { events: events.finish()?, ids, offsets: numbers, rejected })
}

/// 1582-10-15, where the times of UUIDs begin.
const FIRST_TIME_US: i64 = -12_219_292_800_000_000;

/// The fields of a message as they are written; null is none.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    job_id: Option<&'a RawValue>,
    #[serde(borrow)]
    custom_track: Option<&'a RawValue>,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    campaign_id: Option<&'a RawValue>,
    #[serde(borrow)]
    group_id: Option<&'a RawValue>,
    #[serde(borrow)]
    publisher_id: Option<&'a RawValue>,
}

/// Reads one message, checking in the order in which reasons take precedence.
fn read(value: &[u8], partition: i32) -> Result<(Option<[u8; 16]>, Event), Refusal> {
    if value.is_empty() {
        return Err(Refusal::new(Reason::EmptyMessage, ""));
    }
    let value = std::str::from_utf8(value)
        .map_err(|error| Refusal::new(Reason::NotUtf8, format!("byte {}", error.valid_up_to())))?;
    // serde would take an array as the fields in their order.
    if !value.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(Refusal::new(Reason::BadJson, "not an object"));
    }
    let fields: Fields<'_> =
        serde_json::from_str(value).map_err(|error| Refusal::new(Reason::BadJson, error.to_string()))?;
    let custom_track = fields
        .custom_track
        .map(|raw| text(raw).ok_or_else(|| Refusal::new(Reason::BadJson, format!("custom_track={}", raw.get()))));
    let custom_track = custom_track.transpose()?;
    let raw_ts = fields.ts.ok_or_else(|| Refusal::new(Reason::MissingTs, ""))?;
    let ts = text(raw_ts).and_then(|ts| civil::parse_timestamp(ts.as_bytes()));
    // Version 1 UUIDs begin there; a message without one must not bring times that a store cannot hold.
    let ts = ts.filter(|ts| *ts >= FIRST_TIME_US).ok_or_else(|| Refusal::new(Reason::BadTs, shown(raw_ts)))?;
    let id = fields.event_id.map(event_id).transpose()?;
    let bid = fields.bid.map(amount).transpose()?;
    let campaign_id = identifier("campaign_id", fields.campaign_id)?;
    let group_id = identifier("group_id", fields.group_id)?;
    let job_id = identifier("job_id", fields.job_id)?;
    let publisher_id = identifier("publisher_id", fields.publisher_id)?;
    if let Some((_, true)) = bid {
        let bid = fields.bid.map_or("", RawValue::get);
        return Err(Refusal::new(Reason::NegativeBid, format!("bid={bid}")));
    }
    if let Some(id) = &id {
        let event_time_us = time_uuid::event_time_us(id);
        if (event_time_us - ts).abs() >= civil::SECOND_US {
            let detail = format!("event_id says {}", civil::timestamp_text(event_time_us));
            return Err(Refusal::new(Reason::TimeMismatch, detail));
        }
    }
    let class = Class::of(custom_track.as_deref(), job_id.is_some());
    let bid_micros = bid.map_or(0, |(micros, _)| micros);
    Ok((id, Event { partition, ts, job_id, publisher_id, campaign_id, group_id, bid_micros, class }))
}

/// Gives the text of a JSON string; `None` for any other value.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

fn event_id(raw: &RawValue) -> Result<[u8; 16], Refusal> {
    let id = text(raw).and_then(|text| time_uuid::parse(text.as_bytes()));
    let id = id.ok_or_else(|| Refusal::new(Reason::BadEventId, shown(raw)))?;
    if !time_uuid::is_time_uuid(&id) {
        return Err(Refusal::new(Reason::NotTimeUuid, shown(raw)));
    }
    Ok(id)
}

/// Reads the bid: its millionths, and whether it is below zero.
fn amount(raw: &RawValue) -> Result<(i64, bool), Refusal> {
    let number = Number::parse(raw.get().as_bytes());
    let amount = number
        .and_then(|number| Some((number.micros().filter(|micros| *micros <= MAX_BID_MICROS)?, number.is_negative())));
    amount.ok_or_else(|| Refusal::new(Reason::BadNumber, format!("bid={}", raw.get())))
}

fn identifier(name: &str, raw: Option<&RawValue>) -> Result<Option<i64>, Refusal> {
    let Some(raw) = raw else { return Ok(None) };
    let identifier = Number::parse(raw.get().as_bytes()).and_then(|number| number.identifier().ok());
    let refusal = || Refusal::new(Reason::BadIdentifier, format!("{name}={}", raw.get()));
    identifier.ok_or_else(refusal).map(Some)
}

/// Gives a value as a dead letter shows it: a string without its quotes, anything else as it is.
fn shown(raw: &RawValue) -> Cow<'_, str> {
    text(raw).unwrap_or(Cow::Borrowed(raw.get()))
}
