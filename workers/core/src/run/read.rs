//! The reading side: events from the source, transforms started in order.

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{FENCE_PATIENCE, Item, Transform};
use crate::position::Partition;
use crate::retry::Backoff;
use crate::source::{Event, Source};
use crate::{Control, Error, Result, failpoint, failpoint::Point};

pub(super) struct Reader<Output> {
    pub(super) source: Box<dyn Source>,
    pub(super) transform: Transform<Output>,
    pub(super) items: mpsc::Sender<Item<Output>>,
    /// Counts the times the committer was fenced.
    pub(super) fenced: watch::Receiver<u64>,
    pub(super) control: Control,
    pub(super) backoff: Backoff,
}

/// What the reader does after an event.
enum Next {
    GoOn,
    End,
}

async fn next(source: &mut dyn Source) -> Result<Event> {
    failpoint::before(Point::Read)?;
    source.next().await
}

impl<Output: Send + Sync + 'static> Reader<Output> {
    pub(super) async fn run(mut self) {
        let mut assigned: Vec<Partition> = Vec::new();
        let mut failures = 0;
        // While set, batches are dropped: a fenced worker first listens whether its partitions went to someone else.
        let mut listening_until: Option<Instant> = None;
        loop {
            if self.fenced.has_changed().unwrap_or(false) {
                self.fenced.mark_unchanged();
                listening_until = Some(Instant::now() + FENCE_PATIENCE);
            }
            if listening_until.is_some_and(|until| Instant::now() >= until) {
                listening_until = None;
                match self.claim(assigned.clone()).await {
                    Next::GoOn => {}
                    Next::End => return,
                }
            }
            let event = tokio::select! {
                biased;
                () = self.control.stopping() => return,
                () = self.items.closed() => return,
                event = next(&mut *self.source) => event,
            };
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    if self.pause_after(&error, failures).await {
                        failures += 1;
                        continue;
                    }
                    return self.fail(error).await;
                }
            };
            // An outage is told between idle moments; only something that arrived ends the count.
            if !matches!(event, Event::Idle) {
                failures = 0;
            }
            let next = match event {
                Event::Batch(_) if listening_until.is_some() => Next::GoOn,
                Event::Batch(batch) => self.transform(batch).await,
                Event::Assigned(partitions) => {
                    assigned.extend(partitions.iter().cloned());
                    if listening_until.is_some() { Next::GoOn } else { self.claim(partitions).await }
                }
                Event::Revoked(partitions) => {
                    assigned.retain(|partition| !partitions.contains(partition));
                    self.release(partitions).await
                }
                Event::Idle => {
                    // A full channel means there is work to do; the next idle moment comes.
                    let _ = self.items.try_send(Item::Idle);
                    Next::GoOn
                }
                Event::End if listening_until.is_some() => {
                    // What was read to the end may have been dropped: claim again and read it again.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    Next::GoOn
                }
                Event::End => {
                    let settled = self.settle().await;
                    if matches!(settled, Next::GoOn) && self.fenced.has_changed().unwrap_or(false) {
                        continue;
                    }
                    let _ = self.items.send(Item::End).await;
                    return;
                }
            };
            self.control.progress.set_remaining(self.source.remaining());
            if matches!(next, Next::End) {
                return;
            }
        }
    }

    async fn transform(&mut self, batch: crate::Batch) -> Next {
        // Room first, thread second: so no more than the channel's capacity is ever in transform.
        let Ok(room) = self.items.reserve().await else { return Next::End };
        let transform = self.transform.clone();
        let (reached, bytes) = (batch.reached.clone(), batch.bytes);
        let output = tokio::task::spawn_blocking(move || {
            failpoint::after(Point::Read)?;
            failpoint::before(Point::Decode)?;
            let output = transform(batch)?;
            failpoint::after(Point::Decode)?;
            Ok(output)
        });
        room.send(Item::Batch { output, reached, bytes });
        Next::GoOn
    }

    async fn claim(&mut self, partitions: Vec<Partition>) -> Next {
        let (reply, answer) = oneshot::channel();
        if self.items.send(Item::Claim { partitions, reply }).await.is_err() {
            return Next::End;
        }
        let Ok(claims) = answer.await else { return Next::End };
        let mut failures = 0;
        while let Err(error) = self.source.start(&claims).await {
            if !self.pause_after(&error, failures).await {
                self.fail(error).await;
                return Next::End;
            }
            failures += 1;
        }
        Next::GoOn
    }

    /// Waits until everything sent so far is committed or dropped.
    async fn settle(&mut self) -> Next {
        let (reply, answer) = oneshot::channel();
        if self.items.send(Item::Settled { reply }).await.is_err() || answer.await.is_err() {
            return Next::End;
        }
        Next::GoOn
    }

    async fn release(&mut self, partitions: Vec<Partition>) -> Next {
        if matches!(self.settle().await, Next::End) {
            return Next::End;
        }
        if let Err(error) = self.source.release(&partitions).await {
            self.fail(error).await;
            return Next::End;
        }
        Next::GoOn
    }

    async fn fail(&mut self, error: Error) {
        // A closed channel means the committer has an error of its own to tell.
        let _ = self.items.send(Item::Failed(error)).await;
    }

    /// Pauses before another try; false when there shall be none.
    async fn pause_after(&mut self, error: &Error, failures: u32) -> bool {
        super::pause_after(error, failures, self.backoff, &self.control, "reading").await
    }
}
