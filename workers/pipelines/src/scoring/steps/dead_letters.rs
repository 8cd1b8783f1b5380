//! `scoring dead-letters list | show | replay`: which registrations were refused, why, and another try.

use std::path::PathBuf;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::{Control, Report, Result};

use crate::dead_letters::choice::{Choice, read_fixes};
use crate::dead_letters::listing::{self, Listing};
use crate::scoring::dead_letter_replay::replay;
use crate::scoring::model::ModelFile;
use crate::scoring::targets::{Targets, open_ledger};
use crate::stores::DEFAULT_STORE;

/// Where dead letters are.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
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

/// Lists dead letters.
#[derive(Clone, Debug, clap::Args)]
pub struct ListDeadLetters {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    listing: Listing,
}

#[async_trait]
impl Parameters for ListDeadLetters {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "dead-letters list";
    const ABOUT: &'static str = "List refused registrations: their place in the topic and why they were refused";

    async fn run(self, _: Control) -> Result<Report> {
        let (store, schema) = open_ledger(&self.place.offers, self.place.ledger.as_deref()).await?;
        self.listing.report(&*store, &schema.dead_letters, self.place.reason.as_ref()).await
    }
}

/// Shows one dead letter.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowDeadLetters {
    /// Its position, as listed: partition-offset.
    position: String,
    #[command(flatten)]
    place: Place,
}

#[async_trait]
impl Parameters for ShowDeadLetters {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "dead-letters show";
    const ABOUT: &'static str = "Show a refused registration with its raw text";

    async fn run(self, _: Control) -> Result<Report> {
        let (store, schema) = open_ledger(&self.place.offers, self.place.ledger.as_deref()).await?;
        listing::show(&*store, &schema.dead_letters, &self.position, self.place.reason.as_ref()).await
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
