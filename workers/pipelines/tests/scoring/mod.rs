//! The steps of scoring. What their tests share is here: topics in memory with fixed places, targets in directories or on
//! servers, and everything that scoring has written, to be compared.

mod defects;
mod early;
mod golden;
mod golden_sets;
mod kill;
mod laws;
mod letters;
mod model;
mod onnx;
mod process;
mod servers;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, VALUE};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::retry::Backoff;
use headrace_core::run::{Finished, Pipeline, run};
use headrace_core::source::{Event, Source};
use headrace_core::table::Table;
use headrace_core::{Batch, Claim, Control, Counts, Partition, Position, Result, dead_letter};
use headrace_pipelines::scoring::cache_value::CachedOffer;
use headrace_pipelines::scoring::frames::{self, Offer};
use headrace_pipelines::scoring::model::Model;
use headrace_pipelines::scoring::pages::TargetPages;
use headrace_pipelines::scoring::score_sink::ScoreWork;
use headrace_pipelines::scoring::scored;
use headrace_pipelines::scoring::targets::{Target, Targets};
use polars::prelude::{DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};

pub const TOPIC: &str = "registrations";

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<String>,
    /// Bytes that are no UTF-8 are only in the tests that make them.
    #[serde(with = "bytes")]
    pub value: Option<Vec<u8>>,
}

mod bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_deref().map(String::from_utf8_lossy).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(String::into_bytes))
    }
}

/// Gives records to partitions and offsets, in their order, by key as a log would.
pub fn placed(messages: impl IntoIterator<Item = (String, Option<Vec<u8>>)>, partitions: i32) -> Vec<Record> {
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let place = |(key, value): (String, Option<Vec<u8>>)| {
        let partition = key.bytes().map(i32::from).sum::<i32>() % partitions;
        let offset = next.entry(partition).or_default();
        *offset += 1;
        Record { partition, offset: *offset - 1, timestamp_ms: 1_737_000_000_000, key: Some(key), value }
    };
    messages.into_iter().map(place).collect()
}

/// A topic in memory, read in the order of its records and cut into batches of given sizes, over and over.
struct Recorded {
    records: Vec<Record>,
    sizes: Vec<usize>,
    next: usize,
    batches: usize,
    positions: BTreeMap<i32, i64>,
    is_assigned: bool,
    /// Waits for more at the end, and from batch to batch.
    follows: bool,
}

/// A topic in memory that is followed: its batches come one after the other, and no end.
pub fn followed(records: &[Record], sizes: &[usize]) -> Box<dyn Source> {
    Box::new(Recorded { follows: true, ..Recorded::new(records, sizes) })
}

impl Recorded {
    fn new(records: &[Record], sizes: &[usize]) -> Self {
        Self {
            records: records.to_vec(),
            sizes: sizes.to_vec(),
            next: 0,
            batches: 0,
            positions: BTreeMap::new(),
            is_assigned: false,
            follows: false,
        }
    }
}

fn partition(number: i32) -> Partition {
    Partition::new(format!("{TOPIC}-{number}"))
}

pub fn frame(records: &[Record]) -> DataFrame {
    let keys: Vec<Option<&[u8]>> = records.iter().map(|record| record.key.as_ref().map(String::as_bytes)).collect();
    let values: Vec<Option<&[u8]>> = records.iter().map(|record| record.value.as_deref()).collect();
    let columns = vec![
        Series::new(KEY.into(), keys).into(),
        Series::new(VALUE.into(), values).into(),
        Series::new(PARTITION.into(), records.iter().map(|record| record.partition).collect::<Vec<i32>>()).into(),
        Series::new(OFFSET.into(), records.iter().map(|record| record.offset).collect::<Vec<i64>>()).into(),
        Series::new(TIMESTAMP.into(), records.iter().map(|record| record.timestamp_ms).collect::<Vec<i64>>()).into(),
    ];
    DataFrame::new(records.len(), columns).unwrap()
}

#[async_trait]
impl Source for Recorded {
    async fn next(&mut self) -> Result<Event> {
        if !std::mem::replace(&mut self.is_assigned, true) {
            let numbers: BTreeSet<i32> = self.records.iter().map(|record| record.partition).collect();
            return Ok(Event::Assigned(numbers.into_iter().map(partition).collect()));
        }
        if self.follows {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let size = self.sizes[self.batches % self.sizes.len()];
        self.batches += 1;
        let mut batch = Vec::new();
        while let Some(record) = self.records.get(self.next).filter(|_| batch.len() < size) {
            self.next += 1;
            if self.positions.get(&record.partition).is_none_or(|from| record.offset >= *from) {
                batch.push(record.clone());
            }
        }
        if batch.is_empty() {
            return Ok(if self.follows { Event::Idle } else { Event::End });
        }
        let reached =
            batch.iter().map(|record| (partition(record.partition), Position::at(record.offset + 1))).collect();
        Ok(Event::Batch(Batch { frame: frame(&batch), reached, bytes: 0 }))
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        for claim in claims {
            let number = claim.partition.0.rsplit('-').next().unwrap().parse().unwrap();
            if let Some(position) = &claim.position {
                self.positions.insert(number, position.at);
            }
        }
        Ok(())
    }

    async fn release(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }
}

/// Scores records into targets, from the committed positions on.
pub async fn score(
    targets: &Targets,
    records: &[Record],
    sizes: &[usize],
    model: &Arc<dyn Model>,
    backoff: Backoff,
) -> Result<Finished> {
    targets.create().await?;
    let work = ScoreWork::new(targets.clone(), TOPIC.to_owned(), "memory".to_owned(), None);
    let source = Recorded::new(records, sizes);
    let model = model.clone();
    let pipeline = Pipeline {
        source: Box::new(source),
        transform: Arc::new(move |batch| scored::score(&batch.frame, model.clone(), None)),
        sink: Box::new(LedgerSink::new(targets.ledger.clone(), work)),
        parallel: 2,
        backoff,
    };
    run(pipeline, &Control::default()).await
}

/// Scores records and expects that to succeed.
pub async fn scored_all(targets: &Targets, records: &[Record], sizes: &[usize], model: &Arc<dyn Model>) -> Finished {
    score(targets, records, sizes, model, Backoff::default()).await.unwrap()
}

/// Where scoring writes, as URLs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Urls {
    pub offers: String,
    pub cache: Option<String>,
    pub ledger: Option<String>,
}

