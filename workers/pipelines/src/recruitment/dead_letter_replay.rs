//! Puts dead letters through their step again: the same rules, the same de-duplication, the same ledger.
//!
//! What a letter becomes, what the step's counters say of it, and that it is settled is one unit of work. In stores without
//! transactions it is settled by a second unit, which the first has noted as state. Settled letters are passed over: however
//! often a replay is started or killed, a letter counts once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::batch::message_columns;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::failpoint::{self, Point};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::table::Table;
use headrace_core::{Claim, Control, Counts, Error, Partition, Position, Result};
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::clean_sink::CleanWork;
use super::job_records::{JobColumns, JobRows};
use super::job_sink::{JobSchema, JobWork};
use super::load_sink::{Applied, LoadWork};
use super::message::Decoded;
use super::record::ParsedRecords;
use super::schema::{RawSchema, ResultSchema};
use super::settling::{self, Outcome};
use super::{message, record};
use crate::reading::Pages;

/// Letters replayed in one unit.
const BATCH: usize = 5_000;

/// Corrected texts by source and position.
pub type Fixes = HashMap<(String, String), String>;

/// Which letters to take.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only letters with this reason.
    pub reason: Option<String>,
    /// Settled ones too; never for a replay.
    pub settled: bool,
    /// At most so many.
    pub limit: usize,
}

/// Reads letters in key order.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, table: &Table, choice: &Choice) -> Result<Vec<DeadLetter>> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut pages = Pages::new(store, table, &columns);
    let mut letters = Vec::new();
    while let Some(page) = pages.next().await? {
        letters.extend(dead_letter::from_frame(&page)?.into_iter().filter(|letter| {
            choice.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
                && (choice.settled || letter.settled_at_us.is_none())
        }));
        if letters.len() >= choice.limit {
            break;
        }
    }
    letters.truncate(choice.limit);
    Ok(letters)
}

/// Puts corrected texts in place; letters without one are left out when there are corrections.
fn with_fixes(letters: Vec<DeadLetter>, fixes: Option<&Fixes>) -> Vec<DeadLetter> {
    let Some(fixes) = fixes else { return letters };
    letters
        .into_iter()
        .filter_map(|letter| {
            let fixed = fixes.get(&(letter.source.clone(), letter.position.clone()))?;
            Some(DeadLetter { raw: Some(fixed.clone().into_bytes()), ..letter })
        })
        .collect()
}

/// A step's work, put to the letters it refused.
#[async_trait]
trait Retake<Output: Send + Sync>: UnitWork<Output> {
    /// Names the source that the next letters come from.
    fn come_from(&mut self, source: String);

    /// Writes letters of one source into a unit.
    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Self::Changes)>;
}

#[async_trait]
impl Retake<ParsedRecords> for LoadWork {
    fn come_from(&mut self, source: String) {
        self.set_source(source);
    }

    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Self::Changes)> {
        failpoint::before(Point::Decode)?;
        let parsed = record::parse(&record_frame(letters)?)?;
        failpoint::after(Point::Decode)?;
        let Applied { counts, changes, refused } = self.apply(unit, &parsed).await?;
        let refused =
            refused.into_iter().map(|record| (record.record.to_string(), (record.reason.to_string(), record.detail)));
        Ok((Outcome { counts, refused: refused.collect() }, changes))
    }
}

#[async_trait]
impl Retake<Decoded> for CleanWork {
    fn come_from(&mut self, source: String) {
        self.set_source(source);
    }

    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Self::Changes)> {
        failpoint::before(Point::Decode)?;
        let decoded = message::decode(&message_frame(letters)?)?;
        failpoint::after(Point::Decode)?;
        let (counts, changes) = self.apply(unit, &decoded).await?;
        let refused = decoded.rejected.into_iter().map(|message| {
            (format!("{}-{}", message.partition, message.offset), (message.reason.to_string(), message.detail))
        });
        Ok((Outcome { counts, refused: refused.collect() }, changes))
    }
}

