//! `recruitment jobs`: `job.csv` into the job dimension, by upsert.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};

use crate::recruitment::job_records::JobColumns;
use crate::recruitment::job_sink::{JobSchema, JobWork};
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
        let schema = JobSchema::of(url.table("job")?)?;
        let source = CsvSource::open(&self.file, CsvOptions::default())?;
        let columns = JobColumns::of(source.header())
            .map_err(|error| Error::data(format!("{}: {error}", self.file.display())))?;
        let store = open_warehouse(&url).await?;
        store.create(&[&schema.table, &schema.dead_letters]).await?;
        let partition = source.partition().clone();
        // The dimension is read whole every time: an upsert changes nothing where nothing has changed.
        super::set_positions(&*store, &schema.scope(), [(partition.clone(), 0)].into()).await?;
        let work = JobWork { schema, file: source.identity(), header: source.header().to_vec() };
        let pipeline = Pipeline {
            source: Box::new(source),
            transform: Arc::new(move |batch| columns.read(&batch.frame)),
            sink: Box::new(LedgerSink::new(store, work)),
            parallel: 2,
            backoff: Backoff::default(),
        };
        Ok(super::report_of(run(pipeline, &control).await?))
    }
}
