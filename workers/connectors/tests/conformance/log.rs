//! What every message log must do.
//!
//! Logs are given as `Arc<dyn Log>` because consumers run beside producers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::batch::message_columns;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::Event;
use headrace_core::{ErrorKind, Partition, Position};
use polars::prelude::{DataFrame, DataType};

pub use super::group::{a_second_drainer_ends_too, groups_are_apart, two_members_share_and_take_over};
use super::{Given, PATIENCE, bytes, drain, frame, start};

/// Runs everything, one after another, and says what it runs.
pub async fn everything(log: Arc<dyn Log>, unique: &str) {
    macro_rules! run {
        ($($name:ident),* $(,)?) => {
            $(println!("conformance: {}", stringify!($name)); $name(log.clone(), unique).await;)*
        };
    }
    run![
        topics_are_made_and_missed,
        extents_tell,
        produced_is_consumed_once_in_key_order,
        null_key_and_null_value,
        large_and_odd_messages,
        batches_keep_to_their_limits,
        drain_ends_at_the_end_seen,
        seek_back_rereads,
        resumes_behind_a_position,
        next_is_cancel_safe,
        follow_gives_what_comes,
        two_members_share_and_take_over,
        a_second_drainer_ends_too,
        groups_are_apart,
    ];
}

/// A message as it came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    partition: i32,
    offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

pub fn options(group: &str, follow: bool) -> Consume {
    Consume {
        group: group.to_owned(),
        follow,
        batch_rows: 500,
        batch_bytes: 1 << 20,
        interval: Duration::from_millis(200),
    }
}

/// The key and value of a message to produce.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A frame for [`Log::produce`].
pub fn messages(rows: &[Pair<'_>]) -> DataFrame {
    let key = bytes(message_columns::KEY, rows.iter().map(|row| row.0));
    frame(vec![key, bytes(message_columns::VALUE, rows.iter().map(|row| row.1))])
}

/// Produces numbered messages: value `n`, key `k<n mod keys>`.
pub async fn produce_numbers(log: &dyn Log, topic: &str, numbers: std::ops::Range<u32>, keys: u32) {
    let rows: Vec<(String, String)> = numbers.map(|n| (format!("k{}", n % keys), n.to_string())).collect();
    let rows: Vec<_> = rows.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    log.produce(topic, &messages(&rows)).await.unwrap();
}

fn unpack(frame: &DataFrame) -> Vec<Message> {
    let types: Vec<_> = frame.columns().iter().map(|column| (column.name().as_str(), column.dtype().clone())).collect();
    let wanted = [
        (message_columns::KEY, DataType::Binary),
        (message_columns::VALUE, DataType::Binary),
        (message_columns::TIMESTAMP, DataType::Int64),
        (message_columns::PARTITION, DataType::Int32),
        (message_columns::OFFSET, DataType::Int64),
    ];
    assert_eq!(types, wanted);
    let key = frame.column(message_columns::KEY).unwrap().binary().unwrap();
    let value = frame.column(message_columns::VALUE).unwrap().binary().unwrap();
    let timestamp = frame.column(message_columns::TIMESTAMP).unwrap().i64().unwrap();
    let partition = frame.column(message_columns::PARTITION).unwrap().i32().unwrap();
    let offset = frame.column(message_columns::OFFSET).unwrap().i64().unwrap();
    let message = |row| {
        let stamp = timestamp.get(row).unwrap();
        // Between 2020 and 2100: milliseconds, not seconds or microseconds.
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&stamp), "timestamp {stamp}");
        Message {
            partition: partition.get(row).unwrap(),
            offset: offset.get(row).unwrap(),
            key: key.get(row).map(<[u8]>::to_vec),
            value: value.get(row).map(<[u8]>::to_vec),
        }
    };
    (0..frame.height()).map(message).collect()
}

pub fn all(given: &Given) -> Vec<Message> {
    given.frames.iter().flat_map(unpack).collect()
}

