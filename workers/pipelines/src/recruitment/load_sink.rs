//! Stores valid records in the raw store, each once, with the position of its file.
//!
//! Delivery: rows are keyed by event id, so writing them again changes nothing; ids with content hashes and places, dead letters
//! and the position become valid together at the unit's commit. "First" means first in the file, also when parts of the file are
//! loaded at once (see [`super::precedence`]). Units follow each other. In a store without transactions rows show at once: what a
//! unit writes lies above everything earlier units wrote, however late that arrives, and where one of them failed, rows are
//! cleared of what it may have left.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use headrace_connectors::csv::CsvSource;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::{Leftovers, Unit};
use headrace_core::{Counts, Error, Result};
use headrace_transforms::civil::HOUR_US;
use headrace_transforms::deduplicate::{Batch as IdBatch, Change, Segment, hour_of};
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::CREATE_TIME;
use super::precedence::{self, Fate, Origin, Precedence};
use super::record::{ParsedRecords, Rejected};
use super::schema::{HOUR, MESSAGE_COLUMNS, RawSchema, SEQUENCE};
use super::seen_ids::SeenIds;
use super::sighting::{self, NO_FILE, Sighting};
use super::{classes, repeats};

/// The state space of the files that were loaded: their names, by hash. A file's number is the commit that began it.
const FILES: &str = "files";

/// What became of a batch in a unit that is not committed yet.
pub struct Applied {
    /// Its records by fate.
    pub counts: Counts,
    /// The ids to take over after the commit.
    pub changes: Vec<Change<{ sighting::BYTES }>>,
    /// The refused records, conflicting ones included.
    pub refused: Vec<Rejected>,
}

/// What the load step does with a batch of records.
pub struct LoadWork {
    schema: RawSchema,
    /// The file, as dead letters name it.
    source: String,
    /// None for records that come from dead letters.
    origin: Option<Origin>,
    /// The file's number in the ledger, once it is known.
    number: Option<u32>,
    seen: SeenIds<{ sighting::BYTES }>,
}

impl LoadWork {
    /// Loads a file into tables that exist.
    pub fn new(schema: RawSchema, file: &CsvSource) -> Self {
        let origin = Origin { again: file.again(), is_beginning: file.is_beginning() };
        Self { source: file.identity(), origin: Some(origin), ..Self::of_letters(schema) }
    }

    /// Loads records from dead letters, into tables that exist.
    pub fn of_letters(schema: RawSchema) -> Self {
        let seen = SeenIds::reading_older(|blob| {
            let first_release = Segment::<16>::from_blob(blob)?;
            Ok(first_release.with_payloads(|payload| Sighting::from_first_release(&payload).to_bytes()))
        });
        Self { schema, source: String::new(), origin: None, number: None, seen }
    }

    /// Names the file that the next dead letters come from.
    pub fn set_source(&mut self, source: String) {
        self.source = source;
    }

    /// Finds the file's number, or gives it one.
    async fn number(&mut self, unit: &mut dyn Unit) -> Result<u32> {
        if self.origin.is_none() {
            return Ok(NO_FILE);
        }
        if let Some(number) = self.number {
            return Ok(number);
        }
        let key = xxh3_64(self.source.as_bytes()).cast_signed();
        let known = unit.read_state(FILES, &[(key, -1)]).await?;
        let known = known.iter().find(|segment| segment.blob == self.source.as_bytes());
        let sequence = match known {
            Some(segment) => segment.sequence,
            None => {
                unit.write_state(FILES, vec![(key, self.source.clone().into_bytes())], Vec::new()).await?;
                unit.sequence() + 1
            }
        };
        let number = u32::try_from(sequence).map_err(|_| Error::data("more commits than files can be numbered by"))?;
        self.number = Some(number);
        Ok(number)
    }

    /// Writes one batch into a unit and tells what became of its records.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn apply(&mut self, unit: &mut dyn Unit, parsed: &ParsedRecords) -> Result<Applied> {
        let file = self.number(unit).await?;
        let sighting = |row: usize| Sighting::new(file, parsed.positions[row], parsed.records[row], parsed.hashes[row]);
        let sightings: Vec<Sighting> = (0..parsed.ids.len()).map(sighting).collect();
        let batch = IdBatch::new(parsed.ids.iter().copied().zip(sightings.iter().map(|own| own.to_bytes())));
        let verdicts = self.seen.check(unit, &batch).await?;
        let decided = precedence::decide(unit, self.origin.as_ref(), parsed, &sightings, verdicts).await?;

        let mut counts = Counts { read: (parsed.ids.len() + parsed.rejected.len()) as u64, ..Counts::default() };
        let mut refused = parsed.rejected.clone();
        for (row, fate) in decided.fates.iter().enumerate() {
            match fate {
                Fate::Stored => counts.written += 1,
                Fate::TakesOver | Fate::Duplicate => counts.duplicate += 1,
                Fate::Conflict => refused.push(parsed.conflict(row)),
            }
        }
        counts.dead_lettered = refused.len() as u64;
        refused.iter().for_each(|record| counts.class(record.reason.counter(), 1));
        let stored = parsed.rows.filter(&mask(&decided, |_, fate| fate == Fate::Stored))?;
        classes::count_rows(&stored)?.add_to(&mut counts);
        counts.add(&decided.more);
        unit.take_off(counts.take_off(&decided.less));

