//! Events as the joins keep them: a time, a compact id, and bytes of the caller.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

use crate::packed::{self, Damaged};
use crate::time_uuid;

/// The id of an event: 16 bytes for a UUID in canonical (lower-case) text, the text itself otherwise.
///
/// Ids are ordered as their texts are, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<[u8]>),
}

impl EventId {
    /// Makes an id of its text.
    pub fn new(text: &[u8]) -> Self {
        match time_uuid::parse(text) {
            Some(id) if !text.iter().any(u8::is_ascii_uppercase) => Self(Form::Uuid(id)),
            _ => Self(Form::Text(text.into())),
        }
    }

    /// Gives the text.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Uuid(id) => time_uuid::format(id).to_vec(),
            Form::Text(text) => text.to_vec(),
        }
    }
}

impl Ord for EventId {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Digits are in the order of their values, and hyphens are where the other's are.
            (Form::Uuid(a), Form::Uuid(b)) => a.cmp(b),
            (Form::Text(a), Form::Text(b)) => a.cmp(b),
            (Form::Uuid(a), Form::Text(b)) => time_uuid::format(a)[..].cmp(b),
            (Form::Text(a), Form::Uuid(b)) => a[..].cmp(&time_uuid::format(b)),
        }
    }
}

impl PartialOrd for EventId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Display for EventId {
    /// Writes the text; bytes that are not UTF-8 are replaced.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

/// An event of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event time in microseconds since 1970-01-01T00:00:00Z.
    pub time_us: i64,
    /// Its id, which decides between events of the same time.
    pub id: EventId,
    /// What the caller wants back with the event; if empty, it costs nothing.
    pub payload: Box<[u8]>,
}

/// An event in the state of a join, with what has happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) event: Event,
    pub(super) marks: u8,
}

/// The left is attributed, or the right has been decided.
pub(super) const SETTLED: u8 = 1;
/// The left is in a pair.
pub(super) const PAIRED: u8 = 2;
/// The left has been reported as overdue.
pub(super) const REPORTED: u8 = 4;
const MARKS: u8 = SETTLED | PAIRED | REPORTED;
const IS_UUID: u8 = 8;
const HAS_PAYLOAD: u8 = 16;

impl Held {
    pub(super) fn new(event: Event) -> Self {
        Self { event, marks: 0 }
    }

    pub(super) fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let Event { id, payload, .. } = &self.event;
        let is_uuid = if matches!(id.0, Form::Uuid(_)) { IS_UUID } else { 0 };
        let has_payload = if payload.is_empty() { 0 } else { HAS_PAYLOAD };
        out.push(self.marks | is_uuid | has_payload);
        match &id.0 {
            Form::Uuid(id) => out.extend_from_slice(id),
            Form::Text(text) => packed::put_bytes(out, text),
        }
        if !payload.is_empty() {
            packed::put_bytes(out, payload);
        }
    }

    pub(super) fn take(input: &mut &[u8], time_us: i64) -> Result<Self, Damaged> {
        let head = packed::take_byte(input)?;
        if head & !(MARKS | IS_UUID | HAS_PAYLOAD) != 0 {
            return Err(Damaged("an event has unknown marks"));
        }
        let id = if head & IS_UUID != 0 {
            let (id, rest) = input.split_first_chunk().ok_or(Damaged("it ends too early"))?;
            *input = rest;
            EventId(Form::Uuid(*id))
        } else {
            EventId(Form::Text(packed::take_bytes(input)?.into()))
        };
        let payload = if head & HAS_PAYLOAD != 0 { packed::take_bytes(input)?.into() } else { Box::default() };
        Ok(Self { event: Event { time_us, id, payload }, marks: head & MARKS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "8e70888d-f6a2-45e3-bf58-cf077d96b2cd";

    #[test]
    fn canonical_ids_are_compact() {
        let packed = |text: &str| {
            let event = Event { time_us: 0, id: EventId::new(text.as_bytes()), payload: Box::default() };
            let mut out = Vec::new();
            Held::new(event).put(&mut out);
            out.len()
        };
        assert_eq!([packed(UUID), packed(&UUID.to_uppercase()), packed("A-1")], [17, 38, 5]);
    }

    proptest! {
        #[test]
        fn ids_come_back_and_are_ordered_as_texts(
            a in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-F]{8}-[0-9a-f-]{27}|.{0,40}",
            b in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-F]{8}-[0-9a-f-]{27}|.{0,40}",
        ) {
            let (one, other) = (EventId::new(a.as_bytes()), EventId::new(b.as_bytes()));
            prop_assert_eq!(one.bytes(), a.as_bytes());
            prop_assert_eq!(one.to_string(), a.clone());
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one == other, a == b);
        }
    }
}
