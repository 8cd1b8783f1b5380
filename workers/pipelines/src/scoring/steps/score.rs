//! `scoring score`: topic → model → history, offers and cache.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::clock::parse_duration;
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::log::Consume;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::step::Parameters;
use headrace_core::{Control, Error, Report, Result};

use crate::scoring::early_cache::EarlyCache;
use crate::scoring::gathered::{Gather, run_gathered};
use crate::scoring::model::ModelFile;
use crate::scoring::schema::TOPIC;
use crate::scoring::score_sink::ScoreWork;
use crate::scoring::scored;
use crate::scoring::targets::Targets;
use crate::stores::{DEFAULT_STORE, open_log};

/// Messages per batch when following: what a registration waits for at most.
const FOLLOWING_ROWS: usize = 500;
/// Messages per batch when draining.
const DRAINING_ROWS: usize = 10_000;
/// How often messages are taken for the cache, where that does not wait for commits.
const EARLY: Duration = Duration::from_millis(10);
/// How far commits are apart there: the stores' work is by the commit more than by the row.
const COMMITS_APART: Duration = Duration::from_millis(200);

/// Scores a topic.
#[derive(Clone, Debug, clap::Args)]
pub struct Score {
    /// The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub from: String,
    /// Offers and history: clickhouse://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub offers: String,
    /// The cache: redis://HOST or a store with tables; the ledger's store if not given.
    #[arg(long, value_name = "URL")]
    pub cache: Option<String>,
    /// Positions, counters and dead letters: mysql://USER@HOST/DATABASE or embedded:DIRECTORY. The offers' store if not given, or
    /// embedded:headrace-data where that has no transactions.
    #[arg(long, value_name = "URL")]
    pub ledger: Option<String>,
    /// The model; looked at every second and taken up when it changes. The built-in one if not given.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// A second model that scores beside the first; the report tells how they differ, and nothing of it is stored.
    #[arg(long, value_name = "FILE")]
    pub shadow: Option<PathBuf>,
    /// Go on forever, instead of ending when the messages found at the start are done.
    #[arg(long)]
    pub follow: bool,
    /// Longest wait for a batch to fill, when following.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = parse_duration)]
    pub interval: Duration,
    /// Messages per batch: the unit of commit; 10,000 if not given, but 500 when following with another cache than Redis.
    #[arg(long, value_name = "ROWS")]
    pub batch_rows: Option<usize>,
    /// The group of workers that share the topic; by default one per offers' table.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
}

#[async_trait]
impl Parameters for Score {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "score";
    const ABOUT: &'static str = "Score a topic of registrations into offers, history and cache, each once in effect";

    async fn run(self, control: Control) -> Result<Report> {
        let from = crate::steps::store_url("from", &self.from)?;
        let topic = from.topic(TOPIC)?;
        let model = Arc::new(ModelFile::open(self.model.as_deref())?);
        let shadow = self.shadow.as_deref().map(|path| ModelFile::open(Some(path))).transpose()?;
        let log = open_log(&from).await?;
        if log.extents(&topic).await?.is_none() {
            return Err(Error::configuration(format!(
                "topic {topic} does not exist in {}; run `headrace scoring send` first, or correct the URL",
                log.name()
            )));
        }
        let targets = Targets::open(&self.offers, self.cache.as_deref(), self.ledger.as_deref()).await?;
        targets.create().await?;
        let dead_letter_topic = format!("{topic}.dlq");
        log.create_topic(&dead_letter_topic, 1).await?;
        let rows = self.batch_rows.unwrap_or(if self.follow { FOLLOWING_ROWS } else { DRAINING_ROWS });
        let early = if self.follow { targets.quick_cache() } else { None };
        let backlog = rows.max(FOLLOWING_ROWS);
        let early = early.map(|cache| EarlyCache::new(cache, targets.cache_table.clone(), model.clone(), backlog));
        let consume = Consume {
            group: self.group.unwrap_or_else(|| format!("headrace-{}", targets.schema.offers.name)),
            follow: self.follow,
            batch_rows: rows.max(1),
            batch_bytes: 16 << 20,
            interval: if early.is_some() { self.interval.min(EARLY) } else { self.interval },
        };
        let gather = Gather {
            rows: self.batch_rows.unwrap_or(DRAINING_ROWS).max(1),
            apart: COMMITS_APART,
            interval: self.interval,
        };
        let source = log.consume(&topic, &consume).await?;
        let ledger = targets.ledger.clone();
        let work = ScoreWork::new(targets, topic, log.name(), Some((log, dead_letter_topic)));
        let work = if self.follow { work.following() } else { work };
        let work = match &early {
            Some(early) => work.with_known_values(early.known()),
            None => work,
        };
        let differences = work.shadow();
        let used = model.clone();
        let pipeline = Pipeline {
            source,
            transform: Arc::new(move |batch| {
                let candidate = shadow.as_ref().map(ModelFile::current);
                scored::score(&batch.frame, model.current(), candidate.as_deref())
            }),
            sink: Box::new(LedgerSink::new(ledger, work)),
            // What waits behind a commit is late; a backlog is worth reading ahead in.
            parallel: if self.follow { 1 } else { 2 },
            backoff: Backoff::default(),
        };
        let finished = match early {
            Some(early) => run_gathered(pipeline, early, gather, &control).await?,
            None => run(pipeline, &control).await?,
        };
        let mut report = crate::steps::report_of(finished);
        report.fact("model", used.current().version());
        if let Some(differences) = &*differences.lock().unwrap_or_else(PoisonError::into_inner) {
            report.fact("shadow", differences.report());
        }
        Ok(report)
    }
}
