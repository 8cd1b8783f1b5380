//! The Kafka log against a real broker: `HEADRACE_TEST_KAFKA=kafka://HOST:PORT`. The secure tests need
//! `HEADRACE_TEST_KAFKA_SECURE` (SASL over TLS), `HEADRACE_TEST_KAFKA_SASL`, `HEADRACE_TEST_KAFKA_TLS` and
//! `HEADRACE_TEST_CERTIFICATES` (a folder with `ca.crt`, `other-ca.crt`, `client.crt` and `client.key`).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "tests")]

mod conformance;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::{PATIENCE, drain, start};
use headrace_connectors::kafka::Kafka;
use headrace_core::batch::message_columns;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::{Event, Source};
use headrace_core::{Error, ErrorKind, Partition, Position, StoreUrl, clock};
use polars::prelude::DataFrame;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

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
    Consume { group: group.to_owned(), follow, batch_rows: 10_000, batch_bytes: 8 << 20, interval: Duration::from_millis(200) }
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

async fn remove_before(url: &str, topic: &str, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = native(url).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    let _ = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

async fn refusal(log: &Kafka, topic: &str) -> Error {
    log.consume(topic, &options("g", false)).await.err().unwrap()
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

/// Two members, one of which joins and goes while messages are read: with positions kept by the test as a ledger keeps
/// them, every message counts once.
#[tokio::test(flavor = "multi_thread")]
async fn taking_over_neither_loses_nor_repeats() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-takeover", unique()));
    log.create_topic(&topic, 4).await.unwrap();
    let total = 40_000;
    log.produce(&topic, &numbered(0..total, 200)).await.unwrap();
    let small = Consume { batch_rows: 500, ..options(&topic, true) };
    // The ledger: committed positions and what was committed with them.
    let (mut ledger, mut seen) = (Reached::new(), Vec::new());
    let mut members: Vec<Option<Box<dyn Source>>> = vec![Some(log.consume(&topic, &small).await.unwrap()), None];
    let mut assigned_to = [0, 0];
    let begun = Instant::now();
    while seen.len() < total as usize {
        assert!(begun.elapsed() < PATIENCE, "only {} of {total} came", seen.len());
        if seen.len() > 2_000 && members[1].is_none() && assigned_to[1] == 0 {
            members[1] = Some(log.consume(&topic, &small).await.unwrap());
        }
        if assigned_to[1] > 0 && seen.len() > 20_000 {
            members[0] = None;
        }
        for (which, member) in members.iter_mut().enumerate() {
            let Some(source) = member else { continue };
            match source.next().await.unwrap() {
                Event::Assigned(partitions) => {
                    assigned_to[which] += partitions.len();
                    start(&mut **source, partitions, &ledger).await;
                }
                Event::Revoked(partitions) => source.release(&partitions).await.unwrap(),
                Event::Batch(batch) => {
                    for (partition, position) in &batch.reached {
                        let before = ledger.insert(partition.clone(), position.clone());
                        assert!(before.is_none_or(|before| before < *position), "{partition} went back");
                    }
                    seen.extend(values(&batch.frame));
                    // The first member is slow, so that there is something left to take over.
                    tokio::time::sleep(Duration::from_millis(if assigned_to[1] == 0 { 100 } else { 5 })).await;
                }
                Event::Idle => {}
                Event::End => panic!("a followed topic ended"),
            }
        }
    }
    assert!(assigned_to[1] >= 4, "the second member has had {assigned_to:?}");
    seen.sort_unstable();
    assert_eq!(seen, (0..total).collect::<Vec<_>>());
}

/// A partition that goes is not given to anyone else before the run loop has let it go.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_go_wait_for_their_release() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-release", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    let mut one = log.consume(&topic, &options(&topic, true)).await.unwrap();
    assert_eq!(assigned(&mut *one, &Reached::new()).await.len(), 2);
    let mut two = log.consume(&topic, &options(&topic, true)).await.unwrap();
    let begun = Instant::now();
    let revoked = loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is revoked");
        if let Event::Revoked(partitions) = one.next().await.unwrap() {
            break partitions;
        }
    };
    let holding = Instant::now();
    while holding.elapsed() < Duration::from_secs(6) {
        let event = two.next().await.unwrap();
        assert!(matches!(event, Event::Idle), "given away while it was held: {event:?}");
    }
    one.release(&revoked).await.unwrap();
    assert_eq!(assigned(&mut *two, &Reached::new()).await, revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retention_gap_is_refused_and_a_fresh_start_is_not() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-gap", unique()));
    log.create_topic(&topic, 1).await.unwrap();
    log.produce(&topic, &numbered(0..1_000, 10)).await.unwrap();
    remove_before(&url, &topic, 0, 400).await;
    let extents = log.extents(&topic).await.unwrap().unwrap();
    assert_eq!((extents[0].first, extents[0].end), (400, 1_000));
    let partition = Partition::new(format!("{topic}-0"));
    for (at, expected) in [(100, "300 offsets are gone"), (1_001, "ends at offset 1000")] {
        let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
        let claim = |partition| headrace_core::Claim { partition, epoch: 1, position: Some(Position::at(at)) };
        let error = loop {
            if let Event::Assigned(partitions) = source.next().await.unwrap() {
                let claims: Vec<_> = partitions.into_iter().map(claim).collect();
                break source.start(&claims).await.unwrap_err();
            }
        };
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains(&topic) && text.contains(&at.to_string()), "{text}");
    }
    for from in [Reached::new(), Reached::from([(partition, Position::at(400))])] {
        let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
        let given = drain(&mut *source, &from, usize::MAX).await;
        assert_eq!(given.frames.iter().flat_map(values).collect::<Vec<_>>(), (400..1_000).collect::<Vec<_>>());
    }
}

