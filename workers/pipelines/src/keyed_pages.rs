//! State of very many small keys: values in pages, in the order they were written, and an index of where each key's newest is.
//!
//! A batch writes its values side by side, one row of state for some fifty of them, however far apart their keys are; the index is
//! that of the ids ([`IdIndex`]), with the place as payload. Keys that have no state cost no reading, and values written lately
//! are read from memory.
//!
//! Delivery: values are read and written in the unit of the batch, so they move with the partitions. Ordering: units of a scope
//! follow each other; what other workers wrote since is noticed by the scope's sequence.
//! Expiry: each write tells a time, which never goes back, and until when older ones are not needed any more. What is older is
//! forgotten by the index at once, and its pages are dropped by the hour with later batches, as many as those write at least.
//! Memory: 19 bits a key for filters, and the budgets for blocks of the index and for pages.
//!
//! State spaces: `NAME:runs` and `NAME:blocks` are the index, `NAME:pages` has the values, `NAME:ages` tells which pages were
//! written in an hour.

mod cache;
mod page;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headrace_core::store::Unit;
use headrace_core::{Error, Result};
use headrace_transforms::ids::{Batch, Entry, Verdict};

use self::cache::Cache;
use self::page::{Packer, Page, Place, first_page};
use crate::id_index::{self, IdIndex};

/// Pages read at a time.
const PAGES: usize = 1_024;
/// Pages dropped with a batch, besides as many as it writes.
const DROPPED: usize = 256;
/// Hours without pages that are passed over in one batch.
const HOURS: usize = 48;
/// The key of the oldest hour that has pages, in the space of ages.
const OLDEST: i64 = i64::MIN;
const HOUR_SECONDS: i64 = 3_600;

/// The values of a scope's keys.
#[derive(Debug)]
pub struct KeyedPages {
    index: IdIndex,
    cache: Cache,
    pages_space: String,
    ages_space: String,
    /// The oldest hour that has pages, once that is known.
    oldest: Option<i64>,
    /// The last sequence seen: a lower one is that of a scope begun anew.
    sequence: i64,
}

/// The values of some keys, as of a unit.
#[derive(Debug)]
pub struct Values {
    found: HashMap<i64, (Arc<Page>, Place), foldhash::fast::RandomState>,
}

/// What a unit changes; see [`KeyedPages::committed`].
#[derive(Debug)]
#[must_use]
pub struct Changes {
    index: id_index::Changes,
    pages: Vec<(i64, Arc<Page>)>,
    oldest: Option<i64>,
}

impl Values {
    /// The value of a key, if it has one.
    pub fn get(&self, key: i64) -> Option<&[u8]> {
        let (page, place) = self.found.get(&key)?;
        page.value(*place)
    }
}

impl KeyedPages {
    /// Keeps values under a name in the scope's state, and up to so many bytes of blocks of the index and of pages in memory.
    pub fn new(name: &str, index_bytes: usize, page_bytes: usize) -> Self {
        Self {
            index: IdIndex::new(name, index_bytes, Duration::ZERO),
            cache: Cache::new(page_bytes),
            pages_space: format!("{name}:pages"),
            ages_space: format!("{name}:ages"),
            oldest: None,
            sequence: -1,
        }
    }

    /// Reads the values of different keys, as of this unit.
    ///
    /// # Errors
    /// When state cannot be read, or is damaged.
    pub async fn read(&mut self, unit: &mut dyn Unit, keys: impl IntoIterator<Item = i64>) -> Result<Values> {
        if unit.sequence() < self.sequence {
            self.forget();
        }
        self.sequence = unit.sequence();
        let keys: Vec<i64> = keys.into_iter().collect();
        let batch = Batch::new(keys.iter().map(|key| entry(*key, 0, 0)));
        let verdicts = self.index.check(unit, &batch).await?;
        let mut wanted: Vec<(Place, i64)> = Vec::new();
        for (key, verdict) in keys.into_iter().zip(verdicts) {
            match verdict {
                Verdict::New => {}
                Verdict::Seen(number) => wanted.extend(Place::of(number).map(|place| (place, key))),
                Verdict::Repeat(_) => return Err(Error::data("the state of a key was asked for twice")),
            }
        }
        wanted.sort_unstable();
        let mut found = HashMap::with_capacity_and_hasher(wanted.len(), foldhash::fast::RandomState::default());
        let mut missing = Vec::new();
        for (place, key) in wanted {
            match self.cache.get(place.page) {
                Some(page) => drop(found.insert(key, (page, place))),
                None => missing.push((place, key)),
            }
        }
        for chunk in missing.chunk_by(|one, next| one.0.page == next.0.page).collect::<Vec<_>>().chunks(PAGES) {
            let places: Vec<(i64, i64)> = chunk.iter().map(|keys| (keys[0].0.page, -1)).collect();
            let mut pages = HashMap::with_capacity(places.len());
            for segment in unit.read_state(&self.pages_space, &places).await? {
                pages.insert(segment.key, Arc::new(Page::from_blob(segment.blob)?));
            }
            for (place, key) in chunk.iter().copied().flatten() {
                let page = pages.get(&place.page).ok_or_else(|| Error::data("a page of state is not stored"))?;
                found.insert(*key, (page.clone(), *place));
            }
            pages.into_iter().for_each(|(number, page)| self.cache.put(number, page));
        }
        if found.values().any(|(page, place)| page.value(*place).is_none()) {
            return Err(Error::data("a page of state has fewer values than are looked for in it"));
        }
        Ok(Values { found })
    }

