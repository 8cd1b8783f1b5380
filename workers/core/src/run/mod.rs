//! The run loop, written once: claim → start → {read ∥ transform ∥ commit} → report.
//!
//! A reader task takes events from the source and hands each batch to a blocking thread for its transform; the
//! committer takes the outputs strictly in the order they were read. Memory is bounded by `parallel` batches in
//! transform, one being read and one being committed. External errors are tried again with back-off. A stop ends
//! the run at a batch boundary; a commit that does not answer within [`STOP_PATIENCE`] is abandoned, which the
//! ledger allows at any point. When a shared source is fenced, what was read is dropped and claimed again.

mod commit;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::position::{Claim, Partition, Reached};
use crate::report::Outcome;
use crate::retry::Backoff;
use crate::sink::Sink;
use crate::source::Source;
use crate::{Batch, Control, Counts, Error, Result, failpoint, failpoint::Point};

/// How long a stop waits for the commit under way.
pub const STOP_PATIENCE: Duration = Duration::from_millis(2_000);

/// How long the reader may take to end after the committer has.
const READER_PATIENCE: Duration = Duration::from_millis(1_000);

/// How long a fenced worker listens for a rebalance before it claims again.
const FENCE_PATIENCE: Duration = Duration::from_secs(2);

/// A pure function from a batch to what the sink stores.
pub type Transform<Output> = Arc<dyn Fn(Batch) -> Result<Output> + Send + Sync>;

/// What is connected to what.
pub struct Pipeline<Output> {
    /// Where batches come from.
    pub source: Box<dyn Source>,
    /// What is done to each of them.
    pub transform: Transform<Output>,
    /// Where they are committed.
    pub sink: Box<dyn Sink<Output>>,
    /// How many transforms may run at once.
    pub parallel: usize,
    /// How external errors are tried again.
    pub backoff: Backoff,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Finished {
    /// Rows by fate.
    pub counts: Counts,
    /// Complete or stopped.
    pub outcome: Outcome,
    /// The last committed position of every partition this run had.
    pub positions: BTreeMap<String, i64>,
    /// The position it had found there, none where nothing had been committed.
    pub begun: BTreeMap<String, Option<i64>>,
}

/// What the reader tells the committer, in order.
enum Item<Output> {
    Batch { output: JoinHandle<Result<Output>>, reached: Reached, bytes: u64 },
    Claim { partitions: Vec<Partition>, reply: oneshot::Sender<Vec<Claim>> },
    Settled { reply: oneshot::Sender<()> },
    Idle,
    Failed(Error),
    End,
}

/// Runs a pipeline to its end, until a stop, or until an error that trying again does not mend.
///
/// # Errors
/// The first error that ended the run; what was committed before it stays committed.
pub async fn run<Output: Send + Sync + 'static>(pipeline: Pipeline<Output>, control: &Control) -> Result<Finished> {
    let Pipeline { source, transform, sink, parallel, backoff } = pipeline;
    let (items, received) = mpsc::channel(parallel.max(1));
    let (fences, fenced) = watch::channel(0_u64);
    let reader = read::Reader { source, transform, items, fenced, control: control.clone(), backoff };
    let shared = reader.source.is_shared();
    let mut reading = AbortOnDrop(tokio::spawn(reader.run()));
    let mut committer = commit::Committer {
        sink,
        control: control.clone(),
        backoff,
        fences,
        shared,
        dropping: false,
        finished: Finished::default(),
    };
    let ended = committer.run(received).await;
    // The reader sees the closed channel or the stop and ends by itself; a source that hangs must not hold us.
    let died = match tokio::time::timeout(READER_PATIENCE, &mut reading.0).await {
        Err(_) => {
            tracing::warn!("the source did not end in time and was left behind");
            None
        }
        Ok(Err(error)) => Some(Error::data(format!("the source failed: {error}"))),
        Ok(Ok(())) => None,
    };
    let closed = close(&mut *committer.sink).await;
    ended?;
    closed?;
    if let Some(error) = died {
        return Err(error);
    }
    Ok(committer.finished)
}

/// A task that ends with who waits for it: a run that is dropped must not leave a source behind that still holds its partitions.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn close<Output: Send + Sync>(sink: &mut dyn Sink<Output>) -> Result<()> {
    failpoint::before(Point::Close)?;
    sink.close().await?;
    failpoint::after(Point::Close)
}

/// Pauses before another try of something that failed; false when there shall be no other.
async fn pause_after(error: &Error, failures: u32, backoff: Backoff, control: &Control, doing: &str) -> bool {
    if !error.is_retryable() || control.is_stopping() {
        return false;
    }
    let Some(pause) = backoff.pause(failures) else { return false };
    tracing::warn!("{doing} failed, trying again in {} ms: {error}", pause.as_millis());
    tokio::select! {
        () = control.stopping() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
