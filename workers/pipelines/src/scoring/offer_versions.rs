//! The version of every user's offer, by which an older registration that comes late is known.
//!
//! They are kept in the ledger's state by bucket of 256 neighbouring ids: a commit adds a segment with the versions it changed to
//! each bucket it touches, and where a bucket has many segments they become one. Versions only grow, so segments are joined by the
//! greatest. Memory: the buckets of the last batches, [`BUDGET`] versions or those of one batch.

use std::collections::{BTreeMap, HashMap};

use headrace_core::store::Unit;
use headrace_core::{Error, Result};

/// The state space.
const SPACE: &str = "version";
/// So many segments of a bucket become one.
const SEGMENTS: usize = 8;
/// Versions kept in memory between batches.
const BUDGET: usize = 4_000_000;
/// Bytes of an entry: the id's last byte and the version.
const ENTRY: usize = 9;

/// The versions of one bucket.
#[derive(Debug, Default)]
struct Bucket {
    /// By the id's last byte, in order.
    versions: Vec<(u8, i64)>,
    /// The commits that wrote its segments.
    segments: Vec<i64>,
    /// The scope's sequence when it was last known to be whole.
    checked: i64,
}

impl Bucket {
    fn raise(&mut self, low: u8, version: i64) {
        match self.versions.binary_search_by_key(&low, |(low, _)| *low) {
            Ok(at) => self.versions[at].1 = self.versions[at].1.max(version),
            Err(at) => self.versions.insert(at, (low, version)),
        }
    }
}

/// The versions of all offers.
#[derive(Debug)]
pub struct OfferVersions {
    buckets: HashMap<i64, Bucket, foldhash::fast::RandomState>,
    /// The scope's sequence at the last look, or after the own commit behind it.
    sequence: i64,
    /// The sequence since which all commits were this worker's: what was whole then or later still is.
    alone_since: i64,
    budget: usize,
}

/// What a unit changes in one bucket.
#[derive(Debug)]
pub struct Change {
    bucket: i64,
    put: Vec<(u8, i64)>,
    drop: Vec<i64>,
}

impl Default for OfferVersions {
    fn default() -> Self {
        Self { buckets: HashMap::default(), sequence: -1, alone_since: -1, budget: BUDGET }
    }
}

/// The bucket of a user, and the place in it.
fn place(user_id: u32) -> (i64, u8) {
    let [.., low] = user_id.to_be_bytes();
    (i64::from(user_id >> 8), low)
}

impl OfferVersions {
    /// Reads the versions of some users, as of this unit.
    ///
    /// # Errors
    /// When state cannot be read.
    pub async fn look(&mut self, unit: &mut dyn Unit, users: impl Iterator<Item = u32>) -> Result<()> {
        if self.buckets.values().map(|bucket| bucket.versions.len() + 8).sum::<usize>() > self.budget {
            self.buckets.clear();
        }
        let mut wanted: Vec<i64> = users.map(|user_id| place(user_id).0).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let now = unit.sequence();
        if now != self.sequence {
            (self.sequence, self.alone_since) = (now, now);
        }
        let ask: Vec<(i64, i64)> = wanted
            .into_iter()
            .filter_map(|bucket| match self.buckets.get(&bucket) {
                Some(known) if known.checked >= self.alone_since => None,
                Some(known) => Some((bucket, known.checked)),
                None => Some((bucket, -1)),
            })
            .collect();
        if ask.is_empty() {
            return Ok(());
        }
        for segment in unit.read_state(SPACE, &ask).await? {
            let bucket = self.buckets.entry(segment.key).or_default();
            for (low, version) in read(&segment.blob)? {
                bucket.raise(low, version);
            }
            if !bucket.segments.contains(&segment.sequence) {
                bucket.segments.push(segment.sequence);
            }
        }
        for (bucket, _) in ask {
            self.buckets.entry(bucket).or_default().checked = now;
        }
        Ok(())
    }

    /// The version of a user's offer; of a user that was looked for.
    pub fn of(&self, user_id: u32) -> Option<i64> {
        let (bucket, low) = place(user_id);
        let versions = &self.buckets.get(&bucket)?.versions;
        versions.binary_search_by_key(&low, |(low, _)| *low).ok().map(|at| versions[at].1)
    }

