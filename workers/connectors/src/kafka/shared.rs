//! What the reading thread and the async side share: events and one batch one way, commands the other.
//!
//! Memory: one finished batch at most waits here. Whether a batch has been handed on and where partitions stand
//! after it change under one lock, so the reader can throw away what nobody has seen and read it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use headrace_core::source::Event;
use headrace_core::{Error, Result};
use tokio::sync::{Notify, oneshot};

use super::context::lock;
use super::gather::Gathered;

/// What the async side wants done.
pub(super) enum Command {
    /// Read these partitions from these positions, and say when they are placed.
    Start(Vec<(i32, Option<i64>)>, oneshot::Sender<Result<()>>),
    /// Everything of these partitions is committed or dropped.
    Release(Vec<i32>),
}

#[derive(Default)]
struct State {
    events: VecDeque<Result<Event>>,
    ready: Option<Gathered>,
    delivered: BTreeMap<i32, i64>,
    commands: VecDeque<Command>,
    ended: bool,
    closing: bool,
    stopped: bool,
}

/// The meeting place.
pub(super) struct Shared {
    state: Mutex<State>,
    for_source: Notify,
    for_reader: Condvar,
    remaining: AtomicU64,
}

impl Shared {
    /// An empty meeting place.
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            for_source: Notify::new(),
            for_reader: Condvar::new(),
            remaining: AtomicU64::new(u64::MAX),
        }
    }

    // The async side.

    /// Takes what comes next: events first, then the batch, then the end.
    pub(super) fn take(&self) -> Option<Result<Event>> {
        let mut state = lock(&self.state);
        if let Some(event) = state.events.pop_front() {
            return Some(event);
        }
        if let Some(gathered) = state.ready.take() {
            state.delivered.extend(gathered.next);
            self.for_reader.notify_one();
            return Some(Ok(Event::Batch(gathered.batch)));
        }
        if state.ended {
            return Some(Ok(Event::End));
        }
        state.stopped.then(|| Err(Error::external("reading from Kafka has stopped", "its thread has ended")))
    }

    /// Waits until there may be something to take.
    pub(super) async fn changed(&self) {
        self.for_source.notified().await;
    }

    /// Gives the reader a command.
    pub(super) fn command(&self, command: Command) {
        let mut state = lock(&self.state);
        // A reader that has ended answers nothing: dropping the command tells its sender so.
        if !state.stopped {
            state.commands.push_back(command);
            self.for_reader.notify_one();
        }
    }

    /// Tells the reader to leave.
    pub(super) fn close(&self) {
        lock(&self.state).closing = true;
        self.for_reader.notify_one();
    }

    /// What is left to read, if known.
    pub(super) fn remaining(&self) -> Option<u64> {
        Some(self.remaining.load(Ordering::Relaxed)).filter(|rows| *rows != u64::MAX)
    }

    // The reader.

    /// Takes the oldest command.
    pub(super) fn next_command(&self) -> Option<Command> {
        lock(&self.state).commands.pop_front()
    }

    /// Tells whether the reader has to leave.
    pub(super) fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Tells whether a batch is waiting to be taken.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.state).ready.is_some()
    }

    /// Waits until the batch is taken or something else is to be done.
    pub(super) fn wait_for_room(&self, patience: Duration) {
        let busy = |state: &mut State| state.ready.is_some() && state.commands.is_empty() && !state.closing;
        let guard = lock(&self.state);
        drop(self.for_reader.wait_timeout_while(guard, patience, busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Puts a batch where it can be taken.
    pub(super) fn offer(&self, gathered: Gathered) {
        lock(&self.state).ready = Some(gathered);
        self.for_source.notify_one();
    }

    /// Tells an event.
    pub(super) fn tell(&self, event: Event) {
        lock(&self.state).events.push_back(Ok(event));
        self.for_source.notify_one();
    }

    /// Tells an error; an error that follows another one unheard is dropped.
    pub(super) fn fail(&self, error: Error) {
        let mut state = lock(&self.state);
        if matches!(state.events.back(), Some(Err(_))) {
            return;
        }
        state.events.push_back(Err(error));
        drop(state);
        self.for_source.notify_one();
    }

    /// Says that there is no more, or that there is again.
    pub(super) fn set_ended(&self, ended: bool) {
        let mut state = lock(&self.state);
        if state.ended != ended {
            state.ended = ended;
            drop(state);
            self.for_source.notify_one();
        }
    }

    /// Notes where a partition stands for the async side; none forgets it.
    pub(super) fn set_delivered(&self, partition: i32, next: Option<i64>) {
        let mut state = lock(&self.state);
        match next {
            Some(next) => state.delivered.insert(partition, next),
            None => state.delivered.remove(&partition),
        };
    }

    /// Throws the waiting batch away and tells where partitions stand without it.
    pub(super) fn discard(&self) -> BTreeMap<i32, i64> {
        let mut state = lock(&self.state);
        state.ready = None;
        state.delivered.clone()
    }

    /// Notes what is left to read.
    pub(super) fn set_remaining(&self, rows: u64) {
        self.remaining.store(rows, Ordering::Relaxed);
    }

    /// Says that the reader has ended.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        // Whoever waits for an answer learns that none will come.
        state.commands.clear();
        drop(state);
        self.for_source.notify_one();
    }
}
