//! Events from a file: one JSON object a line with arrival, topic, partition, offset, key and value, as one ordered sequence.
//!
//! Positions are byte offsets. Memory: one batch. It is how recorded events are replayed exactly, and what the simulator writes.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, TOPIC, VALUE};
use headrace_core::source::{Event, Source};
use headrace_core::{Batch, Claim, Error, Partition, Position, Result};
use polars::prelude::{DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader};

use super::decode::ARRIVAL_US;
use super::fields;

/// Bytes in a batch, at most about.
const BATCH_BYTES: u64 = 16 << 20;

/// One line of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line's number, for people.
    #[serde(default)]
    pub line: u64,
    /// When the broker got it.
    pub arrival: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    #[serde(default)]
    pub key: Option<String>,
    /// The value; none for a message without value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value where it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

/// The lines of a batch, as columns.
#[derive(Default)]
struct Columns {
    keys: Vec<Option<Vec<u8>>>,
    values: Vec<Option<Vec<u8>>>,
    arrivals: Vec<i64>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    topics: Vec<String>,
    bytes: u64,
}

impl Columns {
    fn push(&mut self, line: Line) -> std::result::Result<(), String> {
        let arrival =
            fields::timestamp(&line.arrival).ok_or_else(|| format!("arrival {:?} is no time", line.arrival))?;
        let value = match (line.value, line.value_base64) {
            (Some(text), _) => Some(text.into_bytes()),
            (None, Some(text)) => Some(STANDARD.decode(text).map_err(|error| format!("value_base64: {error}"))?),
            (None, None) => None,
        };
        self.keys.push(line.key.map(String::into_bytes));
        self.values.push(value);
        self.arrivals.push(arrival);
        self.partitions.push(line.partition);
        self.offsets.push(line.offset);
        self.topics.push(line.topic);
        Ok(())
    }

    fn frame(self) -> Result<DataFrame> {
        let bytes = |rows: &[Option<Vec<u8>>]| -> Vec<Option<Vec<u8>>> { rows.to_vec() };
        let milliseconds: Vec<i64> = self.arrivals.iter().map(|arrival| arrival.div_euclid(1_000)).collect();
        let columns = vec![
            Series::new(KEY.into(), bytes(&self.keys)).into(),
            Series::new(VALUE.into(), bytes(&self.values)).into(),
            Series::new(TIMESTAMP.into(), milliseconds).into(),
            Series::new(ARRIVAL_US.into(), &self.arrivals).into(),
            Series::new(PARTITION.into(), &self.partitions).into(),
            Series::new(OFFSET.into(), &self.offsets).into(),
            Series::new(TOPIC.into(), &self.topics).into(),
        ];
        Ok(DataFrame::new(self.offsets.len(), columns)?)
    }
}

/// A file of events.
pub struct FileSource {
    path: PathBuf,
    partition: Partition,
    batch_rows: usize,
    announced: bool,
    reader: BufReader<File>,
    /// What has been read of the next line.
    partial: Vec<u8>,
    /// Behind the last whole line.
    at: u64,
    length: u64,
    gathered: Columns,
}

impl FileSource {
    /// Opens a file.
    ///
    /// # Errors
    /// A configuration error when there is none.
    pub async fn open(path: &Path, batch_rows: usize) -> Result<Self> {
        let unreadable =
            |error: std::io::Error| Error::configuration(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).await.map_err(unreadable)?;
        let length = file.metadata().await.map_err(unreadable)?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            path: path.to_owned(),
            partition: Partition(name),
            batch_rows,
            announced: false,
            reader: BufReader::with_capacity(1 << 20, file),
            partial: Vec::new(),
            at: 0,
            length,
            gathered: Columns::default(),
        })
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::data(format!("cannot read {} at byte {}: {error}", self.path.display(), self.at))
    }

    /// Reads a line; false at the end.
    async fn line(&mut self) -> Result<bool> {
        // Given up half-way, it leaves what it read in the buffer and goes on behind it.
        let read = self.reader.read_until(b'\n', &mut self.partial).await;
        read.map_err(|error| Error::external(format!("cannot read {}", self.path.display()), error))?;
        if self.partial.is_empty() {
            return Ok(false);
        }
        if !self.partial.iter().all(u8::is_ascii_whitespace) {
            let line: Line = serde_json::from_slice(&self.partial).map_err(|error| self.failed(error))?;
            self.gathered.push(line).map_err(|error| self.failed(error))?;
        }
        let bytes = self.partial.len() as u64;
        self.partial.clear();
        self.at += bytes;
        self.gathered.bytes += bytes;
        Ok(true)
    }
}

#[async_trait]
impl Source for FileSource {
    async fn next(&mut self) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(vec![self.partition.clone()]));
        }
        while self.gathered.offsets.len() < self.batch_rows && self.gathered.bytes < BATCH_BYTES {
            if !self.line().await? {
                break;
            }
        }
        if self.gathered.bytes == 0 {
            return Ok(Event::End);
        }
        let gathered = std::mem::take(&mut self.gathered);
        let at = i64::try_from(self.at).map_err(|error| self.failed(error))?;
        let (bytes, reached) = (gathered.bytes, [(self.partition.clone(), Position::at(at))].into());
        Ok(Event::Batch(Batch { frame: gathered.frame()?, reached, bytes }))
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        let at = claims.first().and_then(|claim| claim.position.as_ref()).map_or(0, |position| position.at);
        let at = u64::try_from(at).unwrap_or_default();
        if at > self.length {
            let (path, length) = (self.path.display(), self.length);
            return Err(Error::data(format!(
                "{path} has {length} bytes, and {at} of it are committed: it was replaced"
            )));
        }
        let sought = self.reader.seek(std::io::SeekFrom::Start(at)).await;
        sought.map_err(|error| Error::external(format!("cannot read {}", self.path.display()), error))?;
        (self.at, self.gathered) = (at, Columns::default());
        self.partial.clear();
        Ok(())
    }

    async fn release(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.length.saturating_sub(self.at))
    }
}
