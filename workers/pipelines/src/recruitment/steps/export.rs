//! `recruitment export`: tables of the result and the raw store as files.

use std::path::PathBuf;

use async_trait::async_trait;
use headrace_core::batch::message_columns::VALUE;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Counts, Error, Report, Result, StoreUrl};

use crate::reading::{Pages, read_all};
use crate::recruitment::schema::{MESSAGE_COLUMNS, RESULT_COLUMNS, RawSchema, ResultSchema};
use crate::recruitment::{export, message};
use crate::stores::{DEFAULT_STORE, open_raw, open_warehouse};
use crate::whole_file::WholeFile;

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The hourly table (CSV).
    Hourly,
    /// Metric events without a job, per hour and event (CSV).
    Unattributed,
    /// Records the load refused: number, reason, detail (CSV). From a raw store.
    DeadLetters,
    /// The messages of all raw rows, by event id (JSON lines). From a raw store; held in memory.
    Messages,
}

/// Exports a table.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// The result (or raw store): mysql://…, cassandra://… or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub from: String,
    /// The file to write; it appears when it is whole.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What to export.
    #[arg(long, value_enum, default_value_t = What::Hourly)]
    pub what: What,
}

#[async_trait]
impl Parameters for Export {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "export";
    const ABOUT: &'static str =
        "Export the hourly table as CSV, in key order; or unattributed events, dead letters, messages";

    async fn run(self, control: Control) -> Result<Report> {
        let url = super::store_url("from", &self.from)?;
        let mut file = WholeFile::create(&self.out)?;
        let rows = match self.what {
            What::Hourly | What::Unattributed => {
                let schema = ResultSchema::of(&url)?;
                let store = open_warehouse(&url).await?;
                super::require_table(&*store, &schema.result.name, "clean").await?;
                if self.what == What::Hourly {
                    hourly(&*store, &schema, &mut file).await?
                } else {
                    unattributed(&*store, &schema, &mut file).await?
                }
            }
            What::DeadLetters => dead_letters(&url, &mut file).await?,
            What::Messages => messages(&url, &control, &mut file).await?,
        };
        let bytes = file.finish()?;
        let counts = Counts { read: rows, written: rows, bytes, ..Counts::default() };
        let mut report = Report { counts, ..Report::default() };
        report.fact("file", self.out.display().to_string());
        Ok(report)
    }
}

async fn hourly(store: &dyn Store, schema: &ResultSchema, file: &mut WholeFile) -> Result<u64> {
    file.write(export::HOURLY_HEADER.as_bytes())?;
    let mut rows = 0;
    let mut pages = Pages::new(store, &schema.result, &RESULT_COLUMNS);
    while let Some(page) = pages.next().await? {
        rows += page.height() as u64;
        export::write_hourly_rows(&page, &mut file.writer)?;
    }
    Ok(rows)
}

async fn unattributed(store: &dyn Store, schema: &ResultSchema, file: &mut WholeFile) -> Result<u64> {
    let mut all: Option<polars::prelude::DataFrame> = None;
    let mut pages = Pages::new(store, &schema.unattributed, &["ts", "custom_track", "events"]);
    while let Some(page) = pages.next().await? {
        match &mut all {
            Some(all) => drop(all.vstack_mut(&page)?),
            None => all = Some(page),
        }
    }
    match all {
        Some(all) => {
            export::export_unattributed_csv(&all, &mut file.writer)?;
            Ok(all.height() as u64)
        }
        None => file.write(export::UNATTRIBUTED_HEADER.as_bytes()).map(|()| 0),
    }
}

async fn dead_letters(url: &StoreUrl, file: &mut WholeFile) -> Result<u64> {
    let schema = RawSchema::of(url)?;
    let store = open_raw(url).await?;
    super::require_table(&*store, &schema.dead_letters.name, "load").await?;
    let mut letters: Vec<(String, u64, String, String)> = Vec::new();
    let mut pages = Pages::new(&*store, &schema.dead_letters, &["source", "position", "reason", "detail"]);
    while let Some(page) = pages.next().await? {
        let text = |name: &str| -> Result<Vec<String>> {
            Ok(page.column(name)?.str()?.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
        };
        let (sources, positions) = (text("source")?, text("position")?);
        let (reasons, details) = (text("reason")?, text("detail")?);
        let places = sources.into_iter().zip(positions.iter().map(|position| position.parse().unwrap_or_default()));
        letters.extend(
            places
                .zip(reasons.into_iter().zip(details))
                .map(|((source, record), (reason, detail))| (source, record, reason, detail)),
        );
    }
    letters.sort_unstable();
    let mut writer = csv::WriterBuilder::new().from_writer(&mut file.writer);
    let failed = |error: csv::Error| Error::external("cannot write the export", error);
    writer.write_record(["record_number", "reason", "detail"]).map_err(failed)?;
    for (_, record, reason, detail) in &letters {
        writer.write_record([&record.to_string(), reason, detail]).map_err(failed)?;
    }
    writer.flush().map_err(|error| Error::external("cannot write the export", error))?;
    Ok(letters.len() as u64)
}

async fn messages(url: &StoreUrl, control: &Control, file: &mut WholeFile) -> Result<u64> {
    let schema = RawSchema::of(url)?;
    let store = open_raw(url).await?;
    super::require_table(&*store, &schema.tracking.name, "load").await?;
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let source = store.scan(&schema.tracking, &MESSAGE_COLUMNS, 8, &[]).await?;
    let whole = read_all(source, control, |batch| {
        let encoded = message::encode(&batch.frame)?;
        lines.extend(encoded.column(VALUE)?.binary()?.iter().flatten().map(<[u8]>::to_vec));
        Ok(())
    })
    .await?;
    if !whole {
        return Err(Error::external("the export was stopped", "no file was written"));
    }
    // Every line begins with the event id, so this is the order of ids.
    lines.sort_unstable();
    for line in &lines {
        file.write(line)?;
        file.write(b"\n")?;
    }
    Ok(lines.len() as u64)
}
