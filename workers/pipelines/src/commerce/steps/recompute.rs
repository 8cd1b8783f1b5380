//! `commerce recompute`: a day counted again from the archive, and what differs.

use async_trait::async_trait;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::step::Parameters;
use headrace_core::{Control, Counts, Error, Report, Result};
use headrace_transforms::civil::{self, DAY_US};

use super::DEFAULT_ARCHIVE;
use crate::commerce::alerts::time_text;
use crate::commerce::recompute::{apply, recount};
use crate::commerce::schema::Schema;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Differences shown.
const SHOWN: usize = 50;

/// Counts a day again.
#[derive(Clone, Debug, clap::Args)]
pub struct Recompute {
    /// The day, YYYY-MM-DD (UTC).
    #[arg(long, value_name = "DATE")]
    pub date: String,
    /// Where the tables are: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// The archive: file:DIRECTORY, hdfs://HOST/PATH or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    pub archive: String,
    /// Correct the stored tables. Run `compact` first, and not beside a stream that writes the same day.
    #[arg(long)]
    pub apply: bool,
}

#[async_trait]
impl Parameters for Recompute {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "recompute";
    const ABOUT: &'static str =
        "Count a day again from the archive, show what differs from the tables, and correct it if wanted";

    async fn run(self, _: Control) -> Result<Report> {
        let date = civil::parse_date(self.date.as_bytes())
            .ok_or_else(|| Error::configuration(format!("--date: {:?} is no day; expected YYYY-MM-DD", self.date)))?;
        let day = civil::day_start(date).div_euclid(DAY_US);
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let store = open_warehouse(&url).await?;
        super::export::require_tables(&*store, &schema).await?;
        let lake = super::stream::open_archive(&self.archive).await?;
        let lake = lake.ok_or_else(|| Error::configuration("--archive none: there is nothing to count again"))?;
        let recounts = recount(&*store, &schema, &lake, day).await?;
        let mut report = Report::default();
        let mut rows = Vec::new();
        let (mut read, mut differing) = (0, 0);
        for recount in &recounts {
            read += recount.rows() as u64;
            report.fact(format!("rows:{}", recount.table.name), recount.rows());
            for difference in recount.differences() {
                differing += 1;
                if rows.len() < SHOWN {
                    rows.push(vec![
                        recount.table.name.to_string(),
                        time_text(difference.minute_us),
                        difference.rest.join(" / "),
                        difference.column.to_owned(),
                        difference.rebuilt.to_string(),
                        difference.stored.to_string(),
                    ]);
                }
            }
        }
        report.counts = Counts { read, written: read, ..Counts::default() };
        report.fact("differences", differing);
        if differing == 0 {
            report.note(format!("{}: the tables are what the archive gives.", self.date));
            return Ok(report);
        }
        let columns = ["table", "minute", "of", "column", "archive", "stored"].map(ToOwned::to_owned).to_vec();
        report.table = Some(TextTable { title: "Differences (amounts in 1/10000)".to_owned(), columns, rows });
        if self.apply {
            apply(&*store, &schema, &recounts).await?;
            report.note(format!("{}: {differing} numbers corrected.", self.date));
        } else {
            report.outcome = Outcome::Different;
            report.note(format!("{}: {differing} numbers differ; --apply corrects them.", self.date));
        }
        Ok(report)
    }
}
