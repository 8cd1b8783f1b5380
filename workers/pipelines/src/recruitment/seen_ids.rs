//! Exact de-duplication by event id, against ids kept packed in the ledger's state by hour of event time.
//!
//! A batch reads only the hours it touches and that are not cached. Memory: up to the budget, plus the hours of one batch.
//! Other workers of the same scope are noticed by the scope's sequence: hours checked before they committed are looked at again.

use std::collections::HashMap;

use headrace_core::store::{Segment as StateSegment, Unit};
use headrace_core::{Error, Result};
use headrace_transforms::deduplicate::{Batch, Change, Error as SeenError, Seen, Segment, Verdict};

/// The state space of ids.
const SPACE: &str = "ids";
/// Ids kept in memory between batches, unless told otherwise.
const BUDGET_BYTES: usize = 128 << 20;

/// Reads a blob that is not of the newest form.
type ReadOlder<const W: usize> = fn(Vec<u8>) -> Result<Segment<W>, SeenError>;

/// The ids a scope has seen, with a payload of W bytes each.
pub struct SeenIds<const W: usize> {
    seen: Seen<W>,
    /// For blobs that older versions wrote, if there are others.
    older: Option<ReadOlder<W>>,
    /// The scope's sequence after this worker's last look.
    sequence: i64,
    /// Counts how often others were found to have committed in between.
    generation: u64,
    /// For each cached hour, when and up to which commit it was known to be whole.
    checked: HashMap<i64, (u64, i64)>,
}

impl<const W: usize> Default for SeenIds<W> {
    fn default() -> Self {
        Self::with_budget(BUDGET_BYTES)
    }
}

impl<const W: usize> SeenIds<W> {
    /// Keeps up to a number of bytes in memory between batches.
    pub fn with_budget(bytes: usize) -> Self {
        Self { seen: Seen::new(bytes), older: None, sequence: -1, generation: 0, checked: HashMap::new() }
    }

    /// Reads what older versions wrote, too.
    pub fn reading_older(older: ReadOlder<W>) -> Self {
        Self { older: Some(older), ..Self::default() }
    }

    fn segment(&self, blob: Vec<u8>) -> Result<Segment<W>> {
        match self.older.filter(|_| !Segment::<W>::is_format_of(&blob)) {
            Some(older) => older(blob).map_err(broken),
            None => Segment::from_blob(blob).map_err(broken),
        }
    }

    /// Says of every id of a batch whether it is new, as of this unit.
    ///
    /// # Errors
    /// When state cannot be read.
    pub async fn check(&mut self, unit: &mut dyn Unit, batch: &Batch<W>) -> Result<Vec<Verdict<W>>> {
        if unit.sequence() != self.sequence {
            self.generation += 1;
            self.sequence = unit.sequence();
        }
        let mut missing = self.seen.missing(batch.hours());
        let doubtful = self.doubtful(batch.hours(), &missing);
        let mut changed: Vec<i64> =
            unit.read_state(SPACE, &doubtful).await?.iter().map(|segment| segment.key).collect();
        changed.dedup();
        missing.extend(changed);
        let wanted: Vec<(i64, i64)> = missing.iter().map(|hour| (*hour, -1)).collect();
        let mut by_hour: HashMap<i64, Vec<(i64, Segment<W>)>> =
            missing.iter().map(|hour| (*hour, Vec::new())).collect();
        for StateSegment { key, sequence, blob } in unit.read_state(SPACE, &wanted).await? {
            by_hour.entry(key).or_default().push((sequence, self.segment(blob)?));
        }
        for (hour, segments) in by_hour {
            self.seen.load(hour, segments);
        }
        for hour in batch.hours() {
            self.checked.insert(*hour, (self.generation, self.sequence));
        }
        self.seen.check(batch).map_err(broken)
    }

    /// Cached hours that others may have written to since they were read, and from which commit on.
    fn doubtful(&self, hours: &[i64], missing: &[i64]) -> Vec<(i64, i64)> {
        hours
            .iter()
            .filter(|hour| missing.binary_search(hour).is_err())
            .filter_map(|hour| match self.checked.get(hour) {
                Some((generation, sequence)) if *generation != self.generation => Some((*hour, *sequence)),
                Some(_) => None,
                None => Some((*hour, -1)),
            })
            .collect()
    }

    /// Writes the new ids of a checked batch into the unit; give what it returns to [`committed`](Self::committed).
    ///
    /// # Errors
    /// When state cannot be written.
    pub async fn write(
        &mut self,
        unit: &mut dyn Unit,
        batch: &Batch<W>,
        verdicts: &[Verdict<W>],
    ) -> Result<Vec<Change<W>>> {
        let changes = self.seen.changes(batch, verdicts, unit.sequence() + 1).map_err(broken)?;
        let put = changes.iter().map(|change| (change.hour, change.put.blob().to_vec())).collect();
        let drop = changes
            .iter()
            .flat_map(|change| change.drop.iter().map(move |sequence| (change.hour, *sequence)))
            .collect();
        unit.write_state(SPACE, put, drop).await?;
        Ok(changes)
    }

    /// Takes over what was written, after the unit's commit.
    pub fn committed(&mut self, changes: Vec<Change<W>>) {
        self.sequence += 1;
        for change in &changes {
            self.checked.insert(change.hour, (self.generation, self.sequence));
        }
        self.seen.apply(changes);
    }

    /// Lets everything go, after a commit that failed or whose outcome is unknown.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.checked.clear();
        self.sequence = -1;
    }
}

fn broken(error: SeenError) -> Error {
    Error::data(format!("cannot use the stored event ids: {error}"))
}
