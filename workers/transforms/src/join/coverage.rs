//! Which lefts of one key have a mark near them: an addition to the cart after a view, say.
//!
//! A mark covers the times `[mark + lower, mark + upper]`. Only what is covered is kept, as intervals that are merged
//! when they touch, so a thousand marks close to each other cost as much as one. Lefts that nothing covers yet are kept,
//! so that a mark that comes later still counts. There is no watermark in this: the caller says what may be forgotten.
//!
//! Memory: the intervals and the uncovered lefts of the time that the caller has not had forgotten.

use super::Interval;

/// A left that no mark has covered yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uncovered {
    /// Event time in microseconds since 1970-01-01T00:00:00Z.
    pub time_us: i64,
    /// What the caller wants back with the left.
    pub payload: Box<[u8]>,
}

/// What marks cover, and the lefts outside, of one key; every call for a key must be given the same interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Both ends included, ascending, and never adjacent.
    pub(super) covered: Vec<(i64, i64)>,
    /// Ascending; none lies in an interval.
    pub(super) lefts: Vec<Uncovered>,
}

impl Coverage {
    /// Takes a mark, and gives the lefts that it is the first to cover, ascending; they are kept no longer.
    pub fn mark(&mut self, on: &Interval, time_us: i64) -> Vec<Uncovered> {
        let (mut from_us, mut to_us) = (on.earliest_right(time_us), on.latest_right(time_us));
        // Intervals that overlap this one or are adjacent to it become part of it.
        let first = self.covered.partition_point(|(_, end_us)| *end_us < from_us.saturating_sub(1));
        let merged = self.covered[first..].iter().take_while(|(start_us, _)| *start_us <= to_us.saturating_add(1));
        let merged = first..first + merged.count();
        if let [(start_us, end_us)] = self.covered[merged.clone()]
            && start_us <= from_us
            && to_us <= end_us
        {
            return Vec::new();
        }
        let lefts = self.lefts.partition_point(|left| left.time_us < from_us);
        let beyond = self.lefts.partition_point(|left| left.time_us <= to_us);
        for &(start_us, end_us) in &self.covered[merged.clone()] {
            from_us = from_us.min(start_us);
            to_us = to_us.max(end_us);
        }
        self.covered.splice(merged, [(from_us, to_us)]);
        self.lefts.drain(lefts..beyond).collect()
    }

    /// Takes a left, and says whether it is covered; if not, it is kept until a mark covers it or it is forgotten.
    pub fn left(&mut self, time_us: i64, payload: &[u8]) -> bool {
        let reaches = self.covered.partition_point(|(_, end_us)| *end_us < time_us);
        if self.covered.get(reaches).is_some_and(|(start_us, _)| *start_us <= time_us) {
            return true;
        }
        let left = Uncovered { time_us, payload: payload.into() };
        let place = self.lefts.partition_point(|old| *old <= left);
        self.lefts.insert(place, left);
        false
    }

    /// Forgets the intervals that end before a time and the lefts that lie before it, and gives the number of lefts.
    ///
    /// Nothing is lost if neither a left from before that time can come any more nor a mark that covers one.
    pub fn forget(&mut self, before_us: i64) -> usize {
        let ended = self.covered.partition_point(|(_, end_us)| *end_us < before_us);
        self.covered.drain(..ended);
        let gone = self.lefts.partition_point(|left| left.time_us < before_us);
        self.lefts.drain(..gone).count()
    }

    /// Gives the smallest time kept: with a later one, [`Coverage::forget`] has something to do.
    pub fn oldest_us(&self) -> Option<i64> {
        let end_us = self.covered.first().map(|(_, end_us)| *end_us);
        end_us.into_iter().chain(self.lefts.first().map(|left| left.time_us)).min()
    }

    /// Gives the uncovered lefts, ascending.
    pub fn lefts(&self) -> impl Iterator<Item = &Uncovered> {
        self.lefts.iter()
    }

    /// Says whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.covered.is_empty() && self.lefts.is_empty()
    }
}