/// Messages that vanish between two batches of a running source are noticed too.
#[tokio::test(flavor = "multi_thread")]
async fn messages_removed_while_reading_are_an_error() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-vanish", unique()));
    log.create_topic(&topic, 1).await.unwrap();
    let mut source = log.consume(&topic, &Consume { batch_rows: 1, ..options(&topic, true) }).await.unwrap();
    assigned(&mut *source, &Reached::new()).await;
    // 72 MB do not fit into what is read ahead, so the last messages are fetched late.
    let large = noise(900_000);
    let row = (None, Some(&large[..]));
    for _ in 0..8 {
        log.produce(&topic, &conformance::log::messages(&[row; 10])).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    remove_before(&url, &topic, 0, 79).await;
    let begun = Instant::now();
    let error = loop {
        assert!(begun.elapsed() < PATIENCE, "the gap was not noticed");
        match source.next().await {
            Ok(Event::Batch(batch)) => assert!(!batch.reached.values().any(|position| position.at == 80), "the gap was jumped over"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains("removed by retention"), "{error}");
}

/// Offsets that are no messages (ends of transactions, aborted messages) neither keep a partition from ending nor come out.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_read_committed_and_their_marks_are_no_messages() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-transactions", unique()));
    log.create_topic(&topic, 1).await.unwrap();
    let topic_name = topic.clone();
    let config = native(&url).set("transactional.id", &topic).clone();
    tokio::task::spawn_blocking(move || {
        let patience = Duration::from_secs(30);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(patience).unwrap();
        for (round, commit) in [true, false, true, false].into_iter().enumerate() {
            producer.begin_transaction().unwrap();
            for number in 0..10 {
                let value = (round * 10 + number).to_string();
                producer.send(BaseRecord::<(), str>::to(&topic_name).payload(&value)).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(patience).unwrap();
            if commit { producer.commit_transaction(patience).unwrap() } else { producer.abort_transaction(patience).unwrap() }
        }
    })
    .await
    .unwrap();
    let begun = Instant::now();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    let given = drain(&mut *source, &Reached::new(), usize::MAX).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for offsets that are no messages");
    assert_eq!(given.frames.iter().flat_map(values).collect::<Vec<_>>(), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(source.remaining(), Some(0));
    // Behind the last message only marks are left.
    drop(source);
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    let again = drain(&mut *source, &given.reached, usize::MAX).await;
    assert!(again.ended && again.frames.is_empty());
}

/// A sink that takes longer than the member may go without polling costs no partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_keeps_its_membership() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&format!("{url}?session_timeout=6s&max_poll_interval=8s")), format!("{}-slow", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    log.produce(&topic, &numbered(0..20_000, 100)).await.unwrap();
    let mut source = log.consume(&topic, &Consume { batch_rows: 1_000, ..options(&topic, false) }).await.unwrap();
    assigned(&mut *source, &Reached::new()).await;
    let mut seen = Vec::new();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        match source.next().await.unwrap() {
            Event::Batch(batch) => {
                seen.extend(values(&batch.frame));
                if seen.len() == 1_000 || seen.len() == 10_000 {
                    tokio::time::sleep(Duration::from_secs(12)).await;
                }
            }
            Event::End => break,
            Event::Idle => {}
            other => panic!("the member was moved: {other:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let error = refusal(&connect(&url), "no-such-topic").await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("there is no topic `no-such-topic`"), "{error}");
    assert!(connect(&url).extents("no-such-topic").await.unwrap().is_none(), "asking created the topic");

    let begun = Instant::now();
    let error = refusal(&connect("kafka://127.0.0.1:9"), "t").await;
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("no broker answers") && error.to_string().contains("127.0.0.1:9"), "{error}");
    let error = refusal(&connect("kafka://no-such-host.invalid"), "t").await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("no such host") && error.to_string().contains("no-such-host.invalid"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "took {:?}", begun.elapsed());

    let log = connect(&format!("{url}?replication=9"));
    let error = log.create_topic(&format!("{}-replicas", unique()), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("replication"), "{error}");

    let (log, topic) = (connect(&url), format!("{}-huge", unique()));
    log.create_topic(&topic, 1).await.unwrap();
    let huge = noise(3_000_000);
    let error = log.produce(&topic, &conformance::log::messages(&[(None, Some(&huge))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
    // The handle is still good.
    log.produce(&topic, &numbered(0..10, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn secure_connections_work_and_refusals_are_told_without_secrets() {
    let Some(secure) = server("HEADRACE_TEST_KAFKA_SECURE") else { return };
    let Some(certificates) = server("HEADRACE_TEST_CERTIFICATES") else { return };
    let trusted = format!("{secure}?tls_ca={certificates}/ca.crt");
    let (log, topic) = (connect(&trusted), format!("{}-secure", unique()));
    assert!(!log.name().contains("secret"));
    log.create_topic(&topic, 1).await.unwrap();
    log.produce(&topic, &numbered(0..100, 10)).await.unwrap();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    assert_eq!(drain(&mut *source, &Reached::new(), usize::MAX).await.ints(message_columns::OFFSET).len(), 100);

    let place = secure.rsplit_once('@').unwrap().1.to_owned();
    for (url, part) in [
        (format!("kafka://lab:canary@{place}?tls_ca={certificates}/ca.crt"), "check user, password and sasl"),
        (format!("{trusted}&sasl=SCRAM-SHA-512"), "login"),
        (format!("{secure}?tls_ca={certificates}/other-ca.crt"), "tls_ca=FILE"),
        (format!("{secure}?tls=true"), "tls_ca=FILE"),
    ] {
        let begun = Instant::now();
        let error = refusal(&connect(&url), &topic).await;
        println!("{error}");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("canary") && !error.to_string().contains("lab-secret"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(15), "took {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_without_tls_and_certificates_without_logins_work() {
    let Some(sasl) = server("HEADRACE_TEST_KAFKA_SASL") else { return };
    let Some(tls) = server("HEADRACE_TEST_KAFKA_TLS") else { return };
    let Some(certificates) = server("HEADRACE_TEST_CERTIFICATES") else { return };
    let own = format!("{tls}?tls_ca={certificates}/ca.crt&tls_certificate={certificates}/client.crt&tls_key={certificates}/client.key");
    for url in [sasl, format!("{tls}?tls_ca={certificates}/ca.crt"), own] {
        let (log, topic) = (connect(&url), format!("{}-login", unique()));
        log.create_topic(&topic, 1).await.unwrap();
        log.produce(&topic, &numbered(0..10, 2)).await.unwrap();
        assert_eq!(log.extents(&topic).await.unwrap().unwrap()[0].end, 10);
    }
}

/// A source outlives its runtime and leaves the group when it is dropped; the next member does not wait for a timeout.
#[test]
fn a_source_leaves_quickly_also_after_its_runtime() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let topic = format!("{}-leave", unique());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = connect(&url);
    let source = runtime.block_on(async {
        log.create_topic(&topic, 1).await.unwrap();
        log.produce(&topic, &numbered(0..10, 1)).await.unwrap();
        let mut source = log.consume(&topic, &options(&topic, true)).await.unwrap();
        assigned(&mut *source, &Reached::new()).await;
        source
    });
    drop(runtime);
    let begun = Instant::now();
    drop(source);
    assert!(begun.elapsed() < Duration::from_secs(3), "leaving took {:?}", begun.elapsed());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let begun = Instant::now();
        let mut next = log.consume(&topic, &options(&topic, true)).await.unwrap();
        assigned(&mut *next, &Reached::new()).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "the old member was still there");
    });
}

/// Keys choose partitions as Java clients choose them (murmur2; values computed with Kafka's own partitioner).
#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_partitions_as_in_java() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-murmur", unique()));
    log.create_topic(&topic, 10).await.unwrap();
    let rows: Vec<String> = (0..50).map(|n| format!("job-{n}")).collect();
    let rows: Vec<_> = rows.iter().map(|key| (Some(key.as_bytes()), Some(key.as_bytes()))).collect();
    log.produce(&topic, &conformance::log::messages(&rows)).await.unwrap();
    let mut source = log.consume(&topic, &options(&topic, false)).await.unwrap();
    let given = drain(&mut *source, &Reached::new(), usize::MAX).await;
    let mut got = BTreeMap::new();
    for frame in &given.frames {
        let keys = frame.column(message_columns::KEY).unwrap().binary().unwrap().clone();
        let partitions = frame.column(message_columns::PARTITION).unwrap().i32().unwrap().clone();
        got.extend(keys.iter().zip(partitions.iter()).map(|(key, partition)| (key.unwrap().to_vec(), partition.unwrap())));
    }
    let wanted: BTreeMap<Vec<u8>, i32> = rows.iter().map(|(key, _)| (key.unwrap().to_vec(), java_partition(key.unwrap(), 10))).collect();
    assert_eq!(got, wanted);
}

/// The partition that the default partitioner of Kafka's Java client computes.
fn java_partition(key: &[u8], partitions: i32) -> i32 {
    const M: i32 = 0x5bd1_e995;
    let mut hash = (0x9747_b28c_u32 as i32) ^ key.len() as i32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = i32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= ((k as u32) >> 24) as i32;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= i32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= ((hash as u32) >> 13) as i32;
    hash = hash.wrapping_mul(M);
    hash ^= ((hash as u32) >> 15) as i32;
    (hash & 0x7fff_ffff) % partitions
}

fn signal(pid: &str, name: &str) {
    assert!(std::process::Command::new("kill").args([name, pid]).status().unwrap().success());
}

/// A broker that stands still for a while costs time, no message; needs a broker of its own and its process id in
/// `HEADRACE_TEST_KAFKA_PID`, as everything else that uses the broker waits too.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_costs_no_message() {
    let (Some(url), Some(pid)) = (server("HEADRACE_TEST_KAFKA"), server("HEADRACE_TEST_KAFKA_PID")) else { return };
    let (log, topic) = (Arc::new(connect(&url)), format!("{}-still", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    let mut source = log.consume(&topic, &Consume { batch_rows: 1_000, ..options(&topic, true) }).await.unwrap();
    let producing = {
        let (log, topic) = (log.clone(), topic.clone());
        tokio::spawn(async move {
            for first in (0..60_000).step_by(1_000) {
                log.produce(&topic, &numbered(first..first + 1_000, 100)).await.unwrap();
            }
        })
    };
    let (mut ledger, mut seen, mut stopped) = (Reached::new(), Vec::new(), false);
    let begun = Instant::now();
    while seen.len() < 60_000 {
        assert!(begun.elapsed() < PATIENCE, "only {} came", seen.len());
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => start(&mut *source, partitions, &ledger).await,
            Event::Revoked(partitions) => source.release(&partitions).await.unwrap(),
            Event::Batch(batch) => {
                ledger.extend(batch.reached.clone());
                seen.extend(values(&batch.frame));
            }
            Event::Idle => {}
            Event::End => panic!("a followed topic ended"),
        }
        if seen.len() > 10_000 && !stopped {
            stopped = true;
            signal(&pid, "-STOP");
            tokio::time::sleep(Duration::from_secs(15)).await;
            signal(&pid, "-CONT");
        }
    }
    producing.await.unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..60_000).collect::<Vec<_>>());
}
