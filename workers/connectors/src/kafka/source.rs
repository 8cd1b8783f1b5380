//! The async side of a group member.
//!
//! Delivery: a batch that was handed on is never handed on again unless [`Source::start`] goes back. Positions are the
//! caller's: nothing is committed to the broker. Ordering: offsets grow within a partition. Memory: 16 MiB read ahead by
//! the library (and what a fetch of 1 MiB unpacks to), one batch being gathered, one waiting. The reading thread goes on serving the group however slow the
//! caller is, and leaves the group when the source is dropped, with or without an async runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::log::Consume;
use headrace_core::position::{Claim, Partition};
use headrace_core::source::{Event, Source};
use headrace_core::{Error, Result};
use rdkafka::consumer::Consumer;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::context::Context;
use super::fault;
use super::gather::number;
use super::inquiry::Inquirer;
use super::reader::Reader;
use super::settings::Settings;
use super::shared::{Command, Shared};

const IDLE: Duration = Duration::from_secs(1);
/// Leaving a group takes one round trip; a broker that does not answer is not waited for.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);

/// A member of a group that reads one topic.
pub(super) struct Member {
    topic: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    left: Receiver<()>,
}

impl Member {
    /// Joins the group. Blocks while brokers are asked.
    pub(super) fn join(settings: &Settings, inquirer: Arc<Inquirer>, topic: &str, options: &Consume) -> Result<Self> {
        let doing = format!("cannot read topic `{topic}` on {}", settings.place);
        let ends: BTreeMap<i32, i64> = if options.follow {
            inquirer.partitions(topic)?;
            BTreeMap::new()
        } else {
            let extents = inquirer.extents(topic)?.ok_or_else(|| fault::missing_topic(topic, &settings.place))?;
            extents.into_iter().map(|extent| (extent.partition, extent.end)).collect()
        };
        let consumer: rdkafka::consumer::BaseConsumer<Context> = settings
            .member(&options.group)
            .create_with_context(Context::default())
            .map_err(|error| fault::from_kafka(&doing, &error))?;
        consumer.subscribe(&[topic]).map_err(|error| fault::from_kafka(&doing, &error))?;
        let shared = Arc::new(Shared::new());
        let mut reader = Reader::new(consumer, inquirer, &doing, topic, options, ends, shared.clone())?;
        let (leaving, left) = channel::<()>();
        let stopping = Stopping(shared.clone());
        let thread = std::thread::Builder::new()
            .name("kafka reader".to_owned())
            .spawn(move || {
                // The consumer leaves first, then it is told that nothing more comes, then that the thread is done.
                let _leaving = leaving;
                let _stopping = stopping;
                reader.run();
                drop(reader);
            })
            .map_err(|error| Error::external(&doing, error))?;
        Ok(Self { topic: topic.to_owned(), shared, thread: Some(thread), left })
    }

    fn number(&self, partition: &Partition) -> Result<i32> {
        number(&self.topic, partition)
            .ok_or_else(|| Error::configuration(format!("{partition} is no partition of topic `{}`", self.topic)))
    }
}

/// Tells the async side that nothing more will come.
struct Stopping(Arc<Shared>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[async_trait]
impl Source for Member {
    async fn next(&mut self) -> Result<Event> {
        let idle = Instant::now() + IDLE;
        loop {
            if let Some(event) = self.shared.take() {
                return event;
            }
            if timeout_at(idle, self.shared.changed()).await.is_err() {
                return Ok(Event::Idle);
            }
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        let place =
            |claim: &Claim| Ok((self.number(&claim.partition)?, claim.position.as_ref().map(|position| position.at)));
        let places = claims.iter().map(place).collect::<Result<Vec<_>>>()?;
        let (reply, placed) = oneshot::channel();
        self.shared.command(Command::Start(places, reply));
        let stopped = |error| Error::external(format!("cannot start reading topic `{}`", self.topic), error);
        placed.await.map_err(stopped)?
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        let numbers = partitions.iter().map(|partition| self.number(partition)).collect::<Result<Vec<_>>>()?;
        self.shared.command(Command::Release(numbers));
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn remaining(&self) -> Option<u64> {
        self.shared.remaining()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.close();
        // The channel is closed when the thread has left the group; nothing is ever sent.
        let gone = self.left.recv_timeout(LEAVE_PATIENCE) != Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take().filter(|_| gone) {
            if thread.join().is_err() {
                tracing::warn!(topic = self.topic, "the reading thread had failed");
            }
        } else {
            tracing::warn!(topic = self.topic, "left the group without its broker's answer");
        }
    }
}
