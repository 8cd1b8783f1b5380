//! Where batches come from.

use async_trait::async_trait;

use crate::position::{Claim, Partition};
use crate::{Batch, Result};

/// What a source says next.
#[derive(Debug)]
pub enum Event {
    /// These partitions are this worker's now; the run loop claims them and calls [`Source::start`].
    Assigned(Vec<Partition>),
    /// These partitions go to someone else; the run loop commits what it has and calls [`Source::release`].
    Revoked(Vec<Partition>),
    /// Rows of started partitions, in order within each partition.
    Batch(Batch),
    /// Nothing came for a while; the loop looks whether it should stop.
    Idle,
    /// There is no more, and there will be no more.
    End,
}

/// A source of batches. Its first event is [`Event::Assigned`], also for sources that are never shared.
#[async_trait]
pub trait Source: Send {
    /// Waits for the next event. Cancel-safe: a dropped call loses no row. Returns [`Event::Idle`] at least every second.
    ///
    /// # Errors
    /// External errors are tried again by calling `next` once more; other kinds end the run.
    async fn next(&mut self) -> Result<Event>;

    /// Starts reading claimed partitions, each behind its claim's position. Called again for a partition that
    /// is already being read, it goes back to the claim's position and forgets what it had read ahead.
    ///
    /// # Errors
    /// When a position does not fit the source any more (a shorter file, a removed offset).
    async fn start(&mut self, claims: &[Claim]) -> Result<()>;

    /// Lets partitions go after everything read from them was committed or dropped.
    ///
    /// # Errors
    /// When the coordinator cannot be told.
    async fn release(&mut self, partitions: &[Partition]) -> Result<()>;

    /// Tells whether partitions are shared out by a coordinator, so that being fenced means "claim again", not "give up".
    fn is_shared(&self) -> bool {
        false
    }

    /// Estimates what is left: rows for logs and tables, bytes for files. None when unknown.
    fn remaining(&self) -> Option<u64> {
        None
    }
}
