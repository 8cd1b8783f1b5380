//! Joins of two kinds of events of one key by their distance in event time.
//!
//! - [`IntervalJoin`] pairs lefts and rights (additions to the cart and purchases, orders and payments): all pairs, told
//!   when their second member comes, and one-to-one attribution, decided when the watermark has passed.
//! - [`Coverage`] tells the lefts that have a right near them at all, when rights are many and which one does not matter.
//!
//! Each holds the state of one key and is packed to a few bytes an event, so that a caller keeps as many of them in a
//! store as it has keys. Events may come in any order; results do not depend on it, nor on where batches are cut, as long
//! as the caller leaves out what its watermark calls late. Copies of an event must be out before.
//!
//! ```
//! # use headrace_transforms::join::{Event, EventId, Interval, IntervalJoin};
//! # use headrace_transforms::packed::Packed;
//! let event = |time_us, id: &str| Event { time_us, id: EventId::new(id.as_bytes()), payload: Box::default() };
//! let within = Interval::new(0, 20 * 60_000_000)?;
//! let mut join = IntervalJoin::default();
//! assert!(join.left(&within, event(0, "cart")).is_empty());
//! let stored = join.to_bytes(); // … written with the batch, and read when the key comes again
//! let mut join = IntervalJoin::from_bytes(&stored)?;
//! assert_eq!(join.right(&within, event(5_000_000, "purchase")).len(), 1);
//! // The watermark passes the purchase, and what it has taken is certain.
//! assert_eq!(join.due_us(&within), Some(5_000_001));
//! assert_eq!(join.advance(&within, 5_000_001).attributions[0].left.id.to_string(), "cart");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod coverage;
mod event;
mod interval_join;
mod state;
#[cfg(test)]
mod tests;

pub use coverage::{Coverage, Uncovered};
pub use event::{Event, EventId};
pub use interval_join::{Advanced, Attribution, Expired, IntervalJoin, Pair};

/// How far a right may be from a left, both ends included: `left + lower <= right <= left + upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    lower_us: i64,
    upper_us: i64,
}

/// The bounds of an interval are the wrong way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is between {lower_us} µs and {upper_us} µs; the lower bound must not be above the upper one")]
pub struct BadInterval {
    /// The lower bound.
    pub lower_us: i64,
    /// The upper bound.
    pub upper_us: i64,
}

impl Interval {
    /// Makes an interval; a negative bound means that the right comes before the left.
    ///
    /// # Errors
    /// When the lower bound is above the upper one.
    pub fn new(lower_us: i64, upper_us: i64) -> Result<Self, BadInterval> {
        if lower_us > upper_us { Err(BadInterval { lower_us, upper_us }) } else { Ok(Self { lower_us, upper_us }) }
    }

    /// Says whether a left and a right match.
    pub fn holds(&self, left_us: i64, right_us: i64) -> bool {
        self.earliest_right(left_us) <= right_us && right_us <= self.latest_right(left_us)
    }

    /// Says whether a right is not too far behind a left to match it, though it may be too early.
    pub(crate) fn reaches(&self, left_us: i64, right_us: i64) -> bool {
        right_us <= self.latest_right(left_us)
    }

    /// The first time at which a right matches a left.
    fn earliest_right(&self, left_us: i64) -> i64 {
        left_us.saturating_add(self.lower_us)
    }

    /// The last time at which a right matches a left.
    fn latest_right(&self, left_us: i64) -> i64 {
        left_us.saturating_add(self.upper_us)
    }

    /// The time that the watermark must pass before all that can match a right, and all rights before it, have come.
    fn settled(&self, right_us: i64) -> i64 {
        right_us.saturating_add(self.lower_us.saturating_neg().max(0))
    }

    /// The time that the watermark must pass before no right can match a left, and all rights that do are settled.
    fn expired(&self, left_us: i64) -> i64 {
        self.settled(self.latest_right(left_us))
    }
}
