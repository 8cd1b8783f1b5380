//! Dead letters as messages: key as it came, value a JSON object with the raw text verbatim. What is so large that a broker
//! would refuse the message is cut, or for a key left out, and `truncated` is set.

use headrace_core::Result;
use headrace_core::dead_letter::DeadLetter;
use headrace_transforms::civil;
use polars::prelude::DataFrame;
use serde::Serialize;

use super::limits::{self, LONGEST_DETAIL, LONGEST_KEY, LONGEST_RAW};

#[derive(Serialize)]
struct Message<'a> {
    source: &'a str,
    position: &'a str,
    reason: &'a str,
    detail: &'a str,
    /// The text; for bytes that are no UTF-8 with replacement characters, and the bytes beside it.
    raw: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_hex: Option<String>,
    failed_at: String,
    /// Set when the raw text is cut or the key left out; the table has all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Gives the value of a dead letter's message.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(letter: &DeadLetter) -> Result<String> {
    let whole = letter.raw.as_deref();
    let bytes = whole.map(|bytes| &bytes[..bytes.len().min(LONGEST_RAW)]);
    let is_text = whole.is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
    let message = Message {
        source: &letter.source,
        position: &letter.position,
        reason: &letter.reason,
        detail: &letter.detail[..letter.detail.floor_char_boundary(LONGEST_DETAIL)],
        truncated: whole.is_some_and(|bytes| bytes.len() > LONGEST_RAW)
            || letter.key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY),
        raw: bytes.map(String::from_utf8_lossy),
        raw_hex: bytes.filter(|_| !is_text).map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        failed_at: civil::timestamp_text(letter.failed_at_us),
    };
    serde_json::to_string(&message)
        .map_err(|error| headrace_core::Error::data(format!("cannot write a dead letter as JSON: {error}")))
}

/// Gives messages (columns `key`, `value`) of dead letters.
///
/// # Errors
/// When the frame cannot be built.
pub fn frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    limits::frame(letters.iter().map(|letter| (letter.key.as_deref(), json(letter))))
}
