//! `recruitment dead-letters list | show | replay`: what was refused, why, and another try.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Control, Report, Result, StoreUrl};

use crate::dead_letters::choice::{Choice, read_fixes};
use crate::dead_letters::listing;
use crate::dead_letters::steps::Letters;
use crate::recruitment::clean_sink::CleanWork;
use crate::recruitment::companies::Companies;
use crate::recruitment::dead_letter_replay::{replay_clean, replay_jobs, replay_load};
use crate::recruitment::job_sink::JobSchema;
use crate::recruitment::schema::{RawSchema, ResultSchema, TOPIC, job_table};
use crate::stores::{DEFAULT_STORE, open_raw, open_warehouse};

/// The step that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Refuser {
    /// Records of a file, beside the raw store.
    Load,
    /// Messages of a topic, beside the result.
    Clean,
    /// Records of a job file, beside the job dimension.
    Jobs,
}

/// Where dead letters are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The raw store (letters of load), the result (of clean) or the job dimension (of jobs).
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    from: String,
    /// The step that refused; by default load for cassandra, clean for mysql, and load for embedded.
    #[arg(long, value_enum)]
    step: Option<Refuser>,
    /// Only letters with this reason, such as bad_number.
    #[arg(long)]
    reason: Option<String>,
}

impl Place {
    fn url(&self) -> Result<StoreUrl> {
        super::store_url("from", &self.from)
    }

    fn refuser(&self, url: &StoreUrl) -> Refuser {
        let by_default =
            if matches!(url.scheme.as_str(), "mysql" | "mariadb") { Refuser::Clean } else { Refuser::Load };
        self.step.unwrap_or(by_default)
    }
}

#[async_trait]
impl Letters for Place {
    const SYSTEM: &'static str = super::SYSTEM;
    const LISTS: &'static str = "List refused rows: where they came from and why they were refused";
    const SHOWS: &'static str = "Show refused rows with their raw text";

    async fn open(&self) -> Result<(Arc<dyn Store>, Table)> {
        let url = self.url()?;
        let (store, table, made_by) = match self.refuser(&url) {
            Refuser::Load => (open_raw(&url).await?, RawSchema::of(&url)?.dead_letters, "load"),
            Refuser::Clean => (open_warehouse(&url).await?, ResultSchema::of(&url)?.dead_letters, "clean"),
            Refuser::Jobs => (open_warehouse(&url).await?, JobSchema::of(url.table("job")?)?.dead_letters, "jobs"),
        };
        super::require_table(&*store, &table.name, made_by).await?;
        Ok((store, table))
    }

    fn reason(&self) -> Option<&String> {
        self.reason.as_ref()
    }
}

/// Replays dead letters.
#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    #[command(flatten)]
    place: Place,
    /// Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them); only these are replayed.
    #[arg(long, value_name = "FILE")]
    fixed: Option<PathBuf>,
    /// The job dimension, for letters of clean; the result's database if not given.
    #[arg(long, value_name = "URL")]
    jobs: Option<String>,
}

#[async_trait]
impl Parameters for Replay {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "dead-letters replay";
    const ABOUT: &'static str = "Put refused rows through their step again; a settled row is never replayed twice";

    async fn run(self, control: Control) -> Result<Report> {
        let fixes = self.fixed.as_deref().map(read_fixes).transpose()?;
        let (store, _) = self.place.open().await?;
        let url = self.place.url()?;
        let choice = Choice { reason: self.place.reason.clone(), settled: false, limit: usize::MAX };
        let counts = match self.place.refuser(&url) {
            Refuser::Load => {
                let schema = RawSchema::of(&url)?;
                store.create(&schema.tables()).await?;
                replay_load(&store, &schema, &choice, fixes.as_ref(), &control).await?
            }
            Refuser::Jobs => {
                let schema = JobSchema::of(url.table("job")?)?;
                store.create(&[&schema.table, &schema.dead_letters]).await?;
                replay_jobs(&store, &schema, &choice, fixes.as_ref(), &control).await?
            }
            Refuser::Clean => {
                let schema = ResultSchema::of(&url)?;
                store.create(&schema.tables()).await?;
                let (jobs, name) = match &self.jobs {
                    Some(jobs) => {
                        let url = super::store_url("jobs", jobs)?;
                        (open_warehouse(&url).await?, url.table("job")?)
                    }
                    None => (store.clone(), headrace_core::Ident::new("job")?),
                };
                let companies = Companies::new(jobs, job_table(name)?, Duration::from_secs(60));
                let work = CleanWork::new(store.clone(), schema.clone(), companies, TOPIC.into(), String::new(), None);
                replay_clean(&store, &schema, work, &choice, fixes.as_ref(), &control).await?
            }
        };
        Ok(listing::replayed(counts, &control))
    }
}
