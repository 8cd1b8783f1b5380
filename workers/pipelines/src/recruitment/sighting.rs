//! A sighting: one record in which an id was seen, by what it holds and where it stands. It is what `load` keeps with each id.
//!
//! "First" means first in the file, however the file is read: of two sightings in one file the one with the smaller offset
//! comes first, also when a parallel part read the other one before. Files have no order; of two files the one whose record
//! was committed first counts.

/// Bytes of a sighting.
pub const BYTES: usize = 24;

/// The number of no file: of records that come from dead letters.
pub const NO_FILE: u32 = 0;

/// Offsets and record numbers have six bytes.
const LARGEST: u64 = (1 << 48) - 1;

/// One record in which an id was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The file's number in the scope.
    pub file: u32,
    /// The record's byte offset in the file.
    pub offset: u64,
    /// The record's number in the file, counted from 1.
    pub record: u64,
    /// The hash of the record's content.
    pub hash: u64,
}

impl Sighting {
    /// Puts a sighting together; what is beyond 256 TB is not told apart.
    pub fn new(file: u32, offset: i64, record: i64, hash: u64) -> Self {
        Self { file, offset: offset.unsigned_abs().min(LARGEST), record: record.unsigned_abs().min(LARGEST), hash }
    }

    /// The bytes to store.
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.hash.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.file.to_be_bytes());
        bytes[12..18].copy_from_slice(&self.offset.to_be_bytes()[2..]);
        bytes[18..].copy_from_slice(&self.record.to_be_bytes()[2..]);
        bytes
    }

    /// Reads what was stored.
    pub fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let [hash, file, offset, record] = [&bytes[..8], &bytes[8..12], &bytes[12..18], &bytes[18..]].map(number);
        Self { file: file as u32, offset, record, hash }
    }

    /// Reads what the first release stored: content hash and offset, without the file.
    pub fn from_first_release(bytes: &[u8; 16]) -> Self {
        let (hash, offset) = bytes.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Self::new(NO_FILE, number(offset).cast_signed(), 0, number(hash))
    }

    /// Whether both are in one file.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.file == other.file && self.file != NO_FILE
    }

    /// Whether this one stands before another one in one file.
    pub fn precedes(&self, other: &Self) -> bool {
        self.is_beside(other) && self.offset < other.offset
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LARGEST, NO_FILE, Sighting};

    proptest! {
        #[test]
        fn bytes_give_the_sighting_back(file: u32, offset in 0..=LARGEST as i64, record in 0..=LARGEST as i64, hash: u64) {
            let sighting = Sighting::new(file, offset, record, hash);
            prop_assert_eq!(Sighting::from_bytes(&sighting.to_bytes()), sighting);
            prop_assert_eq!((sighting.offset, sighting.record), (offset as u64, record as u64));
        }
    }

    #[test]
    fn only_records_of_one_file_have_an_order() {
        let at = |file, offset| Sighting::new(file, offset, 1, 0);
        assert!(at(1, 5).precedes(&at(1, 6)));
        assert!(!at(1, 5).precedes(&at(1, 5)) && !at(1, 6).precedes(&at(1, 5)) && !at(1, 5).precedes(&at(2, 6)));
        assert!(!at(NO_FILE, 5).precedes(&at(NO_FILE, 6)));
        assert_eq!(at(1, i64::MAX).offset, LARGEST);
        let first_release = [7_u64.to_be_bytes(), 9_u64.to_be_bytes()].concat();
        let read = Sighting::from_first_release(&first_release.try_into().unwrap());
        assert_eq!(read, Sighting::new(NO_FILE, 9, 0, 7));
    }
}
