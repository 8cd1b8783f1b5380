//! `recruitment verify`: recounts raw store and topic against the result.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::log::Consume;
use headrace_core::report::Outcome;
use headrace_core::step::Parameters;
use headrace_core::store::Store;
use headrace_core::{Control, Counts, Error, Ident, Report, Result, clock};
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};

use crate::reading::{Pages, read_all};
use crate::recruitment::classes::{self, ClassCounts};
use crate::recruitment::companies::Companies;
use crate::recruitment::dead_letter_replay::{self, Choice};
use crate::recruitment::hourly::{self, KEYS, SUMS};
use crate::recruitment::message::{self, Decoded};
use crate::recruitment::schema::{MESSAGE_COLUMNS, RawSchema, ResultSchema, TOPIC, job_table};
use crate::recruitment::verify::{EventSet, compare, fold};
use crate::stores::{DEFAULT_STORE, open_log, open_raw, open_warehouse};

/// Verifies a result.
#[derive(Clone, Debug, clap::Args)]
pub struct Verify {
    /// The raw store.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub raw: String,
    /// The log.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub log: String,
    /// The result.
    #[arg(long, value_name = "URL", default_value = DEFAULT_STORE)]
    pub result: String,
    /// The job dimension; the result's database if not given. Companies are compared if its table is there.
    #[arg(long, value_name = "URL")]
    pub jobs: Option<String>,
}

/// Everything counted of one place.
#[derive(Default)]
struct Recount {
    events: EventSet,
    seen: HashSet<[u8; 16], foldhash::fast::RandomState>,
    hourly: Option<DataFrame>,
    unattributed: BTreeMap<(i64, String), i64>,
    classes: Vec<ClassCounts>,
    refused: u64,
    messages: u64,
}

impl Recount {
    fn add(&mut self, decoded: &Decoded) -> Result<()> {
        self.messages += (decoded.ids.len() + decoded.rejected.len()) as u64;
        self.refused += decoded.rejected.len() as u64;
        self.events.add(decoded)?;
        let first = decoded.ids.iter().map(|id| id.is_none_or(|id| self.seen.insert(id))).collect();
        self.count(decoded, first)
    }

    /// Adds events of messages that were refused, corrected and replayed, to a closed recount: the topic does not hold them.
    fn add_corrected(&mut self, decoded: &Decoded) -> Result<()> {
        let mut known = HashSet::new();
        let is_new = |id: &Option<[u8; 16]>| id.is_none_or(|id| !self.events.has(&id) && known.insert(id));
        let first = decoded.ids.iter().map(is_new).collect();
        self.count(decoded, first)
    }

    fn count(&mut self, decoded: &Decoded, first: Vec<bool>) -> Result<()> {
        let mask: BooleanChunked = BooleanChunked::from_iter_values("first".into(), first.into_iter());
        let events = decoded.events.filter(&mask)?;
        self.classes.push(classes::count_events(&events)?);
        add_unattributed(&mut self.unattributed, &hourly::unattributed(&events)?)?;
        fold(&mut self.hourly, hourly::hourly(&events)?)
    }

    fn close(&mut self) {
        self.events.close();
        self.seen = HashSet::default();
    }
}

#[async_trait]
impl Parameters for Verify {
    const SYSTEM: &'static str = super::SYSTEM;
    const NAME: &'static str = "verify";
    const ABOUT: &'static str = "Recount raw store and topic against the result: what is missing, doubled or different";

