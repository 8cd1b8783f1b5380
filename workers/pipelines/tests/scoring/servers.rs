//! Scoring through a real Kafka, ClickHouse and Redis with the ledger in a real MariaDB, or in Redis: golden sets, kills, re-scoring.
//!
//! `HEADRACE_TEST_CLICKHOUSE`, `HEADRACE_TEST_REDIS`, `HEADRACE_TEST_MYSQL` and, for the topic,
//! `HEADRACE_TEST_KAFKA` name them. Tables have names of their own; the test's Redis database is emptied.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headrace_core::report::Outcome;
use headrace_core::step::{Parameters, Step};
use headrace_core::{Control, Report, StoreUrl, clock};
use headrace_pipelines::scoring::steps::{Rescore, Score, Send, Verify};
use headrace_pipelines::stores::open_log;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use super::golden_sets::Golden;
use super::process::with_failpoint;
use super::{Record, Urls, assert_agrees, golden_sets, scored_all, written};

/// The first Redis database that is emptied; every test takes one for each ClickHouse.
const FIRST_DATABASE: usize = 8;

fn variable(name: &str) -> Option<String> {
    let found = clock::environment(name);
    if found.is_none() {
        eprintln!("SKIP: set {name}");
    }
    found
}

/// Fresh places on the servers; none where they are not named.
fn places(test: usize) -> Vec<Urls> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (redis, mysql) = (variable("HEADRACE_TEST_REDIS"), variable("HEADRACE_TEST_MYSQL"));
    let (Some(clickhouse), Some(redis), Some(mysql)) = (variable("HEADRACE_TEST_CLICKHOUSE"), redis, mysql) else {
        return Vec::new();
    };
    let database = FIRST_DATABASE + test;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let table = format!("offers_{:x}_{number}", clock::now_us() & 0xff_ffff_ffff);
    let database_path = if StoreUrl::parse(&clickhouse).unwrap().path.is_empty() { "/default" } else { "" };
    let hosts = StoreUrl::parse(&redis).unwrap().host_list(6379);
    empty(&hosts, database);
    vec![Urls {
        offers: format!("{}{database_path}/{table}", clickhouse.trim_end_matches('/')),
        cache: Some(format!("redis://{hosts}/{database}")),
        ledger: Some(mysql),
    }]
}

/// Sets a key of a Redis database, as a foreign program would.
fn put(host: &str, database: usize, key: &str, value: &str) {
    let mut connection = std::net::TcpStream::connect(host).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 5];
    for command in [format!("SELECT {database}\r\n"), format!("SET {key} \"{value}\"\r\n")] {
        connection.write_all(command.as_bytes()).unwrap();
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n", "{command}");
    }
}

/// Empties a Redis database.
fn empty(host: &str, database: usize) {
    let mut connection = std::net::TcpStream::connect(host).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 5];
    for command in [format!("SELECT {database}\r\n"), "FLUSHDB\r\n".to_owned()] {
        connection.write_all(command.as_bytes()).unwrap();
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n", "{command}");
    }
}

async fn done<P: Parameters>(values: Value) -> Report {
    let report = Step::of::<P>().run_values(values.as_object().unwrap(), Control::default()).await;
    report.unwrap_or_else(|error| panic!("{} {values}: {error}", P::NAME))
}

fn values(urls: &Urls, more: Value) -> Value {
    let mut values = json!({ "offers": urls.offers, "cache": urls.cache, "ledger": urls.ledger });
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    values
}

