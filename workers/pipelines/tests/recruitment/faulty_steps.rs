//! Load, replay and clean put together by hand, over a store and a log that fail now and then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::log::{Consume, Log};
use headrace_core::run::{Finished, Pipeline, run};
use headrace_core::store::Store;
use headrace_core::{Control, StoreUrl};
use headrace_pipelines::recruitment::clean_sink::CleanWork;
use headrace_pipelines::recruitment::companies::Companies;
use headrace_pipelines::recruitment::dead_letter_replay::{Choice, Fixes, replay_load};
use headrace_pipelines::recruitment::hours_source::{HoursOptions, HoursSource};
use headrace_pipelines::recruitment::load_sink::LoadWork;
use headrace_pipelines::recruitment::publish_sink::PublishWork;
use headrace_pipelines::recruitment::schema::{RawSchema, ResultSchema, TOPIC, job_table};
use headrace_pipelines::recruitment::{message, record};
use headrace_pipelines::stores::{open_log, open_raw, open_warehouse};

use super::Place;
use super::faulty::{EAGER, Faults, FaultyLog, FaultyStore};
use super::random::Random;

/// One call in so many fails.
const ONE_IN: u64 = 8;

fn url(text: &str) -> StoreUrl {
    StoreUrl::parse(text).unwrap()
}

pub async fn load(place: &Place, file: &Path, random: &mut Random) -> Finished {
    let schema = RawSchema::of(&url(&place.raw)).unwrap();
    let inner = open_raw(&url(&place.raw)).await.unwrap();
    inner.create(&schema.tables()).await.unwrap();
    let store = Arc::new(FaultyStore { inner, faults: Faults::new(random, ONE_IN) });
    let options = CsvOptions { batch_rows: random.between(10, 200) as usize, ..CsvOptions::default() };
    let source = CsvSource::open(file, options).unwrap();
    let work = LoadWork::new(schema, &source);
    let sink = LedgerSink::new(store, work);
    let pipeline = Pipeline {
        source: Box::new(source),
        transform: Arc::new(|batch| record::parse(&batch.frame)),
        sink: Box::new(sink),
        parallel: 2,
        backoff: EAGER,
    };
    run(pipeline, &Control::default()).await.unwrap()
}

pub async fn replay(place: &Place, random: &mut Random) -> Finished {
    let schema = RawSchema::of(&url(&place.raw)).unwrap();
    let inner = open_raw(&url(&place.raw)).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore { inner, faults: Faults::new(random, ONE_IN) });
    let inner = open_log(&url(&place.log)).await.unwrap();
    let topic = url(&place.log).topic(TOPIC).unwrap();
    inner.create_topic(&topic, 3).await.unwrap();
    let log: Arc<dyn Log> = Arc::new(FaultyLog { inner, faults: Faults::new(random, ONE_IN) });
    let options = HoursOptions {
        since_us: i64::MIN,
        until_us: i64::MAX,
        speed: None,
        batch_rows: random.between(10, 200) as usize,
    };
    let scope = schema.replay_scope(&log.name(), &topic);
    let source = HoursSource::new(store.clone(), schema, scope.clone(), options);
    let work = PublishWork { store: store.name(), scope, log, topic };
    let sink = LedgerSink::new(store, work);
    let pipeline = Pipeline {
        source: Box::new(source),
        transform: Arc::new(|batch| message::encode(&batch.frame)),
        sink: Box::new(sink),
        parallel: 2,
        backoff: EAGER,
    };
    run(pipeline, &Control::default()).await.unwrap()
}

