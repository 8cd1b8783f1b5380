//! Exact de-duplication of arbitrary ids within a horizon of event time, kept in the ledger's state.
//!
//! Delivery: ids are read and written in the unit of work of the batch they came with, so they are known exactly when
//! its rows are, and they move with the partitions. A small batch adds one blob; merges are spread over later batches
//! (see [`headrace_transforms::ids`]).
//! Ordering: units of a scope must follow each other, as they do under its lock or in turn. Other workers of the scope
//! are noticed by its sequence: what they wrote since is read, and nothing else.
//! Memory: 19 bits an id for filters (24 MB for ten million), the entries of the eight newest batches, and the budget
//! for blocks.
//!
//! State spaces: `NAME:runs` holds filters and the list of runs, `NAME:blocks` holds the ids.

use std::collections::BTreeMap;
use std::time::Duration;

use headrace_core::store::Unit;
use headrace_core::{Error, Result};
use headrace_transforms::ids::{
    Batch, Draft, Error as IdError, Fetch, Index, JOURNAL_KEY, Place, Shape, Verdict, Writes,
};

/// Sections read at a time, of some 40 kB each.
const SECTIONS: usize = 64;

/// The ids a scope has seen within a horizon of event time.
#[derive(Debug)]
pub struct IdIndex {
    index: Index,
    runs_space: String,
    blocks_space: String,
    horizon_seconds: i64,
    /// The scope's sequence as of which the index is whole; none when it has to be looked at again.
    sequence: Option<i64>,
}

/// What a batch changes; see [`IdIndex::committed`].
#[derive(Debug)]
#[must_use]
pub struct Changes {
    draft: Draft,
    /// The sequence on which they were made.
    base: i64,
}

impl IdIndex {
    /// Keeps ids under a name in the scope's state, for as long as their time is not more than the horizon before the
    /// highest watermark, and up to a number of bytes of their blocks in memory.
    pub fn new(name: &str, budget_bytes: usize, horizon: Duration) -> Self {
        Self::with_shape(name, budget_bytes, horizon, Shape::default())
    }

    /// Does the same with other sizes of its parts.
    pub fn with_shape(name: &str, budget_bytes: usize, horizon: Duration, shape: Shape) -> Self {
        Self {
            index: Index::new(shape, budget_bytes),
            runs_space: format!("{name}:runs"),
            blocks_space: format!("{name}:blocks"),
            horizon_seconds: i64::try_from(horizon.as_secs()).unwrap_or(i64::MAX),
            sequence: None,
        }
    }

    /// Says of every row of a batch whether its id is new, as of this unit.
    ///
    /// # Errors
    /// When state cannot be read, or is damaged.
    pub async fn check(&mut self, unit: &mut dyn Unit, batch: &Batch) -> Result<Vec<Verdict>> {
        self.refresh(unit).await?;
        let mut lookup = self.index.look_up(batch);
        while let Some(mut fetch) = lookup.next(&mut self.index) {
            fill(unit, &self.blocks_space, &mut fetch).await?;
            lookup.search(&mut self.index, fetch).map_err(broken)?;
        }
        Ok(lookup.verdicts(&self.index))
    }

    /// Writes the new ids of a checked batch into the unit, and forgets those whose time is more than the horizon
    /// before a watermark (`i64::MIN` before there is one). Give what it returns to [`committed`](Self::committed).
    ///
    /// # Errors
    /// When state cannot be read or written, or is damaged.
    pub async fn write(
        &mut self,
        unit: &mut dyn Unit,
        batch: &Batch,
        verdicts: &[Verdict],
        watermark_seconds: i64,
    ) -> Result<Changes> {
        self.refresh(unit).await?;
        let base = unit.sequence();
        let cutoff = watermark_seconds.saturating_sub(self.horizon_seconds);
        let mut draft = self.index.draft(batch, verdicts, cutoff, base + 1);
        while let Some(mut merger) = draft.next_merge(&self.index) {
            while let Some((waiting, mut fetch)) = draft.merge(&mut self.index, merger) {
                self.put(unit, draft.take_writes()).await?;
                fill(unit, &self.blocks_space, &mut fetch).await?;
                merger = waiting;
                merger.feed(fetch).map_err(broken)?;
            }
        }
        let last = draft.finish(&self.index).map_err(broken)?;
        self.put(unit, last).await?;
        Ok(Changes { draft, base })
    }

    /// Takes over what was written, after the unit's commit.
    pub fn committed(&mut self, changes: Changes) {
        if self.sequence == Some(changes.base) {
            self.index.apply(changes.draft);
            self.sequence = Some(changes.base + 1);
        } else {
            self.forget();
        }
    }

    /// Lets everything go, after a commit that failed or whose outcome is unknown.
    pub fn forget(&mut self) {
        self.index.clear();
        self.sequence = None;
    }

    /// Gives the memory in use, in bytes.
    pub fn used_bytes(&self) -> usize {
        self.index.used_bytes()
    }

    /// Reads what other workers wrote since the last look, or everything at the first.
    async fn refresh(&mut self, unit: &mut dyn Unit) -> Result<()> {
        if self.sequence == Some(unit.sequence()) {
            return Ok(());
        }
        // A look that is cut short leaves nothing half known; a scope that was forgotten begins anew.
        if self.sequence.take().is_none() || self.index.journal_sequence() > unit.sequence() {
            self.index.clear();
        }
        let journal = unit.read_state(&self.runs_space, &[(JOURNAL_KEY, self.index.journal_sequence())]).await?;
        let entries = journal.into_iter().map(|segment| (segment.sequence, segment.blob));
        self.index.load_journal(entries).map_err(broken)?;
        for places in self.index.missing_sections().chunks(SECTIONS) {
            for (key, blob) in read(unit, &self.runs_space, places).await? {
                self.index.load_section(key, &blob).map_err(broken)?;
            }
        }
        if let Some(place) = self.index.missing_sections().first() {
            return Err(Error::data(format!("cannot use the stored ids: section {} is not there", place.key)));
        }
        self.sequence = Some(unit.sequence());
        Ok(())
    }

    async fn put(&self, unit: &mut dyn Unit, writes: Writes) -> Result<()> {
        let Writes { runs, dropped_runs, blocks, dropped_blocks } = writes;
        for (space, put, drop) in [(&self.blocks_space, blocks, dropped_blocks), (&self.runs_space, runs, dropped_runs)]
        {
            if !(put.is_empty() && drop.is_empty()) {
                unit.write_state(space, put, drop).await?;
            }
        }
        Ok(())
    }
}

/// Reads the blocks that a step needs and that are not in memory.
async fn fill(unit: &mut dyn Unit, space: &str, fetch: &mut Fetch) -> Result<()> {
    if fetch.places().is_empty() {
        return Ok(());
    }
    let blobs = read(unit, space, fetch.places()).await?;
    fetch.fill(blobs).map_err(broken)
}

/// Reads blobs by key and commit, in order of keys.
async fn read(unit: &mut dyn Unit, space: &str, places: &[Place]) -> Result<BTreeMap<i64, Vec<u8>>> {
    let wanted: Vec<(i64, i64)> = places.iter().map(|place| (place.key, place.sequence - 1)).collect();
    let segments = unit.read_state(space, &wanted).await?;
    Ok(segments.into_iter().map(|segment| (segment.key, segment.blob)).collect())
}

fn broken(error: IdError) -> Error {
    Error::data(format!("cannot use the stored ids: {error}"))
}
