//! Message logs: topics of partitions of messages, read by groups of workers.
//!
//! Positions live in the sink's ledger, never in the log: a log only shares the partitions out.

use std::time::Duration;

use async_trait::async_trait;
use polars::prelude::DataFrame;

use crate::source::Source;
use crate::{Error, Result};

/// How a topic is read.
#[derive(Clone, Debug)]
pub struct Consume {
    /// The group that shares the topic's partitions.
    pub group: String,
    /// Go on forever; otherwise each partition ends at the end it had when the topic was opened.
    pub follow: bool,
    /// At most so many messages in a batch.
    pub batch_rows: usize,
    /// At most so many bytes of keys and values in a batch.
    pub batch_bytes: usize,
    /// A batch waits at most so long for more messages (when following).
    pub interval: Duration,
}

impl Consume {
    /// Refuses a group that a broker or its client library cannot hold as it is.
    ///
    /// # Errors
    /// A configuration error when the group's name is empty, begins with white space or has a NUL.
    pub fn check(&self) -> Result<()> {
        let wrong = match self.group.as_bytes() {
            [] => "a consumer group needs a name: this one is empty",
            // It would be cut off, and two groups be one.
            [first, ..] if first.is_ascii_whitespace() || *first == b'\x0b' => {
                "the name of a consumer group cannot begin with white space"
            }
            name if name.contains(&0) => "the name of a consumer group cannot hold a NUL character",
            _ => return Ok(()),
        };
        Err(Error::Configuration(wrong.to_owned()))
    }
}

/// The offsets a partition holds: from the first (included) to the end (excluded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The partition's number.
    pub partition: i32,
    /// The first offset still held.
    pub first: i64,
    /// The offset the next message gets.
    pub end: i64,
}

/// A message log. Partitions of its sources are named `topic-number`.
#[async_trait]
pub trait Log: Send + Sync {
    /// Creates a topic unless it is there.
    ///
    /// # Errors
    /// When the log refuses; an existing topic with another number of partitions is fine.
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()>;

    /// Tells what a topic holds, by partition; none when there is no such topic.
    ///
    /// # Errors
    /// When the log cannot be asked.
    async fn extents(&self, topic: &str) -> Result<Option<Vec<Extent>>>;

    /// Joins a group and reads a topic. Frames have the columns of [`crate::batch::message_columns`].
    ///
    /// # Errors
    /// A configuration error naming the topic when there is none.
    async fn consume(&self, topic: &str, options: &Consume) -> Result<Box<dyn Source>>;

    /// Appends messages (columns `key`, `value`) and returns when all of them are safely stored. Messages with
    /// the same key go to the same partition, in order.
    ///
    /// # Errors
    /// When not all of them were stored; some may have been.
    async fn produce(&self, topic: &str, messages: &DataFrame) -> Result<()>;

    /// Names the log without secrets; two logs with the same name are the same place.
    fn name(&self) -> String;
}
