//! A source that goes on reading while a commit is under way: what came meanwhile is one batch, whose offers are in the cache already.
//!
//! A commit into tables takes longer than a registration may wait. So small batches are taken from the source as they come, put into
//! the cache ([`EarlyCache`]) and gathered for the next commit, which is the larger the longer the one before it takes.
//! Delivery: that of the source; a batch is gathered before its offers are in the cache, so nothing is there that is not committed, but for
//! a process that is killed. A stop reads nothing more and commits what was gathered. Ordering: that of the source.
//! Memory: two batches of the commit's size, gathered, beside those of the run loop.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::position::{Claim, Partition};
use headrace_core::report::Outcome;
use headrace_core::run::{Finished, Pipeline, run};
use headrace_core::source::{Event, Source};
use headrace_core::{Batch, Control, Error, Result};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::early_cache::EarlyCache;

const IDLE: Duration = Duration::from_secs(1);
/// How long a stop waits until what was gathered is committed.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How long the source may take to end.
const END_PATIENCE: Duration = Duration::from_secs(4);
/// At most so many bytes wait.
const WAITING_BYTES: u64 = 32 << 20;

/// How much is gathered.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// At most so many messages for one commit.
    pub rows: usize,
    /// Commits are so far apart where all that waits is in the cache.
    pub apart: Duration,
    /// A message that is not in the cache yet waits so long for more.
    pub interval: Duration,
}

/// Runs a pipeline whose offers are in the cache before their commit.
///
/// # Errors
/// As [`run`].
pub async fn run_gathered<Output: Send + Sync + 'static>(
    pipeline: Pipeline<Output>,
    early: EarlyCache,
    gather: Gather,
    control: &Control,
) -> Result<Finished> {
    // A stop is told to the run loop only when what was gathered is committed, or takes too long.
    let mut within = Control::default();
    within.progress = control.progress.clone();
    let shared = Arc::new(Shared { remaining: AtomicU64::new(u64::MAX), ..Shared::default() });
    let (commands, received) = mpsc::channel(1);
    let early = Arc::new(early);
    let source = Gathered {
        shared: shared.clone(),
        commands,
        early: early.clone(),
        gather,
        control: control.clone(),
        is_shared: pipeline.source.is_shared(),
    };
    let pump = Pump { source: pipeline.source, shared, commands: received, early, gather };
    let mut pumping = AbortOnDrop(tokio::spawn(pump.run()));
    let mut running = pin!(run(Pipeline { source: Box::new(source), ..pipeline }, &within));
    let patience = async {
        control.stopping().await;
        tokio::time::sleep(STOP_PATIENCE).await;
    };
    let finished = tokio::select! {
        finished = &mut running => finished,
        () = patience => {
            within.stop();
            running.await
        }
    };
    // The source leaves its group before the step ends.
    if tokio::time::timeout(END_PATIENCE, &mut pumping.0).await.is_err() {
        tracing::warn!("the source did not end in time and was left behind");
    }
    let mut finished = finished?;
    if control.is_stopping() {
        finished.outcome = Outcome::Stopped;
    }
    Ok(finished)
}

/// A task that ends with who waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the run loop wants of the source.
enum Command {
    Start(Vec<Claim>, oneshot::Sender<Result<()>>),
    Release(Vec<Partition>, oneshot::Sender<Result<()>>),
}

/// A batch that grows.
struct Growing {
    batch: Batch,
    began: Instant,
    /// Since when something in it waits that is not in the cache.
    waits_since: Option<Instant>,
}

impl Growing {
    fn due(&self, gather: Gather) -> Instant {
        let all = self.began + gather.apart.max(gather.interval);
        self.waits_since.map_or(all, |since| all.min(since + gather.interval))
    }
}

enum Waiting {
    Batch(Growing),
    Other(Result<Event>),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// After anything but a batch, nothing is read until the run loop has dealt with it.
    is_held: bool,
    /// The run loop was told that there is no more.
    is_ended: bool,
    /// How many batches began to grow.
    begun: u64,
}

/// Where a batch was added, and since when something waited there before.
struct Pushed {
    number: u64,
    waited_since: Option<Instant>,
}

enum Next {
    Event(Result<Event>),
    /// Nothing before then, nor before more comes.
    Wait(Option<Instant>),
}

impl Queue {
    fn has_room(&self, rows: usize) -> bool {
        let (mut waiting_rows, mut bytes) = (0, 0);
        for waiting in &self.waiting {
            if let Waiting::Batch(growing) = waiting {
                waiting_rows += growing.batch.height();
                bytes += growing.batch.bytes;
            }
        }
        waiting_rows < 2 * rows && bytes < WAITING_BYTES
    }

    /// Adds a batch to the last one, as far as that has room.
    fn push(&mut self, batch: Batch, gather: Gather) -> Result<Pushed> {
        let now = Instant::now();
        let waited_since = match self.waiting.back_mut() {
            Some(Waiting::Batch(last)) if last.batch.height() + batch.height() <= gather.rows => {
                last.batch.frame.vstack_mut(&batch.frame)?;
                last.batch.reached.extend(batch.reached);
                last.batch.bytes += batch.bytes;
                let before = last.waits_since;
                last.waits_since = Some(before.unwrap_or(now));
                before
            }
            _ => {
                self.begun += 1;
                self.waiting.push_back(Waiting::Batch(Growing { batch, began: now, waits_since: Some(now) }));
                None
            }
        };
        Ok(Pushed { number: self.begun, waited_since })
    }

