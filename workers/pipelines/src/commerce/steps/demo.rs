//! `commerce demo`: the whole job on the embedded store, with the newest minutes to look at.

use std::path::PathBuf;

use async_trait::async_trait;
use headrace_core::report::{Outcome, TextTable};
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};
use serde_json::json;

use super::{Simulate, Stream, Verify};
use crate::commerce::export::{Shown, all};
use crate::commerce::schema::Schema;
use crate::steps::run_next;
use crate::stores::open_warehouse;

/// Minutes shown.
const SHOWN: usize = 12;

/// Runs the whole job.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// The directory for store and archive.
    #[arg(long, value_name = "DIR", default_value = "headrace-commerce-demo")]
    pub dir: PathBuf,
    /// Events to simulate, over the last forty minutes.
    #[arg(long, default_value_t = 20_000)]
    pub events: u64,
    /// Seed of the simulation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Then go on with so many events per second until stopped, for the dashboard to show.
    #[arg(long, value_name = "PER_SECOND")]
    pub live: Option<f64>,
}

impl Demo {
    async fn run_steps(&self, url: &str, archive: &str, control: &Control, reports: &mut Vec<Report>) -> Result<bool> {
        let simulate = json!({ "to": url, "events": self.events, "seed": self.seed });
        let stream = json!({ "from": url, "store": url, "archive": archive });
        Ok(run_next::<Simulate>(simulate, control, reports).await?
            && run_next::<Stream>(stream, control, reports).await?
            && run_next::<Verify>(json!({ "store": url, "archive": archive }), control, reports).await?)
    }

    /// Simulates and streams until stopped.
    async fn go_on(&self, url: &str, archive: &str, rate: f64, control: &Control) -> Result<()> {
        let simulate = json!({ "to": url, "events": 0, "rate": rate, "seed": self.seed.wrapping_add(1) });
        let stream = json!({ "from": url, "store": url, "archive": archive, "follow": true });
        let (mut sent, mut streamed) = (Vec::new(), Vec::new());
        let sending = run_next::<Simulate>(simulate, control, &mut sent);
        let streaming = run_next::<Stream>(stream, control, &mut streamed);
        tokio::try_join!(sending, streaming).map(drop)
    }
}

/// The last rows of a table.
fn newest(shown: &Shown) -> Result<TextTable> {
    let csv = shown.csv()?;
    let mut lines = csv.lines().map(|line| line.split(',').map(ToOwned::to_owned).collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    let rows: Vec<Vec<String>> = lines.collect();
    let from = rows.len().saturating_sub(SHOWN);
    Ok(TextTable { title: "Sales of the newest minutes".to_owned(), columns, rows: rows[from..].to_vec() })
}

#[async_trait]
impl Parameters for Demo {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "demo";
    const ABOUT: &'static str =
        "Run the whole job on the embedded store: simulate, stream, verify, and show the newest minutes";

    async fn run(self, control: Control) -> Result<Report> {
        let dir = self.dir.to_str().ok_or_else(|| Error::configuration("the directory's name is not UTF-8"))?;
        let escaped = dir.replace('%', "%25").replace('?', "%3F");
        let (url, archive) = (format!("embedded:{escaped}"), format!("file:{escaped}/ecommerce"));
        let (mut report, mut reports) = (Report::default(), Vec::new());
        if !self.run_steps(&url, &archive, &control, &mut reports).await? {
            report.outcome = Outcome::Stopped;
            report.note("Stopped on request; run the same command to go on from the committed position.");
            return Ok(report);
        }
        for step in &reports {
            let short = step.step.rsplit(' ').next().unwrap_or_default();
            let (rows, seconds) = (step.counts.read, step.seconds);
            let rate = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
            report.note(format!("{short:<9}{rows:>9} rows in {seconds:>6.2} s {rate:>10.0} rows/s"));
            if short == "stream" {
                report.counts = step.counts.clone();
            }
            if step.outcome == Outcome::Different {
                report.outcome = Outcome::Different;
            }
            if short == "verify" {
                step.notes.iter().for_each(|note| report.note(note.clone()));
            }
        }
        report
            .note(format!("Tables and archive are in {dir}; look at them: headrace dashboard commerce --store {url}"));
        if let Some(rate) = self.live {
            tracing::info!("going on with {rate} events per second until stopped");
            self.go_on(&url, &archive, rate, &control).await?;
            report.outcome = Outcome::Stopped;
        }
        let store = open_warehouse(&crate::steps::store_url("dir", &url)?).await?;
        let shown = all(&*store, &Schema::of(&crate::steps::store_url("dir", &url)?)?).await?;
        report.table = shown.iter().find(|table| table.name == "sales_per_minute").map(newest).transpose()?;
        Ok(report)
    }
}
