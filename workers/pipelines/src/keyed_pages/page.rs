//! A page: values in the order they were written, and how a value's place is told in one number.

use std::sync::Arc;

use headrace_core::{Error, Result};

/// "Headrace values, a page", and the version of the format.
const FORMAT: [u8; 4] = *b"HVP\x01";
/// Format, and the number of values.
const HEADER_BYTES: usize = 4 + 2;
/// A page is full with so many bytes of values: with its key it fits a page of most databases.
const FULL_BYTES: usize = 3_500;
/// Or with so many values.
const FULL_VALUES: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 8;
const PAGE_BITS: u32 = 20;

/// The place of a value: the page, and which value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The page's key.
    pub(super) page: i64,
    slot: usize,
}

impl Place {
    /// As one number; zero is no place.
    pub(super) fn number(self) -> u64 {
        (self.page.cast_unsigned() << SLOT_BITS) | self.slot as u64
    }

    /// The place a number tells; none for zero.
    pub(super) fn of(number: u64) -> Option<Self> {
        let slot = (number & (FULL_VALUES as u64 - 1)) as usize;
        (number != 0).then(|| Self { page: (number >> SLOT_BITS).cast_signed(), slot })
    }
}

/// The key of the first page of a commit; the others follow it.
pub(super) fn first_page(commit: i64) -> Result<i64> {
    let fits = (1..1 << (63 - PAGE_BITS - SLOT_BITS)).contains(&commit);
    if fits { Ok(commit << PAGE_BITS) } else { Err(Error::data(format!("{commit} is no number of a commit"))) }
}

/// Values of one page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    blob: Vec<u8>,
    count: usize,
}

impl Page {
    /// Reads a page from the blob it was stored as.
    pub(super) fn from_blob(blob: Vec<u8>) -> Result<Self> {
        let damaged = || Error::data("a page of state is damaged, or of another version");
        let header = blob.strip_prefix(&FORMAT).and_then(|rest| rest.first_chunk::<2>()).ok_or_else(damaged)?;
        let page = Self { count: usize::from(u16::from_le_bytes(*header)), blob };
        let mut end = 0;
        for slot in 0..page.count {
            let next = page.end(slot).filter(|next| *next >= end).ok_or_else(damaged)?;
            end = next;
        }
        if page.values() + end == page.blob.len() { Ok(page) } else { Err(damaged()) }
    }

    /// A value, if the page has so many.
    pub(super) fn value(&self, place: Place) -> Option<&[u8]> {
        let end = self.end(place.slot).filter(|_| place.slot < self.count)?;
        let start = place.slot.checked_sub(1).map_or(Some(0), |before| self.end(before))?;
        self.blob.get(self.values() + start..self.values() + end)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.blob.capacity()
    }

    /// The bytes to store.
    pub(super) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Where the values begin.
    fn values(&self) -> usize {
        HEADER_BYTES + 4 * self.count
    }

    /// Where a value ends, behind [`Self::values`].
    fn end(&self, slot: usize) -> Option<usize> {
        let bytes = self.blob.get(HEADER_BYTES + 4 * slot..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    }
}

/// Packs values into the pages of a commit.
#[derive(Debug)]
pub(super) struct Packer {
    next: i64,
    ends: Vec<u32>,
    values: Vec<u8>,
    full: Vec<(i64, Arc<Page>)>,
}

impl Packer {
    /// Packs into pages from this one on.
    pub(super) fn new(first_page: i64) -> Self {
        Self { next: first_page, ends: Vec::new(), values: Vec::new(), full: Vec::new() }
    }

    /// Adds a value and gives its place.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<Place> {
        if self.ends.len() == FULL_VALUES || self.values.len() + value.len() > FULL_BYTES {
            self.pack();
        }
        self.values.extend_from_slice(value);
        let end = u32::try_from(self.values.len()).map_err(|_| Error::data("the state of one key is over 4 GiB"))?;
        self.ends.push(end);
        Ok(Place { page: self.next, slot: self.ends.len() - 1 })
    }

    fn pack(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let mut blob = Vec::with_capacity(HEADER_BYTES + 4 * self.ends.len() + self.values.len());
        blob.extend_from_slice(&FORMAT);
        blob.extend_from_slice(&(self.ends.len() as u16).to_le_bytes());
        self.ends.iter().for_each(|end| blob.extend_from_slice(&end.to_le_bytes()));
        blob.extend_from_slice(&self.values);
        self.full.push((self.next, Arc::new(Page { blob, count: self.ends.len() })));
        self.ends.clear();
        self.values.clear();
        self.next += 1;
    }

    /// Gives the pages.
    pub(super) fn finish(mut self) -> Result<Vec<(i64, Arc<Page>)>> {
        self.pack();
        if self.full.len() >= 1 << PAGE_BITS {
            return Err(Error::data("too much state in one batch: choose a smaller --batch-rows"));
        }
        Ok(self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_they_were_put() -> Result<()> {
        let values: Vec<Vec<u8>> = (0..2_000_usize)
            .map(|number| vec![number as u8; if number == 77 { 10_000 } else { (number * 7) % 60 }])
            .collect();
        let mut packer = Packer::new(first_page(9)?);
        let places = values.iter().map(|value| packer.push(value)).collect::<Result<Vec<_>>>()?;
        let pages = packer.finish()?;
        assert!(pages.len() > 10 && pages.iter().all(|(_, page)| page.count <= FULL_VALUES));
        for (place, value) in places.iter().zip(&values) {
            let place = Place::of(place.number()).ok_or_else(|| Error::data("no place"))?;
            let (_, page) = &pages[(place.page - pages[0].0) as usize];
            assert_eq!(Page::from_blob(page.blob().to_vec())?, **page);
            assert_eq!(page.value(place), Some(value.as_slice()));
            assert_eq!(page.value(Place { slot: page.count, ..place }), None);
        }
        assert_eq!(Place::of(0), None);
        Ok(())
    }

    #[test]
    fn damaged_pages_are_refused() -> Result<()> {
        let mut packer = Packer::new(first_page(1)?);
        [&b"one"[..], b"", b"three"].iter().try_for_each(|value| packer.push(value).map(drop))?;
        let blob = packer.finish()?[0].1.blob().to_vec();
        for length in 0..blob.len() {
            assert!(Page::from_blob(blob[..length].to_vec()).is_err());
        }
        let mut backwards = blob.clone();
        backwards[HEADER_BYTES] = 9;
        assert!(Page::from_blob(backwards).is_err());
        let mut newer = blob;
        newer[3] = 2;
        assert!(Page::from_blob(newer).is_err());
        assert!(first_page(0).is_err() && first_page(1 << 40).is_err());
        Ok(())
    }
}
