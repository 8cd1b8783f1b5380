//! The thread that polls: it serves the group, gathers batches and hands them on.
//!
//! It is the only one that touches the consumer. A turn never blocks long, whatever the async side does: when the waiting
//! batch is not taken for some seconds, partitions are paused and polling goes on, so that a slow sink costs no membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::log::Consume;
use headrace_core::source::Event;
use headrace_core::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::fault;
use super::gather::Gatherer;
use super::held::{Held, Verdict};
use super::inquiry::Inquirer;
use super::membership::Revocation;
use super::shared::{Command, Shared};

/// The longest wait for a message, and so the longest wait of a command.
const POLL: Duration = Duration::from_millis(50);
/// The shortest wait, of a batch that is due while the one before it is not taken yet.
const SHORT: Duration = Duration::from_millis(5);
/// How long the waiting batch may stay before partitions are paused and polling goes on without them.
const SLOW: Duration = Duration::from_secs(5);
/// Messages gathered before looking at anything else.
const BURST: usize = 1_024;

/// The reading thread's state.
pub(super) struct Reader {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) inquirer: Arc<Inquirer>,
    /// What errors say was being done.
    pub(super) doing: String,
    pub(super) topic: String,
    pub(super) options: Consume,
    pub(super) shared: Arc<Shared>,
    /// Where partitions end, when not following.
    pub(super) ends: BTreeMap<i32, i64>,
    pub(super) held: BTreeMap<i32, Held>,
    pub(super) revocation: Option<Revocation>,
    /// When the group last gave or took something, or reading began.
    pub(super) changed_at: Instant,
    pub(super) joined: bool,
    pub(super) down_since: Option<Instant>,
    pub(super) looked_at: Instant,
    open: Gatherer,
    full_since: Option<Instant>,
    halted: bool,
    broken: bool,
}