        self.write_rows(unit, parsed, &decided).await?;
        self.write_letters(unit, &refused, &decided).await?;
        repeats::write(unit, &decided.repeats).await?;
        let changes = self.seen.write(unit, &batch, &decided.verdicts).await?;
        Ok(Applied { counts, changes, refused })
    }

    async fn write_rows(&self, unit: &mut dyn Unit, parsed: &ParsedRecords, decided: &Precedence) -> Result<()> {
        let leftovers = unit.leftovers();
        // A unit that failed may have written over a row whose place is taken here.
        let is_rewritten = |fate| fate == Fate::TakesOver && leftovers != Leftovers::None;
        let is_written = |_: usize, fate| fate == Fate::Stored || is_rewritten(fate);
        let is_cleared = |row: usize, fate| {
            decided.displacing.contains(&row)
                || is_rewritten(fate)
                || (fate == Fate::Stored && leftovers == Leftovers::Here)
        };
        let hours: Vec<i64> = parsed.ids.iter().map(|id| hour_of(id) * HOUR_US).collect();
        let mut rows = parsed.rows.clone();
        rows.with_column(Series::new(HOUR.into(), hours).into())?;
        self.clear(unit, &rows.filter(&mask(decided, is_cleared))?).await?;
        self.store(unit, &rows.filter(&mask(decided, is_written))?).await?;
        if leftovers != Leftovers::None {
            let mut conflicting = BTreeSet::new();
            let is_swept = |row: usize, fate| fate == Fate::Conflict && conflicting.insert(parsed.ids[row]);
            let keys = rows.filter(&mask(decided, is_swept))?;
            unit.sweep(&self.schema.tracking, &keys.select([CREATE_TIME])?).await?;
            unit.sweep(&self.schema.by_hour, &keys.select([HOUR, CREATE_TIME])?).await?;
        }
        Ok(())
    }

    /// Takes rows away, before others are written in their place.
    async fn clear(&self, unit: &mut dyn Unit, rows: &DataFrame) -> Result<()> {
        if rows.height() == 0 {
            return Ok(());
        }
        unit.delete(&self.schema.tracking, &rows.select([CREATE_TIME])?).await?;
        unit.delete(&self.schema.by_hour, &rows.select([HOUR, CREATE_TIME])?).await
    }

    async fn store(&self, unit: &mut dyn Unit, rows: &DataFrame) -> Result<()> {
        if rows.height() == 0 {
            return Ok(());
        }
        unit.upsert(&self.schema.tracking, rows).await?;
        let sequence = unit.sequence() + 1;
        let touched: BTreeSet<i64> = rows.column(HOUR)?.i64()?.into_no_null_iter().collect();
        let touched: Vec<i64> = touched.into_iter().collect();
        let mut by_hour = rows.select([HOUR].into_iter().chain(MESSAGE_COLUMNS))?;
        by_hour.with_column(Series::new(SEQUENCE.into(), vec![sequence; rows.height()]).into())?;
        unit.upsert(&self.schema.by_hour, &by_hour).await?;
        let sequences = vec![sequence; touched.len()];
        let hours = DataFrame::new(
            touched.len(),
            vec![Series::new(HOUR.into(), touched).into(), Series::new(SEQUENCE.into(), sequences).into()],
        )?;
        unit.upsert(&self.schema.hours, &hours).await
    }

    async fn write_letters(&self, unit: &mut dyn Unit, refused: &[Rejected], decided: &Precedence) -> Result<()> {
        let table = &self.schema.dead_letters;
        if !decided.accepted.is_empty() {
            let positions: Vec<String> = decided.accepted.iter().map(u64::to_string).collect();
            let sources = vec![self.source.as_str(); positions.len()];
            let keys =
                vec![Series::new("source".into(), sources).into(), Series::new("position".into(), positions).into()];
            unit.delete(table, &DataFrame::new(decided.accepted.len(), keys)?).await?;
        }
        // A file that is read again may refuse here what it moves there.
        let all: BTreeMap<i64, &Rejected> =
            decided.refused.iter().chain(refused).map(|record| (record.record, record)).collect();
        let letters: Vec<DeadLetter> = all
            .into_values()
            .map(|record| {
                let (position, raw) = (record.record.to_string(), Some(record.raw.clone()));
                DeadLetter::refused(&self.source, position, record.reason.as_str(), record.detail.clone(), raw)
            })
            .collect();
        dead_letter::write(unit, table, &letters).await
    }
}

/// The records with some fates.
fn mask(decided: &Precedence, mut is_wanted: impl FnMut(usize, Fate) -> bool) -> BooleanChunked {
    let fates = decided.fates.iter().enumerate();
    BooleanChunked::from_iter_values("wanted".into(), fates.map(|(row, fate)| is_wanted(row, *fate)))
}

#[async_trait]
impl UnitWork<ParsedRecords> for LoadWork {
    type Changes = Vec<Change<{ sighting::BYTES }>>;

    fn scope(&self) -> String {
        self.schema.load_scope()
    }

    async fn write(
        &mut self,
        unit: &mut dyn Unit,
        parsed: &ParsedRecords,
        _: &Reached,
    ) -> Result<(Counts, Self::Changes)> {
        let Applied { counts, changes, .. } = self.apply(unit, parsed).await?;
        Ok((counts, changes))
    }

    fn committed(&mut self, changes: Self::Changes) {
        self.seen.committed(changes);
    }

    fn forget(&mut self) {
        self.number = None;
        self.seen.forget();
    }

    fn takes_turns(&self) -> bool {
        true
    }
}