    /// Takes note that what was pushed last is in the cache.
    fn cached(&mut self, pushed: &Pushed) {
        if let Some(Waiting::Batch(last)) = self.waiting.back_mut()
            && pushed.number == self.begun
        {
            last.waits_since = pushed.waited_since;
        }
    }

    /// What is to be handed on now.
    fn next(&mut self, is_stopping: bool, gather: Gather) -> Next {
        if is_stopping {
            self.waiting.retain(|waiting| matches!(waiting, Waiting::Batch(_)));
        }
        let is_followed = self.waiting.len() > 1;
        match self.waiting.front() {
            None if is_stopping => {
                self.is_ended = true;
                return Next::Event(Ok(Event::End));
            }
            None => {
                // The run loop asks for more, so it has dealt with what it was given.
                self.is_held = false;
                return Next::Wait(None);
            }
            Some(Waiting::Batch(growing)) => {
                let (due, is_full) = (growing.due(gather), growing.batch.height() >= gather.rows);
                if !(is_stopping || is_followed || is_full || due <= Instant::now()) {
                    return Next::Wait(Some(due));
                }
            }
            Some(Waiting::Other(_)) => {}
        }
        match self.waiting.pop_front() {
            Some(Waiting::Batch(growing)) => Next::Event(Ok(Event::Batch(growing.batch))),
            Some(Waiting::Other(event)) => Next::Event(event),
            None => Next::Wait(None),
        }
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something waits.
    pushed: Notify,
    /// Something was taken.
    taken: Notify,
    /// What the source says is left; the greatest number where it cannot tell.
    remaining: AtomicU64,
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the run loop reads.
struct Gathered {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    early: Arc<EarlyCache>,
    gather: Gather,
    control: Control,
    is_shared: bool,
}

impl Gathered {
    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let gone = || Error::external("cannot go on reading", "the source has ended");
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Source for Gathered {
    async fn next(&mut self) -> Result<Event> {
        let idle = Instant::now() + IDLE;
        loop {
            let is_stopping = self.control.is_stopping();
            let next = self.shared.queue().next(is_stopping, self.gather);
            self.shared.taken.notify_one();
            let due = match next {
                Next::Event(event) => return event,
                Next::Wait(due) => due,
            };
            tokio::select! {
                () = self.shared.pushed.notified() => {}
                () = self.control.stopping(), if !is_stopping => {}
                () = tokio::time::sleep_until(due.unwrap_or(idle).min(idle)) => {
                    if Instant::now() >= idle {
                        return Ok(Event::Idle);
                    }
                }
            }
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        self.early.known().claimed();
        self.ask(|reply| Command::Start(claims.to_vec(), reply)).await
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        self.ask(|reply| Command::Release(partitions.to_vec(), reply)).await
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.shared.remaining.load(Ordering::Relaxed)).filter(|remaining| *remaining < u64::MAX)
    }
}

/// What goes on reading.
struct Pump {
    source: Box<dyn Source>,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    early: Arc<EarlyCache>,
    gather: Gather,
}

impl Pump {
    async fn run(mut self) {
        loop {
            let may_read = {
                let queue = self.shared.queue();
                !queue.is_held && !queue.is_ended && queue.has_room(self.gather.rows)
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                () = self.shared.taken.notified(), if !may_read => {}
                event = self.source.next(), if may_read => self.take(event).await,
            }
            self.shared.remaining.store(self.source.remaining().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    async fn obey(&mut self, command: Command) {
        // Who asked may be gone by now.
        let _ = match command {
            Command::Start(claims, reply) => {
                // What waits is of partitions that go back to their claims: all of a fenced worker's, and none when others are new, for
                // nothing was read since they were announced.
                self.shared.queue().waiting.retain(|waiting| !matches!(waiting, Waiting::Batch(_)));
                reply.send(self.source.start(&claims).await)
            }
            Command::Release(partitions, reply) => reply.send(self.source.release(&partitions).await),
        };
    }

    async fn take(&mut self, event: Result<Event>) {
        let batch = match event {
            Ok(Event::Idle) => return,
            Ok(Event::Batch(batch)) => batch,
            other => return self.hold(other),
        };
        let frame = batch.frame.clone();
        let pushed = {
            let mut queue = self.shared.queue();
            if queue.is_ended {
                return;
            }
            queue.push(batch, self.gather)
        };
        self.shared.pushed.notify_one();
        match pushed {
            Ok(pushed) => {
                if self.early.write(&frame).await {
                    self.shared.queue().cached(&pushed);
                }
            }
            Err(error) => self.hold(Err(error)),
        }
    }

    /// Hands on anything but a batch.
    fn hold(&self, event: Result<Event>) {
        let mut queue = self.shared.queue();
        queue.waiting.push_back(Waiting::Other(event));
        queue.is_held = true;
        self.shared.pushed.notify_one();
    }
}