pub fn numbers(messages: &[Message]) -> Vec<u32> {
    let number = |message: &Message| String::from_utf8(message.value.clone().unwrap()).unwrap().parse().unwrap();
    let mut numbers: Vec<u32> = messages.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

pub async fn drained(log: &dyn Log, topic: &str, options: &Consume, from: &Reached) -> Given {
    let given = drain(&mut *log.consume(topic, options).await.unwrap(), from, usize::MAX).await;
    assert!(given.ended);
    given
}

/// Topics can be made twice; one that is not there is a configuration error that names it.
pub async fn topics_are_made_and_missed(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-made.x");
    log.create_topic(&topic, 2).await.unwrap();
    log.create_topic(&topic, 5).await.unwrap();
    assert_eq!(log.extents(&topic).await.unwrap().unwrap().len(), 2);
    let missing = format!("{unique}-missing");
    assert_eq!(log.extents(&missing).await.unwrap(), None);
    let error = log.consume(&missing, &options("g", false)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(&missing), "{error}");
    let error = log.produce(&missing, &messages(&[(None, Some(b"x"))])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(&missing), "{error}");
}

/// Extents count what was produced, by partition.
pub async fn extents_tell(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-extents");
    log.create_topic(&topic, 3).await.unwrap();
    let empty = log.extents(&topic).await.unwrap().unwrap();
    assert_eq!(empty.iter().map(|extent| extent.partition).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(empty.iter().all(|extent| extent.first == 0 && extent.end == 0));
    produce_numbers(&*log, &topic, 0..200, 40).await;
    let filled = log.extents(&topic).await.unwrap().unwrap();
    assert_eq!(filled.iter().map(|extent| extent.end - extent.first).sum::<i64>(), 200);
    assert!(filled.iter().all(|extent| extent.end > 0), "40 keys do not spread over 3 partitions: {filled:?}");
}

/// Every message comes once; a key keeps its partition and order; offsets and positions are those of the partition.
pub async fn produced_is_consumed_once_in_key_order(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-ordered");
    log.create_topic(&topic, 3).await.unwrap();
    for first in (0..3_000).step_by(750) {
        produce_numbers(&*log, &topic, first..first + 750, 17).await;
    }
    let given = drained(&*log, &topic, &options(&format!("{unique}-ordered"), false), &Reached::new()).await;
    let got = all(&given);
    assert_eq!(numbers(&got), (0..3_000).collect::<Vec<_>>());
    let mut by_key: BTreeMap<&[u8], Vec<&Message>> = BTreeMap::new();
    let mut by_partition: BTreeMap<i32, i64> = BTreeMap::new();
    for message in &got {
        by_key.entry(message.key.as_deref().unwrap()).or_default().push(message);
        let next = by_partition.entry(message.partition).or_default();
        assert_eq!(message.offset, *next, "offsets of partition {}", message.partition);
        *next += 1;
    }
    assert_eq!(by_key.len(), 17);
    for (key, messages) in by_key {
        assert!(messages.iter().all(|message| message.partition == messages[0].partition), "{key:?} moved");
        let values = messages.iter().map(|message| String::from_utf8(message.value.clone().unwrap()).unwrap());
        let values: Vec<u32> = values.map(|value| value.parse().unwrap()).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{key:?} out of order");
    }
    let filled =
        by_partition.into_iter().map(|(number, end)| (Partition::new(format!("{topic}-{number}")), Position::at(end)));
    let filled: Reached = filled.collect();
    for (partition, position) in &filled {
        assert_eq!(given.reached.get(partition).map(|reached| reached.at), Some(position.at), "{partition}");
    }
}

/// Null and empty keys and values are different things and come back as they were.
pub async fn null_key_and_null_value(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-nulls");
    log.create_topic(&topic, 2).await.unwrap();
    let mut rows: Vec<Pair<'_>> = vec![
        (None, Some(b"a")),
        (Some(b"k"), None),
        (None, None),
        (Some(b""), Some(b"")),
        (None, Some(b"")),
        (Some(b""), None),
    ];
    log.produce(&topic, &messages(&rows)).await.unwrap();
    let given = drained(&*log, &topic, &options(&format!("{unique}-nulls"), false), &Reached::new()).await;
    let messages = all(&given);
    let mut got: Vec<_> = messages.iter().map(|message| (message.key.as_deref(), message.value.as_deref())).collect();
    got.sort_unstable();
    rows.sort_unstable();
    assert_eq!(got, rows);
}

/// All bytes and large values come through, and a frame without rows is no message.
pub async fn large_and_odd_messages(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-large");
    log.create_topic(&topic, 1).await.unwrap();
    log.produce(&topic, &messages(&[])).await.unwrap();
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..900_000_u32).map(|at| (at % 253) as u8).collect();
    let rows = [
        (Some(&every[..]), Some(&every[..])),
        (Some(b"l"), Some(&large)),
        (None, Some(&large)),
        (Some(b"l"), Some(b"end")),
    ];
    log.produce(&topic, &messages(&rows)).await.unwrap();
    let given = drained(&*log, &topic, &options(&format!("{unique}-large"), false), &Reached::new()).await;
    let got = all(&given);
    assert_eq!(got.len(), rows.len());
    for (message, (key, value)) in got.iter().zip(rows) {
        assert!(
            message.key.as_deref() == key && message.value.as_deref() == value,
            "message {} changed",
            message.offset
        );
    }
}

