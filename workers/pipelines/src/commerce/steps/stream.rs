//! `commerce stream`: events → sales, tickets, views, funnel, alerts and archive.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_connectors::lake::Lake;
use headrace_core::clock::parse_duration;
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::report::Outcome;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Report, Result};

use super::DEFAULT_ARCHIVE;
use crate::commerce::archive::Archive;
use crate::commerce::decode::{Columns, decode};
use crate::commerce::finish::finish;
use crate::commerce::keeps::Keeps;
use crate::commerce::schema::Schema;
use crate::commerce::source::{From, Reading, create_outputs};
use crate::commerce::stream_work::{Messages, StreamWork};
use crate::steps::Tries;
use crate::stores::{DEFAULT_STORE, open_warehouse};

/// Events per batch when following.
const FOLLOWING_ROWS: usize = 20_000;
/// Events per batch when draining.
const DRAINING_ROWS: usize = 50_000;

/// Keeps the tables of a stream of events.
#[derive(Clone, Debug, clap::Args)]
pub struct Stream {
    /// The events: kafka://HOST, embedded:DIRECTORY, or file:PATH with recorded ones. A topic in the URL is put before the names of
    /// the three topics, with a point.
    #[arg(long, value_name = "EVENTS", default_value = DEFAULT_STORE)]
    pub from: String,
    /// Tables, state and positions: mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub store: String,
    /// Raw events by day, as Parquet: file:DIRECTORY, hdfs://HOST/PATH, s3://BUCKET/PREFIX, or `none`.
    #[arg(long, value_name = "LAKE", default_value = DEFAULT_ARCHIVE)]
    pub archive: String,
    /// What to keep. With `sales` the topic of orders alone is read, for far less work; a store's stream keeps the same for all time.
    #[arg(long, value_enum, default_value_t)]
    pub keep: Keeps,
    /// Go on forever, instead of ending when the events found at the start are done.
    #[arg(long)]
    pub follow: bool,
    /// Longest wait for a batch to fill, when following.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse_duration)]
    pub interval: Duration,
    /// Longest wait of raw events for the archive, when following.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub archive_every: Duration,
    /// Events per batch: the unit of commit; 20,000 when following and 50,000 otherwise if not given.
    #[arg(long, value_name = "ROWS")]
    pub batch_rows: Option<usize>,
    /// Close the minutes that are open when the events are done: nothing is on time for them any more.
    #[arg(long, conflicts_with = "follow")]
    pub close_windows: bool,
    /// The group of workers that share the topics.
    #[arg(long, value_name = "NAME", default_value = "headrace-commerce")]
    pub group: String,
}

/// Opens the archive a text names; none for `none`.
pub(super) async fn open_archive(text: &str) -> Result<Option<Lake>> {
    if text == "none" {
        return Ok(None);
    }
    Lake::open(&crate::steps::store_url("archive", text)?).await.map(Some)
}

/// Ends the run, and then puts the tables into the lake.
pub(super) async fn publish_after(
    ended: impl Future<Output = Result<usize>>,
    store: &dyn Store,
    schema: &Schema,
    lake: Option<&Lake>,
) -> Result<usize> {
    let files = ended.await?;
    if let Some(lake) = lake {
        super::compact::publish(store, schema, lake).await?;
    }
    Ok(files)
}

#[async_trait]
impl Parameters for Stream {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "stream";
    const ABOUT: &'static str =
        "Keep sales, tickets, views, funnel and archive of a stream of events, each counted once";

    async fn run(self, control: Control) -> Result<Report> {
        let store_url = crate::steps::store_url("store", &self.store)?;
        let schema = Schema::of(&store_url)?;
        let from = From::open("from", &self.from).await?;
        let rows = self.batch_rows.unwrap_or(if self.follow { FOLLOWING_ROWS } else { DRAINING_ROWS });
        let group = self.group;
        let (follow, kinds) = (self.follow, self.keep.kinds());
        let reading = Reading { group, kinds, follow, batch_rows: rows.max(1), interval: self.interval };
        let source = from.source(&reading).await?;
        let store = open_warehouse(&store_url).await?;
        store.create(&schema.tables()).await?;
        Keeps::of_store(&*store, &schema).await?.unwrap_or(self.keep).require(self.keep)?;
        let messages = match &from {
            From::Log(log, prefix) => {
                create_outputs(&**log, prefix).await?;
                Some(Messages::new(log.clone(), prefix.clone(), &*store))
            }
            From::File(_) => None,
        };
        let lake = open_archive(&self.archive).await?;
        let archive = |lake: &Option<Lake>| lake.clone().map(|lake| Archive::new(lake, self.archive_every));
        let work = StreamWork::new(store.clone(), schema.clone(), from.name(), messages.clone(), archive(&lake))
            .keeping(self.keep);
        let needs_all = self.keep == Keeps::Everything || lake.is_some();
        let columns = if needs_all { Columns::All } else { Columns::Sales };
        let pipeline = Pipeline {
            source,
            transform: Arc::new(move |batch| decode(batch.frame, columns)),
            sink: Box::new(LedgerSink::new(store.clone(), work)),
            parallel: 2,
            backoff: Backoff::default(),
        };
        let mut report = crate::steps::report_of(run(pipeline, &control).await?);
        if report.outcome == Outcome::Complete {
            // Several workers may end at once: what one of them does, the others find done when they try again.
            let mut tries = Tries::new(&control);
            let files = loop {
                let mut archive = archive(&lake);
                let ended = finish(&*store, &schema, messages.as_ref(), archive.as_mut(), self.close_windows);
                match publish_after(ended, &*store, &schema, lake.as_ref()).await {
                    Ok(files) => break files,
                    Err(error) => tries.again(error).await?,
                }
            };
            report.fact("archive_files_written", files);
        }
        report.fact("store", store.name());
        if let Some(lake) = &lake {
            report.fact("archive", lake.name());
        }
        Ok(report)
    }
}
