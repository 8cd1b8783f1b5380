//! Halves of the steps, alone, for `./run bench` to compare the steps with: what does reading alone cost,
//! what writing alone, what does exactly-once add. Everything goes through the connectors that the steps use, except `count`,
//! which is the bare client library.
//!
//! Each prints one JSON object: rows, and the seconds of its work. Prepared input is not in the seconds.

#[path = "probe/commerce.rs"]
mod commerce;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use headrace_core::batch::message_columns;
use headrace_core::log::Consume;
use headrace_core::position::Reached;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, Transform, run};
use headrace_core::sink::Sink;
use headrace_core::source::Source;
use headrace_core::store::Store;
use headrace_core::{Batch, Claim, Control, Counts, Error, Partition, Result, StoreUrl};
use headrace_pipelines::reading::read_all;
use headrace_pipelines::recruitment::companies::Companies;
use headrace_pipelines::recruitment::hours_source::{HoursOptions, HoursSource};
use headrace_pipelines::recruitment::message::{self, Decoded};
use headrace_pipelines::recruitment::schema::{MESSAGE_COLUMNS, RawSchema, ResultSchema, TOPIC, job_table};
use headrace_pipelines::recruitment::{hourly, record};
use headrace_pipelines::scoring::model::ModelFile;
use headrace_pipelines::scoring::scored;
use headrace_pipelines::scoring::simulate::Simulation;
use headrace_pipelines::stores::{open_log, open_raw, open_warehouse};
use headrace_transforms::civil;
use polars::prelude::{DataFrame, NamedFrom, Series};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

/// The defaults of the steps.
const LOAD_ROWS: usize = 50_000;
const REPLAY_ROWS: usize = 50_000;
const CLEAN_ROWS: usize = 65_536;
const TOKEN_RANGES: usize = 16;
const SCORE_ROWS: u64 = 10_000;

/// Halves of the steps.
#[derive(Parser)]
struct Words {
    #[command(subcommand)]
    half: Option<Half>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Half {
    /// Reads the raw table by token ranges, the columns of a message only, and drops the rows.
    Scan { from: String },
    /// Reads the raw rows hour by hour, as `replay` does, and drops them.
    ScanHours { from: String },
    /// Sends the messages of the raw store to a topic; they are read and encoded before the clock runs.
    Produce { from: String, to: String },
    /// Counts the messages of a topic with the bare client library and its default settings.
    Count { from: String },
    /// Cleans a topic into the result without positions and ids: repeated, it would count everything twice.
    Clean { from: String, to: String },
    /// Writes the records of a CSV to the raw table alone, without index, ids and position; parsed before the clock runs.
    Write { file: std::path::PathBuf, to: String },
    /// Parses, checks and scores simulated registrations on one thread, without any store; they are made before the clock runs.
    Score { rows: u64, model: Option<std::path::PathBuf> },
    /// Parses, de-duplicates and windows simulated shop events on two threads, without any store; they are made before
    /// the clock runs.
    Window { events: u64, users: u64, products: u64 },
    /// Runs a statement on Cassandra.
    Cql { store: String, statement: String },
}

fn main() -> Result<()> {
    let Some(half) = Words::parse().half else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::external("cannot start the runtime", error))?;
    let (rows, seconds) = runtime.block_on(measure(half))?;
    let told = writeln!(std::io::stdout(), "{}", json!({ "rows": rows, "seconds": seconds }));
    told.map_err(|error| Error::external("cannot write to standard output", error))
}

async fn measure(half: Half) -> Result<(u64, f64)> {
    match half {
        Half::Scan { from } => scan(&StoreUrl::parse(&from)?).await,
        Half::ScanHours { from } => scan_hours(&StoreUrl::parse(&from)?).await,
        Half::Produce { from, to } => produce(&StoreUrl::parse(&from)?, &StoreUrl::parse(&to)?).await,
        Half::Count { from } => {
            let url = StoreUrl::parse(&from)?;
            let counting = tokio::task::spawn_blocking(move || count(&url));
            counting.await.map_err(|error| Error::external("cannot count", error))?
        }
        Half::Clean { from, to } => clean(&StoreUrl::parse(&from)?, &StoreUrl::parse(&to)?).await,
        Half::Write { file, to } => write(&file, &StoreUrl::parse(&to)?).await,
        Half::Score { rows, model } => score(rows, model.as_deref()),
        Half::Window { events, users, products } => commerce::window(events, users, products),
        Half::Cql { store, statement } => cql(&StoreUrl::parse(&store)?, &statement).await,
    }
}

async fn scan(from: &StoreUrl) -> Result<(u64, f64)> {
    let started = Instant::now();
    let (store, schema) = (open_raw(from).await?, RawSchema::of(from)?);
    let source = store.scan(&schema.tracking, &MESSAGE_COLUMNS, TOKEN_RANGES, &[]).await?;
    let mut rows = 0;
    read_all(source, &Control::default(), |batch| {
        rows += batch.height() as u64;
        Ok(())
    })
    .await?;
    Ok((rows, started.elapsed().as_secs_f64()))
}

