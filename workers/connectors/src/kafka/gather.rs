//! Gathering messages into the frame of one batch: keys and values are copied once, into Polars' own buffers.

use std::collections::BTreeMap;
use std::time::Instant;

use headrace_core::batch::message_columns;
use headrace_core::{Batch, Partition, Position, Result};
use polars::prelude::{BinaryChunkedBuilder, Column, DataFrame, IntoColumn, IntoSeries, NamedFrom, Series};

use super::intake::Taken;

/// A finished batch and where each of its partitions stands after it.
pub(super) struct Gathered {
    /// The batch.
    pub(super) batch: Batch,
    /// The next offset by partition number.
    pub(super) next: BTreeMap<i32, i64>,
}

/// The batch being gathered.
pub(super) struct Gatherer {
    keys: BinaryChunkedBuilder,
    values: BinaryChunkedBuilder,
    timestamps: Vec<Option<i64>>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    bytes: usize,
    begun: Instant,
}

impl Gatherer {
    /// Starts an empty batch.
    pub(super) fn new() -> Self {
        Self {
            keys: BinaryChunkedBuilder::new(message_columns::KEY.into(), 0),
            values: BinaryChunkedBuilder::new(message_columns::VALUE.into(), 0),
            timestamps: Vec::new(),
            partitions: Vec::new(),
            offsets: Vec::new(),
            bytes: 0,
            begun: Instant::now(),
        }
    }

    /// Adds a message.
    pub(super) fn push(&mut self, message: Taken<'_>) {
        if self.offsets.is_empty() {
            self.begun = Instant::now();
        }
        let (key, value) = (message.key(), message.value());
        self.keys.append_option(key);
        self.values.append_option(value);
        self.timestamps.push(message.timestamp());
        self.partitions.push(message.partition());
        self.offsets.push(message.offset());
        self.bytes += key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    }

    /// Number of messages.
    pub(super) fn rows(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first message came.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// Finishes the batch.
    pub(super) fn finish(self, topic: &str) -> Result<Gathered> {
        let mut next = BTreeMap::new();
        let mut read = 0;
        // Messages of a partition come in runs.
        for run in self.partitions.chunk_by(i32::eq) {
            read += run.len();
            next.insert(run[0], self.offsets[read - 1] + 1);
        }
        let columns: Vec<Column> = vec![
            self.keys.finish().into_series().into_column(),
            self.values.finish().into_series().into_column(),
            Series::new(message_columns::TIMESTAMP.into(), self.timestamps).into_column(),
            Series::new(message_columns::PARTITION.into(), self.partitions).into_column(),
            Series::new(message_columns::OFFSET.into(), &self.offsets).into_column(),
        ];
        let frame = DataFrame::new(self.offsets.len(), columns)?;
        let reached = next.iter().map(|(number, next)| (name(topic, *number), Position::at(*next))).collect();
        Ok(Gathered { batch: Batch { frame, reached, bytes: self.bytes as u64 }, next })
    }
}

/// Names a partition.
pub(super) fn name(topic: &str, number: i32) -> Partition {
    Partition::new(format!("{topic}-{number}"))
}

/// Finds a partition's number from its name.
pub(super) fn number(topic: &str, partition: &Partition) -> Option<i32> {
    partition.0.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{name, number};

    #[test]
    fn names_carry_numbers_even_of_odd_topics() {
        for topic in ["t", "t-1", "a.b_c-", "7"] {
            assert_eq!(number(topic, &name(topic, 12)), Some(12));
        }
        assert_eq!(number("t", &name("t-1", 2)), None);
        assert_eq!(number("other", &name("t", 2)), None);
    }
}
