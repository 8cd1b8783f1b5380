//! `recruitment simulate`: tracking and job files in the real layout.

use std::path::PathBuf;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::{Control, Counts, Error, Report, Result};
use headrace_transforms::civil;

use crate::recruitment::simulate::{Defects, Simulation, write_files_watched};

/// Simulates input files.
#[derive(Clone, Debug, clap::Args)]
pub struct Simulate {
    /// The directory for tracking.csv and job.csv; made if missing.
    pub directory: PathBuf,
    /// Records of tracking.csv.
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,
    /// Records of job.csv.
    #[arg(long, default_value_t = 1_868)]
    pub jobs: u64,
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The first day, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", default_value = "2022-07-01", value_parser = parse_day)]
    pub start: i64,
    /// Days the events are spread over.
    #[arg(long, default_value_t = 30)]
    pub days: u32,
    /// Shares of defects: 0.001 for every defect a file can have, or by name, as in "bad_number=0.01,duplicate=0.02".
    #[arg(long, value_name = "SHARES", default_value = "0", value_parser = parse_defects)]
    pub defects: Defects,
}

fn parse_day(text: &str) -> Result<i64, String> {
    civil::parse_date(text.as_bytes()).map(civil::day_start).ok_or_else(|| "expected YYYY-MM-DD".into())
}

fn parse_defects(text: &str) -> Result<Defects, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

#[async_trait]
impl Parameters for Simulate {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "simulate";
    const ABOUT: &'static str = "Simulate tracking.csv and job.csv in the real layout, at any size, with any defects";

    async fn run(self, control: Control) -> Result<Report> {
        let simulation = Simulation {
            rows: self.rows,
            jobs: self.jobs,
            seed: self.seed,
            start_us: self.start,
            days: self.days,
            defects: self.defects,
        };
        let (tracking, jobs) = (self.directory.join("tracking.csv"), self.directory.join("job.csv"));
        let paths = (tracking.clone(), jobs.clone());
        let made = tokio::task::spawn_blocking(move || write_files_watched(&paths.0, &paths.1, &simulation, &control))
            .await
            .map_err(|error| Error::data(format!("the simulation failed: {error}")))??;
        let counts = Counts { read: made.rows, written: made.rows, bytes: made.tracking_bytes, ..Counts::default() };
        let mut report = Report { counts, ..Report::default() };
        report.fact("tracking", tracking.display().to_string());
        report.fact("jobs", jobs.display().to_string());
        for (class, count) in &made.counts {
            report.fact(format!("expected {class}"), *count);
        }
        Ok(report)
    }
}
