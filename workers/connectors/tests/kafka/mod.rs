//! The Kafka log against a real broker: `HEADRACE_TEST_KAFKA=kafka://HOST:PORT`. The secure tests need
//! `HEADRACE_TEST_KAFKA_SECURE` (SASL over TLS), `HEADRACE_TEST_KAFKA_SASL`, `HEADRACE_TEST_KAFKA_TLS` and
//! `HEADRACE_TEST_CERTIFICATES` (a folder with `ca.crt`, `other-ca.crt`, `client.crt` and `client.key`). With the broker's
//! process id in `HEADRACE_TEST_KAFKA_PID` it is made to stand still for a while.

mod gaps;
mod members;
mod refusals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_connectors::kafka::Kafka;
use headrace_core::batch::message_columns;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::{Event, Source};
use headrace_core::{Partition, StoreUrl, clock};
use polars::prelude::DataFrame;
use rdkafka::ClientConfig;

use crate::conformance::{self, PATIENCE, drain, start};

fn server(variable: &str) -> Option<String> {
    let url = clock::environment(variable);
    if url.is_none() {
        println!("SKIP: set {variable}");
    }
    url
}

fn connect(url: &str) -> Kafka {
    Kafka::connect(&StoreUrl::parse(url).unwrap()).unwrap()
}

fn unique() -> String {
    format!("k{}", clock::now_us() % 1_000_000_000_000)
}

fn options(group: &str, follow: bool) -> Consume {
    Consume {
        group: group.to_owned(),
        follow,
        batch_rows: 10_000,
        batch_bytes: 8 << 20,
        interval: Duration::from_millis(200),
    }
}

/// Numbers as values, with `keys` different keys.
fn numbered(numbers: std::ops::Range<u64>, keys: u64) -> DataFrame {
    let rows: Vec<(String, String)> = numbers.map(|n| (format!("k{}", n % keys), n.to_string())).collect();
    let rows: Vec<_> = rows.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    conformance::log::messages(&rows)
}

fn values(frame: &DataFrame) -> Vec<u64> {
    let column = frame.column(message_columns::VALUE).unwrap().binary().unwrap().clone();
    column.iter().map(|value| std::str::from_utf8(value.unwrap()).unwrap().parse().unwrap()).collect()
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn native(url: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", StoreUrl::parse(url).unwrap().host_list(9092));
    config
}

async fn assigned(source: &mut dyn Source, from: &Reached) -> Vec<Partition> {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is assigned");
        if let Event::Assigned(partitions) = source.next().await.unwrap() {
            start(source, partitions.clone(), from).await;
            return partitions;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    conformance::log::everything(Arc::new(connect(&url)), &unique()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_with_the_new_group_protocol() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    conformance::log::everything(Arc::new(connect(&format!("{url}?group_protocol=consumer"))), &unique()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_are_counted_exactly() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-many", unique()));
    log.create_topic(&topic, 4).await.unwrap();
    let begun = Instant::now();
    for first in (0..300_000).step_by(50_000) {
        log.produce(&topic, &numbered(first..first + 50_000, 1_000)).await.unwrap();
    }
    println!("produced 300000 in {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    let given = drain(&mut *source, &Reached::new(), usize::MAX).await;
    println!("consumed 300000 in {:?}", begun.elapsed());
    assert_eq!(source.remaining(), Some(0));
    let mut seen: Vec<u64> = given.frames.iter().flat_map(values).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..300_000).collect::<Vec<_>>());
}

/// What `Utils.toPositive(Utils.murmur2(key)) % 10` of Kafka's Java client 4.3.1 gives.
const JAVA: [(&str, i32); 17] = [
    ("job-0", 1),
    ("job-1", 2),
    ("job-2", 8),
    ("job-3", 8),
    ("job-4", 5),
    ("job-5", 4),
    ("job-6", 5),
    ("job-7", 3),
    ("job-8", 1),
    ("job-9", 3),
    ("job-10", 0),
    ("job-11", 7),
    ("", 1),
    ("a", 4),
    ("ab", 4),
    ("abc", 7),
    ("héé", 8),
];

/// Keys choose partitions as Java clients choose them.
#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_partitions_as_in_java() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-murmur", unique()));
    log.create_topic(&topic, 10).await.unwrap();
    let rows = JAVA.map(|(key, _)| (Some(key.as_bytes()), Some(&b"value"[..])));
    log.produce(&topic, &conformance::log::messages(&rows)).await.unwrap();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    let given = drain(&mut *source, &Reached::new(), usize::MAX).await;
    let mut got = BTreeMap::new();
    for frame in &given.frames {
        let keys = frame.column(message_columns::KEY).unwrap().binary().unwrap().clone();
        let partitions = frame.column(message_columns::PARTITION).unwrap().i32().unwrap().clone();
        let rows = keys.iter().zip(partitions.iter());
        got.extend(
            rows.map(|(key, partition)| (String::from_utf8(key.unwrap().to_vec()).unwrap(), partition.unwrap())),
        );
    }
    let wanted: BTreeMap<String, i32> = JAVA.iter().map(|(key, partition)| ((*key).to_owned(), *partition)).collect();
    assert_eq!(got, wanted);
}
