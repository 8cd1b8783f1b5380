//! Writes the job dimension, by upsert, with refused records as dead letters. Their key is the file's header: columns are found
//! by name, so a record means nothing without it.

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::Unit;
use headrace_core::table::Table;
use headrace_core::{Counts, Ident, Result};

use super::job_records::JobRows;
use super::schema::job_table;

/// The tables and the scope of a job dimension.
#[derive(Clone, Debug)]
pub struct JobSchema {
    /// The dimension.
    pub table: Table,
    /// Refused records.
    pub dead_letters: Table,
}

impl JobSchema {
    /// The tables of a dimension's name.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn of(name: Ident) -> Result<Self> {
        let dead_letters = dead_letter::table(name.with_suffix("_dead_letter")?)?;
        Ok(Self { table: job_table(name)?, dead_letters })
    }

    /// The scope under which jobs are loaded.
    pub fn scope(&self) -> String {
        format!("recruitment jobs {}", self.table.name)
    }
}

/// What the jobs step does with a batch of records.
pub struct JobWork {
    /// Where they go.
    pub schema: JobSchema,
    /// The file, as dead letters name it.
    pub file: String,
    /// The file's header.
    pub header: Vec<u8>,
}

#[async_trait]
impl UnitWork<JobRows> for JobWork {
    type Changes = ();

    fn scope(&self) -> String {
        self.schema.scope()
    }

    async fn write(&mut self, unit: &mut dyn Unit, jobs: &JobRows, _: &Reached) -> Result<(Counts, ())> {
        let written = jobs.rows.height() as u64;
        let dead_lettered = jobs.rejected.len() as u64;
        let read = written + jobs.duplicates + dead_lettered;
        let mut counts = Counts { read, written, duplicate: jobs.duplicates, dead_lettered, ..Counts::default() };
        if written > 0 {
            unit.upsert(&self.schema.table, &jobs.rows).await?;
        }
        let letters: Vec<DeadLetter> = jobs
            .rejected
            .iter()
            .map(|(record, refusal, raw)| {
                counts.class(refusal.reason.counter(), 1);
                let (reason, detail) = (refusal.reason.as_str(), refusal.detail.to_string());
                let letter = DeadLetter::refused(&self.file, record.to_string(), reason, detail, Some(raw.clone()));
                DeadLetter { key: Some(self.header.clone()), ..letter }
            })
            .collect();
        dead_letter::write(unit, &self.schema.dead_letters, &letters).await?;
        Ok((counts, ()))
    }

    fn committed(&mut self, (): ()) {}

    fn forget(&mut self) {}
}
