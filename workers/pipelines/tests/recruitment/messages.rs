//! Messages produced and read without the steps.

use std::time::Duration;

use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, VALUE};
use headrace_core::log::{Consume, Log};
use headrace_core::{Control, StoreUrl, clock};
use headrace_pipelines::reading::read_all;
use headrace_pipelines::stores::open_log;
use polars::prelude::{DataFrame, NamedFrom, Series};

/// A key and a value.
pub type Message = (Option<Vec<u8>>, Vec<u8>);

pub fn text_message(key: Option<&str>, value: &str) -> Message {
    (key.map(|key| key.as_bytes().to_vec()), value.as_bytes().to_vec())
}

/// Turns JSON lines into messages keyed by job, as the replay step sends them.
pub fn keyed(lines: &str) -> Vec<Message> {
    let key = |line: &str| -> Option<Vec<u8>> {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["job_id"].as_i64().map(|job| job.to_string().into_bytes())
    };
    lines.lines().map(|line| (key(line), line.as_bytes().to_vec())).collect()
}

pub fn frame(messages: &[Message]) -> DataFrame {
    let keys: Vec<Option<&[u8]>> = messages.iter().map(|(key, _)| key.as_deref()).collect();
    let values: Vec<Option<&[u8]>> = messages.iter().map(|(_, value)| Some(value.as_slice())).collect();
    let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(VALUE.into(), values).into()];
    DataFrame::new(messages.len(), columns).unwrap()
}

/// Appends messages to the topic of a URL, which is created if need be.
pub async fn produce(url: &str, partitions: i32, messages: &[Message]) {
    let (log, topic) = open(url).await;
    log.create_topic(&topic, partitions).await.unwrap();
    log.produce(&topic, &frame(messages)).await.unwrap();
}

async fn open(url: &str) -> (std::sync::Arc<dyn Log>, String) {
    let url = StoreUrl::parse(url).unwrap();
    (open_log(&url).await.unwrap(), url.topic("users_created").unwrap())
}

/// A message of a topic with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Reads all messages of a topic, by partition and offset.
pub async fn stored(url: &str) -> Vec<Stored> {
    let (log, topic) = open(url).await;
    stored_in(&*log, &topic).await
}

/// Reads all messages of another topic of a log.
pub async fn stored_in(log: &dyn Log, topic: &str) -> Vec<Stored> {
    stored_with_times(log, topic).await.into_iter().map(|(message, _)| message).collect()
}

/// Reads all messages of a topic, by partition and offset, with when they were appended (milliseconds since 1970).
pub async fn stored_with_times(log: &dyn Log, topic: &str) -> Vec<(Stored, i64)> {
    let consume = Consume {
        group: format!("test-{}", clock::worker_name()),
        follow: false,
        batch_rows: 10_000,
        batch_bytes: 16 << 20,
        interval: Duration::from_millis(50),
    };
    let source = log.consume(topic, &consume).await.unwrap();
    let mut all = Vec::new();
    let control = Control::default();
    let whole = read_all(source, &control, |batch| {
        let frame = &batch.frame;
        let (keys, values) = (frame.column(KEY)?.binary()?, frame.column(VALUE)?.binary()?);
        let (partitions, offsets) = (frame.column(PARTITION)?.i32()?, frame.column(OFFSET)?.i64()?);
        let times = frame.column(TIMESTAMP)?.i64()?;
        all.extend((0..frame.height()).map(|row| {
            let message = Stored {
                partition: partitions.get(row).unwrap(),
                offset: offsets.get(row).unwrap(),
                key: keys.get(row).map(<[u8]>::to_vec),
                value: values.get(row).map(<[u8]>::to_vec),
            };
            (message, times.get(row).unwrap_or_default())
        }));
        Ok(())
    });
    assert!(whole.await.unwrap());
    all.sort();
    all
}

/// The values of a topic as sorted lines, to be compared with the export of messages.
pub async fn sorted_lines(url: &str) -> String {
    let mut lines: Vec<String> = stored(url)
        .await
        .into_iter()
        .map(|message| String::from_utf8(message.value.unwrap()).unwrap() + "\n")
        .collect();
    lines.sort();
    lines.concat()
}
