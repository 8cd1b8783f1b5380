//! `scoring dead-letters list | show | replay`: which registrations were refused, why, and another try.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Control, Report, Result};

use crate::dead_letters::choice::{Choice, read_fixes};
use crate::dead_letters::listing;
use crate::dead_letters::steps::Letters;
use crate::scoring::dead_letter_replay::replay;
use crate::scoring::model::ModelFile;
use crate::scoring::targets::{Targets, open_ledger};
use crate::stores::DEFAULT_STORE;

/// Where dead letters are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The offers, whose dead letters these are.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    offers: String,
    /// Where the letters are kept; as in `scoring score`.
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Only letters with this reason, such as `bad_child_age`.
    #[arg(long)]
    reason: Option<String>,
}

#[async_trait]
impl Letters for Place {
    const SYSTEM: &'static str = super::SYSTEM;
    const LISTS: &'static str = "List refused registrations: their place in the topic and why they were refused";
    const SHOWS: &'static str = "Show a refused registration with its raw text";

    async fn open(&self) -> Result<(Arc<dyn Store>, Table)> {
        let (store, schema) = open_ledger(&self.offers, self.ledger.as_deref()).await?;
        Ok((store, schema.dead_letters))
    }

    fn reason(&self) -> Option<&String> {
        self.reason.as_ref()
    }
}

/// Replays dead letters.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayDeadLetters {
    #[command(flatten)]
    place: Place,
    /// The cache; the ledger's store if not given.
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    /// The model; the built-in one if not given.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them); only these are replayed.
    #[arg(long, value_name = "FILE")]
    fixed: Option<PathBuf>,
}

#[async_trait]
impl Parameters for ReplayDeadLetters {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "dead-letters replay";
    const ABOUT: &'static str =
        "Score refused registrations again, as they are or corrected; a settled one is never replayed twice";

    async fn run(self, control: Control) -> Result<Report> {
        let fixes = self.fixed.as_deref().map(read_fixes).transpose()?;
        let model = ModelFile::open(self.model.as_deref())?.current();
        let Place { offers, ledger, reason } = self.place;
        let targets = Targets::open(&offers, self.cache.as_deref(), ledger.as_deref()).await?;
        targets.require().await?;
        targets.create().await?;
        let choice = Choice { reason, settled: false, limit: usize::MAX };
        let counts = replay(targets, model, &choice, fixes.as_ref(), &control).await?;
        Ok(listing::replayed(counts, &control))
    }
}
