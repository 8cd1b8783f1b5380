//! Why a record of the log or a message of the topic is refused: the fixed words of dead letters.

/// A reason, as dead letters and counters spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The record has not as many fields as the header.
    ColumnCount,
    /// The record has no event id.
    MissingCreateTime,
    /// The event id is not a UUID.
    BadCreateTime,
    /// The id is a UUID, but not a time-based one of RFC 4122.
    NotTimeUuid,
    /// A numeric field holds no number, or one outside the range of its type.
    BadNumber,
    /// An identifier is negative, fractional, above 2^53, or (in a message) no number.
    BadIdentifier,
    /// The bid is below zero.
    NegativeBid,
    /// The event is stored already, with other content.
    ConflictingDuplicate,
    /// The message has no value.
    EmptyMessage,
    /// The message is not a JSON object of the expected kind.
    BadJson,
    /// The message has no event time.
    MissingTs,
    /// The event time is not `YYYY-MM-DD HH:MM:SS`.
    BadTs,
    /// The event id of the message is not a UUID.
    BadEventId,
    /// Event id and event time are a second or more apart.
    TimeMismatch,
}

impl Reason {
    /// Gives the word for the reason.
    pub fn as_str(self) -> &'static str {
        // The counter is the word with a fixed prefix.
        &self.counter()[Self::PREFIX.len()..]
    }

    /// Gives the name of the counter of such dead letters.
    pub fn counter(self) -> &'static str {
        match self {
            Self::NotUtf8 => "dead_letter:not_utf8",
            Self::ColumnCount => "dead_letter:column_count",
            Self::MissingCreateTime => "dead_letter:missing_create_time",
            Self::BadCreateTime => "dead_letter:bad_create_time",
            Self::NotTimeUuid => "dead_letter:not_time_uuid",
            Self::BadNumber => "dead_letter:bad_number",
            Self::BadIdentifier => "dead_letter:bad_identifier",
            Self::NegativeBid => "dead_letter:negative_bid",
            Self::ConflictingDuplicate => "dead_letter:conflicting_duplicate",
            Self::EmptyMessage => "dead_letter:empty_message",
            Self::BadJson => "dead_letter:bad_json",
            Self::MissingTs => "dead_letter:missing_ts",
            Self::BadTs => "dead_letter:bad_ts",
            Self::BadEventId => "dead_letter:bad_event_id",
            Self::TimeMismatch => "dead_letter:time_mismatch",
        }
    }

    const PREFIX: &'static str = "dead_letter:";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A reason with what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What exactly was wrong: the offending text, where there is one.
    pub detail: String,
}

/// Bytes of a detail. The offending text may be as long as its record, which is kept whole beside it.
const LONGEST_DETAIL: usize = 1_000;

impl Refusal {
    /// Makes a refusal; a long detail is cut.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > LONGEST_DETAIL {
            detail.truncate(detail.floor_char_boundary(LONGEST_DETAIL));
            detail.push('…');
        }
        Self { reason, detail }
    }
}
