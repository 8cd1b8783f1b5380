//! `recruitment load`: a tracking CSV into the raw store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::source::Source;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};

use crate::recruitment::load_sink::LoadSink;
use crate::recruitment::record;
use crate::recruitment::schema::RawSchema;
use crate::stores::{DEFAULT_STORE, open_raw};

/// A longer record is refused with its place: as a dead letter it would not fit a row of every store.
const LARGEST_RECORD: usize = 12 << 20;

/// Loads a tracking CSV.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// The tracking CSV: comma, UTF-8, header, 30 columns.
    pub file: PathBuf,
    /// The raw store: cassandra://HOST/KEYSPACE/TABLE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
    /// Read the file again from its beginning, though it was loaded before; rows already stored count as duplicates.
    #[arg(long)]
    pub restart: bool,
    /// Records per batch: the unit of commit.
    #[arg(long, value_name = "ROWS", default_value_t = 50_000)]
    pub batch_rows: usize,
}

#[async_trait]
impl Parameters for Load {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "load";
    const ABOUT: &'static str = "Load a tracking CSV into the raw store: every record once, bad ones as dead letters";

    async fn run(self, control: Control) -> Result<Report> {
        let url = super::store_url("to", &self.to)?;
        let schema = RawSchema::of(&url)?;
        // The file first: a wrong header must be told before a server is asked for anything.
        let options = CsvOptions {
            batch_rows: self.batch_rows.max(1),
            max_record_bytes: LARGEST_RECORD,
            ..CsvOptions::default()
        };
        let source = CsvSource::open(&self.file, options)?;
        record::check_header(source.header())
            .map_err(|difference| Error::data(format!("{}: wrong header: {difference}", self.file.display())))?;
        let store = open_raw(&url).await?;
        store.create(&schema.tables()).await?;
        let partition = source.partition().clone();
        if self.restart {
            super::set_positions(&*store, &schema.load_scope(), [(partition.clone(), 0)].into()).await?;
        }
        let before = store.positions(&schema.load_scope()).await?.get(&partition).map_or(0, |position| position.at);
        control.progress.remaining_is_bytes.store(true, std::sync::atomic::Ordering::Relaxed);
        let left = source.remaining();
        control.progress.set_remaining(left);
        let sink = LoadSink::new(store, schema, super::source_name(&self.file).await?);
        let pipeline = Pipeline {
            source: Box::new(source),
            transform: Arc::new(|batch| record::parse(&batch.frame)),
            sink: Box::new(sink),
            parallel: 2,
            backoff: Backoff::default(),
        };
        let mut report = super::report_of(run(pipeline, &control).await?);
        if report.counts.read == 0 && before > 0 {
            report.note(format!(
                "Nothing new: this file was already loaded up to byte {before}. Use --restart to read it again."
            ));
        } else if before > 0 {
            report.note(format!("Went on from byte {before}."));
        }
        Ok(report)
    }
}
