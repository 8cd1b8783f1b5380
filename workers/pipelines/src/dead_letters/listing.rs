//! How dead letters are shown: a list, one whole letter, and a file to correct them in.

use std::path::PathBuf;

use headrace_core::dead_letter::DeadLetter;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Control, Counts, Error, Report, Result};
use headrace_transforms::civil;

use super::choice::{Choice, read};
use super::message;
use crate::whole_file::WholeFile;

const COLUMNS: [&str; 7] = ["position", "reason", "detail", "failed at", "replays", "settled at", "source"];

/// What is listed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Listing {
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Settled ones too.
    #[arg(long)]
    all: bool,
    /// Also write them as JSON lines, for correcting the raw text and `replay --fixed`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Listing {
    /// Lists letters of a table.
    ///
    /// # Errors
    /// When the store fails or the file cannot be written.
    pub(crate) async fn report(&self, store: &dyn Store, table: &Table, reason: Option<&String>) -> Result<Report> {
        let choice = Choice { reason: reason.cloned(), settled: self.all, limit: self.limit };
        let mut letters = read(store, table, &choice).await?;
        letters.sort_by_key(|letter| (letter.source.clone(), place(&letter.position)));
        if let Some(path) = &self.out {
            let mut file = WholeFile::create(path)?;
            for letter in &letters {
                file.write(message::json(letter)?.as_bytes())?;
                file.write(b"\n")?;
            }
            file.finish()?;
        }
        let mut report = Report::default();
        report.fact("letters", letters.len());
        if letters.len() == self.limit {
            report.note(format!("Only the first {} are shown; see --limit.", self.limit));
        }
        report.table = Some(TextTable {
            title: format!("Dead letters of {}", table.name),
            columns: COLUMNS.iter().map(ToString::to_string).collect(),
            rows: letters.iter().map(row).collect(),
        });
        Ok(report)
    }
}

/// Shows the letters at a position, with their raw text.
///
/// # Errors
/// A configuration error when there is none.
pub(crate) async fn show(store: &dyn Store, table: &Table, position: &str, reason: Option<&String>) -> Result<Report> {
    let choice = Choice { reason: reason.cloned(), settled: true, limit: usize::MAX };
    let letters = read(store, table, &choice).await?;
    let found: Vec<&DeadLetter> = letters.iter().filter(|letter| letter.position == position).collect();
    if found.is_empty() {
        return Err(Error::configuration(format!("there is no dead letter at position {position}")));
    }
    let mut report = Report::default();
    report.fact("letters", found.len());
    let rows = found.iter().flat_map(|letter| {
        let raw = letter.raw.as_deref().map_or("(no value)".into(), String::from_utf8_lossy).into_owned();
        let facts = COLUMNS.into_iter().zip(row(letter)).map(|(name, value)| vec![name.to_owned(), value]);
        facts.chain([vec!["raw".to_owned(), raw]])
    });
    report.table = Some(TextTable {
        title: "Dead letter".into(),
        columns: vec!["field".into(), "value".into()],
        rows: rows.collect(),
    });
    Ok(report)
}

/// What a replay did.
pub(crate) fn replayed(counts: Counts, control: &Control) -> Report {
    let mut report = Report { counts, ..Report::default() };
    if control.is_stopping() {
        report.outcome = Outcome::Stopped;
        report.note("Stopped on request; run the same command for the other letters.");
    }
    let refused = report.counts.dead_lettered;
    report.fact("settled", report.counts.read - refused);
    report.fact("refused again", refused);
    if report.counts.read == 0 && !control.is_stopping() {
        report.note("There was nothing to replay.");
    }
    report
}

/// Orders `12` and `0-12` by their numbers.
fn place(position: &str) -> (i64, i64) {
    let (partition, offset) = position.split_once('-').unwrap_or(("0", position));
    (partition.parse().unwrap_or_default(), offset.parse().unwrap_or_default())
}

fn row(letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.position.clone(),
        letter.reason.clone(),
        letter.detail.clone(),
        civil::timestamp_text(letter.failed_at_us),
        letter.replays.to_string(),
        letter.settled_at_us.map(civil::timestamp_text).unwrap_or_default(),
        letter.source.clone(),
    ]
}
