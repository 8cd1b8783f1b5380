//! A sorted run of unique ids with their payloads, as one blob.
//!
//! Format 1: `b"HS"`, the byte 1, the byte `W`; then entries of 13 key bytes and `W` payload bytes,
//! strictly ascending by key. The hour is not in the blob; it is the key under which it is stored.

use super::Error;
use super::key::{self, KEY_BYTES};

const HEADER_BYTES: usize = 4;
const FORMAT: u8 = 1;

/// Sorted unique ids of one hour, each with `W` bytes of payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment<const W: usize> {
    blob: Vec<u8>,
}

impl<const W: usize> std::fmt::Debug for Segment<W> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Segment<{W}>({} ids)", self.len())
    }
}

impl<const W: usize> Segment<W> {
    const STRIDE: usize = KEY_BYTES + W;
    const HEADER: [u8; HEADER_BYTES] = [b'H', b'S', FORMAT, W as u8];

    /// Tells whether a blob has the format of these segments.
    pub fn is_format_of(blob: &[u8]) -> bool {
        blob.starts_with(&Self::HEADER)
    }

    /// Reads a segment from the blob it was stored as.
    ///
    /// # Errors
    /// Refuses a blob of another format or payload width, and one whose entries are cut or out of order.
    pub fn from_blob(blob: Vec<u8>) -> Result<Self, Error> {
        let found = &blob[..blob.len().min(HEADER_BYTES)];
        if found != Self::HEADER {
            let [expected, found] = [&Self::HEADER, found].map(|header| header.escape_ascii().to_string());
            return Err(Error::UnknownFormat { found, expected });
        }
        if !(blob.len() - HEADER_BYTES).is_multiple_of(Self::STRIDE) {
            return Err(Error::Damaged("its last entry is incomplete"));
        }
        let segment = Self { blob };
        if (1..segment.len()).any(|index| segment.key(index - 1) >= segment.key(index)) {
            return Err(Error::Damaged("its entries are not in ascending order"));
        }
        Ok(segment)
    }

    /// Gives the same ids with other payloads, such as those of a newer form.
    pub fn with_payloads<const V: usize>(&self, payload: impl Fn([u8; W]) -> [u8; V]) -> Segment<V> {
        let mut other = Segment::with_capacity(self.len());
        (0..self.len()).for_each(|index| other.push(self.key(index), &payload(self.payload(index))));
        other
    }

    /// Gives the bytes to store.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Gives the number of ids.
    pub fn len(&self) -> usize {
        (self.blob.len() - HEADER_BYTES) / Self::STRIDE
    }

    /// Says whether there is no id.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the ids and payloads in time order, for the hour (since 1970) under which the segment is stored.
    pub fn ids(&self, hour: i64) -> impl Iterator<Item = ([u8; 16], [u8; W])> {
        (0..self.len()).map(move |index| (key::id(hour, self.key(index)), self.payload(index)))
    }

    pub(super) fn with_capacity(entries: usize) -> Self {
        let mut blob = Vec::with_capacity(HEADER_BYTES + entries * Self::STRIDE);
        blob.extend_from_slice(&Self::HEADER);
        Self { blob }
    }

    /// Appends an entry, whose key must be above all others.
    pub(super) fn push(&mut self, key: u128, payload: &[u8; W]) {
        self.blob.extend_from_slice(&key::bytes(key));
        self.blob.extend_from_slice(payload);
    }

