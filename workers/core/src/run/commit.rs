//! The committing side: outputs in the order they were read, one commit at a time.

use tokio::sync::{mpsc, watch};

use super::{Finished, Item, STOP_PATIENCE};
use crate::position::{Claim, Partition, Reached};
use crate::report::Outcome;
use crate::retry::Backoff;
use crate::sink::Sink;
use crate::{Control, Counts, Error, ErrorKind, Result, failpoint, failpoint::Point};

pub(super) struct Committer<Output> {
    pub(super) sink: Box<dyn Sink<Output>>,
    pub(super) control: Control,
    pub(super) backoff: Backoff,
    /// Tells the reader that a commit was fenced.
    pub(super) fences: watch::Sender<u64>,
    pub(super) shared: bool,
    /// After a fence, batches are dropped until the reader has claimed again.
    pub(super) dropping: bool,
    pub(super) finished: Finished,
}

impl<Output: Send + Sync + 'static> Committer<Output> {
    pub(super) async fn run(&mut self, mut items: mpsc::Receiver<Item<Output>>) -> Result<()> {
        self.finished.outcome = Outcome::Stopped;
        loop {
            let item = tokio::select! {
                biased;
                () = self.control.stopping() => return Ok(()),
                item = items.recv() => item,
            };
            match item {
                None => return Ok(()),
                Some(Item::End) => {
                    self.finished.outcome = Outcome::Complete;
                    return Ok(());
                }
                Some(Item::Failed(error)) => return Err(error),
                Some(Item::Idle) => match self.sink.idle().await {
                    Err(error) if error.is_retryable() => tracing::warn!("{error}; it is tried again when idle"),
                    Err(error) if error.kind() == ErrorKind::Fenced && self.shared => {
                        tracing::debug!("{error}; the next commit or rebalance settles it");
                    }
                    result => result?,
                },
                Some(Item::Settled { reply }) => {
                    // A reader that went away does not wait for the answer.
                    let _ = reply.send(());
                }
                Some(Item::Claim { partitions, reply }) => {
                    let Some(claims) = self.claim(&partitions).await? else { return Ok(()) };
                    self.dropping = false;
                    let _ = reply.send(claims);
                }
                Some(Item::Batch { output, reached, bytes }) => {
                    if !self.dropping && !self.commit(output, reached, bytes).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn claim(&mut self, partitions: &[Partition]) -> Result<Option<Vec<Claim>>> {
        let mut failures = 0;
        loop {
            let control = self.control.clone();
            let claimed = tokio::select! {
                biased;
                claimed = self.sink.claim(partitions) => claimed,
                () = control.stopping() => return Ok(None),
            };
            match claimed {
                Ok(claims) => {
                    for claim in &claims {
                        let found = claim.position.as_ref().map(|position| position.at);
                        // A partition that comes back was begun the first time.
                        self.finished.begun.entry(claim.partition.to_string()).or_insert(found);
                        if let Some(position) = &claim.position {
                            self.finished.positions.insert(claim.partition.to_string(), position.at);
                        }
                    }
                    return Ok(Some(claims));
                }
                Err(error) => {
                    if !super::pause_after(&error, failures, self.backoff, &self.control, "claiming").await {
                        return if self.control.is_stopping() { Ok(None) } else { Err(error) };
                    }
                    failures += 1;
                }
            }
        }
    }

    /// Commits one batch; false when a stop ended the run before it was known to be committed.
    async fn commit(
        &mut self,
        output: tokio::task::JoinHandle<Result<Output>>,
        reached: Reached,
        bytes: u64,
    ) -> Result<bool> {
        let output = output.await.map_err(|error| Error::data(format!("a transform failed: {error}")))??;
        let Some(committed) = self.commit_or_stop(&output, &reached).await else { return Ok(false) };
        match committed {
            Ok(mut counts) => {
                failpoint::before(Point::Acknowledge)?;
                counts.bytes += bytes;
                self.control.progress.add(&counts);
                self.finished.counts.add(&counts);
                for (partition, position) in &reached {
                    self.finished.positions.insert(partition.to_string(), position.at);
                }
                failpoint::after(Point::Acknowledge)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Fenced && self.shared => {
                tracing::warn!("{error}; reading again from the committed positions");
                self.dropping = true;
                self.fences.send_modify(|count| *count += 1);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn commit_or_stop(&mut self, output: &Output, reached: &Reached) -> Option<Result<Counts>> {
        let (control, backoff) = (self.control.clone(), self.backoff);
        let sink = &mut self.sink;
        let trying = async {
            let mut failures = 0;
            loop {
                match sink.commit(output, reached).await {
                    Err(error) if super::pause_after(&error, failures, backoff, &control, "committing").await => {
                        failures += 1
                    }
                    Err(error) if error.is_retryable() && control.is_stopping() => return None,
                    result => return Some(result),
                }
            }
        };
        let patience = async {
            self.control.stopping().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            biased;
            result = trying => result,
            () = patience => None,
        }
    }
}
