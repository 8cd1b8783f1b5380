//! Where the library reads: partitions are placed at exact offsets, paused and placed again.

use std::time::{Duration, Instant};

use headrace_core::Result;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::fault;
use super::held::Held;
use super::reader::{POLL, Reader};

impl Reader {
    /// Reads a partition from an offset on. The library drops what it had read ahead of it from elsewhere.
    pub(super) fn launch(&mut self, partition: i32, at: i64) -> Result<()> {
        let Some(held) = self.held.get_mut(&partition) else { return Ok(()) };
        held.running = true;
        held.heard = false;
        held.stale = self.takes;
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
            self.intake.forward(partition);
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

    pub(super) fn pause_where(&self, wanted: impl Fn(i32, &Held) -> bool) -> Result<()> {
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
}
