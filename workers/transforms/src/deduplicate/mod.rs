//! Exact de-duplication by time-based event id, however late the copy comes.
//!
//! Seen ids are kept packed: sorted [`Segment`]s of 13 bytes an id (plus `W` bytes of payload),
//! one list of segments per hour of event time. A segment is one blob in the caller's store, found
//! by hour and sequence number. A batch needs the segments of its hours only, and writes few of them:
//! new ids go into a new segment, and eight segments of similar size become one, so an id is
//! rewritten as often as its hour grows eightfold.
//!
//! The caller drives it, batch by batch:
//!
//! ```
//! # use headrace_transforms::deduplicate::{Batch, Seen, Verdict};
//! # let id = headrace_transforms::time_uuid::parse(b"5af328a0-0d60-11ed-90e9-7cd44fe229db").ok_or("id")?;
//! let mut seen = Seen::<0>::new(64 << 20);
//! let batch = Batch::new([(id, []), (id, [])]);
//! for hour in seen.missing(batch.hours()) {
//!     seen.load(hour, Vec::new()); // what the store holds for the hour
//! }
//! let verdicts = seen.check(&batch)?;
//! assert_eq!(verdicts, [Verdict::New, Verdict::Repeat(0)]);
//! let changes = seen.changes(&batch, &verdicts, 1)?;
//! // … write `put` and delete `drop` of each change together with the rows, then:
//! seen.apply(changes); // or, if that failed, let them go: nothing has changed here
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory: the segments of the hours used last, with one to two more bytes an id for a filter, up to the
//! budget; plus the hours of the current batch.
//! The sets are exact: there is no probability and no time limit in them.

mod batch;
mod filter;
mod key;
mod range;
mod seen;
mod segment;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Verdict};
pub use key::hour_of;
pub use range::Change;
pub use seen::Seen;
pub use segment::Segment;

/// Why seen ids cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The blob was written by another version, or is something else.
    #[error("blob of seen ids has format {found}, this program reads format {expected}")]
    UnknownFormat {
        /// What the blob begins with.
        found: String,
        /// What it should begin with.
        expected: String,
    },
    /// The blob has the right format but not the right content.
    #[error("blob of seen ids is damaged: {0}")]
    Damaged(&'static str),
    /// An hour was asked for whose segments have not been loaded.
    #[error("seen ids of hour {hour} (since 1970) are not loaded")]
    NotLoaded {
        /// The hour, counted since 1970.
        hour: i64,
    },
    /// New segments must have a higher sequence number than those they join.
    #[error("sequence {sequence} of new ids of hour {hour} (since 1970) is not above {newest}, the newest stored")]
    NotNewest {
        /// The hour, counted since 1970.
        hour: i64,
        /// The sequence number given.
        sequence: i64,
        /// The highest one present.
        newest: i64,
    },
}