impl Reader {
    /// A reader of a consumer that has subscribed.
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        inquirer: Arc<Inquirer>,
        doing: &str,
        topic: &str,
        options: &Consume,
        ends: BTreeMap<i32, i64>,
        shared: Arc<Shared>,
    ) -> Self {
        let now = Instant::now();
        Self {
            consumer: Arc::new(consumer),
            inquirer,
            doing: doing.to_owned(),
            topic: topic.to_owned(),
            options: options.clone(),
            shared,
            ends,
            held: BTreeMap::new(),
            revocation: None,
            changed_at: now,
            joined: false,
            down_since: None,
            looked_at: now,
            open: Gatherer::new(),
            full_since: None,
            halted: false,
            broken: false,
        }
    }

    /// Reads until the source is closed or the consumer is beyond repair.
    pub(super) fn run(&mut self) {
        while !self.shared.is_closing() && !self.broken {
            if let Err(error) = self.turn() {
                self.shared.fail(error);
            }
        }
    }

    fn turn(&mut self) -> Result<()> {
        while let Some(command) = self.shared.next_command() {
            match command {
                // A receiver that is gone wants no answer.
                Command::Start(places, reply) => drop(reply.send(self.start(&places))),
                Command::Release(numbers) => self.release(&numbers),
            }
        }
        self.serve_group()?;
        self.heed_troubles()?;
        self.count_remaining();
        self.hand_over()?;
        self.look_around()?;
        if self.is_open_full() && self.shared.is_full() {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if !self.halted && since.elapsed() >= SLOW {
                tracing::debug!(topic = self.topic, "the sink is slow: pausing");
                self.pause_where(|_, _| true)?;
                self.halted = true;
            }
            if !self.halted {
                self.shared.wait_for_room(POLL);
                return Ok(());
            }
        } else {
            self.full_since = None;
            if self.halted {
                self.halted = false;
                let running: Vec<(i32, i64)> =
                    self.held.iter().filter(|(_, held)| held.running).map(|(p, held)| (*p, held.next)).collect();
                for (partition, next) in running {
                    self.launch(partition, next)?;
                }
            }
        }
        self.gather()
    }

    fn gather(&mut self) -> Result<()> {
        let consumer = Arc::clone(&self.consumer);
        for _ in 0..BURST {
            let message = match consumer.poll(Duration::ZERO) {
                None if self.is_due() && !self.shared.is_full() => break,
                None => consumer.poll(self.patience()),
                there => there,
            };
            match message {
                None => break,
                Some(Ok(message)) => self.accept(&message)?,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let held = self.held.get_mut(&partition).filter(|held| held.running && !self.halted);
                    if let Some((Verdict::Check, next)) = held.map(|held| (held.catch_up(), held.next)) {
                        self.launch(partition, next)?;
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.broken = true;
                    return Err(Error::external(&self.doing, format!("the client cannot go on: {code}")));
                }
                // The context has noted it with the broker's words.
                Some(Err(_)) => break,
            }
            if self.is_open_full() {
                break;
            }
        }
        Ok(())
    }

    fn accept(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(held) = self.held.get_mut(&partition).filter(|held| held.running && !held.drained) else {
            return Ok(());
        };
        // Read ahead before going back, or while pausing: it comes again, in its place.
        if offset < held.next || self.halted {
            return Ok(());
        }
        if held.end.is_none_or(|end| offset < end) {
            self.open.push(message);
            held.advance(offset + 1);
        } else {
            held.drained = true;
        }
        if held.drained {
            self.pause(partition)?;
        }
        Ok(())
    }

    fn is_open_full(&self) -> bool {
        self.open.rows() >= self.options.batch_rows.max(1) || self.open.bytes() >= self.options.batch_bytes
    }

    /// Tells whether the open batch has waited long enough to be filled.
    fn is_due(&self) -> bool {
        self.open.rows() > 0 && self.open.begun().elapsed() >= self.options.interval
    }

    /// How long to wait for a message: an open batch is handed over when it is due, though messages trickle in.
    fn patience(&self) -> Duration {
        if self.open.rows() == 0 {
            return POLL;
        }
        self.options.interval.saturating_sub(self.open.begun().elapsed()).clamp(SHORT, POLL)
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.open.rows() == 0 || self.shared.is_full() {
            return Ok(());
        }
        if self.is_open_full() || self.is_due() || self.is_drained() {
            let gathered = std::mem::replace(&mut self.open, Gatherer::new()).finish(&self.topic)?;
            self.shared.offer(gathered);
        }
        Ok(())
    }

    /// Tells whether nothing of a drained topic is left in this thread.
    pub(super) fn is_finished(&self) -> bool {
        self.is_drained() && self.open.rows() == 0
    }

    fn is_drained(&self) -> bool {
        !self.options.follow
            && self.revocation.is_none()
            && !self.held.is_empty()
            && self.held.values().all(|held| held.running && held.drained)
    }

    /// Throws away what was read but not handed on, and places partitions that lose something by it again.
    pub(super) fn rewind(&mut self) -> Result<()> {
        let delivered = self.shared.discard();
        self.open = Gatherer::new();
        self.full_since = None;
        let was_halted = std::mem::take(&mut self.halted);
        let back = |(partition, held): (&i32, &Held)| {
            let next = *delivered.get(partition)?;
            (held.running && (was_halted || next != held.next)).then_some((*partition, next))
        };
        let places: Vec<(i32, i64)> = self.held.iter().filter_map(back).collect();
        for (partition, next) in places {
            self.launch(partition, next)?;
        }
        Ok(())
    }

    /// Reads a partition from an offset on. The library drops what it had read ahead of it from elsewhere.
    pub(super) fn launch(&mut self, partition: i32, at: i64) -> Result<()> {
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        held.running = true;
        held.next = at;
        held.drained = held.end.is_some_and(|end| at >= end);
        held.excuse(Instant::now());
        if held.drained {
            return self.pause(partition);
        }
        let was_placed = std::mem::replace(&mut held.placed, true);
        self.place(partition, at, was_placed).map_err(|error| {
            if let Some(held) = self.held.get_mut(&partition) {
                held.placed = was_placed;
            }
            fault::from_kafka(&self.doing, &error)
        })
    }

    fn place(&self, partition: i32, at: i64, was_placed: bool) -> Result<(), KafkaError> {
        let list = self.list([(partition, Offset::Offset(at))])?;
        if !was_placed {
            self.consumer.incremental_assign(&list)?;
            // It may have been paused when this member had it before.
            return self.consumer.resume(&list);
        }
        // Right after it was placed, or after an error, the library is not reading the partition.
        let mut outcome = Ok(());
        for _ in 0..20 {
            outcome = self.consumer.seek(&self.topic, partition, Offset::Offset(at), Duration::from_secs(5));
            if outcome.is_ok() {
                break;
            }
            std::thread::sleep(POLL);
        }
        // While the group takes partitions back, taking one out would be understood as the answer to that.
        if outcome.is_err() && self.revocation.is_none() {
            outcome = self.consumer.incremental_unassign(&list).and_then(|()| self.consumer.incremental_assign(&list));
        }
        outcome.and_then(|()| self.consumer.resume(&list))
    }

    pub(super) fn pause(&self, partition: i32) -> Result<()> {
        self.pause_where(|number, _| number == partition)
    }

    fn pause_where(&self, wanted: impl Fn(i32, &Held) -> bool) -> Result<()> {
        let placed = self.held.iter().filter(|(number, held)| held.placed && wanted(**number, held));
        let list = self.list(placed.map(|(number, _)| (*number, Offset::Invalid)));
        let paused = list.and_then(|list| if list.count() == 0 { Ok(()) } else { self.consumer.pause(&list) });
        paused.map_err(|error| fault::from_kafka(&self.doing, &error))
    }

    /// A list of this topic's partitions.
    pub(super) fn list(
        &self,
        places: impl IntoIterator<Item = (i32, Offset)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in places {
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }

    /// Tells an event to the async side.
    pub(super) fn tell(&self, event: Event) {
        self.shared.tell(event);
    }
}

impl Drop for Reader {
    /// Also after a panic the group must not wait for this member: closing the consumer waits for answers to the group.
    fn drop(&mut self) {
        self.leave();
    }
}
