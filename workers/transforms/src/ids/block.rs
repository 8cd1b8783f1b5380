//! A block: entries sorted by key, packed by column.
//!
//! Each column keeps its least value and, for every entry, the difference to it in as many bytes as the greatest one
//! needs: 15 + 8 + 3 bytes for hashed keys of one day, half of it where keys are ordered by time, none for a column
//! that is constant. Differences have a fixed width, so a key is found by bisection in the packed form.

use super::{Entry, Error, check_format, number};

/// "Headrace ids, a block", and the version of the format.
const FORMAT: [u8; 4] = *b"HIB\x01";
/// Format, number of entries, widths (and one byte of zero), least key, payload and time.
const HEADER_BYTES: usize = 4 + 4 + 4 + 16 + 8 + 8;
/// Zeros at the end, so that a difference of any width is read as 16 bytes and cut.
const PADDING_BYTES: usize = 16;

/// A column's place in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    start: usize,
    width: usize,
    mask: u128,
}

impl Column {
    fn new(start: usize, width: usize) -> Self {
        Self { start, width, mask: if width == 16 { u128::MAX } else { (1 << (8 * width)) - 1 } }
    }

    fn end(&self, count: usize) -> usize {
        self.start + count * self.width
    }

    #[inline]
    fn read(&self, bytes: &[u8], index: usize) -> u128 {
        let at = self.start + index * self.width;
        let mut wide = [0; 16];
        wide.copy_from_slice(&bytes[at..at + 16]);
        u128::from_le_bytes(wide) & self.mask
    }
}

/// Up to 512 entries of a run (all of them, for a small batch), sorted by key; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    bytes: Vec<u8>,
    count: usize,
    /// The least key, payload and time.
    least: Entry,
    /// Keys, payloads, times.
    columns: [Column; 3],
}

impl Block {
    /// Packs entries in ascending order of different keys; at least one.
    pub(super) fn new(entries: &[Entry]) -> Self {
        let least = Entry {
            key: entries.first().map_or(0, |entry| entry.key),
            payload: entries.iter().map(|entry| entry.payload).min().unwrap_or_default(),
            time: entries.iter().map(|entry| entry.time).min().unwrap_or_default(),
        };
        let differences = |entry: &Entry| {
            let time = entry.time.wrapping_sub(least.time) as u64;
            [entry.key - least.key, (entry.payload - least.payload).into(), time.into()]
        };
        let mut greatest = [0_u128; 3];
        for entry in entries {
            for (greatest, difference) in greatest.iter_mut().zip(differences(entry)) {
                *greatest = difference.max(*greatest);
            }
        }
        let widths = greatest.map(|greatest| (u128::BITS - greatest.leading_zeros()).div_ceil(8) as usize);
        let columns = columns(widths, entries.len());
        let mut bytes = Vec::with_capacity(columns[2].end(entries.len()) + PADDING_BYTES);
        bytes.extend_from_slice(&FORMAT);
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[widths[0] as u8, widths[1] as u8, widths[2] as u8, 0]);
        bytes.extend_from_slice(&least.key.to_le_bytes());
        bytes.extend_from_slice(&least.payload.to_le_bytes());
        bytes.extend_from_slice(&least.time.to_le_bytes());
        for (number, column) in columns.iter().enumerate() {
            for entry in entries {
                bytes.extend_from_slice(&differences(entry)[number].to_le_bytes()[..column.width]);
            }
        }
        bytes.extend_from_slice(&[0; PADDING_BYTES]);
        Self { bytes, count: entries.len(), least, columns }
    }

    /// Reads a block from the blob it was stored as.
    ///
    /// # Errors
    /// Refuses a blob of another format, and one that is cut or whose keys are out of order.
    pub fn from_blob(bytes: Vec<u8>) -> Result<Self, Error> {
        let cut = Error::Damaged("a block is cut");
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Err(cut) };
        check_format(header, FORMAT)?;
        let count = number(&header[4..8]) as usize;
        let widths = [header[8], header[9], header[10]].map(usize::from);
        if widths[0] > 16 || widths[1] > 8 || widths[2] > 8 || count == 0 {
            return Err(Error::Damaged("a block has impossible columns"));
        }
        let columns = columns(widths, count);
        if columns[2].end(count) + PADDING_BYTES != bytes.len() {
            return Err(cut);
        }
        let least = Entry {
            key: number(&header[12..28]),
            payload: number(&header[28..36]) as u64,
            time: number(&header[36..44]) as i64,
        };
        let block = Self { bytes, count, least, columns };
        let greatest = block.difference(0, count - 1);
        let ascending = (1..count).all(|index| block.difference(0, index - 1) < block.difference(0, index));
        if !ascending || block.difference(0, 0) != 0 || least.key.checked_add(greatest).is_none() {
            return Err(Error::Damaged("the keys of a block are not in ascending order"));
        }
        Ok(block)
    }

    /// Gives the bytes to store.
    pub fn blob(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the memory in use, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// Gives the number of entries.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn entry(&self, index: usize) -> Entry {
        Entry {
            key: self.least.key + self.difference(0, index),
            payload: self.least.payload.wrapping_add(self.difference(1, index) as u64),
            time: self.least.time.wrapping_add(self.difference(2, index) as i64),
        }
    }

    /// Finds the entry of a key.
    pub(super) fn find(&self, key: u128) -> Option<Entry> {
        let index = self.place(key);
        (index < self.count).then(|| self.entry(index)).filter(|entry| entry.key == key)
    }

    /// Counts the entries whose keys are below one.
    pub(super) fn place(&self, key: u128) -> usize {
        let Some(wanted) = key.checked_sub(self.least.key) else { return 0 };
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.difference(0, middle) < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    #[inline]
    fn difference(&self, column: usize, index: usize) -> u128 {
        self.columns[column].read(&self.bytes, index)
    }
}

