//! Stores valid records in the raw store, each once, with the position of its file.
//!
//! Delivery: rows are keyed by event id, so writing them again changes nothing; ids with content hashes, dead letters and
//! the position become valid together at the unit's commit. "First" means first in the file: batches are committed in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::position::Reached;
use headrace_core::sink::Sink;
use headrace_core::store::{Store, Unit, claims_for, is_committed};
use headrace_core::{Claim, Counts, Partition, Result, clock};
use headrace_transforms::civil::HOUR_US;
use headrace_transforms::deduplicate::{Batch as IdBatch, Change, Verdict, hour_of};
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};

use super::classes;
use super::record::{ParsedRecords, Rejected};
use super::schema::{HOUR, MESSAGE_COLUMNS, RawSchema, SEQUENCE};
use super::seen_ids::SeenIds;

/// An id's payload: content hash and place of its first record.
const PAYLOAD: usize = 16;

/// The claim on all loads into a store without transactions.
const WHOLE: &str = "all loads";

/// What became of a batch in a unit that is not committed yet.
pub struct Applied {
    /// Its records by fate.
    pub counts: Counts,
    /// The ids to take over after the commit.
    pub changes: Vec<Change<PAYLOAD>>,
    /// The refused records, conflicting ones included.
    pub refused: Vec<Rejected>,
}

/// The sink of the load step.
pub struct LoadSink {
    store: Arc<dyn Store>,
    schema: RawSchema,
    /// The file, as dead letters name it.
    source: String,
    claims: BTreeMap<Partition, Claim>,
    seen: SeenIds<PAYLOAD>,
    /// The batch being committed, in case its outcome becomes unknown.
    pending: Option<(Reached, Counts)>,
}

impl LoadSink {
    /// Makes a sink into tables that exist.
    pub fn new(store: Arc<dyn Store>, schema: RawSchema, source: String) -> Self {
        let (claims, seen) = (BTreeMap::new(), SeenIds::default());
        Self { store, schema, source, claims, seen, pending: None }
    }

