//! The segments of one hour, and when they are merged.
//!
//! Sizes fall into classes, each eight times the one below. Segments stay in order of their
//! sequence numbers, classes never rise from old to new, and there are at most seven segments of a
//! class: a new segment takes the smaller ones at the end with it, and the eighth of a class
//! merges all eight. So an id is written once per class, and a look-up has `7 log8 n` segments at most.
//! Two bounds keep blobs practical: the smallest are always merged, since a row of the store costs more
//! than their bytes, and from one MiB on they are left alone, so that none grows beyond what a store takes.

use super::Error;
use super::filter::Filter;
use super::segment::Segment;

const FACTOR: usize = 8;
const SMALL_ENTRIES: usize = 64;
const FROZEN_BYTES: usize = 1 << 20;

/// What has to be written for one hour: a new segment, and the segments that are in it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<const W: usize> {
    /// The hour, counted since 1970.
    pub hour: i64,
    /// The sequence number under which the new segment is stored.
    pub sequence: i64,
    /// The new segment.
    pub put: Segment<W>,
    /// Sequence numbers of the segments to delete.
    pub drop: Vec<i64>,
}

/// The segments of one hour by sequence number, newest last.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenRange<const W: usize> {
    segments: Vec<(i64, Segment<W>)>,
    filter: Filter,
}

impl<const W: usize> SeenRange<W> {
    pub(super) fn new(mut segments: Vec<(i64, Segment<W>)>) -> Self {
        segments.sort_by_key(|(sequence, _)| *sequence);
        let mut range = Self { segments, filter: Filter::default() };
        range.rebuild_filter();
        range
    }

    /// Says whether the key may be in a segment; if not, it is in none.
    pub(super) fn may_hold(&self, key: u128) -> bool {
        self.filter.may_hold(key)
    }

    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment<W>> {
        self.segments.iter().map(|(_, segment)| segment)
    }

    pub(super) fn bytes(&self) -> usize {
        self.segments.capacity() * size_of::<(i64, Segment<W>)>()
            + self.segments().map(|segment| segment.blob().len()).sum::<usize>()
            + self.filter.bytes()
    }

    /// Says what to write so that the new segment joins the others.
    pub(super) fn add(&self, hour: i64, sequence: i64, new: Segment<W>) -> Result<Change<W>, Error> {
        if let Some(&(newest, _)) = self.segments.last()
            && newest >= sequence
        {
            return Err(Error::NotNewest { hour, sequence, newest });
        }
        let mut put = new;
        let mut kept = self.segments.len();
        loop {
            let class = class(&put);
            let smaller = self.tail(kept, |other| other < class || other == 0);
            let merged = if smaller > 0 { smaller } else { self.tail(kept, |other| other == class) };
            if smaller == 0 && merged + 1 < FACTOR {
                break;
            }
            for (_, older) in self.segments[kept - merged..kept].iter().rev() {
                put = Segment::merge(&put, older);
            }
            kept -= merged;
        }
        let drop = self.segments[kept..].iter().map(|(sequence, _)| *sequence).collect();
        Ok(Change { hour, sequence, put, drop })
    }

    /// Takes a change over once it is stored; `false` if the change was made for other segments.
    pub(super) fn apply(&mut self, change: Change<W>) -> bool {
        let kept = self.segments.len().saturating_sub(change.drop.len());
        let dropped = self.segments[kept..].iter().map(|(sequence, _)| sequence);
        if !dropped.eq(&change.drop) || self.segments.last().is_some_and(|&(newest, _)| newest >= change.sequence) {
            return false;
        }
        self.segments.truncate(kept);
        self.segments.push((change.sequence, change.put));
        if self.segments().map(Segment::len).sum::<usize>() > self.filter.capacity() {
            self.rebuild_filter();
        } else if let Some((_, put)) = self.segments.last() {
            put.keys().for_each(|key| self.filter.insert(key)); // those of dropped segments stay what they are
        }
        true
    }

    fn rebuild_filter(&mut self) {
        let ids: usize = self.segments().map(Segment::len).sum();
        let mut filter = Filter::with_capacity(2 * ids);
        self.segments().flat_map(Segment::keys).for_each(|key| filter.insert(key));
        self.filter = filter;
    }

    /// Counts the last segments before `end` whose class fits.
    fn tail(&self, end: usize, fits: impl Fn(u32) -> bool) -> usize {
        let newest_first = self.segments[..end].iter().rev().map(|(_, segment)| segment);
        newest_first.take_while(|segment| segment.blob().len() < FROZEN_BYTES && fits(class(segment))).count()
    }
}

/// Gives the size class of a segment; class 0 is always merged.
fn class<const W: usize>(segment: &Segment<W>) -> u32 {
    (segment.len() / SMALL_ENTRIES).checked_ilog(FACTOR).map_or(0, |class| class + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(keys: impl Iterator<Item = u128>) -> Segment<0> {
        let mut segment = Segment::with_capacity(0);
        keys.for_each(|key| segment.push(key, &[]));
        segment
    }

    /// Adds `batches` segments of `size` ids and gives the range and the number of ids written.
    fn fill(batches: u128, size: u128) -> (SeenRange<0>, usize) {
        let mut range = SeenRange::default();
        let mut written = 0;
        for batch in 0..batches {
            let new = segment((0..size).map(|index| index * batches + batch));
            let change = range.add(0, batch as i64, new).unwrap();
            written += change.put.len();
            assert!(range.apply(change));
        }
        (range, written)
    }

    #[test]
    fn few_segments_and_few_rewrites() {
        let (range, written) = fill(1000, 90);
        let ids: usize = range.segments().map(Segment::len).sum();
        assert_eq!(ids, 90_000);
        assert!(range.segments.len() <= 7 * 4, "{} segments", range.segments.len());
        assert!(written <= 4 * ids, "{written} ids written for {ids}");
    }

    #[test]
    fn small_segments_do_not_pile_up() {
        let (range, written) = fill(2000, 1);
        assert!(range.segments.len() <= 7 * 2 + 1, "{} segments", range.segments.len());
        assert!(written <= 2000 * (SMALL_ENTRIES / 2 + 4), "{written} ids written for 2000");
    }

    #[test]
    fn blobs_stay_bounded() {
        let (range, _) = fill(40, 30_000);
        assert!(range.segments().all(|segment| segment.blob().len() < 9 * FROZEN_BYTES));
        assert_eq!(range.segments().map(Segment::len).sum::<usize>(), 1_200_000);
    }

    #[test]
    fn refuses_old_sequences_and_foreign_changes() {
        let (mut range, _) = fill(3, 1);
        let one = || segment(std::iter::once(77));
        assert_eq!(range.add(5, 2, one()), Err(Error::NotNewest { hour: 5, sequence: 2, newest: 2 }));
        let change = range.add(0, 3, one()).unwrap();
        assert_eq!(change.drop, [2]);
        assert!(range.apply(change.clone()));
        assert!(!range.apply(change));
    }
}
