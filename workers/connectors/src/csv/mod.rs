//! CSV files as sources of raw records.
//!
//! - Delivery: records in file order, each with its number and byte offset; a position is the offset of the next
//!   record, so a source started at a committed position goes on with exactly the record after it. A position taken
//!   in a file that has since been replaced or edited is not used (see [`CsvSource::restarted`]).
//! - Memory: three batches, one chunk and the longest record, whatever the size of the file.
//! - Splits: split k of n covers the records that begin in the k-th of n equal byte ranges. Whether a line end lies
//!   inside quotes shows only from the start of the file, so the start of a split is found by scanning what comes
//!   before it (more than 1 GB/s, and not at all when going on from a position). Records have the numbers and offsets
//!   they have in the whole file.

mod again;
mod place;
mod reading;
mod records;
mod scanner;
mod source;

pub use again::RecordsAgain;
pub use source::CsvSource;

/// How a CSV file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Which part of the file: the first number of 1 to the second; none for all of it.
    pub split: Option<(usize, usize)>,
    /// At most so many records in a batch.
    pub batch_rows: usize,
    /// A batch ends once it holds so many bytes.
    pub batch_bytes: usize,
    /// Bytes asked from the file at once.
    pub chunk_bytes: usize,
    /// A longer record is a data error.
    pub max_record_bytes: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            split: None,
            batch_rows: 50_000,
            batch_bytes: 16 << 20,
            chunk_bytes: 1 << 20,
            max_record_bytes: 64 << 20,
        }
    }
}
