//! A section: what stays in memory of up to 16 Ki entries of a run, so that blocks are read only when an id is in them.
//!
//! Sections of a run are written one after the other, each when it is full, so a merge holds one section at most.

use std::sync::Arc;

use super::filter::{self, Filter};
use super::{Block, Entry, Error, check_format, number};

/// "Headrace ids, a section", and the version of the format.
const FORMAT: [u8; 4] = *b"HIS\x01";
/// Format, numbers of entries and blocks, greatest key, newest time.
const HEADER_BYTES: usize = 4 + 4 + 4 + 16 + 8;
const KEY_BYTES: usize = 16;

/// The key range, first keys of blocks and filter of a part of a run; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    count: u32,
    /// The first key of each block.
    firsts: Box<[u128]>,
    last: u128,
    newest: i64,
    filter: Filter,
}

impl Section {
    /// Gives the least key.
    pub(super) fn first(&self) -> u128 {
        self.firsts[0]
    }

    /// Gives the greatest key.
    pub(super) fn last(&self) -> u128 {
        self.last
    }

    /// Gives the number of entries.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Gives the number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.firsts.len()
    }

    /// Gives the time of the youngest entry.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Says whether the key with this hash may be in it.
    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        self.filter.may_hold(hash)
    }

    /// Gives the block in which a key is, if it is in any; the key must not be below the first one.
    pub(super) fn block_of(&self, key: u128) -> usize {
        self.firsts.partition_point(|first| *first <= key).saturating_sub(1)
    }

    /// Gives the memory in use, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.firsts) + self.filter.bytes()
    }

    /// Gives the bytes to store.
    pub(super) fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(HEADER_BYTES + self.bytes());
        blob.extend_from_slice(&FORMAT);
        blob.extend_from_slice(&self.count.to_le_bytes());
        blob.extend_from_slice(&(self.firsts.len() as u32).to_le_bytes());
        blob.extend_from_slice(&self.last.to_le_bytes());
        blob.extend_from_slice(&self.newest.to_le_bytes());
        self.firsts.iter().for_each(|first| blob.extend_from_slice(&first.to_le_bytes()));
        self.filter.write(&mut blob);
        blob
    }

    /// Reads a section from the blob it was stored as.
    pub(super) fn from_blob(blob: &[u8]) -> Result<Self, Error> {
        check_format(blob, FORMAT)?;
        let cut = Error::Damaged("a section is cut");
        let Some((header, rest)) = blob.split_first_chunk::<HEADER_BYTES>() else { return Err(cut) };
        let (count, blocks) = (number(&header[4..8]) as u32, number(&header[8..12]) as usize);
        let Some((firsts, filter)) = rest.split_at_checked(blocks * KEY_BYTES) else { return Err(cut) };
        let firsts: Box<[u128]> = firsts.chunks_exact(KEY_BYTES).map(number).collect();
        let last = number(&header[12..28]);
        let ascending =
            firsts.is_sorted_by(|one, next| one < next) && firsts.last().is_some_and(|first| *first <= last);
        if !ascending || (count as usize) < blocks {
            return Err(Error::Damaged("the blocks of a section are not in ascending order"));
        }
        let filter = Filter::read(filter, count as usize)?;
        Ok(Self { count, firsts, last, newest: number(&header[28..36]) as i64, filter })
    }
}

/// Makes a section and its blocks of ascending entries.
#[derive(Debug)]
pub(super) struct SectionWriter {
    block_entries: usize,
    section_entries: usize,
    /// Entries of the block at hand.
    entries: Vec<Entry>,
    hashes: Vec<u64>,
    firsts: Vec<u128>,
    blocks: Vec<Arc<Block>>,
    last: u128,
    newest: i64,
}

