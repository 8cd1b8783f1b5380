//! Reads a file's raw records one after the other, in the calling thread.
//!
//! Memory: one chunk, or the longest record where that is longer; a record above the limit is a data error, because
//! nearly always a quote that was never closed has swallowed what follows.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use headrace_core::{Error, Result};

use super::CsvOptions;
use super::scanner::{Found, Scanner};

/// A record's bytes and place.
pub(super) struct Record<'a> {
    /// The bytes without the line end.
    pub(super) value: &'a [u8],
    /// Counted from 1; 0 is the header.
    pub(super) number: i64,
    /// The offset of the first byte.
    pub(super) start: u64,
    /// The offset behind the line end.
    pub(super) next: u64,
    /// Whether the file ended inside a quoted field of it.
    pub(super) open: bool,
}

/// A run through a file's records.
pub(super) struct Records {
    file: File,
    name: String,
    chunk_bytes: usize,
    max_record_bytes: usize,
    buffer: Vec<u8>,
    filled: usize,
    /// The file's offset of the buffer's first byte.
    base: u64,
    at_end: bool,
    scanner: Scanner,
    number: i64,
}

impl Records {
    /// Starts at an offset where a record begins, and gives that record a number.
    pub(super) fn start(mut file: File, name: &str, options: &CsvOptions, offset: u64, number: i64) -> Result<Self> {
        file.seek(SeekFrom::Start(offset)).map_err(|error| cannot_read(name, offset, error))?;
        Ok(Self {
            file,
            name: name.to_owned(),
            chunk_bytes: options.chunk_bytes.max(1),
            max_record_bytes: options.max_record_bytes,
            buffer: Vec::new(),
            filled: 0,
            base: offset,
            at_end: false,
            scanner: Scanner::new(),
            number,
        })
    }

    /// Reads the next record, none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>> {
        let (start, end, next, open) = loop {
            match self.scanner.next(&self.buffer[..self.filled], self.at_end) {
                Found::Record { start, end, next, open } => break (start, end, next, open),
                Found::End => return Ok(None),
                Found::More => self.fill()?,
            }
        };
        if end - start > self.max_record_bytes {
            return Err(self.too_long(start));
        }
        self.number += 1;
        Ok(Some(Record {
            value: &self.buffer[start..end],
            number: self.number - 1,
            start: self.base + start as u64,
            next: self.base + next as u64,
            open,
        }))
    }

    /// Makes room by forgetting what is done, then reads once.
    fn fill(&mut self) -> Result<()> {
        let done = self.scanner.needed_from();
        self.buffer.copy_within(done..self.filled, 0);
        self.filled -= done;
        self.base += done as u64;
        self.scanner.shift(done);
        if self.filled > self.max_record_bytes {
            return Err(self.too_long(0));
        }
        if self.buffer.len() - self.filled < self.chunk_bytes.div_ceil(2) {
            // Doubling keeps the copying of a long record linear.
            let wanted = (self.filled + self.chunk_bytes).max(2 * self.filled);
            self.buffer.resize(wanted.min(self.max_record_bytes.saturating_add(self.chunk_bytes)), 0);
        }
        let read = loop {
            match self.file.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.map_err(|error| cannot_read(&self.name, self.base + self.filled as u64, error))?;
        self.filled += read;
        self.at_end = read == 0;
        Ok(())
    }

    fn too_long(&self, start: usize) -> Error {
        Error::data(format!(
            "`{}`: record {} at byte {} is longer than {} bytes; is a quote in it never closed?",
            self.name,
            self.number,
            self.base + start as u64,
            self.max_record_bytes
        ))
    }
}

/// Says that reading failed, and where.
pub(super) fn cannot_read(name: &str, offset: u64, error: std::io::Error) -> Error {
    Error::external(format!("cannot read file `{name}` at byte {offset}"), error)
}
