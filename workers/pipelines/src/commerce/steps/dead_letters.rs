//! `commerce dead-letters list | show | replay`: which events were refused, why, and another try.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Control, Error, Report, Result, clock};

use super::DEFAULT_ARCHIVE;
use crate::commerce::archive::{Archive, lake_of};
use crate::commerce::dead_letter_replay::replay;
use crate::commerce::schema::Schema;
use crate::dead_letters::choice::{Choice, read_fixes};
use crate::dead_letters::listing;
use crate::dead_letters::steps::Letters;
use crate::steps::Tries;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Where dead letters are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Where the tables are, and with them the letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    store: String,
    /// Only letters with this reason, such as `bad_price`.
    #[arg(long)]
    reason: Option<String>,
}

impl Place {
    async fn open_all(&self) -> Result<(Arc<dyn Store>, Schema)> {
        let url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&url)?;
        let store = open_warehouse(&url).await?;
        super::export::require_tables(&*store, &schema).await?;
        Ok((store, schema))
    }
}

#[async_trait]
impl Letters for Place {
    const SYSTEM: &'static str = super::SYSTEM;
    const LISTS: &'static str = "List refused events: their place in their topic and why they were refused";
    const SHOWS: &'static str = "Show refused events with their raw text";

    async fn open(&self) -> Result<(Arc<dyn Store>, Table)> {
        let (store, schema) = self.open_all().await?;
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
    /// The archive, as in `commerce stream`: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    archive: String,
    /// Corrected letters as JSON lines with `source`, `position` and `raw` (as `list --out` writes them); only these are replayed.
    #[arg(long, value_name = "FILE")]
    fixed: Option<PathBuf>,
}

#[async_trait]
impl Parameters for ReplayDeadLetters {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "dead-letters replay";
    const ABOUT: &'static str =
        "Stream refused events again, as they are or corrected; a settled one is never replayed twice";

    async fn run(self, control: Control) -> Result<Report> {
        let fixes = self.fixed.as_deref().map(read_fixes).transpose()?;
        let (store, schema) = self.place.open_all().await?;
        store.create(&schema.tables()).await?;
        let lake = super::stream::open_archive(&self.archive).await?;
        let archive = || lake.clone().map(Archive::of_stream);
        if lake.is_none()
            && let Some(lake) = lake_of(&*store, &schema.scope()).await?
        {
            return Err(Error::configuration(format!("raw events of this store go to {lake}: give --archive {lake}")));
        }
        let choice = Choice { reason: self.place.reason, settled: false, limit: usize::MAX };
        let counts = replay(&store, &schema, archive(), &choice, fixes.as_ref(), &control).await?;
        let mut report = listing::replayed(counts, &control);
        if let (Some(lake), Some(mut archive), false) = (&lake, archive(), control.is_stopping()) {
            // A stream may be writing the same plan at this moment: then it is found done at the next try.
            let (scope, mut tries) = (schema.scope(), Tries::new(&control));
            let files = loop {
                let flushed = archive.flush(&*store, &scope, clock::now_us());
                match super::stream::publish_after(flushed, &*store, &schema, Some(lake)).await {
                    Ok(files) => break files,
                    Err(error) => tries.again(error).await?,
                }
            };
            report.fact("archive_files_written", files);
        }
        Ok(report)
    }
}