impl SectionWriter {
    /// Makes sections of so many entries, in blocks of so many.
    pub(super) fn new(section_entries: usize, block_entries: usize) -> Self {
        Self {
            block_entries,
            section_entries,
            entries: Vec::with_capacity(block_entries),
            hashes: Vec::with_capacity(section_entries),
            firsts: Vec::new(),
            blocks: Vec::new(),
            last: 0,
            newest: i64::MIN,
        }
    }

    /// Says whether the section has to be taken before the next entry.
    pub(super) fn is_full(&self) -> bool {
        self.hashes.len() >= self.section_entries
    }

    /// Adds an entry, whose key must be above all others.
    pub(super) fn push(&mut self, entry: Entry) {
        self.hashes.push(filter::hash(entry.key));
        self.last = entry.key;
        self.newest = self.newest.max(entry.time);
        self.entries.push(entry);
        if self.entries.len() == self.block_entries {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let block = Block::new(&self.entries);
        self.firsts.push(self.entries[0].key);
        self.blocks.push(Arc::new(block));
        self.entries.clear();
    }

    /// Takes the section with its blocks, unless it is empty.
    pub(super) fn take(&mut self) -> Option<(Section, Vec<Arc<Block>>)> {
        if !self.entries.is_empty() {
            self.pack();
        }
        if self.hashes.is_empty() {
            return None;
        }
        let section = Section {
            count: self.hashes.len() as u32,
            firsts: std::mem::take(&mut self.firsts).into(),
            last: self.last,
            newest: std::mem::replace(&mut self.newest, i64::MIN),
            filter: Filter::new(&self.hashes),
        };
        self.hashes.clear();
        Some((section, std::mem::take(&mut self.blocks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(keys: impl Iterator<Item = u128>) -> (Section, Vec<Arc<Block>>) {
        let mut writer = SectionWriter::new(100, 4);
        keys.for_each(|key| writer.push(Entry { key, payload: 0, time: key as i64 % 50 }));
        writer.take().unwrap()
    }

    #[test]
    fn finds_the_block_of_a_key() {
        let (section, blocks) = section((0..30).map(|index| 10 + index * 3));
        assert_eq!((section.first(), section.last(), section.len(), section.blocks()), (10, 97, 30, 8));
        assert_eq!(section.newest(), 49);
        for key in 10..=97 {
            let found = blocks[section.block_of(key)].find(key);
            assert_eq!(found.is_some(), key % 3 == 1, "{key}");
            assert!(found.is_none() || section.may_hold(filter::hash(key)));
        }
    }

    #[test]
    fn is_taken_when_full_and_begins_anew() {
        let mut writer = SectionWriter::new(8, 4);
        assert!(writer.take().is_none());
        for key in 0..8 {
            assert!(!writer.is_full());
            writer.push(Entry { key, payload: 0, time: 100 - key as i64 });
        }
        assert!(writer.is_full());
        assert_eq!(writer.take().map(|(section, _)| section.newest()), Some(100));
        writer.push(Entry { key: 9, payload: 0, time: 1 });
        let (section, blocks) = writer.take().unwrap();
        assert_eq!((section.first(), section.newest(), section.len(), blocks.len()), (9, 1, 1, 1));
    }

    #[test]
    fn is_read_as_it_was_written() {
        let (section, _) = section((0..30).map(|index| u128::MAX - 1_000 + index * 3));
        let blob = section.blob();
        assert_eq!(Section::from_blob(&blob), Ok(section));
        assert!(Section::from_blob(&blob[..blob.len() - 1]).is_err());
        assert!(Section::from_blob(&blob[..20]).is_err());
        let mut newer = blob.clone();
        newer[3] = 9;
        assert!(matches!(Section::from_blob(&newer), Err(Error::UnknownFormat { .. })));
        let mut many = blob.clone();
        many[8] = 200;
        assert!(matches!(Section::from_blob(&many), Err(Error::Damaged(_))));
        let mut backwards = blob;
        backwards[HEADER_BYTES] = 0xFF;
        assert!(matches!(Section::from_blob(&backwards), Err(Error::Damaged(_))));
    }
}