#[async_trait]
impl Retake<JobRows> for JobWork {
    fn come_from(&mut self, source: String) {
        self.file = source;
    }

    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, ())> {
        let mut outcome = Outcome { counts: Counts::default(), refused: HashMap::new() };
        let mut by_header: BTreeMap<&[u8], Vec<DeadLetter>> = BTreeMap::new();
        for letter in letters {
            by_header.entry(letter.key.as_deref().unwrap_or_default()).or_default().push(letter.clone());
        }
        for (header, letters) in by_header {
            let Ok(columns) = JobColumns::of(header) else {
                // Of a version that did not keep the header.
                let detail = "the header of its file is not known; correct the file and run `jobs` again";
                outcome.counts.read += letters.len() as u64;
                outcome.counts.dead_lettered += letters.len() as u64;
                for letter in letters {
                    outcome.counts.class(format!("dead_letter:{}", letter.reason), 1);
                    outcome.refused.insert(letter.position, (letter.reason, detail.to_owned()));
                }
                continue;
            };
            let jobs = columns.read(&record_frame(&letters)?)?;
            self.header = header.to_vec();
            let (counts, ()) = self.write(unit, &jobs, &Reached::new()).await?;
            outcome.counts.add(&counts);
            outcome.refused.extend(
                jobs.rejected
                    .into_iter()
                    .map(|(record, refusal, _)| (record.to_string(), (refusal.reason.to_string(), refusal.detail))),
            );
        }
        Ok((outcome, ()))
    }
}

/// A replay of one table of letters, and how far it is.
struct Retaking<'a> {
    store: &'a dyn Store,
    table: &'a Table,
    scope: String,
    claim: Claim,
    at: i64,
    control: &'a Control,
}

impl<'a> Retaking<'a> {
    /// Claims the letters of a scope: one replay at a time. To be done before they are read, so that no other replay can settle
    /// them in between.
    async fn claim(store: &'a dyn Store, table: &'a Table, scope: String, control: &'a Control) -> Result<Self> {
        let claims = store.claim(&scope, &[Partition::new("dead-letters")]).await?;
        let claim = claims.into_iter().next().ok_or_else(|| Error::Fenced("dead-letters".into()))?;
        let at = claim.position.as_ref().map_or(0, |position| position.at);
        let mut retaking = Self { store, table, scope, claim, at, control };
        if !store.is_transactional() {
            let mut look = store.begin(&retaking.scope, std::slice::from_ref(&retaking.claim)).await?;
            if settling::has_noted(&mut *look).await? {
                // A replay that was killed has put them through, and not marked them yet.
                retaking.mark_noted(&[]).await?;
            }
        }
        Ok(retaking)
    }

    fn reached(&self) -> Reached {
        [(self.claim.partition.clone(), Position::at(self.at + 1))].into()
    }

    async fn begin(&self) -> Result<Box<dyn Unit>> {
        self.store.begin_in_turn(&self.scope, std::slice::from_ref(&self.claim), &self.reached()).await
    }

    async fn commit(&mut self, unit: Box<dyn Unit>, counts: &Counts) -> Result<()> {
        failpoint::before(Point::Commit)?;
        unit.commit(&self.reached(), counts).await?;
        failpoint::after(Point::Commit)?;
        self.at += 1;
        Ok(())
    }