    async fn run(self, control: Control) -> Result<Report> {
        let mut report = Report::default();
        let Some(raw) = self.recount_raw(&control).await? else { return Ok(stopped(report)) };
        let Some((mut topic, trimmed)) = self.recount_topic(&control).await? else { return Ok(stopped(report)) };
        let url = super::store_url("result", &self.result)?;
        let schema = ResultSchema::of(&url)?;
        let store = open_warehouse(&url).await?;
        super::require_table(&*store, &schema.result.name, "clean").await?;
        let mut columns = KEYS.to_vec();
        columns.extend(SUMS);
        let mut found = Vec::new();
        let mut pages = Pages::new(&*store, &schema.result, &columns);
        while let Some(page) = pages.next().await? {
            found.push(page);
        }
        let corrected = self.corrected(&store, &schema).await?;
        topic.add_corrected(&corrected)?;
        let companies = self.differing_companies(&store, &schema).await?;
        let between = raw.events.compare(&topic.events);
        // Where retention has removed messages the topic cannot tell what the result should be; the raw store can.
        let (right, source) = if trimmed { (&raw, "raw store") } else { (&topic, "topic") };
        let empty = hourly::hourly(&message::decode(&no_messages()?)?.events)?;
        let rows = compare(right.hourly.as_ref().unwrap_or(&empty), &found)?;

        let mut unattributed = BTreeMap::new();
        let mut pages = Pages::new(&*store, &schema.unattributed, &["ts", "custom_track", "events"]);
        while let Some(page) = pages.next().await? {
            add_unattributed(&mut unattributed, &page)?;
        }
        let wrong_unattributed = differing(&right.unattributed, &unattributed);

        let result_rows: usize = found.iter().map(DataFrame::height).sum();
        report.counts.read = raw.events.len() as u64 + topic.messages + result_rows as u64;
        report.counts.written = report.counts.read;
        report.fact("raw rows", raw.events.len());
        report.fact("topic messages", topic.messages);
        report.fact("topic events", topic.events.len() as u64 + topic.events.without_id);
        report.fact("topic refused", topic.refused);
        report.fact("topic corrected", corrected.ids.len());
        report.fact("topic doubled", topic.events.doubled.1);
        report.fact("topic missing", between.missing);
        report.fact("topic unexpected", between.unexpected);
        report.fact("topic different", between.different);
        report.fact("result rows", result_rows);
        report.fact("result rows missing", rows.missing);
        report.fact("result rows unexpected", rows.unexpected);
        report.fact("result rows different", rows.different);
        report.fact("unattributed rows wrong", wrong_unattributed);
        report.fact("companies wrong", companies.map_or(serde_json::Value::Null, Into::into));
        self.add_counters(&mut report, &store.counters(&schema.clean_scope()).await?).await?;
        let mut counts = Counts::default();
        right.classes.iter().for_each(|classes| classes.add_to(&mut counts));
        report.counts.classes = counts.classes;
        if topic.events.doubled.1 > 0 {
            report.note(format!(
                "{} events are in the topic more than once ({} copies too many); the result counts each once.",
                topic.events.doubled.0, topic.events.doubled.1
            ));
        }
        if trimmed {
            report.note(
                "The topic no longer holds its first messages (retention): the result was compared with the raw store.",
            );
        }
        let in_topic = if trimmed { between.different } else { between.missing + between.different };
        let wrong_companies = companies.unwrap_or_default();
        let in_result = rows.missing + rows.unexpected + rows.different + wrong_unattributed + wrong_companies;
        if between.unexpected > 0 {
            let unexpected = between.unexpected;
            report
                .note(format!("{unexpected} events of the topic are not in the raw store: other producers sent them."));
        }
        if in_topic + in_result == 0 {
            let topic = if trimmed { "" } else { ", and the topic holds every raw row" };
            report.note(format!("Right: the result equals a recount of the {source}{topic}."));
            return Ok(report);
        }
        report.outcome = Outcome::Different;
        if in_topic > 0 {
            report.note("The topic does not hold the raw store's rows as they are; run `headrace recruitment replay`.");
        }
        if wrong_companies > 0 {
            report.note(format!(
                "{wrong_companies} jobs have another company in the dimension; run `headrace recruitment clean`."
            ));
        }
        if in_result > wrong_companies {
            report.note(format!("The result differs from a recount of the {source}; if messages are left, run `headrace recruitment clean`."));
        }
        between.examples.into_iter().chain(rows.examples).for_each(|example| report.note(example));
        Ok(report)
    }
}

fn stopped(mut report: Report) -> Report {
    report.outcome = Outcome::Stopped;
    report.note("Stopped on request before everything was compared.");
    report
}

/// Adds a table of unattributed events up.
fn add_unattributed(sums: &mut BTreeMap<(i64, String), i64>, table: &DataFrame) -> Result<()> {
    let (hours, names) = (table.column("ts")?.i64()?, table.column("custom_track")?.str()?);
    let events = table.column("events")?.i64()?;
    for ((hour, name), count) in hours.iter().zip(names.iter()).zip(events.iter()) {
        let key = (hour.unwrap_or_default(), name.unwrap_or_default().to_owned());
        *sums.entry(key).or_default() += count.unwrap_or_default();
    }
    Ok(())
}

/// Counts the keys whose sums differ.
fn differing(right: &BTreeMap<(i64, String), i64>, found: &BTreeMap<(i64, String), i64>) -> u64 {
    let keys: BTreeSet<_> = right.keys().chain(found.keys()).collect();
    keys.into_iter().filter(|key| right.get(*key) != found.get(*key)).count() as u64
}

/// A frame of raw messages without rows.
fn no_messages() -> Result<DataFrame> {
    use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, VALUE};
    let none: Vec<Option<&[u8]>> = Vec::new();
    let columns = vec![
        Series::new(KEY.into(), none.clone()).into(),
        Series::new(VALUE.into(), none).into(),
        Series::new(PARTITION.into(), Vec::<i32>::new()).into(),
        Series::new(OFFSET.into(), Vec::<i64>::new()).into(),
    ];
    Ok(DataFrame::new(0, columns)?)
}