/// Batches have at most so many rows, and stop soon after so many bytes.
pub async fn batches_keep_to_their_limits(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-limits");
    log.create_topic(&topic, 2).await.unwrap();
    let value = vec![b'x'; 1_000];
    let rows: Vec<Pair<'_>> = (0..1_000).map(|_| (None, Some(&value[..]))).collect();
    log.produce(&topic, &messages(&rows)).await.unwrap();
    let narrow = Consume { batch_rows: 70, ..options(&format!("{unique}-rows"), false) };
    let given = drained(&*log, &topic, &narrow, &Reached::new()).await;
    assert!(given.frames.iter().all(|frame| frame.height() <= 70 && frame.height() > 0));
    assert_eq!(all(&given).len(), 1_000);
    let light = Consume { batch_bytes: 20_000, ..options(&format!("{unique}-bytes"), false) };
    let given = drained(&*log, &topic, &light, &Reached::new()).await;
    assert!(given.frames.iter().all(|frame| frame.height() <= 21), "a batch is larger than asked for");
    assert_eq!(all(&given).len(), 1_000);
}

/// Without follow, a partition ends where it ended when it was assigned.
pub async fn drain_ends_at_the_end_seen(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-end");
    log.create_topic(&topic, 3).await.unwrap();
    produce_numbers(&*log, &topic, 0..100, 10).await;
    let mut source = log.consume(&topic, &options(&format!("{unique}-end"), false)).await.unwrap();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is assigned");
        if let Event::Assigned(partitions) = source.next().await.unwrap() {
            assert_eq!(partitions.len(), 3);
            start(&mut *source, partitions, &Reached::new()).await;
            break;
        }
    }
    produce_numbers(&*log, &topic, 100..200, 10).await;
    let given = drain(&mut *source, &Reached::new(), usize::MAX).await;
    assert!(given.ended);
    assert_eq!(numbers(&all(&given)), (0..100).collect::<Vec<_>>());
    // An empty topic ends too.
    let empty = format!("{unique}-empty");
    log.create_topic(&empty, 2).await.unwrap();
    assert!(all(&drained(&*log, &empty, &options(&format!("{unique}-e"), false), &Reached::new()).await).is_empty());
}

