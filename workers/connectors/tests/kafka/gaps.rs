//! Offsets without messages: removed, aborted, marks of transactions.

use std::time::{Duration, Instant};

use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::Event;
use headrace_core::{ErrorKind, Partition, Position};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{assigned, connect, native, noise, numbered, options, server, unique, values};
use crate::conformance::{self, PATIENCE, drain};

async fn remove_before(url: &str, topic: &str, partition: i32, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = native(url).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    let _ = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
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
            Ok(Event::Batch(batch)) => {
                assert!(!batch.reached.values().any(|position| position.at == 80), "the gap was jumped over")
            }
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
                producer
                    .send(BaseRecord::<(), str>::to(&topic_name).payload(&value))
                    .map_err(|(error, _)| error)
                    .unwrap();
            }
            producer.flush(patience).unwrap();
            if commit {
                producer.commit_transaction(patience).unwrap()
            } else {
                producer.abort_transaction(patience).unwrap()
            }
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
