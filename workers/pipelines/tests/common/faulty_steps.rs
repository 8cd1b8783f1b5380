//! Load, replay and clean put together by hand, over a store and a log that fail now and then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::log::{Consume, Log};
use headrace_core::run::{Finished, Pipeline, run};
use headrace_core::store::Store;
use headrace_core::{Control, StoreUrl};
use headrace_pipelines::recruitment::clean_sink::CleanSink;
use headrace_pipelines::recruitment::companies::Companies;
use headrace_pipelines::recruitment::hours_source::{HoursOptions, HoursSource};
use headrace_pipelines::recruitment::load_sink::LoadSink;
use headrace_pipelines::recruitment::publish_sink::PublishSink;
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
    let sink = LoadSink::new(store, schema, source.partition().to_string());
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
    let inner = open_log(&url(&place.log)).unwrap();
    let topic = url(&place.log).topic(TOPIC).unwrap();
    inner.create_topic(&topic, 3).await.unwrap();
    let log: Arc<dyn Log> = Arc::new(FaultyLog { inner, faults: Faults::new(random, ONE_IN) });
    let options = HoursOptions {
        since_us: i64::MIN,
        until_us: i64::MAX,
        speed: None,
        batch_rows: random.between(10, 200) as usize,
    };
    let scope = schema.replay_scope(&topic);
    let source = HoursSource::new(store.clone(), schema, scope.clone(), options);
    let sink = PublishSink { store, scope, log, topic, claims: BTreeMap::new(), pending: None };
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
    let log = open_log(&url(&place.log)).unwrap();
    let consume = Consume {
        group: format!("faulty-{}", schema.result.name),
        follow: false,
        batch_rows: random.between(10, 200) as usize,
        batch_bytes: 1 << 20,
        interval: Duration::from_millis(10),
    };
    let topic = url(&place.log).topic(TOPIC).unwrap();
    let source = log.consume(&topic, &consume).await.unwrap();
    let sink = CleanSink::new(store, schema, companies, topic, None);
    let pipeline = Pipeline {
        source,
        transform: Arc::new(|batch| message::decode(&batch.frame)),
        sink: Box::new(sink),
        parallel: 2,
        backoff: EAGER,
    };
    run(pipeline, &Control::default()).await.unwrap()
}