/// Sends records to their partitions, whose offsets then are those of the records.
async fn produce(kafka: &str, topic: &str, records: &[Record]) {
    let url = StoreUrl::parse(kafka).unwrap();
    let log = open_log(&url).await.unwrap();
    log.create_topic(topic, 3).await.unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", url.host_list(9092)).create().unwrap();
    for record in records {
        let key = record.key.clone().unwrap_or_default();
        let mut message = BaseRecord::<str, [u8]>::to(topic).partition(record.partition).timestamp(record.timestamp_ms);
        message.key = Some(&key);
        message.payload = record.value.as_deref();
        producer.send(message).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    let extents = log.extents(topic).await.unwrap().unwrap();
    assert_eq!(extents.iter().map(|extent| extent.end).sum::<i64>(), records.len() as i64);
}

/// Scores a golden set from a topic, twice.
async fn golden_from_kafka(kafka: &str, set: &Golden, size: usize, urls: &Urls) {
    eprintln!("{} by {size} in {}", set.directory.display(), StoreUrl::parse(&urls.offers).unwrap());
    let topic = urls.offers.rsplit('/').next().unwrap().to_owned();
    produce(kafka, &topic, &set.records()).await;
    let from = format!("{}/{topic}", kafka.trim_end_matches('/'));
    let score = values(urls, json!({ "from": from, "model": set.model, "batch_rows": size }));
    let report = done::<Score>(score.clone()).await;
    assert_eq!(report.counts.read, set.records().len() as u64);
    let targets = urls.open().await;
    let first = written(&targets).await;
    set.assert_written_from(&first, &topic);
    assert_eq!(done::<Score>(score).await.counts.read, 0);
    assert_eq!(written(&targets).await, first);
    let verified = done::<Verify>(values(urls, json!({}))).await;
    assert_eq!(verified.outcome, Outcome::Complete, "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_sets_from_kafka_give_the_expected_files_twice() {
    let Some(kafka) = variable("HEADRACE_TEST_KAFKA") else { return };
    for set in golden_sets::sets() {
        for size in [7, 500] {
            for urls in places(0) {
                golden_from_kafka(&kafka, &set, size, &urls).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_may_be_in_redis_beside_the_cache() {
    let Some(kafka) = variable("HEADRACE_TEST_KAFKA") else { return };
    let set = golden_sets::own();
    for urls in places(4) {
        let urls = Urls { ledger: urls.cache.clone(), ..urls };
        golden_from_kafka(&kafka, &set, 7, &urls).await;
    }
    for failpoint in ["after-write:2:kill", "before-commit:2:kill", "after-commit:1:kill"] {
        for urls in places(4) {
            let urls = Urls { ledger: urls.cache.clone(), ..urls };
            with_failpoint(&set, &urls, 7, failpoint).await.assert_killed_at(failpoint);
            let targets = urls.open().await;
            scored_all(&targets, &set.records(), &[5], &set.model()).await;
            set.assert_written(&written(&targets).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_behind_each_write_changes_nothing() {
    let set = golden_sets::own();
    for failpoint in
        ["after-write:1", "after-write:2", "after-write:3", "after-write:4", "before-commit:2", "after-commit:1"]
    {
        for urls in places(1) {
            let failpoint = format!("{failpoint}:kill");
            with_failpoint(&set, &urls, 7, &failpoint).await.assert_killed_at(&failpoint);
            let targets = urls.open().await;
            scored_all(&targets, &set.records(), &[5], &set.model()).await;
            set.assert_written(&written(&targets).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_are_scored_and_scored_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", directory.path().join("log").display());
    let Some(set) = golden_sets::supplied() else { return };
    done::<Send>(json!({ "to": log, "count": 3_000, "varied": true, "defects": 0.02 })).await;
    for urls in places(2) {
        let scored = done::<Score>(values(&urls, json!({ "from": log, "batch_rows": 500 }))).await;
        assert_eq!(scored.counts.read, 3_000);
        let report = done::<Rescore>(values(&urls, json!({ "model": set.model, "batch_rows": 1_000 }))).await;
        assert_eq!(report.counts.written, scored.counts.classes["offers"]);
        assert_agrees(&written(&urls.open().await).await);
        let again = done::<Rescore>(values(&urls, json!({ "model": set.model }))).await;
        assert_eq!(again.counts.written, 0);
        let verified = done::<Verify>(values(&urls, json!({}))).await;
        assert_eq!(verified.outcome, Outcome::Complete, "{verified:?}");
    }
}

/// The original wrote texts of a language's own kind, and to random keys: `verify` finds both, and leaves other programs' keys alone.
#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_keys_that_should_not_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let log = format!("embedded:{}", directory.path().join("log").display());
    for urls in places(3) {
        done::<Send>(json!({ "to": log, "count": 40, "varied": true })).await;
        done::<Score>(values(&urls, json!({ "from": log }))).await;
        assert_eq!(done::<Verify>(values(&urls, json!({}))).await.outcome, Outcome::Complete);
        let redis = StoreUrl::parse(urls.cache.as_deref().unwrap()).unwrap();
        let hosts = redis.host_list(6379);
        put(&hosts, FIRST_DATABASE + 3, "session:5", "of another program");
        let verified = done::<Verify>(values(&urls, json!({}))).await;
        assert_eq!((verified.outcome, &verified.facts["other cache keys"]), (Outcome::Complete, &json!(1)));
        put(&hosts, FIRST_DATABASE + 3, "7001", "{'user_id': 7001}");
        put(&hosts, FIRST_DATABASE + 3, "7002", "no json");
        let verified = done::<Verify>(values(&urls, json!({}))).await;
        assert_eq!(verified.outcome, Outcome::Different);
        assert_eq!(verified.facts["wrong:cache without an offer's JSON"], 2);
        assert!(verified.notes.iter().any(|note| note.contains("cache key 7001")), "{verified:?}");
    }
}
