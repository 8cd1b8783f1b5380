//! `recruitment jobs`: `job.csv` into the job dimension, by upsert.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::position::Reached;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::sink::Sink;
use headrace_core::step::Parameters;
use headrace_core::store::{Store, claims_for};
use headrace_core::table::Table;
use headrace_core::{Claim, Control, Counts, Error, Partition, Report, Result, clock};

use crate::recruitment::job_records::{JobColumns, JobRows};
use crate::recruitment::schema::job_table;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Loads the job dimension.
#[derive(Clone, Debug, clap::Args)]
pub struct Jobs {
    /// The job CSV; columns are found by name, `id` and `company_id` must be there.
    pub file: PathBuf,
    /// The dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
}

#[async_trait]
impl Parameters for Jobs {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "jobs";
    const ABOUT: &'static str = "Load job.csv into the job dimension: new jobs are added, known ones updated";

    async fn run(self, control: Control) -> Result<Report> {
        let url = super::store_url("to", &self.to)?;
        let table = job_table(url.table("job")?)?;
        let letters = dead_letter::table(table.name.with_suffix("_dead_letter")?)?;
        let source = CsvSource::open(&self.file, CsvOptions::default())?;
        let columns = JobColumns::of(source.header())
            .map_err(|error| Error::data(format!("{}: {error}", self.file.display())))?;
        let store = open_warehouse(&url).await?;
        store.create(&[&table, &letters]).await?;
        let scope = format!("recruitment jobs {}", table.name);
        let partition = source.partition().clone();
        // The dimension is read whole every time: an upsert changes nothing where nothing has changed.
        super::set_positions(&*store, &scope, [(partition.clone(), 0)].into()).await?;
        let sink = JobSink {
            store,
            table,
            letters,
            scope,
            file: super::source_name(&self.file).await?,
            claims: BTreeMap::new(),
        };
        let pipeline = Pipeline {
            source: Box::new(source),
            transform: Arc::new(move |batch| columns.read(&batch.frame)),
            sink: Box::new(sink),
            parallel: 2,
            backoff: Backoff::default(),
        };
        Ok(super::report_of(run(pipeline, &control).await?))
    }
}

struct JobSink {
    store: Arc<dyn Store>,
    table: Table,
    letters: Table,
    scope: String,
    file: String,
    claims: BTreeMap<Partition, Claim>,
}

#[async_trait]
impl Sink<JobRows> for JobSink {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let claims = self.store.claim(&self.scope, partitions).await?;
        self.claims.extend(claims.iter().map(|claim| (claim.partition.clone(), claim.clone())));
        Ok(claims)
    }

    async fn commit(&mut self, jobs: &JobRows, reached: &Reached) -> Result<Counts> {
        let mut unit = self.store.begin(&self.scope, &claims_for(&self.claims, reached)?).await?;
        let written = jobs.rows.height() as u64;
        let dead_lettered = jobs.rejected.len() as u64;
        let read = written + jobs.duplicates + dead_lettered;
        let mut counts = Counts { read, written, duplicate: jobs.duplicates, dead_lettered, ..Counts::default() };
        if written > 0 {
            unit.upsert(&self.table, &jobs.rows).await?;
        }
        let failed_at_us = clock::now_us();
        let letters: Vec<DeadLetter> = jobs
            .rejected
            .iter()
            .map(|(record, refusal, raw)| {
                counts.class(refusal.reason.counter(), 1);
                DeadLetter {
                    source: self.file.clone(),
                    position: record.to_string(),
                    reason: refusal.reason.as_str().to_owned(),
                    detail: refusal.detail.to_string(),
                    key: None,
                    raw: Some(raw.clone()),
                    failed_at_us,
                    settled_at_us: None,
                    replays: 0,
                }
            })
            .collect();
        if !letters.is_empty() {
            unit.upsert(&self.letters, &dead_letter::to_frame(&letters)?).await?;
        }
        unit.commit(reached, &counts).await?;
        Ok(counts)
    }
}
