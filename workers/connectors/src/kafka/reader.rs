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
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::context::Context;
use super::gather::Gatherer;
use super::held::{Held, Verdict};
use super::inquiry::Inquirer;
use super::intake::{Burst, Intake, Taken};
use super::membership::Revocation;
use super::shared::{Command, Shared};

/// The longest wait for a message, and so the longest wait of a command.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// The shortest wait, of a batch that is due while the one before it is not taken yet.
const SHORT: Duration = Duration::from_millis(5);
/// How long the waiting batch may stay before partitions are paused and polling goes on without them.
const SLOW: Duration = Duration::from_secs(5);
/// Messages taken before looking at anything else.
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
    pub(super) intake: Intake,
    /// What was taken last, as far as it does not fit in the open batch.
    burst: Option<Burst>,
    /// How many bursts were taken.
    pub(super) takes: u64,
    forwarded_at: Instant,
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
    ) -> Result<Self> {
        let now = Instant::now();
        let consumer = Arc::new(consumer);
        Ok(Self {
            intake: Intake::new(&consumer, topic)?,
            burst: None,
            takes: 0,
            forwarded_at: now,
            consumer,
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
        })
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
        self.serve_client(Duration::ZERO)?;
        self.forward_silent();
        let mut burst = match self.burst.take().filter(|burst| !burst.is_empty()) {
            Some(rest) => rest,
            None => self.take_more()?,
        };
        let outcome = self.go_through(&mut burst);
        self.burst = Some(burst);
        outcome
    }

    /// Takes what is there, and waits for something unless there is something else to do.
    fn take_more(&mut self) -> Result<Burst> {
        self.takes += 1;
        let burst = self.intake.take(BURST, Duration::ZERO);
        let is_wanted = self.is_due() && !self.shared.is_full();
        if !burst.is_empty() || is_wanted {
            return Ok(burst);
        }
        if self.held.values().any(|held| held.placed) {
            return Ok(self.intake.take(1, self.patience()));
        }
        self.serve_client(self.patience())?;
        Ok(burst)
    }

    /// Lets the library say what concerns the group and the client.
    fn serve_client(&mut self, patience: Duration) -> Result<()> {
        let consumer = Arc::clone(&self.consumer);
        let mut patience = patience;
        while let Some(said) = consumer.poll(patience) {
            patience = Duration::ZERO;
            match said {
                Ok(message) => {
                    let cause = format!("offset {} of partition {} out of turn", message.offset(), message.partition());
                    return Err(Error::external(&self.doing, cause));
                }
                Err(KafkaError::MessageConsumptionFatal(code)) => return self.give_up(code),
                // The context has noted it with the broker's words.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn give_up(&mut self, code: RDKafkaErrorCode) -> Result<()> {
        self.broken = true;
        Err(Error::external(&self.doing, format!("the client cannot go on: {code}")))
    }

    /// When the library stops reading a partition, at a time of its own, it forgets where the messages should go; and
    /// the partition may be ours again by then.
    fn forward_silent(&mut self) {
        if self.forwarded_at.elapsed() < POLL {
            return;
        }
        self.forwarded_at = Instant::now();
        for (partition, held) in &self.held {
            if held.placed && !held.heard {
                self.intake.forward(*partition);
            }
        }
    }

    fn go_through(&mut self, burst: &mut Burst) -> Result<()> {
        while !self.is_open_full()
            && let Some(taken) = burst.next()
        {
            match taken.trouble() {
                None => self.accept(taken)?,
                Some((code, words)) => self.heed(taken.partition(), code, &words)?,
            }
        }
        Ok(())
    }

    fn heed(&mut self, partition: i32, code: RDKafkaErrorCode, words: &str) -> Result<()> {
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                let held = self.held.get_mut(&partition).filter(|held| held.accepts(self.takes) && !self.halted);
                if let Some((Verdict::Check, next)) = held.map(|held| (held.catch_up(), held.next)) {
                    self.launch(partition, next)?;
                }
            }
            RDKafkaErrorCode::Fatal => self.give_up(code)?,
            code => self.consumer.context().error(KafkaError::MessageConsumption(code), words),
        }
        Ok(())
    }

    fn accept(&mut self, message: Taken<'_>) -> Result<()> {
        let (partition, offset) = (message.partition(), message.offset());
        let held = self.held.get_mut(&partition).filter(|held| held.accepts(self.takes) && !held.drained);
        // Read ahead before going back, or while pausing: it comes again, in its place.
        let Some(held) = held.filter(|held| offset >= held.next && !self.halted) else { return Ok(()) };
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
