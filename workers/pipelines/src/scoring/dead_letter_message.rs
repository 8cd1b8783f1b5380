//! Dead letters as messages: key as it came, value the JSON object of the contract with the raw text verbatim. What is so large
//! that a broker would refuse the message is cut, or for a key left out, and `truncated` is set; the table has all of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headrace_core::{Error, Result};
use headrace_transforms::civil;
use polars::prelude::DataFrame;
use serde::Serialize;

use super::scored::RefusedMessage;
use crate::dead_letters::limits::{self, LONGEST_DETAIL, LONGEST_KEY, LONGEST_RAW};

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

/// Gives the value of a refused message's dead letter.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(topic: &str, message: &RefusedMessage, failed_at_us: i64) -> Result<String> {
    let failed_at = format!("{}Z", civil::timestamp_text(failed_at_us).replace(' ', "T"));
    let bytes = message.raw.as_deref();
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let detail = &message.refusal.detail;
    let value = Message {
        topic,
        partition: message.partition,
        offset: message.offset,
        reason: message.refusal.reason,
        detail: &detail[..detail.floor_char_boundary(LONGEST_DETAIL)],
        raw: text.map(|text| &text[..text.floor_char_boundary(LONGEST_RAW)]),
        raw_base64: bytes
            .filter(|_| text.is_none())
            .map(|bytes| STANDARD.encode(&bytes[..bytes.len().min(LONGEST_RAW)])),
        failed_at: &failed_at,
        truncated: bytes.is_some_and(|bytes| bytes.len() > LONGEST_RAW)
            || message.key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY),
    };
    serde_json::to_string(&value).map_err(|error| Error::data(format!("cannot write a dead letter as JSON: {error}")))
}

/// Gives messages (columns `key`, `value`) of refused messages.
///
/// # Errors
/// When the frame cannot be built.
pub fn frame(topic: &str, refused: &[RefusedMessage], failed_at_us: i64) -> Result<DataFrame> {
    limits::frame(refused.iter().map(|message| (message.key.as_deref(), json(topic, message, failed_at_us))))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_RAW, json};
    use crate::scoring::registration::Refusal;
    use crate::scoring::scored::RefusedMessage;

    fn letter(raw: Option<&[u8]>) -> serde_json::Value {
        let refusal = Refusal { reason: "bad_json", detail: "expected value".to_owned() };
        let raw = raw.map(<[u8]>::to_vec);
        let message = RefusedMessage { partition: 2, offset: 7, key: Some(b"1".to_vec()), raw, refusal };
        serde_json::from_str(&json("t", &message, 1_737_000_000_000_000).unwrap()).unwrap()
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