    /// Writes the versions of changed offers; give what it returns to [`Self::committed`].
    ///
    /// # Errors
    /// When state cannot be written.
    pub async fn write(&self, unit: &mut dyn Unit, changed: impl Iterator<Item = (u32, i64)>) -> Result<Vec<Change>> {
        let changes = self.plan(changed);
        if changes.is_empty() {
            return Ok(changes);
        }
        let put = changes.iter().map(|change| (change.bucket, blob(&change.put))).collect();
        let drop = changes.iter().flat_map(|change| change.drop.iter().map(|at| (change.bucket, *at))).collect();
        unit.write_state(SPACE, put, drop).await?;
        Ok(changes)
    }

    fn plan(&self, changed: impl Iterator<Item = (u32, i64)>) -> Vec<Change> {
        let mut by_bucket: BTreeMap<i64, Bucket> = BTreeMap::new();
        for (user_id, version) in changed {
            let (bucket, low) = place(user_id);
            by_bucket.entry(bucket).or_default().raise(low, version);
        }
        let change = |(number, changed): (i64, Bucket)| {
            let Some(known) = self.buckets.get(&number).filter(|known| known.segments.len() >= SEGMENTS) else {
                return Change { bucket: number, put: changed.versions, drop: Vec::new() };
            };
            let mut whole = Bucket { versions: known.versions.clone(), ..Bucket::default() };
            changed.versions.into_iter().for_each(|(low, version)| whole.raise(low, version));
            Change { bucket: number, put: whole.versions, drop: known.segments.clone() }
        };
        by_bucket.into_iter().map(change).collect()
    }

    /// Takes over what was written, after the unit's commit.
    pub fn committed(&mut self, changes: Vec<Change>) {
        self.sequence += 1;
        for change in changes {
            let bucket = self.buckets.entry(change.bucket).or_default();
            change.put.iter().for_each(|(low, version)| bucket.raise(*low, *version));
            bucket.segments.retain(|sequence| !change.drop.contains(sequence));
            bucket.segments.push(self.sequence);
            // It was looked at in this unit.
            bucket.checked = self.sequence;
        }
    }

    /// Lets everything go, after a commit that failed or whose outcome is unknown.
    pub fn forget(&mut self) {
        *self = Self { budget: self.budget, ..Self::default() };
    }
}

fn blob(versions: &[(u8, i64)]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(versions.len() * ENTRY);
    for (low, version) in versions {
        blob.push(*low);
        blob.extend(version.to_le_bytes());
    }
    blob
}

fn read(blob: &[u8]) -> Result<Vec<(u8, i64)>> {
    let (entries, []) = blob.as_chunks::<ENTRY>() else {
        return Err(Error::data("the stored versions of offers are damaged"));
    };
    Ok(entries.iter().map(|[low, version @ ..]| (*low, i64::from_le_bytes(*version))).collect())
}

#[cfg(test)]
mod tests {
    use super::{OfferVersions, SEGMENTS, blob, place, read};

    #[test]
    fn buckets_are_neighbours_and_entries_are_kept() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(u32::MAX), (0xff_ffff, 255));
        let entries = vec![(0, 1), (255, i64::MAX)];
        assert_eq!(read(&blob(&entries)).unwrap(), entries);
        assert!(read(&[1, 2, 3]).is_err());
    }

    #[test]
    fn many_segments_become_one_and_the_greatest_counts() {
        let mut versions = OfferVersions { sequence: 0, ..OfferVersions::default() };
        for round in 0..30_u32 {
            let changes = versions.plan([(7, i64::from(round)), (8 + round % 3, 1), (70_000, 5)].into_iter());
            versions.committed(changes);
            assert_eq!(versions.of(7), Some(i64::from(round)));
            let segments = versions.buckets[&0].segments.len();
            assert!(segments <= SEGMENTS, "{segments}");
        }
        assert_eq!((versions.of(10), versions.of(70_000), versions.of(11)), (Some(1), Some(5), None));
        let changes = versions.plan([(7, 3)].into_iter());
        versions.committed(changes);
        assert_eq!(versions.of(7), Some(29), "an older version changes nothing");
    }
}
