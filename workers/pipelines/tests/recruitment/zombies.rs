//! A worker that goes on after another one has taken over.

use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::position::Reached;
use headrace_core::sink::Sink;
use headrace_core::source::{Event, Source};
use headrace_core::{Batch, Claim, ErrorKind, Partition, Position, StoreUrl};
use headrace_pipelines::recruitment::clean_sink::CleanWork;
use headrace_pipelines::recruitment::companies::Companies;
use headrace_pipelines::recruitment::load_sink::LoadWork;
use headrace_pipelines::recruitment::schema::{RawSchema, ResultSchema, TOPIC, job_table};
use headrace_pipelines::recruitment::{message, record};
use headrace_pipelines::stores::{open_raw, open_warehouse};
use polars::prelude::{DataFrame, NamedFrom, Series};

use super::messages::{frame, keyed};
use super::{Place, golden, golden_text};

/// Checks that load and clean refuse what a worker commits whose partition was taken over, before and after the new owner
/// has committed, and that the result is that of the new owner alone.
pub async fn assert_zombies_are_refused(place: &Place) {
    let (file, url) = (golden("edge_tracking.csv"), StoreUrl::parse(&place.raw).unwrap());
    let schema = RawSchema::of(&url).unwrap();
    open_raw(&url).await.unwrap().create(&schema.tables()).await.unwrap();
    let mut source = CsvSource::open(&file, CsvOptions::default()).unwrap();
    let batch = first_batch(&mut source).await;
    let parsed = record::parse(&batch.frame).unwrap();
    let mut sinks = Vec::new();
    for _ in 0..2 {
        let store = open_raw(&url).await.unwrap();
        sinks.push(LedgerSink::new(store, LoadWork::new(schema.clone(), &source)));
    }
    assert_refused(sinks, &parsed, &batch.reached, [28, 18]).await;
    let loaded = place.counters("load").await;
    assert_eq!((loaded.read, loaded.written, loaded.dead_lettered), (28, 18, 9));
    assert_eq!(place.export("dead-letters").await, golden_text("edge_expected_dead_letter.csv"));
    assert_eq!(place.export("messages").await, golden_text("edge_expected_messages.jsonl"));

    place.jobs(&golden("edge_job.csv")).await;
    let url = StoreUrl::parse(&place.result).unwrap();
    let schema = ResultSchema::of(&url).unwrap();
    open_warehouse(&url).await.unwrap().create(&schema.tables()).await.unwrap();
    let decoded = message::decode(&placed(frame(&keyed(&golden_text("edge_expected_messages.jsonl"))))).unwrap();
    let reached = Reached::from([(Partition::new(format!("{TOPIC}-0")), Position::at(18))]);
    let mut sinks = Vec::new();
    for _ in 0..2 {
        let store = open_warehouse(&url).await.unwrap();
        let jobs = job_table(StoreUrl::parse(&place.jobs).unwrap().table("job").unwrap()).unwrap();
        let companies = Companies::new(store.clone(), jobs, Duration::from_secs(60));
        let work = CleanWork::new(store.clone(), schema.clone(), companies, TOPIC.into(), "log".into(), None);
        sinks.push(LedgerSink::new(store, work));
    }
    assert_refused(sinks, &decoded, &reached, [18, 14]).await;
    assert_eq!(place.counters("clean").await.read, 18);
    assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
}

/// Lets the first of two sinks work on after the second has claimed what it has; the second must count `[read, written]`.
async fn assert_refused<O: Send + Sync, S: Sink<O>>(sinks: Vec<S>, output: &O, reached: &Reached, counts: [u64; 2]) {
    let partitions: Vec<Partition> = reached.keys().cloned().collect();
    let [mut zombie, mut owner] = <[S; 2]>::try_from(sinks).ok().unwrap();
    zombie.claim(&partitions).await.unwrap();
    owner.claim(&partitions).await.unwrap();
    assert_eq!(zombie.commit(output, reached).await.unwrap_err().kind(), ErrorKind::Fenced);
    let committed = owner.commit(output, reached).await.unwrap();
    assert_eq!([committed.read, committed.written], counts);
    assert_eq!(zombie.commit(output, reached).await.unwrap_err().kind(), ErrorKind::Fenced);
}

async fn first_batch(source: &mut CsvSource) -> Batch {
    loop {
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => {
                let claim = |partition| Claim { partition, epoch: 0, position: None };
                source.start(&partitions.into_iter().map(claim).collect::<Vec<_>>()).await.unwrap();
            }
            Event::Batch(batch) => return batch,
            other => assert!(matches!(other, Event::Idle), "{other:?}"),
        }
    }
}

/// Gives messages their places in partition 0.
fn placed(mut messages: DataFrame) -> DataFrame {
    let height = messages.height();
    let partitions = Series::new("partition".into(), vec![0_i32; height]);
    let offsets = Series::new("offset".into(), (0..height as i64).collect::<Vec<_>>());
    messages.with_column(partitions.into()).unwrap();
    messages.with_column(offsets.into()).unwrap();
    messages
}