    pub(super) fn key(&self, index: usize) -> u128 {
        key::read(&self.blob[Self::offset(index)..])
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = u128> {
        self.blob[HEADER_BYTES..].chunks_exact(Self::STRIDE).map(key::read)
    }

    pub(super) fn payload(&self, index: usize) -> [u8; W] {
        let mut payload = [0; W];
        payload.copy_from_slice(&self.blob[Self::offset(index) + KEY_BYTES..Self::offset(index + 1)]);
        payload
    }

    /// Finds a key at or after an index: where it is, or where it would be.
    ///
    /// It gallops, so that many ascending keys cost no more than one pass, and few cost their logarithm.
    pub(super) fn find(&self, key: u128, from: usize) -> Result<usize, usize> {
        let (mut low, mut high) = (from, from);
        let mut step = 1;
        while high < self.len() && self.key(high) < key {
            low = high + 1;
            high += step;
            step *= 2;
        }
        high = high.min(self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < self.len() && self.key(low) == key { Ok(low) } else { Err(low) }
    }

    /// Merges two segments; where both have an id, the newer one's payload stays.
    pub(super) fn merge(newer: &Self, older: &Self) -> Self {
        let mut merged = Self::with_capacity(newer.len() + older.len());
        let mut copied = 0;
        for index in 0..newer.len() {
            let (end, next) = match older.find(newer.key(index), copied) {
                Ok(found) => (found, found + 1),
                Err(place) => (place, place),
            };
            merged.blob.extend_from_slice(&older.blob[Self::offset(copied)..Self::offset(end)]);
            merged.blob.extend_from_slice(&newer.blob[Self::offset(index)..Self::offset(index + 1)]);
            copied = next;
        }
        merged.blob.extend_from_slice(&older.blob[Self::offset(copied)..]);
        merged
    }

    fn offset(index: usize) -> usize {
        HEADER_BYTES + index * Self::STRIDE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn segment(entries: &BTreeMap<u128, [u8; 2]>) -> Segment<2> {
        let mut segment = Segment::with_capacity(entries.len());
        entries.iter().for_each(|(key, payload)| segment.push(*key, payload));
        segment
    }

    #[test]
    fn refuses_other_formats() {
        let blob = segment(&BTreeMap::from([(1, [0; 2]), (2, [0; 2])])).blob().to_vec();
        assert!(Segment::<2>::from_blob(blob.clone()).is_ok());
        assert_eq!(
            Segment::<0>::from_blob(blob.clone()).unwrap_err().to_string(),
            "blob of seen ids has format HS\\x01\\x02, this program reads format HS\\x01\\x00"
        );
        assert!(matches!(Segment::<2>::from_blob(Vec::new()), Err(Error::UnknownFormat { .. })));
        let mut newer = blob.clone();
        newer[2] = 2;
        assert!(matches!(Segment::<2>::from_blob(newer), Err(Error::UnknownFormat { .. })));
        assert!(matches!(Segment::<2>::from_blob(blob[..blob.len() - 1].to_vec()), Err(Error::Damaged(_))));
        let mut twice = blob.clone();
        twice.extend_from_slice(&blob[4..]);
        assert!(matches!(Segment::<2>::from_blob(twice), Err(Error::Damaged(_))));
    }

    #[test]
    fn other_payloads_keep_the_ids() {
        let narrow = segment(&BTreeMap::from([(3, [1, 2]), (9, [3, 4])]));
        let wide = narrow.with_payloads(|[a, b]| [b, a, 7]);
        assert_eq!(wide.keys().collect::<Vec<_>>(), [3, 9]);
        assert_eq!((wide.payload(0), wide.payload(1)), ([2, 1, 7], [4, 3, 7]));
        assert!(Segment::<3>::from_blob(wide.blob().to_vec()).unwrap() == wide);
    }

    proptest! {
        #[test]
        fn finds_what_is_there(keys: BTreeMap<u8, [u8; 2]>, from in 0usize..40) {
            let entries: BTreeMap<u128, _> = keys.into_iter().map(|(key, payload)| (key.into(), payload)).collect();
            let segment = segment(&entries);
            let from = from.min(segment.len());
            for key in 0..=256u128 {
                let expected = entries.keys().skip(from).take_while(|&&other| other < key).count() + from;
                let present = entries.keys().skip(from).any(|&other| other == key);
                prop_assert_eq!(segment.find(key, from), if present { Ok(expected) } else { Err(expected) });
            }
        }

        #[test]
        fn merges_as_a_map_does(newer: BTreeMap<u8, [u8; 2]>, older: BTreeMap<u8, [u8; 2]>) {
            let [newer, older] = [newer, older].map(|map| -> BTreeMap<u128, [u8; 2]> {
                map.into_iter().map(|(key, payload)| (key.into(), payload)).collect()
            });
            let mut expected = older.clone();
            expected.extend(newer.clone());
            let merged = Segment::merge(&segment(&newer), &segment(&older));
            prop_assert!(merged == segment(&expected));
            prop_assert!(Segment::from_blob(merged.blob().to_vec()).unwrap() == merged);
        }
    }
}
