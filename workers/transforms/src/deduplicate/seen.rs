//! The cache of seen ids: hours used last stay in memory, up to a budget.

use std::collections::HashMap;

use super::range::{Change, SeenRange};
use super::{Batch, Error, Segment, Verdict};

/// Counted for each hour on top of its segments: its place in the map.
const RANGE_BYTES: usize = 128;

/// The ids seen, by hour, as far as they have been loaded.
///
/// Only one batch at a time may be between [`check`](Self::check) and [`apply`](Self::apply):
/// the next one would not know its ids.
#[derive(Debug)]
pub struct Seen<const W: usize> {
    ranges: HashMap<i64, Cached<W>, foldhash::fast::RandomState>,
    budget_bytes: usize,
    used_bytes: usize,
    /// Counts batches; a range's stamp tells when it was used last.
    now: u64,
}

#[derive(Debug)]
struct Cached<const W: usize> {
    range: SeenRange<W>,
    bytes: usize,
    used: u64,
}

impl<const W: usize> Seen<W> {
    /// Makes an empty cache that keeps up to a number of bytes between batches.
    pub fn new(budget_bytes: usize) -> Self {
        Self { ranges: HashMap::default(), budget_bytes, used_bytes: 0, now: 0 }
    }

    /// Gives the hours that have to be loaded before a batch with these hours can be checked.
    ///
    /// It begins a batch: hours unused for longest are let go if the budget is exceeded, but none of these.
    pub fn missing(&mut self, hours: &[i64]) -> Vec<i64> {
        self.now += 1;
        let mut missing = Vec::new();
        for &hour in hours {
            match self.ranges.get_mut(&hour) {
                Some(cached) => cached.used = self.now,
                None => missing.push(hour),
            }
        }
        self.evict();
        missing
    }

    /// Takes over the segments that the store holds for an hour (none, if it holds none), with their sequence numbers.
    pub fn load(&mut self, hour: i64, segments: Vec<(i64, Segment<W>)>) {
        self.forget(&[hour]);
        let range = SeenRange::new(segments);
        let bytes = RANGE_BYTES + range.bytes();
        self.used_bytes += bytes;
        self.ranges.insert(hour, Cached { range, bytes, used: self.now });
    }

    /// Says of every row of a batch, in batch order, whether its id is new.
    ///
    /// # Errors
    /// Fails if an hour of the batch is not loaded.
    pub fn check(&self, batch: &Batch<W>) -> Result<Vec<Verdict<W>>, Error> {
        let mut verdicts = vec![Verdict::New; batch.len()];
        for (place, &hour) in batch.hours().iter().enumerate() {
            batch.check(place, self.range(hour)?, &mut verdicts);
        }
        Ok(verdicts)
    }

    /// Says what has to be written, in order of hours, so that the new ids of a checked batch are seen from now on.
    ///
    /// # Errors
    /// Fails if an hour of the batch is not loaded, or the sequence number is not above those stored.
    pub fn changes(&self, batch: &Batch<W>, verdicts: &[Verdict<W>], sequence: i64) -> Result<Vec<Change<W>>, Error> {
        let mut changes = Vec::new();
        for (place, &hour) in batch.hours().iter().enumerate() {
            let new = batch.new_ids(place, verdicts);
            if !new.is_empty() {
                changes.push(self.range(hour)?.add(hour, sequence, new)?);
            }
        }
        Ok(changes)
    }

    /// Takes over changes that have been stored.
    ///
    /// An hour that is no longer cached, or was loaded anew since, is left to be loaded when it is needed.
    pub fn apply(&mut self, changes: Vec<Change<W>>) {
        for change in changes {
            let hour = change.hour;
            let Some(cached) = self.ranges.get_mut(&hour) else { continue };
            if cached.range.apply(change) {
                let bytes = RANGE_BYTES + cached.range.bytes();
                self.used_bytes = self.used_bytes - cached.bytes + bytes;
                cached.bytes = bytes;
            } else {
                self.forget(&[hour]);
            }
        }
    }

    /// Lets hours go, so that they are loaded anew when they are needed: after an unknown outcome of a commit, say.
    pub fn forget(&mut self, hours: &[i64]) {
        for hour in hours {
            if let Some(cached) = self.ranges.remove(hour) {
                self.used_bytes -= cached.bytes;
            }
        }
    }

    /// Lets everything go: after another worker may have written to the store.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.used_bytes = 0;
    }

    /// Gives the memory in use, in bytes.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    fn range(&self, hour: i64) -> Result<&SeenRange<W>, Error> {
        self.ranges.get(&hour).map(|cached| &cached.range).ok_or(Error::NotLoaded { hour })
    }

    fn evict(&mut self) {
        if self.used_bytes <= self.budget_bytes {
            return;
        }
        let unused = self.ranges.iter().filter(|(_, cached)| cached.used < self.now);
        let mut oldest: Vec<_> = unused.map(|(&hour, cached)| (cached.used, hour)).collect();
        oldest.sort_unstable();
        // An eighth more than needed, so that the sort is not repeated for every batch.
        let target = self.budget_bytes - self.budget_bytes / 8;
        for (_, hour) in oldest {
            if self.used_bytes <= target {
                break;
            }
            self.forget(&[hour]);
        }
    }
}