pub async fn clean(place: &Place, refresh: Duration, random: &mut Random) -> Finished {
    let schema = ResultSchema::of(&url(&place.result)).unwrap();
    let inner = open_warehouse(&url(&place.result)).await.unwrap();
    inner.create(&schema.tables()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore { inner, faults: Faults::new(random, ONE_IN) });
    let jobs = job_table(url(&place.jobs).table("job").unwrap()).unwrap();
    let companies = Companies::new(store.clone(), jobs, refresh);
    let log = open_log(&url(&place.log)).await.unwrap();
    let consume = Consume {
        group: format!("faulty-{}", schema.result.name),
        follow: false,
        batch_rows: random.between(10, 200) as usize,
        batch_bytes: 1 << 20,
        interval: Duration::from_millis(10),
    };
    let topic = url(&place.log).topic(TOPIC).unwrap();
    let source = log.consume(&topic, &consume).await.unwrap();
    let work = CleanWork::new(store.clone(), schema, companies, topic, log.name(), None);
    let sink = LedgerSink::new(store, work);
    let pipeline = Pipeline {
        source,
        transform: Arc::new(|batch| message::decode(&batch.frame)),
        sink: Box::new(sink),
        parallel: 2,
        backoff: EAGER,
    };
    run(pipeline, &Control::default()).await.unwrap()
}

/// Replays the letters of the load step with corrections, again and again until a replay ends well.
pub async fn replay_letters(place: &Place, fixes: &Fixes, faults: Faults) {
    let schema = RawSchema::of(&url(&place.raw)).unwrap();
    let inner = open_raw(&url(&place.raw)).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(FaultyStore { inner, faults });
    let choice = Choice { limit: usize::MAX, ..Choice::default() };
    for _ in 0..1_000 {
        match replay_load(&store, &schema, &choice, Some(fixes), &Control::default()).await {
            Ok(_) => return,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    panic!("the replay never ends well");
}

/// Loads a file whose records all have a field too many, corrects them with failures in between, and checks that each record
/// is stored and known exactly as if it had been sound from the start.
pub async fn assert_letters_come_back_once(place: &Place, name: &str, random: &mut Random, faults: Faults) {
    let files = super::simulate(place, random.next(), 40, 0.0);
    let text = std::fs::read_to_string(&files.tracking).unwrap();
    let (header, records) = text.split_once('\n').unwrap();
    let sound: Vec<&str> = records.lines().filter(|record| record.matches('"').count() % 2 == 0).collect();
    let broken: Vec<String> = sound.iter().map(|record| format!("{record},more")).collect();
    let schema = RawSchema::of(&url(&place.raw)).unwrap();
    open_raw(&url(&place.raw)).await.unwrap().create(&schema.tables()).await.unwrap();
    let before = place.counters("load").await;
    let file = place.write(&format!("broken{name}.csv"), format!("{header}\n{}\n", broken.join("\n")));
    assert_eq!(place.load(&file).await.counts.dead_lettered, sound.len() as u64);
    let mut fixes = Fixes::new();
    for letter in place.letters("load", serde_json::json!({ "reason": "column_count" })).await {
        let [source, position] = ["source", "position"].map(|name| letter[name].as_str().unwrap().to_owned());
        let record = sound[position.parse::<usize>().unwrap() - 1].to_owned();
        fixes.insert((source, position), record);
    }
    replay_letters(place, &fixes, faults).await;
    assert_eq!(place.letters("load", serde_json::json!({})).await.len(), 0, "all are settled");
    // The step's counters say what the letters became, each once.
    let counters = place.counters("load").await;
    assert!(counters.balances(), "{counters:?}");
    let of = |counts: &headrace_core::Counts| [counts.read, counts.written, counts.duplicate, counts.dead_lettered];
    let became = [sound.len() as u64, sound.len() as u64, 0, 0];
    let wanted: Vec<u64> = of(&before).iter().zip(became).map(|(before, became)| before + became).collect();
    assert_eq!(of(&counters)[..], wanted[..]);
    // What is settled is known: the same records are copies now, and all of them are there to be replayed.
    let file = place.write(&format!("sound{name}.csv"), format!("{header}\n{}\n", sound.join("\n")));
    let loaded = place.load(&file).await.counts;
    assert_eq!((loaded.written, loaded.duplicate), (0, sound.len() as u64));
    assert_eq!(place.replay().await.counts.written, sound.len() as u64);
}
