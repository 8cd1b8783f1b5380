//! Dead letters as messages: key as it came, value the JSON object of the contract with the raw text verbatim.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headrace_core::{Error, Result};
use headrace_transforms::civil;
use polars::prelude::DataFrame;
use serde::Serialize;

use super::decode::Refused;
use crate::dead_letters::limits::{self, LONGEST_DETAIL, LONGEST_KEY, LONGEST_RAW};

#[derive(Serialize)]
struct Message<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    reason: &'a str,
    detail: &'a str,
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    failed_at: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

fn json(event: &Refused, failed_at: &str) -> Result<String> {
    let bytes = event.raw.as_deref();
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let detail = &event.refusal.detail;
    let message = Message {
        topic: &event.place.topic,
        partition: event.place.partition,
        offset: event.place.offset,
        reason: event.refusal.reason.as_str(),
        detail: &detail[..detail.floor_char_boundary(LONGEST_DETAIL)],
        raw: text.map(|text| &text[..text.floor_char_boundary(LONGEST_RAW)]),
        raw_base64: bytes
            .filter(|_| text.is_none())
            .map(|bytes| STANDARD.encode(&bytes[..bytes.len().min(LONGEST_RAW)])),
        failed_at,
        truncated: bytes.is_some_and(|bytes| bytes.len() > LONGEST_RAW)
            || event.key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY),
    };
    serde_json::to_string(&message).map_err(|error| Error::data(format!("cannot write a dead letter as JSON: {error}")))
}

/// Gives messages (columns `key`, `value`) of refused events.
///
/// # Errors
/// When the frame cannot be built.
pub(super) fn frame<'a>(refused: impl Iterator<Item = &'a Refused>, failed_at_us: i64) -> Result<DataFrame> {
    let failed_at = format!("{}Z", civil::timestamp_text(failed_at_us).replace(' ', "T"));
    limits::frame(refused.map(|event| (event.key.as_deref(), json(event, &failed_at))))
}
