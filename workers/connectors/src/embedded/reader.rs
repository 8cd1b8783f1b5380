//! What a consumer holds of its partitions, and the batches made of it.

use std::collections::{BTreeMap, VecDeque};

use headrace_core::batch::message_columns;
use headrace_core::{Batch, Partition, Position, Result};
use polars::prelude::{BinaryChunked, DataFrame, IntoColumn, IntoSeries, NamedFrom, Series};

use super::topics::Chunk;

/// One held partition.
pub(super) struct Reader {
    /// Its name.
    pub(super) partition: Partition,
    /// Whether it was claimed and given a position.
    pub(super) is_started: bool,
    /// The next offset to hand out.
    pub(super) next: i64,
    /// The next offset to fetch.
    pub(super) fetched: i64,
    /// The offset to stop before.
    pub(super) end: i64,
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Reader {
    /// A partition that waits for its position.
    pub(super) fn new(partition: Partition, end: i64) -> Self {
        Self { partition, is_started: false, next: 0, fetched: 0, end, chunks: VecDeque::new(), bytes: 0 }
    }

    /// Goes to an offset and forgets what was fetched.
    pub(super) fn start(&mut self, at: i64) {
        self.is_started = true;
        (self.next, self.fetched) = (at, at);
        self.chunks.clear();
        self.bytes = 0;
    }

    /// Takes fetched messages.
    pub(super) fn push(&mut self, chunk: Chunk) {
        let end = chunk.end().min(self.end);
        self.bytes += chunk.messages.sizes[range(&chunk, self.fetched, end)].iter().sum::<usize>();
        self.fetched = self.fetched.max(end);
        self.chunks.push_back(chunk);
    }

    /// Messages that are fetched and not handed out.
    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.fetched - self.next).unwrap_or(0)
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether all up to the end was handed out.
    pub(super) fn is_drained(&self) -> bool {
        self.is_started && self.next >= self.end
    }
}

fn range(chunk: &Chunk, from: i64, to: i64) -> std::ops::Range<usize> {
    let index = |offset: i64| usize::try_from(offset - chunk.base).unwrap_or(0).min(chunk.messages.sizes.len());
    index(from)..index(to).max(index(from))
}

/// A batch in the making.
#[derive(Default)]
struct Gathered {
    keys: BinaryChunked,
    values: BinaryChunked,
    timestamps: Vec<i64>,
    numbers: Vec<i32>,
    offsets: Vec<i64>,
    bytes: usize,
}

impl Gathered {
    /// Takes messages of the first chunk of a reader; false when the batch is full.
    fn take(&mut self, number: i32, reader: &mut Reader, rows: usize, bytes: usize) -> Result<bool> {
        while let Some(chunk) = reader.chunks.front() {
            let there = range(chunk, reader.next, reader.end);
            let mut end = there.start;
            let before = self.bytes;
            while end < there.end && self.offsets.len() + end - there.start < rows {
                let size = chunk.messages.sizes[end];
                if self.bytes + size > bytes && self.offsets.len() + end > there.start {
                    break;
                }
                self.bytes += size;
                end += 1;
            }
            let (first, count) = (there.start as i64, end - there.start);
            self.keys.append(&chunk.messages.keys.slice(first, count))?;
            self.values.append(&chunk.messages.values.slice(first, count))?;
            self.timestamps.extend(std::iter::repeat_n(chunk.timestamp, count));
            self.numbers.extend(std::iter::repeat_n(number, count));
            self.offsets.extend(reader.next..reader.next + count as i64);
            reader.next += count as i64;
            reader.bytes -= self.bytes - before;
            if end < there.end {
                return Ok(false);
            }
            reader.chunks.pop_front();
        }
        Ok(true)
    }
}

/// Makes a batch of what is fetched, beginning with the `turn`-th partition so that all get their share.
///
/// # Errors
/// When the frame cannot be built.
pub(super) fn gather(readers: &mut BTreeMap<i32, Reader>, turn: usize, rows: usize, bytes: usize) -> Result<Batch> {
    let mut numbers: Vec<i32> = readers.keys().copied().collect();
    let count = numbers.len().max(1);
    numbers.rotate_left(turn % count);
    let mut gathered = Gathered::default();
    let mut reached = headrace_core::position::Reached::new();
    for number in numbers {
        let Some(reader) = readers.get_mut(&number) else { continue };
        let from = reader.next;
        let is_open = gathered.take(number, reader, rows.max(1), bytes)?;
        if reader.next > from {
            reached.insert(reader.partition.clone(), Position::at(reader.next));
        }
        if !is_open {
            break;
        }
    }
    let bytes = gathered.bytes as u64;
    let blob = |column: &BinaryChunked, name: &str| {
        column.rechunk().into_owned().with_name(name.into()).into_series().into_column()
    };
    let columns = vec![
        blob(&gathered.keys, message_columns::KEY),
        blob(&gathered.values, message_columns::VALUE),
        Series::new(message_columns::TIMESTAMP.into(), gathered.timestamps).into_column(),
        Series::new(message_columns::PARTITION.into(), gathered.numbers).into_column(),
        Series::new(message_columns::OFFSET.into(), &gathered.offsets).into_column(),
    ];
    Ok(Batch { frame: DataFrame::new(gathered.offsets.len(), columns)?, reached, bytes })
}
