//! A whole table as a source: its token ring in parts, several of them read at once, all pages of each.
//!
//! Delivery: every row once. A position is the last token whose rows were all given, so a batch never ends between rows
//! of one token, and reading goes on behind it. Order: by token within a part. Memory: a few parts of one batch each, about
//! 100 MB for rows of ordinary size; a batch is larger where one Cassandra partition alone is larger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::position::{Claim, Partition, Position, Reached};
use headrace_core::source::{Event, Source};
use headrace_core::table::Table;
use headrace_core::{Batch, Error, Result};
use polars::prelude::DataFrame;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::client::{Client, Use};
use super::page::Columns;
use super::pages::cannot_read;
use super::storage::Layout;
use super::token_reader::{Piece, Reading};
use super::tokens::{self, Range};

/// Parts read at the same time.
const READERS: usize = 4;
/// A reader gives what it has when it has so many rows,
pub(super) const PIECE_ROWS: usize = 10_000;
/// or so many bytes.
pub(super) const PIECE_BYTES: usize = 8 << 20;
/// Pieces that are there make one batch of so many rows, or of as many bytes as a piece: what is done with a batch often costs
/// a commit and an acknowledgement.
const BATCH_ROWS: usize = 50_000;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Reading,
    Done,
}

/// One part and the task that reads it.
struct Part {
    partition: Partition,
    range: Range,
    state: State,
    /// Where its reading began in this run, and what was given so far.
    from: i64,
    given: i64,
    /// Pieces of an earlier start are thrown away by this number.
    start: u64,
    task: Option<JoinHandle<()>>,
}

impl Part {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.start += 1;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The source.
pub(super) struct Scan {
    reading: Arc<Reading>,
    parts: Vec<Part>,
    is_announced: bool,
    sender: mpsc::Sender<Piece>,
    receiver: mpsc::Receiver<Piece>,
    /// Received, but not yet given.
    gathered: Vec<Piece>,
    rows_given: u64,
}

impl Scan {
    /// Opens a scan of some parts of a table.
    ///
    /// # Errors
    /// A configuration error when the table is missing or stored otherwise, or a part does not exist.
    pub(super) async fn open(
        client: &Arc<Client>,
        table: &Table,
        names: &[&str],
        parts: usize,
        only: &[usize],
    ) -> Result<Self> {
        let layout = Layout::of(&client.keyspace, table)?;
        let context = cannot_read(&client.keyspace, &table.name);
        if parts == 0 || only.iter().any(|part| *part >= parts) {
            return Err(Error::configuration(format!("{context}: no such parts: {only:?} of {parts}, counted from 0")));
        }
        let columns = Columns::of(table, names)?;
        let mut selected = Columns::list(table, names)?;
        let token = layout.token();
        selected.push(token.clone());
        let cql = format!("SELECT {} FROM {} WHERE {token} > ? AND {token} <= ?", selected.join(", "), layout.name);
        let statement = client.prepare(&context, &cql, Use::Rows).await?;
        columns.check(&statement)?;
        let numbers: Vec<usize> = if only.is_empty() { (0..parts).collect() } else { only.to_vec() };
        let part = |number: usize| {
            let range = Range::part(number, parts);
            Part {
                partition: tokens::name(number, parts),
                range,
                state: State::Waiting,
                from: range.after,
                given: range.after,
                start: 0,
                task: None,
            }
        };
        let (sender, receiver) = mpsc::channel(2);
        let permits = Semaphore::new(READERS);
        Ok(Self {
            reading: Arc::new(Reading { client: client.clone(), context, statement, columns, permits }),
            parts: numbers.into_iter().map(part).collect(),
            is_announced: false,
            sender,
            receiver,
            gathered: Vec::new(),
            rows_given: 0,
        })
    }

    /// Starts parts from their beginnings, without claims.
    ///
    /// # Errors
    /// As [`Source::start`].
    pub(super) fn start_all(&mut self, partitions: &[Partition]) -> Result<()> {
        partitions.iter().try_for_each(|partition| self.start_part(partition, None))
    }

    fn start_part(&mut self, partition: &Partition, position: Option<&Position>) -> Result<()> {
        let number = self.number(partition)?;
        self.forget(number);
        let part = &mut self.parts[number];
        part.from = position.map_or(part.range.after, |position| position.at.max(part.range.after));
        part.given = part.from;
        self.read(number);
        Ok(())
    }