    /// Writes values of keys that were read in this unit; none removes. What does not change is left alone. The time of the batch, in
    /// seconds, never goes back; what was written at times before `needed` is forgotten. Give what this returns to
    /// [`committed`](Self::committed).
    ///
    /// # Errors
    /// When state cannot be read or written, or is damaged.
    pub async fn write(
        &mut self,
        unit: &mut dyn Unit,
        values: &Values,
        changes: Vec<(i64, Option<Vec<u8>>)>,
        time: i64,
        needed: i64,
    ) -> Result<Changes> {
        let mut packer = Packer::new(first_page(unit.sequence() + 1)?);
        let mut entries = Vec::with_capacity(changes.len());
        for (key, value) in &changes {
            if value.as_deref() != values.get(*key) {
                let place = value.as_ref().map(|value| packer.push(value)).transpose()?;
                entries.push(entry(*key, place.map_or(0, Place::number), time));
            }
        }
        let pages = packer.finish()?;
        if let Some((first, _)) = pages.first() {
            let mut blob = first.to_le_bytes().to_vec();
            blob.extend_from_slice(&(pages.len() as u32).to_le_bytes());
            let put = pages.iter().map(|(number, page)| (*number, page.blob().to_vec())).collect();
            unit.write_state(&self.pages_space, put, Vec::new()).await?;
            unit.write_state(&self.ages_space, vec![(hour(time), blob)], Vec::new()).await?;
        }
        let oldest = self.drop_old(unit, pages.len(), hour(time), hour(needed)).await?;
        let batch = Batch::new(entries);
        let index = self.index.write(unit, &batch, &vec![Verdict::New; batch.len()], needed).await?;
        Ok(Changes { index, pages, oldest })
    }

    /// Takes over what was written, after the unit's commit.
    pub fn committed(&mut self, changes: Changes) {
        self.index.committed(changes.index);
        self.oldest = changes.oldest;
        changes.pages.into_iter().for_each(|(number, page)| self.cache.put(number, page));
    }

    /// Lets everything go, after a commit that failed or whose outcome is unknown.
    pub fn forget(&mut self) {
        self.index.forget();
        self.cache.clear();
        self.oldest = None;
    }

    /// Drops pages of hours that are not needed any more, some with each batch; gives the oldest hour that has pages after that.
    async fn drop_old(&self, unit: &mut dyn Unit, written: usize, now: i64, needed: i64) -> Result<Option<i64>> {
        let mut segments = Vec::new();
        let stored = match self.oldest {
            Some(oldest) => Some(oldest),
            None => {
                segments = unit.read_state(&self.ages_space, &[(OLDEST, -1)]).await?;
                segments.last().and_then(|segment| Some(i64::from_le_bytes(*segment.blob.first_chunk()?)))
            }
        };
        if stored.is_none() && written == 0 {
            return Ok(None);
        }
        let mut oldest = stored.unwrap_or(now);
        let (mut pages, mut ages) = (Vec::new(), Vec::new());
        for _ in 0..HOURS {
            if oldest >= needed.min(now) || pages.len() >= written + DROPPED {
                break;
            }
            let mut is_empty = true;
            for segment in unit.read_state(&self.ages_space, &[(oldest, -1)]).await? {
                if pages.len() >= written + DROPPED {
                    is_empty = false;
                    break;
                }
                pages.extend(pages_of(&segment.blob)?.map(|page| (page, segment.sequence)));
                ages.push((oldest, segment.sequence));
            }
            oldest += i64::from(is_empty);
        }
        if !pages.is_empty() {
            unit.write_state(&self.pages_space, Vec::new(), pages).await?;
        }
        let put = if stored == Some(oldest) { Vec::new() } else { vec![(OLDEST, oldest.to_le_bytes().to_vec())] };
        if !put.is_empty() {
            if self.oldest.is_some() {
                segments = unit.read_state(&self.ages_space, &[(OLDEST, -1)]).await?;
            }
            ages.extend(segments.into_iter().map(|segment| (OLDEST, segment.sequence)));
        }
        if !(put.is_empty() && ages.is_empty()) {
            unit.write_state(&self.ages_space, put, ages).await?;
        }
        Ok(Some(oldest))
    }
}

/// An entry of the index.
fn entry(key: i64, payload: u64, time: i64) -> Entry {
    Entry { key: key.cast_unsigned().into(), payload, time }
}

fn hour(seconds: i64) -> i64 {
    seconds.div_euclid(HOUR_SECONDS)
}

/// The pages that a commit wrote.
fn pages_of(blob: &[u8]) -> Result<std::ops::Range<i64>> {
    let damaged = || Error::data("the list of pages of state is damaged");
    let (first, rest) = blob.split_first_chunk().ok_or_else(damaged)?;
    let (first, count) = (i64::from_le_bytes(*first), u32::from_le_bytes(rest.try_into().map_err(|_| damaged())?));
    Ok(first..first + i64::from(count))
}