    /// Writes one batch into a unit and tells what became of its records.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn apply(&mut self, unit: &mut dyn Unit, parsed: &ParsedRecords) -> Result<Applied> {
        let payload = |row: usize| {
            let mut payload = [0; PAYLOAD];
            payload[..8].copy_from_slice(&parsed.hashes[row].to_be_bytes());
            payload[8..].copy_from_slice(&parsed.positions[row].to_be_bytes());
            payload
        };
        let batch = IdBatch::new(parsed.ids.iter().enumerate().map(|(row, id)| (*id, payload(row))));
        let verdicts = self.seen.check(unit, &batch).await?;
        let mut counts = Counts { read: (parsed.ids.len() + parsed.rejected.len()) as u64, ..Counts::default() };
        let mut conflicts = Vec::new();
        for (row, verdict) in verdicts.iter().enumerate() {
            let same = match verdict {
                Verdict::New => {
                    counts.written += 1;
                    continue;
                }
                Verdict::Repeat(first) => parsed.hashes[*first] == parsed.hashes[row],
                Verdict::Seen(first) => first[..8] == parsed.hashes[row].to_be_bytes(),
            };
            if same { counts.duplicate += 1 } else { conflicts.push(parsed.conflict(row)) }
        }
        let new: BooleanChunked =
            BooleanChunked::from_iter_values("new".into(), verdicts.iter().map(|verdict| *verdict == Verdict::New));
        let rows = parsed.rows.filter(&new)?;
        classes::count_rows(&rows)?.add_to(&mut counts);
        let hours: Vec<i64> = parsed
            .ids
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| **verdict == Verdict::New)
            .map(|(id, _)| hour_of(id) * HOUR_US)
            .collect();
        self.write_rows(unit, &rows, hours).await?;
        let refused: Vec<Rejected> = parsed.rejected.iter().cloned().chain(conflicts).collect();
        self.write_refused(unit, &refused, &mut counts).await?;
        let changes = self.seen.write(unit, &batch, &verdicts).await?;
        Ok(Applied { counts, changes, refused })
    }

    async fn write_rows(&self, unit: &mut dyn Unit, rows: &DataFrame, hours: Vec<i64>) -> Result<()> {
        if rows.height() == 0 {
            return Ok(());
        }
        unit.upsert(&self.schema.tracking, rows).await?;
        let sequence = unit.sequence() + 1;
        let mut touched = hours.clone();
        touched.sort_unstable();
        touched.dedup();
        let mut by_hour = rows.select(MESSAGE_COLUMNS)?;
        by_hour.with_column(Series::new(HOUR.into(), hours).into())?;
        by_hour.with_column(Series::new(SEQUENCE.into(), vec![sequence; rows.height()]).into())?;
        unit.upsert(&self.schema.by_hour, &by_hour).await?;
        let sequences = vec![sequence; touched.len()];
        let hours = DataFrame::new(
            touched.len(),
            vec![Series::new(HOUR.into(), touched).into(), Series::new(SEQUENCE.into(), sequences).into()],
        )?;
        unit.upsert(&self.schema.hours, &hours).await
    }

    async fn write_refused(&self, unit: &mut dyn Unit, refused: &[Rejected], counts: &mut Counts) -> Result<()> {
        let failed_at_us = clock::now_us();
        let letters: Vec<DeadLetter> = refused
            .iter()
            .map(|record| {
                counts.dead_lettered += 1;
                counts.class(record.reason.counter(), 1);
                letter(&self.source, record, failed_at_us)
            })
            .collect();
        if letters.is_empty() {
            return Ok(());
        }
        unit.upsert(&self.schema.dead_letters, &dead_letter::to_frame(&letters)?).await
    }

    /// Takes over the ids of a committed unit.
    pub fn committed(&mut self, changes: Vec<Change<PAYLOAD>>) {
        self.seen.committed(changes);
    }
}

/// The dead letter of a refused record.
fn letter(source: &str, record: &Rejected, failed_at_us: i64) -> DeadLetter {
    DeadLetter {
        source: source.to_owned(),
        position: record.record.to_string(),
        reason: record.reason.as_str().to_owned(),
        detail: record.detail.clone(),
        key: None,
        raw: Some(record.raw.clone()),
        failed_at_us,
        settled_at_us: None,
        replays: 0,
    }
}

#[async_trait]
impl Sink<ParsedRecords> for LoadSink {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let mut wanted = partitions.to_vec();
        if !self.store.is_transactional() {
            // Rows show at once there: a second load, or one that was paused, must not write between those of the first.
            wanted.push(Partition::new(WHOLE));
        }
        let mut claims = self.store.claim(&self.schema.load_scope(), &wanted).await?;
        self.claims.extend(claims.iter().map(|claim| (claim.partition.clone(), claim.clone())));
        claims.retain(|claim| claim.partition.0 != WHOLE);
        Ok(claims)
    }

    async fn commit(&mut self, parsed: &ParsedRecords, reached: &Reached) -> Result<Counts> {
        let mut claims = claims_for(&self.claims, reached)?;
        claims.extend(self.claims.get(&Partition::new(WHOLE)).cloned());
        let mut unit = self.store.begin(&self.schema.load_scope(), &claims).await?;
        if let Some((pending, counts)) = self.pending.take()
            && pending == *reached
            && is_committed(&*unit, reached)
        {
            return Ok(counts);
        }
        let applied = self.apply(&mut *unit, parsed).await;
        let committed = match applied {
            Ok(Applied { counts, changes, .. }) => {
                self.pending = Some((reached.clone(), counts.clone()));
                unit.commit(reached, &counts).await.map(|()| (counts, changes))
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok((counts, changes)) => {
                self.pending = None;
                self.committed(changes);
                Ok(counts)
            }
            Err(error) => {
                self.seen.forget();
                Err(error)
            }
        }
    }
}