impl Verify {
    /// Counts the jobs whose rows have another company than the dimension; none where there is no dimension.
    async fn differing_companies(&self, store: &Arc<dyn Store>, schema: &ResultSchema) -> Result<Option<u64>> {
        let (dimension, name) = match &self.jobs {
            Some(jobs) => {
                let url = super::store_url("jobs", jobs)?;
                (open_warehouse(&url).await?, url.table("job")?)
            }
            None => (store.clone(), Ident::new("job")?),
        };
        if !dimension.has_table(&name).await? {
            return match &self.jobs {
                Some(_) => super::require_table(&*dimension, &name, "jobs").await.map(|()| None),
                None => Ok(None),
            };
        }
        let mut companies = Companies::new(dimension, job_table(name)?, Duration::MAX);
        companies.fetch().await?;
        Ok(Some(companies.differing(&**store, &schema.result).await?.len() as u64))
    }

    /// The events of messages of the topic that were refused, corrected and replayed.
    async fn corrected(&self, store: &Arc<dyn Store>, schema: &ResultSchema) -> Result<Decoded> {
        if !store.has_table(&schema.dead_letters.name).await? {
            return message::decode(&no_messages()?);
        }
        let topic = super::store_url("log", &self.log)?.topic(TOPIC)?;
        let choice = Choice { settled: true, limit: usize::MAX, ..Choice::default() };
        let mut letters = dead_letter_replay::read(&**store, &schema.dead_letters, &choice).await?;
        letters.retain(|letter| letter.settled_at_us.is_some() && letter.source == topic);
        message::decode(&dead_letter_replay::message_frame(&letters)?)
    }

    /// Adds what the ledgers have counted in all runs so far, to be held against the rows.
    async fn add_counters(&self, report: &mut Report, cleaned: &Counts) -> Result<()> {
        let (raw, log) = (super::store_url("raw", &self.raw)?, super::store_url("log", &self.log)?);
        let (schema, store) = (RawSchema::of(&raw)?, open_raw(&raw).await?);
        // A table that someone else has filled has no ledger beside it.
        let kept = |counters| match counters {
            Err(Error::Configuration(_)) => Ok(Counts::default()),
            other => other,
        };
        let loaded = kept(store.counters(&schema.load_scope()).await)?;
        let replay = schema.replay_scope(&open_log(&log).await?.name(), &log.topic(TOPIC)?);
        report.fact("replay written", kept(store.counters(&replay).await)?.written);
        for (step, counts) in [("load", &loaded), ("clean", cleaned)] {
            report.fact(format!("{step} read"), counts.read);
            report.fact(format!("{step} written"), counts.written);
            report.fact(format!("{step} duplicate"), counts.duplicate);
            report.fact(format!("{step} dead-lettered"), counts.dead_lettered);
            report.fact(format!("{step} ignored"), counts.ignored);
        }
        Ok(())
    }

    async fn recount_raw(&self, control: &Control) -> Result<Option<Recount>> {
        use headrace_core::batch::message_columns::{OFFSET, PARTITION};
        let url = super::store_url("raw", &self.raw)?;
        let schema = RawSchema::of(&url)?;
        let store = open_raw(&url).await?;
        super::require_table(&*store, &schema.tracking.name, "load").await?;
        let source = store.scan(&schema.tracking, &MESSAGE_COLUMNS, 8, &[]).await?;
        let mut recount = Recount::default();
        let whole = read_all(source, control, |batch| {
            // Through the messages' own form, so that both sides are read by the same rules.
            let mut messages = message::encode(&batch.frame)?;
            let height = messages.height();
            messages.with_column(Series::new(PARTITION.into(), vec![0_i32; height]).into())?;
            messages.with_column(Series::new(OFFSET.into(), vec![0_i64; height]).into())?;
            recount.add(&message::decode(&messages)?)
        })
        .await?;
        recount.close();
        Ok(whole.then_some(recount))
    }

    /// Recounts the topic, and tells whether retention has removed messages from it.
    async fn recount_topic(&self, control: &Control) -> Result<Option<(Recount, bool)>> {
        let url = super::store_url("log", &self.log)?;
        let topic = url.topic(TOPIC)?;
        let log = open_log(&url).await?;
        let Some(extents) = log.extents(&topic).await? else {
            return Err(Error::configuration(format!(
                "topic {topic} does not exist in {}; run `headrace recruitment replay` first, or correct the URL",
                log.name()
            )));
        };
        let trimmed = extents.iter().any(|extent| extent.first > 0);
        let source = log.consume(&topic, &consume()).await?;
        let mut recount = Recount::default();
        let whole = read_all(source, control, |batch| recount.add(&message::decode(&batch.frame)?)).await?;
        recount.close();
        Ok(whole.then_some((recount, trimmed)))
    }
}

/// Reads as a group of its own, so that no other worker shares the partitions.
fn consume() -> Consume {
    Consume {
        group: format!("headrace-verify-{}", clock::worker_name()),
        follow: false,
        batch_rows: 65_536,
        batch_bytes: 16 << 20,
        interval: Duration::from_millis(100),
    }
}