    /// Puts letters through their step again, source by source: positions are unique within a source only.
    async fn run<Output: Send + Sync>(
        mut self,
        work: &mut impl Retake<Output>,
        letters: Vec<DeadLetter>,
    ) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut by_source: BTreeMap<String, Vec<DeadLetter>> = BTreeMap::new();
        for letter in letters {
            by_source.entry(letter.source.clone()).or_default().push(letter);
        }
        for (source, letters) in by_source {
            work.come_from(source);
            for batch in letters.chunks(BATCH) {
                if self.control.is_stopping() {
                    return Ok(counts);
                }
                let applied = self.batch(work, batch).await?;
                failpoint::before(Point::Acknowledge)?;
                counts.add(&applied);
                self.control.progress.add(&applied);
                failpoint::after(Point::Acknowledge)?;
            }
        }
        Ok(counts)
    }

    async fn batch<Output: Send + Sync>(
        &mut self,
        work: &mut impl Retake<Output>,
        batch: &[DeadLetter],
    ) -> Result<Counts> {
        let mut unit = self.begin().await?;
        failpoint::before(Point::Write)?;
        let (outcome, changes) = work.retake(&mut *unit, batch).await?;
        failpoint::after(Point::Write)?;
        let marked = outcome.mark(batch);
        let (more, less) = outcome.moves(batch);
        unit.take_off(less);
        let at_once = self.store.is_transactional();
        if at_once {
            dead_letter::write(&mut *unit, self.table, &marked).await?;
        } else {
            settling::note(&mut *unit, &marked).await?;
        }
        self.commit(unit, &more).await?;
        work.committed(changes);
        if !at_once {
            // Rows of this store show at once: a letter may be settled only when its record is sure to stay.
            self.mark_noted(&marked).await?;
        }
        Ok(outcome.counts)
    }

    async fn mark_noted(&mut self, marked: &[DeadLetter]) -> Result<()> {
        let mut unit = self.begin().await?;
        settling::mark_noted(&mut *unit, self.table, marked).await?;
        self.commit(unit, &Counts::default()).await
    }
}

/// Replays refused records of the load.
///
/// # Errors
/// When the store fails.
pub async fn replay_load(
    store: &Arc<dyn Store>,
    schema: &RawSchema,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let table = &schema.dead_letters;
    let retaking = Retaking::claim(&**store, table, schema.load_scope(), control).await?;
    failpoint::before(Point::Read)?;
    let letters = with_fixes(read(&**store, table, choice).await?, fixes);
    failpoint::after(Point::Read)?;
    let mut work = LoadWork::of_letters(schema.clone());
    retaking.run(&mut work, letters).await
}

/// Replays refused messages of the clean step.
///
/// # Errors
/// When the store fails.
pub async fn replay_clean(
    store: &Arc<dyn Store>,
    schema: &ResultSchema,
    mut work: CleanWork,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let table = &schema.dead_letters;
    let retaking = Retaking::claim(&**store, table, schema.clean_scope(), control).await?;
    failpoint::before(Point::Read)?;
    let letters = with_fixes(read(&**store, table, choice).await?, fixes);
    failpoint::after(Point::Read)?;
    work.enrich(std::slice::from_ref(&retaking.claim)).await?;
    retaking.run(&mut work, letters).await
}

/// Replays refused records of the job dimension.
///
/// # Errors
/// When the store fails.
pub async fn replay_jobs(
    store: &Arc<dyn Store>,
    schema: &JobSchema,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let table = &schema.dead_letters;
    let retaking = Retaking::claim(&**store, table, schema.scope(), control).await?;
    let letters = with_fixes(read(&**store, table, choice).await?, fixes);
    let mut work = JobWork { schema: schema.clone(), file: String::new(), header: Vec::new() };
    retaking.run(&mut work, letters).await
}

fn record_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let values = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let records = letters.iter().map(|letter| letter.position.parse().unwrap_or_default()).collect();
    record::frame(values, records, vec![i64::MAX; letters.len()])
}

/// Puts letters of the clean step into a frame of messages.
///
/// # Errors
/// When the frame cannot be built.
pub fn message_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let keys: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.key.as_deref()).collect();
    let values: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let place = |letter: &DeadLetter| -> Option<(i32, i64)> {
        let (partition, offset) = letter.position.split_once('-')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    let places: Vec<(i32, i64)> = letters.iter().map(|letter| place(letter).unwrap_or_default()).collect();
    let columns = vec![
        Series::new(message_columns::KEY.into(), keys).into(),
        Series::new(message_columns::VALUE.into(), values).into(),
        Series::new(message_columns::PARTITION.into(), places.iter().map(|place| place.0).collect::<Vec<_>>()).into(),
        Series::new(message_columns::OFFSET.into(), places.iter().map(|place| place.1).collect::<Vec<_>>()).into(),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}
