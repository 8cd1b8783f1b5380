//! Windows, joins and de-duplication on whole frames: for those who have a table and no stream.
//!
//! The rows of a frame are events in their order of arrival. Nothing is dropped: an event that a watermark calls late is
//! summed in columns of its own, and a copy goes into a frame of its own. The answers are those of the streaming pieces
//! ([`crate::window`], [`crate::watermark`], [`crate::join`]) on the same events, however a stream of them is cut.
//!
//! Times are timestamps of any unit, read to the microsecond, or integers in microseconds. Keys may be text, numbers, booleans,
//! bytes or times; NaN is no value. Sums of integers are exact or an error; those of floats are taken in row order.
//!
//! Memory: the frames, a few numbers for each row, and what comes out.

mod aggregate;
mod columns;
mod distinct;
mod keys;
mod matches;
#[cfg(test)]
mod tests;
mod windows;

pub use aggregate::{Aggregation, Function};
pub use distinct::{Deduplicated, deduplicate};
pub use matches::{Matching, attribute, interval_join};
pub use windows::{Windowing, session, sliding, tumbling};

use polars::error::PolarsError;

/// Why a frame cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense, whatever the frame.
    #[error("{0}")]
    Settings(String),
    /// The frame does not have what was asked for.
    #[error("{0}")]
    Data(String),
}

impl Error {
    fn data(text: impl Into<String>) -> Self {
        Self::Data(text.into())
    }
}

impl From<PolarsError> for Error {
    /// What Polars refuses is a fault of the frame at hand.
    fn from(error: PolarsError) -> Self {
        Self::Data(format!("cannot work on the table: {error}"))
    }
}

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