fn columns(widths: [usize; 3], count: usize) -> [Column; 3] {
    let keys = Column::new(HEADER_BYTES, widths[0]);
    let payloads = Column::new(keys.end(count), widths[1]);
    [keys, payloads, Column::new(payloads.end(count), widths[2])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entries(map: &BTreeMap<u128, (u64, i64)>) -> Vec<Entry> {
        map.iter().map(|(&key, &(payload, time))| Entry { key, payload, time }).collect()
    }

    #[test]
    fn bytes_are_as_few_as_the_differences_need() {
        let block = |step: u128, payload: u64, seconds: i64| {
            let entry = |index: u128| Entry {
                key: (7 << 100) + index * step,
                payload: payload.wrapping_mul(index as u64),
                time: seconds * index as i64,
            };
            Block::new(&(0..512).map(entry).collect::<Vec<_>>()).blob().len() - HEADER_BYTES - PADDING_BYTES
        };
        assert_eq!(block(1, 0, 0), 512 * 2);
        assert_eq!(block(1 << 110, 0x9E37_79B9_7F4A_7C15, 168), 512 * (15 + 8 + 3));
    }

    #[test]
    fn refuses_what_is_damaged() {
        let good = Block::new(&[Entry { key: 5, payload: 1, time: 2 }, Entry { key: 6, payload: 0, time: -9 }]);
        let blob = good.blob().to_vec();
        assert_eq!(Block::from_blob(blob.clone()), Ok(good));
        for (place, byte) in [(4, 3), (4, 0), (8, 17), (9, 9), (HEADER_BYTES, 1), (HEADER_BYTES + 1, 0)] {
            let mut bad = blob.clone();
            bad[place] = byte;
            assert!(matches!(Block::from_blob(bad), Err(Error::Damaged(_))), "{place}");
        }
        let mut newer = blob.clone();
        newer[3] = 2;
        let text = Block::from_blob(newer).unwrap_err().to_string();
        assert_eq!(text, "blob of ids has format HIB\\x02, this program reads format HIB\\x01");
        assert!(Block::from_blob(blob[..blob.len() - 1].to_vec()).is_err());
        assert!(Block::from_blob(blob[..HEADER_BYTES - 1].to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn keeps_what_it_was_given(
            map in prop::collection::btree_map(any::<u128>(), any::<(u64, i64)>(), 1..80),
            close in prop::collection::btree_map(1_000_u128..1_300, (any::<u64>(), 5_i64..9), 1..80),
            others in prop::collection::vec(900_u128..1_400, 20),
        ) {
            for map in [map, close] {
                let entries = entries(&map);
                let block = Block::from_blob(Block::new(&entries).blob().to_vec()).unwrap();
                prop_assert_eq!((0..block.len()).map(|index| block.entry(index)).collect::<Vec<_>>(), entries.clone());
                for key in entries.iter().map(|entry| entry.key).chain(others.iter().copied()) {
                    let expected = map.get(&key).map(|&(payload, time)| Entry { key, payload, time });
                    prop_assert_eq!(block.find(key), expected);
                    prop_assert_eq!(block.place(key), map.range(..key).count());
                }
            }
        }
    }
}