    fn number(&self, partition: &Partition) -> Result<usize> {
        self.parts
            .iter()
            .position(|part| part.partition == *partition)
            .ok_or_else(|| Error::configuration(format!("{}: there is no part `{partition}`", self.reading.context)))
    }

    /// Stops a part's task and throws away what it had read ahead.
    fn forget(&mut self, number: usize) {
        self.parts[number].stop();
        self.gathered.retain(|piece| piece.part != number);
    }

    /// Reads a part behind what was given of it.
    fn read(&mut self, number: usize) {
        let part = &mut self.parts[number];
        part.state = if part.given >= part.range.to { State::Done } else { State::Reading };
        if part.state == State::Reading {
            let range = Range { after: part.given, to: part.range.to };
            let task = Arc::clone(&self.reading).read(number, part.start, range, self.sender.clone());
            part.task = Some(tokio::spawn(task));
        }
    }

    /// Takes a piece in. A failed part is read again behind what it gave, if that can help.
    fn accept(&mut self, mut piece: Piece) -> Result<()> {
        let Some(part) = self.parts.get_mut(piece.part).filter(|part| part.start == piece.start) else { return Ok(()) };
        if let Some(error) = piece.error.take() {
            if error.is_retryable() {
                part.stop();
                self.read(piece.part);
            }
            return Err(error);
        }
        part.given = piece.token;
        if part.given >= part.range.to {
            part.state = State::Done;
        }
        if piece.frame.height() > 0 {
            self.gathered.push(piece);
        }
        Ok(())
    }

    fn gathered_enough(&self) -> bool {
        let rows: usize = self.gathered.iter().map(|piece| piece.frame.height()).sum();
        let bytes: u64 = self.gathered.iter().map(|piece| piece.bytes).sum();
        rows >= BATCH_ROWS || bytes >= PIECE_BYTES as u64
    }

    fn batch(&mut self) -> Result<Batch> {
        let mut frame: Option<DataFrame> = None;
        let mut reached = Reached::new();
        let mut bytes = 0;
        for piece in &self.gathered {
            match &mut frame {
                None => frame = Some(piece.frame.clone()),
                Some(frame) => {
                    frame.vstack_mut(&piece.frame)?;
                }
            }
            reached.insert(self.parts[piece.part].partition.clone(), Position::at(piece.token));
            bytes += piece.bytes;
        }
        self.gathered.clear();
        let mut frame = frame.unwrap_or_default();
        frame.rechunk_mut();
        self.rows_given += frame.height() as u64;
        Ok(Batch { frame, reached, bytes })
    }
}

#[async_trait]
impl Source for Scan {
    async fn next(&mut self) -> Result<Event> {
        if !self.is_announced {
            self.is_announced = true;
            return Ok(Event::Assigned(self.parts.iter().map(|part| part.partition.clone()).collect()));
        }
        loop {
            while !self.gathered_enough()
                && let Ok(piece) = self.receiver.try_recv()
            {
                self.accept(piece)?;
            }
            if !self.gathered.is_empty() {
                return self.batch().map(Event::Batch);
            }
            if self.parts.iter().all(|part| part.state == State::Done) {
                return Ok(Event::End);
            }
            // A piece leaves the channel only when it is received, so nothing is lost when this call is dropped.
            match tokio::time::timeout(Duration::from_millis(800), self.receiver.recv()).await {
                Ok(Some(piece)) => self.accept(piece)?,
                Ok(None) | Err(_) => return Ok(Event::Idle),
            }
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        claims.iter().try_for_each(|claim| self.start_part(&claim.partition, claim.position.as_ref()))
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        for partition in partitions {
            let number = self.number(partition)?;
            self.forget(number);
            self.parts[number].state = State::Done;
        }
        Ok(())
    }

    /// Tokens are spread evenly, so the rows seen so far tell of those to come.
    fn remaining(&self) -> Option<u64> {
        let width = |after, to| Range { after, to }.width();
        let read: u128 = self.parts.iter().map(|part| width(part.from, part.given)).sum();
        let left: u128 = self.parts.iter().map(|part| width(part.given, part.range.to.max(part.given))).sum();
        if left == 0 {
            return Some(0);
        }
        // Too little was read to tell.
        if read == 0 || left / read > 500 {
            return None;
        }
        Some((self.rows_given as f64 * (left as f64 / read as f64)) as u64)
    }
}
