//! Puts dead letters of each step of this system through it again.
//!
//! How it is done, and that a letter counts once, is in [`crate::dead_letters::retaking`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::dead_letter::DeadLetter;
use headrace_core::failpoint::{self, Point};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::{Control, Counts, Result};
use polars::prelude::DataFrame;

use super::clean_sink::CleanWork;
use super::job_records::{JobColumns, JobRows};
use super::job_sink::{JobSchema, JobWork};
use super::load_sink::{Applied, LoadWork};
use super::message::Decoded;
use super::record::ParsedRecords;
use super::schema::{RawSchema, ResultSchema};
use super::{message, record};
pub use crate::dead_letters::choice::{Choice, Fixes, message_frame, read};
use crate::dead_letters::retaking::{Retake, Retaking};
use crate::dead_letters::settling::Outcome;

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
    let letters = read(&**store, table, choice).await?;
    failpoint::after(Point::Read)?;
    let mut work = LoadWork::of_letters(schema.clone());
    retaking.run(&mut work, letters, fixes).await
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
    let letters = read(&**store, table, choice).await?;
    failpoint::after(Point::Read)?;
    work.enrich(std::slice::from_ref(&retaking.claim)).await?;
    retaking.run(&mut work, letters, fixes).await
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
    let letters = read(&**store, table, choice).await?;
    let mut work = JobWork { schema: schema.clone(), file: String::new(), header: Vec::new() };
    retaking.run(&mut work, letters, fixes).await
}

fn record_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let values = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let records = letters.iter().map(|letter| letter.position.parse().unwrap_or_default()).collect();
    record::frame(values, records, vec![i64::MAX; letters.len()])
}
