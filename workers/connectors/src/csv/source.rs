//! The source: one file, or one split of it, is one partition.
//!
//! A thread reads ahead over a bounded channel, so `next` only waits for a channel and loses nothing when dropped.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::position::Claim;
use headrace_core::source::{Event, Source};
use headrace_core::{Error, Partition, Position, Result};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_64;

use super::place::Cursor;
use super::reading::{Message, Plan};
use super::records::{Records, cannot_read};
use super::{CsvOptions, RecordsAgain};

const IDLE_AFTER: Duration = Duration::from_millis(500);
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Header and first record are looked for in so many bytes.
const BEGINNING_BYTES: u64 = 64 << 10;
/// The longest part of a path that identifies a file.
const LONGEST_PATH: usize = 490;

/// A CSV file's raw records as a source; frames have the columns of [`headrace_core::batch::record_columns`].
#[derive(Debug)]
pub struct CsvSource {
    plan: Plan,
    header: Vec<u8>,
    /// A hash of header and first record.
    mark: u64,
    length: u64,
    state: State,
    /// Behind what `next` has given out, or where the claim says; none to look for the beginning.
    cursor: Option<Cursor>,
    restarted: Option<String>,
}

#[derive(Debug)]
enum State {
    New,
    Unclaimed,
    /// To be read from the cursor.
    Claimed,
    Reading(mpsc::Receiver<Result<Message>>),
    Ended,
}

impl CsvSource {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A configuration error when there is no such file, it is none, or may not be read; a data error when it is empty.
    pub fn open(path: impl AsRef<Path>, options: CsvOptions) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let refused = |error: std::io::Error| Error::configuration(format!("cannot read file `{shown}`: {error}"));
        // Asked first, because opening a pipe would wait for its writer.
        if !fs::metadata(path).map_err(refused)?.is_file() {
            return Err(Error::configuration(format!("cannot read `{shown}`: it is no regular file")));
        }
        let path = fs::canonicalize(path).map_err(refused)?;
        let mut file = File::open(&path).map_err(refused)?;
        let length = file.metadata().map_err(refused)?.len();
        let name = path.to_string_lossy().into_owned();
        let mark = mark(&mut file).map_err(|error| cannot_read(&name, 0, error))?;
        let (header, first) = read_header(file, &name, &options)?;
        let mut range = first..u64::MAX;
        let mut partition = name.clone();
        if let Some((index, of)) = options.split {
            if index == 0 || index > of {
                return Err(Error::configuration(format!("there is no split {index} of {of} of file `{name}`")));
            }
            let border = |number: usize| {
                let share = u128::from(length.saturating_sub(first)) * number as u128 / of as u128;
                first + u64::try_from(share).unwrap_or(u64::MAX)
            };
            range = border(index - 1)..border(index);
            partition = format!("{name}#{index} of {of}");
        }
        let partition = Partition::new(partition);
        let plan = Plan { path, name, partition, options, first, range };
        Ok(Self { plan, header, mark, length, state: State::New, cursor: None, restarted: None })
    }

    /// The header record's bytes, without byte order mark and line end.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The name of the partition: the file's absolute path, with `#2 of 8` for a split.
    pub fn partition(&self) -> &Partition {
        &self.plan.partition
    }

    /// The file's absolute path.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The file as ledgers and dead letters know it: its path and a mark of how it begins, so that another file that comes under
    /// the same path is another one. The beginning of a path that is longer than a key may be is left out.
    pub fn identity(&self) -> String {
        let name = &self.plan.name;
        let start = name.ceil_char_boundary(name.len().saturating_sub(LONGEST_PATH));
        format!("{}#{:08x}", &name[start..], self.mark as u32)
    }

    /// Whether the first record of the file is in this partition: the file is not split, or this is the first split.
    pub fn is_beginning(&self) -> bool {
        self.plan.range.start == self.plan.first
    }

    /// Gives what reads single records of the file again.
    pub fn again(&self) -> RecordsAgain {
        let Plan { path, name, options, .. } = self.plan.clone();
        RecordsAgain { path, name, options }
    }

    /// Tells why reading began at the beginning although the claim had a position.
    pub fn restarted(&self) -> Option<&str> {
        self.restarted.as_deref()
    }

    /// Waits for the reading thread. Awaits only before a message is taken, so a dropped call has taken none.
    async fn receive(&mut self) -> Result<Event> {
        let State::Reading(receiver) = &mut self.state else { return Ok(Event::Idle) };
        match timeout(IDLE_AFTER, receiver.recv()).await {
            Err(_) => Ok(Event::Idle),
            Ok(Some(Ok(Message::Rows(batch, cursor)))) => {
                self.cursor = Some(cursor);
                Ok(Event::Batch(batch))
            }
            Ok(Some(Ok(Message::Done))) => {
                self.state = State::Ended;
                Ok(Event::End)
            }
            Ok(Some(Err(error))) => {
                self.state = State::Claimed;
                Err(error)
            }
            Ok(None) => {
                self.state = State::Claimed;
                Err(Error::external(format!("cannot read file `{}`", self.plan.name), "the reading thread has died"))
            }
        }
    }
}

