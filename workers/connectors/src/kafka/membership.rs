//! The reader as a member of its group: partitions come, are started, go.
//!
//! Partitions that come belong to this member at once, but the library is told to read them only when their positions are
//! claimed, and then at exact offsets. (Assigning them at a logical offset such as the end, to place them later, loses
//! messages: the library asks the broker for that offset, and an answer that comes late moves the partition there.)
//! Partitions that go are kept from the group until the run loop has released them, at most 20 s; what it commits later
//! than that is refused by the ledger.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use headrace_core::Result;
use headrace_core::source::Event;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::context::{Rebalance, answer, close_answer};
use super::fault;
use super::gather::name;
use super::held::Held;
use super::reader::Reader;

/// How long the group waits for work in progress on partitions that go.
pub(super) const RELEASE_PATIENCE: Duration = Duration::from_secs(20);
const EXTENT_PATIENCE: Duration = Duration::from_secs(10);

/// Partitions on their way out.
pub(super) struct Revocation {
    partitions: Vec<i32>,
    waiting: BTreeSet<i32>,
    deadline: Instant,
}

impl Reader {
    /// Answers what the group has asked for.
    pub(super) fn serve_group(&mut self) -> Result<()> {
        if self.revocation.as_ref().is_some_and(|revocation| revocation.deadline <= Instant::now()) {
            tracing::warn!(
                topic = self.topic,
                "partitions go although they were not released in time; what is committed now will be refused"
            );
            self.finish_revocation();
        }
        if self.revocation.is_some() && self.consumer.assignment_lost() {
            self.finish_revocation();
        }
        while self.revocation.is_none() {
            let consumer = self.consumer.clone();
            let Some(rebalance) = consumer.context().take_rebalance() else { break };
            self.changed_at = Instant::now();
            if rebalance.assigned {
                self.joined = true;
                self.gain(rebalance);
            } else {
                self.lose(rebalance)?;
            }
        }
        Ok(())
    }

    fn gain(&mut self, rebalance: Rebalance) {
        answer(&self.consumer, true, &TopicPartitionList::new());
        if rebalance.partitions.is_empty() {
            return;
        }
        self.shared.set_ended(false);
        let now = Instant::now();
        self.held.extend(rebalance.partitions.iter().map(|partition| (*partition, Held::new(now))));
        self.tell(Event::Assigned(
            rebalance.partitions.iter().map(|partition| name(&self.topic, *partition)).collect(),
        ));
    }

    fn lose(&mut self, rebalance: Rebalance) -> Result<()> {
        let waiting: BTreeSet<i32> =
            rebalance.partitions.iter().copied().filter(|partition| self.held.contains_key(partition)).collect();
        for partition in &waiting {
            if let Some(held) = self.held.get_mut(partition) {
                held.running = false;
            }
        }
        let deadline = Instant::now() + if rebalance.lost { Duration::ZERO } else { RELEASE_PATIENCE };
        let is_empty = waiting.is_empty();
        if !is_empty {
            self.tell(Event::Revoked(waiting.iter().map(|partition| name(&self.topic, *partition)).collect()));
        }
        self.revocation = Some(Revocation { partitions: rebalance.partitions, waiting, deadline });
        if is_empty || rebalance.lost {
            self.finish_revocation();
        }
        // What was read ahead holds rows of partitions that go; the others' rows in it are read again.
        self.rewind()
    }

    /// The run loop is done with partitions.
    pub(super) fn release(&mut self, numbers: &[i32]) {
        let Some(revocation) = &mut self.revocation else { return };
        for number in numbers {
            revocation.waiting.remove(number);
        }
        if revocation.waiting.is_empty() {
            self.finish_revocation();
        }
    }

    fn finish_revocation(&mut self) {
        let Some(revocation) = self.revocation.take() else { return };
        self.changed_at = Instant::now();
        let mut placed = TopicPartitionList::new();
        for partition in revocation.partitions {
            self.shared.set_delivered(partition, None);
            if self.held.remove(&partition).is_some_and(|held| held.placed) {
                placed.add_partition(&self.topic, partition);
            }
        }
        answer(&self.consumer, false, &placed);
    }

    /// Begins to read claimed partitions, or goes back in partitions that are being read.
    pub(super) fn start(&mut self, places: &[(i32, Option<i64>)]) -> Result<()> {
        self.shared.set_ended(false);
        for (partition, _) in places {
            if let Some(held) = self.held.get_mut(partition).filter(|held| held.running) {
                held.running = false;
                let partition = *partition;
                self.pause(partition)?;
            }
        }
        self.rewind()?;
        for (partition, position) in places {
            let leaving = self.revocation.as_ref().is_some_and(|revocation| revocation.waiting.contains(partition));
            if leaving || !self.held.contains_key(partition) {
                // It was claimed while it was being taken away; that it goes has been told or is about to be.
                continue;
            }
            let extent = self.inquirer.extent(&self.topic, *partition, EXTENT_PATIENCE)?;
            let at = match *position {
                None => extent.first,
                Some(at) if at < extent.first => return Err(fault::removed(&self.topic, *partition, at, extent.first)),
                Some(at) if at > extent.end => return Err(fault::beyond(&self.topic, *partition, at, extent.end)),
                Some(at) => at,
            };
            let end = (!self.options.follow).then(|| *self.ends.entry(*partition).or_insert(extent.end));
            if let Some(held) = self.held.get_mut(partition) {
                held.end = end;
                held.known_end = extent.end;
                held.fresh = position.is_none();
            }
            self.shared.set_delivered(*partition, Some(at));
            self.launch(*partition, at)?;
        }
        self.count_remaining();
        Ok(())
    }

    /// Gives everything back and leaves the group; the rest happens when the consumer is dropped.
    pub(super) fn leave(&mut self) {
        let consumer = self.consumer.clone();
        consumer.context().close();
        self.finish_revocation();
        while let Some(rebalance) = consumer.context().take_rebalance() {
            close_answer(&consumer, rebalance.assigned);
        }
    }
}