impl Urls {
    /// Everything in one store.
    pub fn together(directory: &Path) -> Self {
        let offers = format!("embedded:{}?sync=normal", directory.join("store").display());
        Self { offers, cache: None, ledger: None }
    }

    /// Offers, cache and ledger in stores of their own, so that no unit spans two of them.
    pub fn apart(directory: &Path) -> Self {
        let url = |name: &str| format!("embedded:{}?sync=normal", directory.join(name).display());
        Self { offers: url("offers"), cache: Some(url("cache")), ledger: Some(url("ledger")) }
    }

    pub async fn open(&self) -> Targets {
        Targets::open(&self.offers, self.cache.as_deref(), self.ledger.as_deref()).await.unwrap()
    }
}

/// Both ways to write, each in a directory of its own.
pub fn layouts() -> Vec<(&'static str, tempfile::TempDir, Urls)> {
    let make = |name, urls: fn(&Path) -> Urls| {
        let directory = tempfile::tempdir().unwrap();
        let urls = urls(directory.path());
        (name, directory, urls)
    };
    vec![make("together", Urls::together), make("apart", Urls::apart)]
}

/// A refused message: source, position, reason and value.
pub type Letter = (String, String, String, Option<Vec<u8>>);

/// All that scoring has written, but for the times of writing.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub offers: Vec<Offer>,
    /// By partition and offset.
    pub history: Vec<(i64, i64, Offer)>,
    /// By user: the version of the registration behind the offer.
    pub registrations: BTreeMap<u32, i64>,
    /// By key.
    pub cache: BTreeMap<String, CachedOffer<'static>>,
    pub letters: BTreeSet<Letter>,
    pub counts: Counts,
}

async fn all(target: &Target, table: &Table) -> Vec<DataFrame> {
    let control = Control::default();
    let mut pages = TargetPages::new(target, table, 1_000, &control);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        found.push(page);
    }
    found
}

/// Reads all that scoring has written.
pub async fn written(targets: &Targets) -> Written {
    let schema = &targets.schema;
    let offers = all(&targets.offers, &schema.offers).await;
    let mut history = Vec::new();
    for page in all(&targets.offers, &schema.history).await {
        let int = |name: &str| page.column(name).unwrap().i64().unwrap().clone();
        let (partitions, offsets) = (int("kafka_partition"), int("kafka_offset"));
        let places = partitions.into_no_null_iter().zip(offsets.into_no_null_iter());
        let rows = frames::read_offers(&page).unwrap();
        history.extend(places.zip(rows).map(|((partition, offset), offer)| (partition, offset, offer)));
    }
    let registrations = all(&targets.offers, &schema.registrations).await;
    let registrations = registrations.iter().flat_map(|page| frames::read_registrations(page).unwrap());
    let mut cache = BTreeMap::new();
    for page in all(&targets.cache, &targets.cache_table).await {
        let text = |name: &str| page.column(name).unwrap().str().unwrap().clone();
        for (key, value) in text("cache_key").iter().flatten().zip(text("value").iter().flatten()) {
            let cached = CachedOffer { inserted_datetime: 0, ..CachedOffer::from_json(value).unwrap() };
            assert!(cache.insert(key.to_owned(), cached).is_none(), "key {key} twice");
        }
    }
    let letters = all(&Target::Own(targets.ledger.clone()), &schema.dead_letters).await;
    let letters = letters.iter().flat_map(|page| dead_letter::from_frame(page).unwrap());
    Written {
        offers: offers.iter().flat_map(|page| frames::read_offers(page).unwrap()).collect(),
        history,
        registrations: registrations.map(|(registration, version)| (registration.user_id, version)).collect(),
        cache,
        letters: letters.map(|letter| (letter.source, letter.position, letter.reason, letter.raw)).collect(),
        counts: targets.ledger.counters(&targets.scope()).await.unwrap(),
    }
}

/// Checks what must hold whatever was scored: cache and offers agree for every user, and everything is accounted for.
pub fn assert_agrees(written: &Written) {
    assert!(written.counts.balances(), "{:?}", written.counts);
    assert_eq!(written.counts.ignored, 0);
    assert_eq!(written.counts.written, written.history.len() as u64);
    assert_eq!(written.counts.dead_lettered, written.letters.len() as u64);
    assert_eq!(written.cache.len(), written.offers.len());
    for offer in &written.offers {
        let cached = &written.cache[&offer.user_id.to_string()];
        let expected = CachedOffer::new(offer.user_id, &offer.scores, offer.version, &offer.model_version, 0);
        assert_eq!(*cached, expected);
        assert_eq!(written.registrations[&offer.user_id], offer.version);
        let newest = written.history.iter().filter(|row| row.2.user_id == offer.user_id).map(|row| row.2.version).max();
        assert_eq!(newest, Some(offer.version), "user {}", offer.user_id);
    }
    assert_eq!(written.registrations.len(), written.offers.len());
}
