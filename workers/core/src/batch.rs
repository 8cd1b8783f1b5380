//! A batch: rows and the positions reached after them.
//!
//! Sources of raw records (files, logs) give undecoded bytes; decoding is a transform, so that a broken
//! record is a row with a reason and not an exception. The column names of such frames are here.

use polars::prelude::DataFrame;

use crate::position::Reached;

/// Rows and the positions reached after them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows.
    pub frame: DataFrame,
    /// Where each touched partition stands once these rows are committed.
    pub reached: Reached,
    /// Bytes of input these rows were read from.
    pub bytes: u64,
}

impl Batch {
    /// Number of rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }
}

/// Columns of a frame of raw file records.
pub mod record_columns {
    /// The record's bytes without the line end (`Binary`).
    pub const VALUE: &str = "value";
    /// The record's number, counted from 1 (`Int64`).
    pub const RECORD: &str = "record";
    /// The byte offset of the record in its file (`Int64`).
    pub const POSITION: &str = "position";
}

/// Columns of a frame of raw log messages.
pub mod message_columns {
    /// The key's bytes (`Binary`, nullable).
    pub const KEY: &str = "key";
    /// The value's bytes (`Binary`, nullable).
    pub const VALUE: &str = "value";
    /// The broker's timestamp in milliseconds (`Int64`).
    pub const TIMESTAMP: &str = "timestamp";
    /// The partition's number (`Int32`).
    pub const PARTITION: &str = "partition";
    /// The topic, where messages of several are read as one (`String`).
    pub const TOPIC: &str = "topic";
    /// The offset in the partition (`Int64`).
    pub const OFFSET: &str = "offset";
}
