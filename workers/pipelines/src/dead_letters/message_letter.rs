//! Refused messages of a topic as messages: key as it came, value the JSON object of the contract with the raw text verbatim. What is
//! so large that a broker would refuse the message is cut, or for a key left out, and `truncated` is set; the table has all of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headrace_core::{Error, Result};
use headrace_transforms::civil;
use polars::prelude::DataFrame;
use serde::Serialize;

use super::limits::{self, LONGEST_DETAIL, LONGEST_KEY, LONGEST_RAW};

/// A refused message: where it was, what it was, and why it was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLetter<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) raw: Option<&'a [u8]>,
    pub(crate) reason: &'a str,
    pub(crate) detail: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    reason: &'a str,
    detail: &'a str,
    /// The text; null for bytes that are no UTF-8, which are beside it, and for a message without value.
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    failed_at: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

fn json(letter: &MessageLetter<'_>, failed_at: &str) -> Result<String> {
    let text = letter.raw.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let bytes = letter.raw.filter(|_| text.is_none());
    let message = Message {
        topic: letter.topic,
        partition: letter.partition,
        offset: letter.offset,
        reason: letter.reason,
        detail: &letter.detail[..letter.detail.floor_char_boundary(LONGEST_DETAIL)],
        raw: text.map(|text| &text[..text.floor_char_boundary(LONGEST_RAW)]),
        raw_base64: bytes.map(|bytes| STANDARD.encode(&bytes[..bytes.len().min(LONGEST_RAW)])),
        failed_at,
        truncated: letter.raw.is_some_and(|bytes| bytes.len() > LONGEST_RAW)
            || letter.key.is_some_and(|key| key.len() > LONGEST_KEY),
    };
    serde_json::to_string(&message).map_err(|error| Error::data(format!("cannot write a dead letter as JSON: {error}")))
}

/// Gives messages (columns `key`, `value`) of refused messages.
///
/// # Errors
/// When the frame cannot be built.
pub(crate) fn frame<'a>(letters: impl Iterator<Item = MessageLetter<'a>>, failed_at_us: i64) -> Result<DataFrame> {
    let failed_at = format!("{}Z", civil::timestamp_text(failed_at_us).replace(' ', "T"));
    limits::frame(letters.map(|letter| (letter.key, json(&letter, &failed_at))))
}

#[cfg(test)]
mod tests {
    use headrace_core::batch::message_columns::VALUE;

    use super::{LONGEST_RAW, MessageLetter, frame};

    fn letter(raw: Option<&[u8]>) -> serde_json::Value {
        let (reason, detail) = ("bad_json", "expected value");
        let letter = MessageLetter { topic: "t", partition: 2, offset: 7, key: Some(b"1"), raw, reason, detail };
        let frame = frame(std::iter::once(letter), 1_737_000_000_000_000).unwrap();
        serde_json::from_slice(frame.column(VALUE).unwrap().binary().unwrap().get(0).unwrap()).unwrap()
    }

    #[test]
    fn the_members_are_those_of_the_contract() {
        let text = letter(Some("{\"ä".as_bytes()));
        let expected = serde_json::json!({ "topic": "t", "partition": 2, "offset": 7, "reason": "bad_json",
            "detail": "expected value", "raw": "{\"ä", "failed_at": "2025-01-16T04:00:00Z" });
        assert_eq!(text, expected);
        let bytes = letter(Some(b"\xff\xfe"));
        assert_eq!((&bytes["raw"], &bytes["raw_base64"]), (&serde_json::Value::Null, &"//4=".into()));
        let tombstone = letter(None);
        assert!(tombstone["raw"].is_null() && tombstone.get("raw_base64").is_none());
        let long = letter(Some(&vec![b'x'; LONGEST_RAW + 1]));
        assert_eq!((long["raw"].as_str().unwrap().len(), &long["truncated"]), (LONGEST_RAW, &true.into()));
    }
}
