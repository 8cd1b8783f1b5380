//! The hashes of the values accepted last, by which a message that comes again is known.
//!
//! They are kept in the ledger's state, one segment for each commit, the newest [`KEPT`] at least; older segments are dropped, and
//! many small ones become one. Units of a scope follow each other, so a worker reads only what others wrote since its last look.
//! Memory: twice [`KEPT`] hashes at most.

use std::collections::{BTreeMap, HashSet};

use headrace_core::store::Unit;
use headrace_core::{Error, Result};

/// The state space.
const SPACE: &str = "value";
/// All hashes are under one key.
const KEY: i64 = 0;
/// Hashes kept at least.
pub const KEPT: usize = 131_072;
/// So many segments become one.
const SEGMENTS: usize = 512;
/// The first byte of a segment with the hashes of one commit.
const ONE: u8 = 0;
/// The first byte of a segment that stands for all before it.
const ALL: u8 = 1;

/// The hashes of accepted values.
#[derive(Debug)]
pub struct SeenValues {
    segments: BTreeMap<i64, Vec<u64>>,
    hashes: HashSet<u64, foldhash::fast::RandomState>,
    /// The scope's sequence at the last look.
    sequence: i64,
}

/// What a unit changes.
#[derive(Debug)]
pub struct Change {
    /// The new segment's hashes, none where nothing was accepted.
    put: Vec<u64>,
    drop: Vec<i64>,
}

impl Default for SeenValues {
    fn default() -> Self {
        Self { segments: BTreeMap::new(), hashes: HashSet::default(), sequence: -1 }
    }
}

impl SeenValues {
    /// Reads what was committed since the last look.
    ///
    /// # Errors
    /// When state cannot be read.
    pub async fn look(&mut self, unit: &mut dyn Unit) -> Result<()> {
        if unit.sequence() == self.sequence {
            return Ok(());
        }
        for segment in unit.read_state(SPACE, &[(KEY, self.sequence)]).await? {
            let (is_all, hashes) = read(&segment.blob)?;
            if is_all {
                self.segments.clear();
                self.hashes.clear();
            }
            self.hashes.extend(&hashes);
            self.segments.insert(segment.sequence, hashes);
        }
        self.sequence = unit.sequence();
        Ok(())
    }

    /// Whether a value with this hash was accepted.
    pub fn contains(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }

    /// The hashes of all values that are known to be accepted.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.hashes.iter().copied()
    }

    /// Writes the hashes of newly accepted values; give what it returns to [`Self::committed`].
    ///
    /// # Errors
    /// When state cannot be written.
    pub async fn write(&self, unit: &mut dyn Unit, accepted: Vec<u64>) -> Result<Change> {
        if accepted.is_empty() {
            return Ok(Change { put: accepted, drop: Vec::new() });
        }
        let (put, drop) = self.plan(accepted, SEGMENTS);
        let is_all = drop.len() == self.segments.len() && !drop.is_empty();
        unit.write_state(SPACE, vec![(KEY, blob(is_all, &put))], drop.iter().map(|at| (KEY, *at)).collect()).await?;
        Ok(Change { put, drop })
    }

    /// The hashes to put and the segments to drop.
    fn plan(&self, accepted: Vec<u64>, most: usize) -> (Vec<u64>, Vec<i64>) {
        let mut kept: usize = self.segments.values().map(Vec::len).sum::<usize>() + accepted.len();
        let mut drop = Vec::new();
        for (sequence, hashes) in &self.segments {
            if kept - hashes.len() < KEPT {
                break;
            }
            kept -= hashes.len();
            drop.push(*sequence);
        }
        if self.segments.len() - drop.len() < most {
            return (accepted, drop);
        }
        let rest = self.segments.iter().skip(drop.len());
        let mut all: Vec<u64> = rest.flat_map(|(_, hashes)| hashes.iter().copied()).chain(accepted).collect();
        // Or the one segment would grow for ever: it is most of what there is, so it could never be dropped.
        all.drain(..all.len().saturating_sub(KEPT));
        (all, self.segments.keys().copied().collect())
    }

    /// Takes over what was written, after the unit's commit.
    pub fn committed(&mut self, change: Change) {
        self.sequence += 1;
        for sequence in &change.drop {
            for hash in self.segments.remove(sequence).into_iter().flatten() {
                self.hashes.remove(&hash);
            }
        }
        self.hashes.extend(&change.put);
        if !change.put.is_empty() {
            self.segments.insert(self.sequence, change.put);
        }
    }

    /// Lets everything go, after a commit that failed or whose outcome is unknown.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

fn blob(is_all: bool, hashes: &[u64]) -> Vec<u8> {
    let kind = if is_all { ALL } else { ONE };
    std::iter::once(kind).chain(hashes.iter().flat_map(|hash| hash.to_le_bytes())).collect()
}

fn read(blob: &[u8]) -> Result<(bool, Vec<u64>)> {
    let broken = || Error::data("the stored hashes of accepted values are damaged");
    let (kind, rest) = blob.split_first().ok_or_else(broken)?;
    let (hashes, []) = rest.as_chunks::<8>() else { return Err(broken()) };
    match *kind {
        ONE | ALL => Ok((*kind == ALL, hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())),
        _ => Err(broken()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, KEPT, SeenValues, blob, read};

    fn commit(seen: &mut SeenValues, accepted: Vec<u64>, most: usize) {
        let (put, drop) = seen.plan(accepted, most);
        seen.committed(Change { put, drop });
    }

    #[test]
    fn the_newest_are_kept_and_small_segments_become_one() {
        let mut seen = SeenValues::default();
        let total = KEPT as u64 * 3;
        let mut next = 0_u64;
        for size in (1..).map(|size: u64| size * 37 % 5_000 + 1) {
            if next + size > total {
                break;
            }
            commit(&mut seen, (next..next + size).collect(), 16);
            next += size;
            assert!(seen.segments.len() <= 17, "{}", seen.segments.len());
            assert!(seen.hashes.len() <= 2 * KEPT + 5_000);
            let kept = next.saturating_sub(KEPT as u64);
            assert!((kept..next).step_by(101).all(|hash| seen.contains(hash)));
        }
        assert!(!seen.contains(0));
        let held: usize = seen.segments.values().map(Vec::len).sum();
        assert_eq!(held, seen.hashes.len());
    }

    #[test]
    fn segments_are_read_as_they_were_written() {
        for is_all in [false, true] {
            assert_eq!(read(&blob(is_all, &[1, u64::MAX])).unwrap(), (is_all, vec![1, u64::MAX]));
        }
        assert!(read(&[]).is_err() && read(&[0, 1]).is_err() && read(&[2]).is_err());
    }
}
