//! Offers put into the cache as soon as they are scored, while the tables of earlier ones are still being written.
//!
//! Delivery: this only comes before a commit and takes nothing from it. Every message is committed with its batch, which writes the cache
//! once more; versions make that harmless in any order. So an early offer must be one that the commit writes as well, whichever
//! run makes it: after a kill messages may come in another order, and of the copies of one value only the first is an offer.
//! Copies under the user's own key are in one partition, where the first stays the first. Hence an offer is early only when its
//! message has that key and its value was not met before, neither here nor in what was committed before the partitions were
//! claimed. All others wait for their commit. Ordering: that of the versions. Memory: the hashes of the last [`GENERATION`] to twice as many
//! values.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, VALUE};
use headrace_core::rows::Rows;
use headrace_core::table::Table;
use headrace_core::{Result, clock};
use polars::prelude::DataFrame;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::frames::{self, Offer};
use super::model::ModelFile;
use super::scored;
use super::seen_values::{KEPT, SeenValues};

/// Hashes after which older ones are let go: more than the ledger keeps and commits under way have together, so whatever is a
/// duplicate there was met here.
const GENERATION: usize = 3 * KEPT;
/// Nothing is early so long after the cache has failed; commits go on trying.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// Writes offers into a cache before their commit.
pub struct EarlyCache {
    cache: Arc<dyn Rows>,
    table: Table,
    model: Arc<ModelFile>,
    known: Arc<KnownValues>,
    /// A batch of so many messages is part of a backlog, where an earlier offer is not worth more work.
    backlog: usize,
    paused_until: Mutex<Option<Instant>>,
}

/// The values that were met, by their hashes.
#[derive(Debug, Default)]
pub struct KnownValues(Mutex<Generations>);

type Hashes = HashSet<u64, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Generations {
    newer: Hashes,
    older: Hashes,
    /// Whether what was committed before the partitions were claimed is among them.
    is_whole: bool,
}

impl KnownValues {
    fn locked(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets that all committed values are known: partitions were claimed, and others may have written before.
    pub fn claimed(&self) {
        self.locked().is_whole = false;
    }

    /// Takes over what was committed, in the first unit after a claim.
    pub fn committed(&self, seen: &SeenValues) {
        let mut known = self.locked();
        if !known.is_whole {
            known.newer.extend(seen.hashes());
            known.is_whole = true;
        }
    }

    /// Meets values, and tells which of them were not met before; none where that cannot be told.
    fn meet(&self, hashes: impl Iterator<Item = u64>) -> Option<Vec<bool>> {
        let mut known = self.locked();
        if known.newer.len() >= GENERATION {
            known.older = std::mem::take(&mut known.newer);
        }
        let is_first = |hash: u64| known.newer.insert(hash) && !known.older.contains(&hash);
        let first = hashes.map(is_first).collect();
        known.is_whole.then_some(first)
    }
}

impl EarlyCache {
    /// Writes offers of the model in use, but for batches of so many messages: they are part of a backlog.
    pub fn new(cache: Arc<dyn Rows>, table: Table, model: Arc<ModelFile>, backlog: usize) -> Self {
        Self { cache, table, model, known: Arc::default(), backlog, paused_until: Mutex::default() }
    }

    /// The values it knows, for commits to add to.
    pub fn known(&self) -> Arc<KnownValues> {
        self.known.clone()
    }

    /// Puts a batch's offers into the cache; tells whether none of its registrations waits for the commit.
    pub async fn write(&self, frame: &DataFrame) -> bool {
        match self.try_write(frame).await {
            Ok(is_all) => is_all,
            Err(error) => {
                tracing::debug!("offers are not in the cache before their commit: {error}");
                *self.paused_until() = Some(Instant::now() + FAILED_PAUSE);
                false
            }
        }
    }

    async fn try_write(&self, frame: &DataFrame) -> Result<bool> {
        // Met in any case, whether they are written or not.
        let first =
            self.known.meet(frame.column(VALUE)?.binary()?.iter().map(|value| xxh3_64(value.unwrap_or_default())));
        let is_paused = self.paused_until().is_some_and(|until| Instant::now() < until);
        let (Some(first), false) = (first, is_paused || frame.height() >= self.backlog) else { return Ok(false) };
        let batch = scored::score(frame, self.model.current(), None)?;
        let messages = messages(frame, &first)?;
        let (mut early, mut is_all) = (Vec::new(), true);
        for row in &batch.scored {
            let message = messages.get(&(row.partition, row.offset)).copied().unwrap_or_default();
            match message {
                Message { is_first: true, key } if is_key_of(key, row.registration.user_id) => early.push(row),
                Message { is_first, .. } => is_all &= !is_first,
            }
        }
        // Of each user the newest.
        early.sort_unstable_by_key(|row| (row.registration.user_id, Reverse(row.version())));
        early.dedup_by_key(|row| row.registration.user_id);
        if !early.is_empty() {
            let offers: Vec<Offer> = early.iter().map(|row| Offer::of(row, batch.model.version())).collect();
            self.cache.write(&self.table, &frames::cache(&offers, clock::now_us())?, "").await?;
        }
        Ok(is_all)
    }

    fn paused_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message is beside its registration.
#[derive(Clone, Copy, Default)]
struct Message<'a> {
    key: Option<&'a [u8]>,
    is_first: bool,
}

/// The messages of a frame by partition and offset.
fn messages<'a>(frame: &'a DataFrame, first: &[bool]) -> Result<HashMap<(i32, i64), Message<'a>>> {
    let keys = frame.column(KEY)?.binary()?.iter();
    let places = frame.column(PARTITION)?.i32()?.iter().zip(frame.column(OFFSET)?.i64()?.iter());
    let messages = keys.zip(places).zip(first).filter_map(|((key, (partition, offset)), is_first)| {
        Some(((partition?, offset?), Message { key, is_first: *is_first }))
    });
    Ok(messages.collect())
}

/// Whether a key is the user's: the number as it is written.
fn is_key_of(key: Option<&[u8]>, user_id: u32) -> bool {
    let text = key.and_then(|key| std::str::from_utf8(key).ok());
    text.is_some_and(|text| !text.starts_with(['0', '+']) && text.parse() == Ok(user_id))
}