async fn scan_hours(from: &StoreUrl) -> Result<(u64, f64)> {
    let started = Instant::now();
    let (store, schema) = (open_raw(from).await?, RawSchema::of(from)?);
    let scope = "bench scan of hours".to_owned();
    let options = HoursOptions { since_us: i64::MIN, until_us: i64::MAX, speed: None, batch_rows: REPLAY_ROWS };
    let source = Box::new(HoursSource::new(store.clone(), schema, scope.clone(), options));
    let rows = through(source, Arc::new(|batch: Batch| Ok(batch.frame)), Discard { store, scope }).await?;
    Ok((rows, started.elapsed().as_secs_f64()))
}

async fn produce(from: &StoreUrl, to: &StoreUrl) -> Result<(u64, f64)> {
    let (store, schema) = (open_raw(from).await?, RawSchema::of(from)?);
    let source = store.scan(&schema.tracking, &MESSAGE_COLUMNS, TOKEN_RANGES, &[]).await?;
    let mut all = DataFrame::default();
    read_all(source, &Control::default(), |batch| {
        let messages = message::encode(&batch.frame)?;
        if all.width() == 0 {
            all = messages;
            return Ok(());
        }
        all.vstack_mut(&messages)?;
        Ok(())
    })
    .await?;
    let started = Instant::now();
    let (log, topic) = (open_log(to).await?, to.topic(TOPIC)?);
    log.create_topic(&topic, 3).await?;
    for from in (0..all.height()).step_by(REPLAY_ROWS) {
        log.produce(&topic, &all.slice(from as i64, REPLAY_ROWS)).await?;
    }
    Ok((all.height() as u64, started.elapsed().as_secs_f64()))
}

/// What a consumer costs that does nothing: `assign`, `poll`, count.
fn count(from: &StoreUrl) -> Result<(u64, f64)> {
    let refused = |error: rdkafka::error::KafkaError| Error::external("cannot count messages", error);
    let topic = from.topic(TOPIC)?;
    let started = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", from.host_list(9092))
        .set("group.id", "bench count")
        .set("enable.auto.commit", "false")
        .create()
        .map_err(refused)?;
    let patience = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(Some(&topic), patience).map_err(refused)?;
    let mut places = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (first, end) = consumer.fetch_watermarks(&topic, partition.id(), patience).map_err(refused)?;
        left += end - first;
        places.add_partition_offset(&topic, partition.id(), Offset::Beginning).map_err(refused)?;
    }
    consumer.assign(&places).map_err(refused)?;
    let mut rows = 0;
    while rows < left {
        match consumer.poll(patience) {
            Some(message) => rows += i64::from(message.map_err(refused).is_ok()),
            None => return Err(Error::data(format!("nothing came for {patience:?} after {rows} of {left} messages"))),
        }
    }
    Ok((rows as u64, started.elapsed().as_secs_f64()))
}

async fn clean(from: &StoreUrl, to: &StoreUrl) -> Result<(u64, f64)> {
    let started = Instant::now();
    let (topic, schema) = (from.topic(TOPIC)?, ResultSchema::of(to)?);
    let (log, results) = (open_log(from).await?, open_warehouse(to).await?);
    results.create(&schema.tables()).await?;
    let mut companies = Companies::new(results.clone(), job_table(headrace_core::Ident::new("job")?)?, Duration::MAX);
    companies.fetch().await?;
    let consume = Consume {
        group: format!("bench-{}", schema.result.name),
        follow: false,
        batch_rows: CLEAN_ROWS,
        batch_bytes: 16 << 20,
        interval: Duration::from_secs(5),
    };
    let source = log.consume(&topic, &consume).await?;
    let sink = Forgetful { store: results, schema, companies };
    let rows = through(source, Arc::new(|batch: Batch| message::decode(&batch.frame)), sink).await?;
    Ok((rows, started.elapsed().as_secs_f64()))
}

async fn write(file: &std::path::Path, to: &StoreUrl) -> Result<(u64, f64)> {
    let (store, schema) = (open_raw(to).await?, RawSchema::of(to)?);
    store.create(&[&schema.tracking]).await?;
    let options = headrace_connectors::csv::CsvOptions { batch_rows: LOAD_ROWS, ..Default::default() };
    let source = headrace_connectors::csv::CsvSource::open(file, options)?;
    let mut batches = Vec::new();
    read_all(Box::new(source), &Control::default(), |batch| {
        batches.push(record::parse(&batch.frame)?.rows);
        Ok(())
    })
    .await?;
    let started = Instant::now();
    // Rows show at once in this kind of store; there is nothing to commit.
    let mut unit = store.begin("bench write", &[]).await?;
    for rows in &batches {
        unit.upsert(&schema.tracking, rows).await?;
    }
    let rows = batches.iter().map(|rows| rows.height() as u64).sum();
    Ok((rows, started.elapsed().as_secs_f64()))
}