/// Starting a partition again at an older position reads it again from there, with nothing left from reading ahead.
pub async fn seek_back_rereads(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-seek");
    log.create_topic(&topic, 1).await.unwrap();
    produce_numbers(&*log, &topic, 0..1_000, 10).await;
    let small = Consume { batch_rows: 100, ..options(&format!("{unique}-seek"), false) };
    let mut source = log.consume(&topic, &small).await.unwrap();
    let first = drain(&mut *source, &Reached::new(), 4).await;
    assert_eq!(numbers(&all(&first)), (0..400).collect::<Vec<_>>());
    let partition = Partition::new(format!("{topic}-0"));
    let back: Reached = [(partition.clone(), Position::at(150))].into();
    start(&mut *source, vec![partition.clone()], &back).await;
    let second = drain(&mut *source, &back, usize::MAX).await;
    assert!(second.ended);
    assert_eq!(numbers(&all(&second)), (150..1_000).collect::<Vec<_>>());
    assert_eq!(second.reached[&partition].at, 1_000);
}

/// A new consumer goes on behind the positions it is given.
pub async fn resumes_behind_a_position(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-resume");
    log.create_topic(&topic, 3).await.unwrap();
    produce_numbers(&*log, &topic, 0..900, 30).await;
    let small = Consume { batch_rows: 100, ..options(&format!("{unique}-resume"), false) };
    let mut got = Vec::new();
    let mut at = Reached::new();
    for round in 0..50 {
        assert!(round < 49, "it does not end");
        let mut source = log.consume(&topic, &small).await.unwrap();
        let given = drain(&mut *source, &at, 3).await;
        got.extend(all(&given));
        at = given.reached;
        if given.ended {
            break;
        }
    }
    assert_eq!(numbers(&got), (0..900).collect::<Vec<_>>());
}

/// A dropped call of `next` loses nothing.
pub async fn next_is_cancel_safe(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-cancel");
    log.create_topic(&topic, 2).await.unwrap();
    produce_numbers(&*log, &topic, 0..2_000, 20).await;
    let small = Consume { batch_rows: 50, ..options(&format!("{unique}-cancel"), false) };
    let mut source = log.consume(&topic, &small).await.unwrap();
    let mut got = Vec::new();
    let begun = Instant::now();
    for try_number in 0_u64.. {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        let patience = Duration::from_micros(try_number % 40 * 500);
        match tokio::time::timeout(patience, source.next()).await {
            Err(_) => {}
            Ok(Ok(Event::Assigned(partitions))) => start(&mut *source, partitions, &Reached::new()).await,
            Ok(Ok(Event::Batch(batch))) => got.extend(unpack(&batch.frame)),
            Ok(Ok(Event::End)) => break,
            Ok(Ok(Event::Idle | Event::Revoked(_))) => {}
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(numbers(&got), (0..2_000).collect::<Vec<_>>());
}

/// When following, new messages come as they are produced, and an idle log says so every second.
pub async fn follow_gives_what_comes(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-follow");
    log.create_topic(&topic, 2).await.unwrap();
    let mut source = log.consume(&topic, &options(&format!("{unique}-follow"), true)).await.unwrap();
    let (mut got, mut produced, mut started) = (Vec::new(), 0, false);
    let begun = Instant::now();
    while got.len() < 300 {
        assert!(begun.elapsed() < PATIENCE, "only {} messages came", got.len());
        let asked = Instant::now();
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => {
                start(&mut *source, partitions, &Reached::new()).await;
                started = true;
            }
            Event::Batch(batch) => got.extend(unpack(&batch.frame)),
            Event::Idle if started && produced < 300 => {
                produce_numbers(&*log, &topic, produced..produced + 100, 10).await;
                produced += 100;
            }
            Event::Idle | Event::Revoked(_) => {}
            Event::End => panic!("a followed topic ended"),
        }
        assert!(!started || asked.elapsed() < Duration::from_secs(5), "next did not return");
    }
    assert_eq!(numbers(&got), (0..300).collect::<Vec<_>>());
}
