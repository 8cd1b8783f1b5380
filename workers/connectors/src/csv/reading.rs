//! The thread that reads a file ahead and puts records into batches.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use headrace_core::batch::record_columns;
use headrace_core::position::Reached;
use headrace_core::{Batch, Error, Partition, Result};
use polars::prelude::{BinaryChunkedBuilder, Column, DataFrame, IntoColumn, NamedFrom, Series};
use tokio::sync::mpsc;

use super::CsvOptions;
use super::place::{Cursor, Places};
use super::records::{Records, cannot_read};

/// One file, and the part of it to read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The file.
    pub(super) path: PathBuf,
    /// The file as errors name it.
    pub(super) name: String,
    /// The partition its positions belong to.
    pub(super) partition: Partition,
    /// How to read.
    pub(super) options: CsvOptions,
    /// The offset behind the header.
    pub(super) first: u64,
    /// Records that begin here are read.
    pub(super) range: Range<u64>,
}

/// What the thread sends.
#[derive(Debug)]
pub(super) enum Message {
    /// Rows, and where reading goes on behind them.
    Rows(Batch, Cursor),
    /// There are no more.
    Done,
}

impl Plan {
    /// Opens the file.
    pub(super) fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| Error::external(format!("cannot open file `{}`", self.name), error))
    }

    /// Opens the file to take and check positions.
    pub(super) fn places(&self) -> Result<Places> {
        Ok(Places::new(self.open()?, self.options.split.map(|_| self.range.clone())))
    }

    /// Where to read from when no position is known: a split's first record and its number are found by scanning.
    pub(super) fn beginning(&self) -> Cursor {
        Cursor { offset: self.first, record: 1 }
    }

    /// Starts the thread. It ends when the file does, at an error, or soon after the receiver is dropped.
    pub(super) fn spawn(&self, from: Cursor) -> Result<mpsc::Receiver<Result<Message>>> {
        let (sender, receiver) = mpsc::channel(1);
        let plan = self.clone();
        std::thread::Builder::new()
            .name("csv-reader".to_owned())
            .spawn(move || {
                let last = plan.read(from, &sender).map(|()| Message::Done);
                // A dropped receiver wants no last word.
                let _ = sender.blocking_send(last);
            })
            .map_err(|error| Error::external("cannot start a thread to read a file", error))?;
        Ok(receiver)
    }

    fn read(&self, from: Cursor, sender: &mpsc::Sender<Result<Message>>) -> Result<()> {
        let mut places = self.places()?;
        let mut records = Records::start(self.open()?, &self.name, &self.options, from.offset, from.record)?;
        let mut rows = Rows::default();
        while let Some(record) = records.next()? {
            if record.start < self.range.start {
                if record.number % 4_096 == 0 && sender.is_closed() {
                    return Ok(());
                }
                continue;
            }
            if record.start >= self.range.end {
                break;
            }
            rows.push(record.value, record.number, record.start)?;
            rows.open = record.open;
            rows.next = record.next;
            if rows.is_full(&self.options) && !self.send(std::mem::take(&mut rows), &mut places, sender)? {
                return Ok(());
            }
        }
        if !rows.numbers.is_empty() {
            self.send(rows, &mut places, sender)?;
        }
        Ok(())
    }

    /// Sends a batch; false when nobody wants it.
    fn send(&self, rows: Rows, places: &mut Places, sender: &mpsc::Sender<Result<Message>>) -> Result<bool> {
        let cursor = Cursor { offset: rows.next, record: rows.numbers.last().map_or(1, |last| last + 1) };
        let bytes = rows.bytes();
        let position = places.take(cursor, rows.open).map_err(|error| cannot_read(&self.name, cursor.offset, error))?;
        let batch =
            Batch { frame: rows.into_frame()?, reached: Reached::from([(self.partition.clone(), position)]), bytes };
        Ok(sender.blocking_send(Ok(Message::Rows(batch, cursor))).is_ok())
    }
}

/// Rows of a batch in the making.
struct Rows {
    values: BinaryChunkedBuilder,
    numbers: Vec<i64>,
    starts: Vec<i64>,
    next: u64,
    open: bool,
}

impl Default for Rows {
    fn default() -> Self {
        let values = BinaryChunkedBuilder::new(record_columns::VALUE.into(), 0);
        Self { values, numbers: Vec::new(), starts: Vec::new(), next: 0, open: false }
    }
}

impl Rows {
    fn push(&mut self, value: &[u8], number: i64, start: u64) -> Result<()> {
        let start = i64::try_from(start).map_err(|_| Error::data("a file is longer than 2^63 bytes"))?;
        self.values.append_value(value);
        self.numbers.push(number);
        self.starts.push(start);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.starts.first().map_or(0, |&start| self.next.saturating_sub(start.unsigned_abs()))
    }

    fn is_full(&self, options: &CsvOptions) -> bool {
        self.numbers.len() >= options.batch_rows || self.bytes() >= options.batch_bytes as u64
    }

    fn into_frame(self) -> Result<DataFrame> {
        let ints = |name: &str, values: Vec<i64>| -> Column { Series::new(name.into(), values).into() };
        let height = self.numbers.len();
        let values = self.values.finish().into_column();
        let columns =
            vec![values, ints(record_columns::RECORD, self.numbers), ints(record_columns::POSITION, self.starts)];
        Ok(DataFrame::new(height, columns)?)
    }
}