#[async_trait]
impl Source for CsvSource {
    async fn next(&mut self) -> Result<Event> {
        match self.state {
            State::New => {
                self.state = State::Unclaimed;
                return Ok(Event::Assigned(vec![self.plan.partition.clone()]));
            }
            State::Unclaimed => {
                sleep(IDLE_AFTER).await;
                return Ok(Event::Idle);
            }
            State::Claimed => {
                let from = self.cursor.unwrap_or_else(|| self.plan.beginning());
                self.state = State::Reading(self.plan.spawn(from)?);
            }
            State::Reading(_) => {}
            State::Ended => return Ok(Event::End),
        }
        self.receive().await
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        for claim in claims {
            if claim.partition != self.plan.partition {
                let (name, other) = (&self.plan.partition, &claim.partition);
                return Err(Error::configuration(format!("`{other}` was claimed while reading `{name}`")));
            }
            self.cursor = None;
            self.restarted = None;
            // A bare 0 is the beginning itself, set by a caller who wants the file read again.
            let position = claim.position.clone().filter(|position| *position != Position::at(0));
            if let Some(position) = position {
                let plan = self.plan.clone();
                let checked = tokio::task::spawn_blocking(move || {
                    plan.places()?
                        .check(&position, plan.first)
                        .map_err(|error| Error::external(format!("cannot check file `{}`", plan.name), error))
                });
                match checked.await.map_err(|error| Error::external("cannot check a position", error))?? {
                    Ok(cursor) => self.cursor = Some(cursor),
                    Err(reason) => {
                        let text = format!("file `{}` is read from the beginning: {reason}", self.plan.name);
                        tracing::warn!("{text}");
                        self.restarted = Some(text);
                    }
                }
            }
            self.state = State::Claimed;
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        if partitions.contains(&self.plan.partition) {
            self.state = State::Ended;
        }
        Ok(())
    }

    fn remaining(&self) -> Option<u64> {
        if matches!(self.state, State::Ended) {
            return Some(0);
        }
        let end = self.plan.range.end.min(self.length);
        Some(end.saturating_sub(self.cursor.map_or(self.plan.range.start, |cursor| cursor.offset)))
    }
}

/// Hashes header and first record: a file that grows keeps them.
fn mark(file: &mut File) -> std::io::Result<u64> {
    let mut beginning = Vec::new();
    Read::by_ref(file).take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    file.rewind()?;
    let lines = beginning.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let end = lines.take(2).last().unwrap_or(beginning.len());
    Ok(xxh3_64(&beginning[..end]))
}

/// Finds the first record, behind a byte order mark, and where it ends.
fn read_header(mut file: File, name: &str, options: &CsvOptions) -> Result<(Vec<u8>, u64)> {
    let mut mark = Vec::new();
    (&mut file).take(3).read_to_end(&mut mark).map_err(|error| cannot_read(name, 0, error))?;
    let start = if mark == BYTE_ORDER_MARK { 3 } else { 0 };
    let mut records = Records::start(file, name, options, start, 0)?;
    let Some(record) = records.next()? else {
        return Err(Error::data(format!("file `{name}` is empty; a header line is needed")));
    };
    Ok((record.value.to_vec(), record.next))
}