fn score(rows: u64, model: Option<&std::path::Path>) -> Result<(u64, f64)> {
    let model = ModelFile::open(model)?.current();
    let simulation = Simulation { seed: 1, varied: true, defects: 0.0, first_user: 1 };
    let frames = (0..rows.div_ceil(SCORE_ROWS)).map(|number| {
        let first = number * SCORE_ROWS;
        let messages: Vec<_> = (first..rows.min(first + SCORE_ROWS))
            .map(|sequence| simulation.message(sequence, 1_737_000_000_000))
            .collect();
        let keys: Vec<Option<&[u8]>> = messages.iter().map(|message| Some(message.key.as_bytes())).collect();
        let values: Vec<Option<&[u8]>> = messages.iter().map(|message| message.value.as_deref()).collect();
        let offsets: Vec<i64> = (0..).take(messages.len()).collect();
        let columns = vec![
            Series::new(message_columns::KEY.into(), keys).into(),
            Series::new(message_columns::VALUE.into(), values).into(),
            Series::new(message_columns::PARTITION.into(), vec![0_i32; messages.len()]).into(),
            Series::new(message_columns::OFFSET.into(), offsets).into(),
            Series::new(message_columns::TIMESTAMP.into(), vec![0_i64; messages.len()]).into(),
        ];
        Ok(DataFrame::new(messages.len(), columns)?)
    });
    let frames: Vec<DataFrame> = frames.collect::<Result<_>>()?;
    let started = Instant::now();
    let mut scored = 0;
    for frame in &frames {
        scored += scored::score(frame, model.clone(), None)?.scored.len() as u64;
    }
    Ok((scored, started.elapsed().as_secs_f64()))
}

async fn cql(store: &StoreUrl, statement: &str) -> Result<(u64, f64)> {
    let started = Instant::now();
    let refused = |error: String| Error::external(format!("cannot run {statement}"), error);
    let session = scylla::client::session_builder::SessionBuilder::new().known_node(store.host_list(9042));
    let session = session.build().await.map_err(|error| refused(error.to_string()))?;
    session.query_unpaged(statement, &[]).await.map_err(|error| refused(error.to_string()))?;
    Ok((0, started.elapsed().as_secs_f64()))
}

/// Runs a source to its end through the run loop, and gives the number of rows.
async fn through<T: Send + Sync + 'static>(
    source: Box<dyn Source>,
    transform: Transform<T>,
    sink: impl Sink<T> + 'static,
) -> Result<u64> {
    let pipeline = Pipeline { source, transform, sink: Box::new(sink), parallel: 2, backoff: Backoff::default() };
    Ok(run(pipeline, &Control::default()).await?.counts.read)
}

/// A sink that claims, drops rows and never commits.
struct Discard {
    store: Arc<dyn Store>,
    scope: String,
}

#[async_trait::async_trait]
impl Sink<DataFrame> for Discard {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        self.store.claim(&self.scope, partitions).await
    }

    async fn commit(&mut self, rows: &DataFrame, _: &Reached) -> Result<Counts> {
        Ok(Counts { read: rows.height() as u64, ..Counts::default() })
    }
}

/// The clean step's sink without a memory: one transaction a batch with the same rows, but no position, no ids, no claims.
struct Forgetful {
    store: Arc<dyn Store>,
    schema: ResultSchema,
    companies: Companies,
}

#[async_trait::async_trait]
impl Sink<Decoded> for Forgetful {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        Ok(partitions.iter().map(|name| Claim { partition: name.clone(), epoch: 0, position: None }).collect())
    }

    async fn commit(&mut self, decoded: &Decoded, _: &Reached) -> Result<Counts> {
        let mut unit = self.store.begin("bench clean", &[]).await?;
        let mut hourly = hourly::join_company(&hourly::hourly(&decoded.events)?, self.companies.frame())?;
        if hourly.height() > 0 {
            let hours: Vec<i64> = hourly.column(hourly::TS)?.i64()?.into_no_null_iter().collect();
            let days: Vec<i64> = hours.iter().map(|hour| civil::days(*hour)).collect();
            let of_day: Vec<i64> = hours.iter().map(|hour| i64::from(civil::hour_of_day(*hour))).collect();
            hourly.with_column(Series::new("dates".into(), days).into())?;
            hourly.with_column(Series::new("hours".into(), of_day).into())?;
            hourly.with_column(Series::new("sources".into(), vec!["Cassandra"; hours.len()]).into())?;
            unit.upsert(&self.schema.result, &hourly).await?;
        }
        let unattributed = hourly::unattributed(&decoded.events)?;
        if unattributed.height() > 0 {
            unit.upsert(&self.schema.unattributed, &unattributed).await?;
        }
        unit.commit(&Reached::new(), &Counts::default()).await?;
        Ok(Counts { read: decoded.events.height() as u64, ..Counts::default() })
    }
}
