//! Why an event is refused: the words of the contract.

/// A refusal: the reason, and what exactly was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What was wrong, for people.
    pub detail: String,
}

macro_rules! reasons {
    ($($name:ident = $word:literal: $meaning:literal),* $(,)?) => {
        /// The reason of a refusal, in the order in which events are checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in tables and messages.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The reason that a word stands for.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }

            /// The counter's name.
            pub fn counter(self) -> &'static str {
                match self { $(Self::$name => concat!("dead_letter:", $word),)* }
            }
        }
    };
}

reasons! {
    EmptyValue = "empty_value": "No value, or no bytes.",
    NotUtf8 = "not_utf8": "Bytes that are no UTF-8.",
    BadJson = "bad_json": "No JSON.",
    NotAnObject = "not_an_object": "JSON, but no object.",
    MissingEventType = "missing_event_type": "No event type.",
    UnknownEventType = "unknown_event_type": "None of the three event types.",
    MissingUserId = "missing_user_id": "No user.",
    BadUserId = "bad_user_id": "A user id that is neither a whole number nor a text.",
    MissingProductId = "missing_product_id": "No product.",
    BadProductId = "bad_product_id": "A product id that is neither a whole number nor a text.",
    MissingTimestamp = "missing_timestamp": "No event time.",
    BadTimestamp = "bad_timestamp": "An event time that does not follow the grammar or does not exist.",
    FutureTimestamp = "future_timestamp": "An event time later than its arrival allows.",
    TooOld = "too_old": "An event time longer ago than ids are remembered.",
    MissingPrice = "missing_price": "A purchase without price.",
    BadPrice = "bad_price": "A price that is no number, out of range, or not exact in four decimals.",
    BadCategory = "bad_category": "A category that is no text.",
    ConflictingDuplicate = "conflicting_duplicate": "The id of an earlier event, with other content.",
}

impl Reason {
    /// A refusal for this reason.
    pub fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal { reason: self, detail: detail.into() }
    }
}
