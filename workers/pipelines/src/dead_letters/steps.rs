//! The steps `dead-letters list` and `dead-letters show` of every system, which differ by where the letters are.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Control, Report, Result};

use super::listing::{self, Listing};

/// Where the letters of a system are, as options of its steps.
#[async_trait]
pub trait Letters: clap::Args + Send + Sync + 'static {
    /// The system.
    const SYSTEM: &'static str;
    /// What `list` does, in one sentence.
    const LISTS: &'static str;
    /// What `show` does, in one sentence.
    const SHOWS: &'static str;

    /// Opens the store with the letters' table, which must be there.
    ///
    /// # Errors
    /// When it is not, or the store fails.
    async fn open(&self) -> Result<(Arc<dyn Store>, Table)>;

    /// Only letters with this reason.
    fn reason(&self) -> Option<&String>;
}

/// Lists dead letters.
#[derive(Clone, Debug, clap::Args)]
pub struct List<L: Letters> {
    #[command(flatten)]
    letters: L,
    #[command(flatten)]
    listing: Listing,
}

#[async_trait]
impl<L: Letters> Parameters for List<L> {
    const SYSTEM: &'static str = L::SYSTEM;
    const NAME: &'static str = "dead-letters list";
    const ABOUT: &'static str = L::LISTS;

    async fn run(self, _: Control) -> Result<Report> {
        let (store, table) = self.letters.open().await?;
        self.listing.report(&*store, &table, self.letters.reason()).await
    }
}

/// Shows dead letters.
#[derive(Clone, Debug, clap::Args)]
pub struct Show<L: Letters> {
    /// The position, as listed: a record number, or partition-offset, where each topic may have a letter.
    position: String,
    #[command(flatten)]
    letters: L,
}

#[async_trait]
impl<L: Letters> Parameters for Show<L> {
    const SYSTEM: &'static str = L::SYSTEM;
    const NAME: &'static str = "dead-letters show";
    const ABOUT: &'static str = L::SHOWS;

    async fn run(self, _: Control) -> Result<Report> {
        let (store, table) = self.letters.open().await?;
        listing::show(&*store, &table, &self.position, self.letters.reason()).await
    }
}
