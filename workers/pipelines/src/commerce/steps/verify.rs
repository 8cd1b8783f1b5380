//! `commerce verify`: everything that is counted twice must be the same.

use async_trait::async_trait;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::step::Parameters;
use headrace_core::{Control, Counts, Report, Result};

use super::DEFAULT_ARCHIVE;
use crate::commerce::checks;
use crate::commerce::schema::Schema;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Compares tables, counters and archive.
#[derive(Clone, Debug, clap::Args)]
pub struct Verify {
    /// Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// The archive of this stream: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    pub archive: String,
}

#[async_trait]
impl Parameters for Verify {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "verify";
    const ABOUT: &'static str = "Compare tables, counters and archive: whatever is counted twice must be the same";

    async fn run(self, _: Control) -> Result<Report> {
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let store = open_warehouse(&url).await?;
        super::export::require_tables(&*store, &schema).await?;
        let archive = super::stream::open_archive(&self.archive).await?;
        let checks = checks::all(&*store, &schema, archive.as_ref()).await?;
        let mut report = Report::default();
        let count = checks.len() as u64;
        report.counts = Counts { read: count, written: count, ..Counts::default() };
        let differing = checks.iter().filter(|check| !check.holds());
        for check in differing.clone() {
            report.note(format!("{}: {} and {}", check.what, check.expected, check.found));
        }
        if differing.count() > 0 {
            report.outcome = Outcome::Different;
        } else {
            report.note(format!("All {count} comparisons hold."));
        }
        report.table = Some(TextTable {
            title: "Counted twice".to_owned(),
            columns: ["what", "one way", "the other way", ""].map(ToOwned::to_owned).to_vec(),
            rows: checks
                .iter()
                .map(|check| {
                    let verdict = if check.holds() { "equal" } else { "DIFFERENT" };
                    vec![check.what.clone(), check.expected.to_string(), check.found.to_string(), verdict.to_owned()]
                })
                .collect(),
        });
        Ok(report)
    }
}
