//! `recruitment load`: a tracking CSV into the raw store.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::source::Source;
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Partition, Report, Result};

use crate::recruitment::load_sink::LoadWork;
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
    /// Load only one part of the file, as in 2/8, while other workers load the others: in any order, together they give what one
    /// load of the whole file gives. Every worker must see the file under the same path.
    #[arg(long, value_name = "PART/PARTS", value_parser = super::replay::parse_split)]
    pub split: Option<(usize, usize)>,
    /// Read the file, or this part of it, again from its beginning, though it was loaded before; rows already stored count as duplicates.
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
            split: self.split,
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
        let positions = store.positions(&schema.load_scope()).await?;
        let before = positions.get(&partition).map_or(0, |position| position.at);
        let cut_otherwise = positions.keys().any(|other| is_cut_otherwise(source.name(), self.split, other));
        control.progress.remaining_is_bytes.store(true, std::sync::atomic::Ordering::Relaxed);
        let left = source.remaining();
        control.progress.set_remaining(left);
        let work = LoadWork::new(schema, &source);
        let pipeline = Pipeline {
            source: Box::new(source),
            transform: Arc::new(|batch| record::parse(&batch.frame)),
            sink: Box::new(LedgerSink::new(store, work)),
            parallel: 2,
            backoff: Backoff::default(),
        };
        let mut report = super::report_of(run(pipeline, &control).await?);
        let what = if self.split.is_some() { "this part of the file" } else { "this file" };
        if report.counts.read == 0 && before > 0 {
            report.note(format!(
                "Nothing new: {what} was already loaded up to byte {before}. Use --restart to read it again."
            ));
        } else if before > 0 {
            report.note(format!("Went on from byte {before}."));
        }
        if cut_otherwise && report.counts.read > 0 {
            report.note(
                "This file was loaded in other parts before. What they had read was read again: stored records count as \
                 duplicates, and refused ones are refused once more.",
            );
        }
        Ok(report)
    }
}

/// Tells whether a partition of the ledger is of the same file, and this load may read again what was read as that.
fn is_cut_otherwise(file: &str, split: Option<(usize, usize)>, other: &Partition) -> bool {
    let Some(part) = other.0.strip_prefix(file) else { return false };
    if part.is_empty() {
        return split.is_some();
    }
    let parts = part.strip_prefix('#').and_then(|part| part.split_once(" of ")?.1.parse().ok());
    parts.is_some_and(|parts: usize| split.is_none_or(|(_, of)| of != parts))
}

#[cfg(test)]
mod tests {
    use headrace_core::Partition;

    use super::is_cut_otherwise;

    #[test]
    fn other_cuts_of_a_file_are_known_by_their_partitions() {
        let is_other = |split, name: &str| is_cut_otherwise("/a.csv", split, &Partition::new(name));
        assert!(!is_other(None, "/a.csv") && is_other(None, "/a.csv#1 of 4"));
        assert!(is_other(Some((2, 4)), "/a.csv") && is_other(Some((2, 4)), "/a.csv#2 of 3"));
        assert!(!is_other(Some((2, 4)), "/a.csv#1 of 4") && !is_other(Some((2, 4)), "/a.csv#2 of 4"));
        assert!(!is_other(None, "/a.csvx") && !is_other(None, "dead-letters") && !is_other(Some((1, 2)), "/b/a.csv"));
    }
}
