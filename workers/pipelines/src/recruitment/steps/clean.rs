//! `recruitment clean`: topic → hourly table, joined with the companies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::clock::parse_duration;
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::log::{Consume, Log};
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Error, Partition, Report, Result, StoreUrl};

use crate::recruitment::clean_sink::{CleanWork, ledger_partition};
use crate::recruitment::companies::Companies;
use crate::recruitment::message;
use crate::recruitment::schema::{ResultSchema, TOPIC, job_table};
use crate::stores::{DEFAULT_STORE, open_log, open_warehouse};

/// Cleans a topic into the hourly table.
#[derive(Clone, Debug, clap::Args)]
pub struct Clean {
    /// The log: kafka://HOST/TOPIC or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub from: String,
    /// The job dimension: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY; the result's database if not given.
    #[arg(long, value_name = "URL")]
    pub jobs: Option<String>,
    /// The result: mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub to: String,
    /// Go on forever, instead of ending when the messages found at the start are done.
    #[arg(long)]
    pub follow: bool,
    /// Read the topic again from its beginning; events counted before are not counted again.
    #[arg(long)]
    pub restart: bool,
    /// Longest wait for a batch to fill, when following.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Messages per batch: the unit of commit.
    #[arg(long, value_name = "ROWS", default_value_t = 65_536)]
    pub batch_rows: usize,
    /// How old the companies may be before they are fetched again.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub refresh: Duration,
    /// The group of workers that share the topic; by default one per result table.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
}

/// Opens the job dimension. A table beside the result may still be missing and is made; any other must be there.
async fn open_jobs(clean: &Clean, to: &StoreUrl, results: &Arc<dyn Store>) -> Result<Companies> {
    let table = |url: &StoreUrl| url.table("job").and_then(job_table);
    let Some(jobs) = &clean.jobs else {
        let bare = StoreUrl { options: BTreeMap::new(), path: to.path.iter().take(1).cloned().collect(), ..to.clone() };
        let table = table(&bare)?;
        results.create(&[&table]).await?;
        return Ok(Companies::new(results.clone(), table, clean.refresh));
    };
    let url = super::store_url("jobs", jobs)?;
    let (store, table) = (open_warehouse(&url).await?, table(&url)?);
    if store.name() == results.name() {
        store.create(&[&table]).await?;
    } else {
        super::require_table(&*store, &table.name, "jobs").await?;
    }
    Ok(Companies::new(store, table, clean.refresh))
}

/// Sets every partition's committed position back to the first message the topic holds.
async fn restart(log: &dyn Log, topic: &str, results: &dyn Store, scope: &str) -> Result<()> {
    let extents = log.extents(topic).await?.unwrap_or_default();
    let firsts = extents.iter().map(|extent| {
        (ledger_partition(&log.name(), &Partition::new(format!("{topic}-{}", extent.partition))), extent.first)
    });
    super::set_positions(results, scope, firsts.collect()).await
}

#[async_trait]
impl Parameters for Clean {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "clean";
    const ABOUT: &'static str = "Clean a topic into the hourly table of clicks, spend and applications, exactly once";

    async fn run(self, control: Control) -> Result<Report> {
        let (from, to) = (super::store_url("from", &self.from)?, super::store_url("to", &self.to)?);
        let (topic, schema) = (from.topic(TOPIC)?, ResultSchema::of(&to)?);
        let log = open_log(&from).await?;
        if log.extents(&topic).await?.is_none() {
            return Err(Error::configuration(format!(
                "topic {topic} does not exist in {}; run `headrace recruitment replay` first, or correct the URL",
                log.name()
            )));
        }
        let results = open_warehouse(&to).await?;
        results.create(&schema.tables()).await?;
        results.create_view(&schema.filled).await?;
        let companies = open_jobs(&self, &to, &results).await?;
        if self.restart {
            restart(&*log, &topic, &*results, &schema.clean_scope()).await?;
        }
        let dead_letter_topic = format!("{topic}.dlq");
        log.create_topic(&dead_letter_topic, 1).await?;
        let consume = Consume {
            group: self.group.unwrap_or_else(|| format!("headrace-{}", schema.result.name)),
            follow: self.follow,
            batch_rows: self.batch_rows.max(1),
            batch_bytes: 16 << 20,
            interval: self.interval,
        };
        let source = log.consume(&topic, &consume).await?;
        let dead_letters = Some((log.clone(), dead_letter_topic));
        let work = CleanWork::new(results.clone(), schema, companies, topic, log.name(), dead_letters);
        let pipeline = Pipeline {
            source,
            transform: Arc::new(|batch| message::decode(&batch.frame)),
            sink: Box::new(LedgerSink::new(results, work)),
            // Decoding is far quicker than reading and committing, and a further batch would be another 20 MB.
            parallel: 1,
            backoff: Backoff::default(),
        };
        Ok(super::report_of(run(pipeline, &control).await?))
    }
}
