//! `recruitment demo`: the whole job on the embedded store, with what it made as files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result, StoreUrl};
use serde_json::json;

use super::{Clean, Export, Jobs, Load, Replay, Simulate, Verify};
use crate::recruitment::companies::Companies;
use crate::recruitment::html::{self, Summary};
use crate::recruitment::quality;
use crate::recruitment::schema::{RawSchema, ResultSchema, job_table};
use crate::steps::run_step;
use crate::stores::open_warehouse;

/// Runs the whole job.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// The tracking CSV; simulated if not given.
    #[arg(long, value_name = "FILE", requires = "jobs")]
    pub tracking: Option<PathBuf>,
    /// The job CSV; simulated if not given.
    #[arg(long, value_name = "FILE", requires = "tracking")]
    pub jobs: Option<PathBuf>,
    /// The directory for the stores and everything made.
    #[arg(long, value_name = "DIR", default_value = "headrace-demo")]
    pub dir: PathBuf,
    /// The hourly table as CSV; DIR/hourly.csv if not given.
    #[arg(long, value_name = "OUT.csv")]
    pub export: Option<PathBuf>,
    /// Records to simulate, if no files are given.
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,
    /// Shares of defects to simulate, as in `recruitment simulate`.
    #[arg(long, value_name = "SHARES", default_value = "0.0005")]
    pub defects: String,
    /// Seed of the simulation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Above so many rows the messages are not written to a file again.
const MESSAGES_LIMIT: u64 = 1_000_000;

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::configuration(format!("{} is not UTF-8", path.display())))
}

impl Demo {
    async fn input(&self, control: &Control, steps: &mut Vec<Report>) -> Result<(PathBuf, PathBuf)> {
        if let (Some(tracking), Some(jobs)) = (&self.tracking, &self.jobs) {
            return Ok((tracking.clone(), jobs.clone()));
        }
        let values = json!({
            "directory": text(&self.dir)?, "rows": self.rows, "seed": self.seed, "defects": self.defects,
        });
        steps.push(run_step::<Simulate>(values, control).await?);
        Ok((self.dir.join("tracking.csv"), self.dir.join("job.csv")))
    }

    /// Runs the steps one after the other; false when one was stopped.
    async fn run_steps(&self, url: &str, control: &Control, steps: &mut Vec<Report>) -> Result<bool> {
        let (tracking, jobs) = self.input(control, steps).await?;
        steps.push(run_step::<Load>(json!({ "file": text(&tracking)?, "to": url }), control).await?);
        steps.push(run_step::<Jobs>(json!({ "file": text(&jobs)?, "to": url }), control).await?);
        steps.push(run_step::<Replay>(json!({ "from": url, "to": url }), control).await?);
        steps.push(run_step::<Clean>(json!({ "from": url, "jobs": url, "to": url }), control).await?);
        if !control.is_stopping() {
            steps.push(run_step::<Verify>(json!({ "raw": url, "log": url, "result": url }), control).await?);
        }
        Ok(steps.iter().all(|report| report.outcome != Outcome::Stopped))
    }

    async fn write_files(&self, url: &str, stored: u64, control: &Control) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.export.clone().unwrap_or_else(|| self.dir.join("hourly.csv"))];
        let mut kinds = vec!["hourly"];
        for (kind, name) in [("unattributed", "unattributed_hourly.csv"), ("dead-letters", "dead_letter.csv")] {
            kinds.push(kind);
            files.push(self.dir.join(name));
        }
        if stored <= MESSAGES_LIMIT {
            kinds.push("messages");
            files.push(self.dir.join("messages.jsonl"));
        }
        for (kind, file) in kinds.into_iter().zip(&files) {
            run_step::<Export>(json!({ "from": url, "out": text(file)?, "what": kind }), control).await?;
        }
        Ok(files)
    }
}

#[async_trait]
impl Parameters for Demo {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "demo";
    const ABOUT: &'static str =
        "Run the whole job on the embedded store: load, jobs, replay, clean, verify, export, report";

    async fn run(self, control: Control) -> Result<Report> {
        std::fs::create_dir_all(&self.dir)
            .map_err(|error| Error::configuration(format!("cannot make directory {}: {error}", self.dir.display())))?;
        let url = format!("embedded:{}", text(&self.dir)?.replace('%', "%25").replace('?', "%3F"));
        let mut steps = Vec::new();
        let complete = self.run_steps(&url, &control, &mut steps).await?;
        let mut report = Report::default();
        if !complete {
            report.outcome = Outcome::Stopped;
            report.note("Stopped on request; run the same command to go on from the committed position.");
            return Ok(report);
        }
        let parsed = StoreUrl::parse(&url)?;
        let store = open_warehouse(&parsed).await?;
        let (raw, results) = (RawSchema::of(&parsed)?, ResultSchema::of(&parsed)?);
        let jobs = job_table(parsed.table("job")?)?;
        let mut companies = Companies::new(store.clone(), jobs, Duration::from_secs(60));
        companies.fetch().await?;
        let counters = quality::quality(&*store, &raw, &*store, &results, &companies).await?;
        let stored = counters.get("stored").copied().unwrap_or_default();
        let mut files = self.write_files(&url, stored, &control).await?;

        let summary = Summary::read(&*store, &results).await?;
        for (name, content) in
            [("quality.json", quality::to_json(&counters)), ("report.html", html::page(&summary, &counters, &steps))]
        {
            let path = self.dir.join(name);
            let mut file = crate::whole_file::WholeFile::create(&path)?;
            file.write(content.as_bytes())?;
            file.finish()?;
            files.push(path);
        }
        report.counts =
            steps.iter().find(|step| step.step.ends_with(" load")).map(|load| load.counts.clone()).unwrap_or_default();
        for name in ["rows", "unknown_job_rows"] {
            report.fact(format!("hourly {name}").replace('_', " "), counters.get(name).copied().unwrap_or_default());
        }
        for step in &steps {
            let rate = if step.seconds > 0.0 { step.counts.read as f64 / step.seconds } else { 0.0 };
            let short = step.step.rsplit(' ').next().unwrap_or_default();
            report.note(format!(
                "{short:<9}{:>10} rows in {:>6.2} s {rate:>10.0} rows/s",
                step.counts.read, step.seconds
            ));
            if step.outcome == Outcome::Different {
                report.outcome = Outcome::Different;
                step.notes.iter().for_each(|note| report.note(note.clone()));
            }
        }
        files.iter().for_each(|file| report.note(format!("wrote {}", file.display())));
        report.table = Some(TextTable {
            title: "Hourly rows with the highest spend".into(),
            columns: html::TOP_COLUMNS.iter().map(ToString::to_string).collect(),
            rows: summary.top,
        });
        Ok(report)
    }
}
