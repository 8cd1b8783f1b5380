//! Questions to the brokers: topics, partitions, watermarks; and the creation of topics.
//!
//! Asking never creates a topic. A question is asked again for 10 s at the first contact and for 60 s later;
//! a refused login or certificate at the first contact ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headrace_core::log::Extent;
use headrace_core::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};

use super::context::Context;
use super::fault;
use super::settings::Settings;

const FIRST_PATIENCE: Duration = Duration::from_secs(10);
const LATER_PATIENCE: Duration = Duration::from_secs(60);
/// So long a broker may not know yet that it leads a partition, as after its restart; a topic that was removed stays unknown.
const SETTLING: Duration = Duration::from_secs(3);
const ADMIN_PATIENCE: Duration = Duration::from_secs(20);

/// A client without a group.
pub(super) struct Inquirer {
    consumer: BaseConsumer<Context>,
    place: String,
    connected: AtomicBool,
}

impl Inquirer {
    /// Makes a client; nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let consumer = settings.inquirer().create_with_context(Context::default());
        let consumer =
            consumer.map_err(|error| fault::from_kafka(&format!("cannot use {}", settings.place), &error))?;
        Ok(Self { consumer, place: settings.place.clone(), connected: AtomicBool::new(false) })
    }

    fn ask<T>(&self, doing: &str, question: impl Fn(&Client<Context>, Duration) -> KafkaResult<T>) -> Result<T> {
        let patience = if self.connected.load(Ordering::Relaxed) { LATER_PATIENCE } else { FIRST_PATIENCE };
        self.ask_within(patience, doing, question)
    }

    fn ask_within<T>(
        &self,
        patience: Duration,
        doing: &str,
        question: impl Fn(&Client<Context>, Duration) -> KafkaResult<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        let mut slice = Duration::from_secs(1);
        let mut last = None;
        self.consumer.context().take_troubles();
        loop {
            let error = match question(self.consumer.client(), slice) {
                Ok(answer) => {
                    self.connected.store(true, Ordering::Relaxed);
                    self.hear(Duration::ZERO);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            self.hear(Duration::from_millis(50));
            for trouble in self.consumer.context().take_troubles() {
                if !self.connected.load(Ordering::Relaxed) && fault::is_set_up(trouble.code) {
                    return Err(fault::explain(doing, trouble.code, &trouble.reason));
                }
                // "All brokers are down" says less than the reason that came before it.
                if trouble.code != Code::AllBrokersDown || last.is_none() {
                    last = Some(trouble);
                }
            }
            if error.rdkafka_error_code().is_none_or(|code| !fault::is_passing(code)) {
                return Err(fault::from_kafka(doing, &error));
            }
            if begun.elapsed() >= patience {
                return Err(match last {
                    Some(trouble) if trouble.code == Code::Resolve => {
                        fault::explain(doing, trouble.code, &trouble.reason)
                    }
                    Some(trouble) => {
                        Error::external(doing, format!("no broker answers; check host and port ({})", trouble.reason))
                    }
                    None => fault::from_kafka(doing, &error),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            slice = Duration::from_secs(3);
        }
    }

    /// Lets the library tell its log lines and errors.
    fn hear(&self, patience: Duration) {
        let begun = Instant::now();
        for _ in 0..64 {
            // Without a group nothing but notes comes here, and the context has taken them.
            drop(self.consumer.poll(Duration::from_millis(5).min(patience)));
            if begun.elapsed() >= patience {
                break;
            }
        }
    }

    /// Tells a topic's partitions and whether all of them have leaders; none when there is no such topic.
    fn look_up(&self, topic: &str) -> Result<Option<(Vec<i32>, bool)>> {
        let doing = format!("cannot look up topic `{topic}` on {}", self.place);
        self.ask(&doing, |client, timeout| {
            let metadata = client.fetch_metadata(Some(topic), timeout)?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
            match found.error().map(Code::from) {
                None => {}
                Some(Code::UnknownTopicOrPartition) => return Ok(None),
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
            let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
            partitions.sort_unstable();
            let led = found.partitions().iter().all(|partition| partition.leader() >= 0);
            Ok(Some((partitions, led)))
        })
    }

    /// Tells a topic's partitions, none when there is no such topic.
    pub(super) fn partitions_if_any(&self, topic: &str) -> Result<Option<Vec<i32>>> {
        Ok(self.look_up(topic)?.map(|(partitions, _)| partitions))
    }

    /// Tells a topic's partitions.
    ///
    /// # Errors
    /// A configuration error when there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Vec<i32>> {
        self.partitions_if_any(topic)?.ok_or_else(|| fault::missing_topic(topic, &self.place))
    }

    /// Tells what a topic holds, none when there is no such topic.
    pub(super) fn extents(&self, topic: &str) -> Result<Option<Vec<Extent>>> {
        let Some((partitions, _)) = self.look_up(topic)? else { return Ok(None) };
        let extent = |partition| self.extent(topic, partition, LATER_PATIENCE);
        partitions.into_iter().map(extent).collect::<Result<_>>().map(Some)
    }

    /// Tells what a partition holds, asking for so long at most.
    pub(super) fn extent(&self, topic: &str, partition: i32, patience: Duration) -> Result<Extent> {
        let doing = format!("cannot look up the offsets of partition {partition} of topic `{topic}` on {}", self.place);
        let begun = Instant::now();
        let question = |client: &Client<Context>, timeout| match client.fetch_watermarks(topic, partition, timeout) {
            Err(error)
                if error.rdkafka_error_code() == Some(Code::UnknownTopicOrPartition) && begun.elapsed() < SETTLING =>
            {
                Err(KafkaError::MetadataFetch(Code::LeaderNotAvailable))
            }
            answer => answer,
        };
        let (first, end) = self.ask_within(patience, &doing, question)?;
        Ok(Extent { partition, first, end })
    }

    /// Tells quickly whether any broker answers.
    pub(super) fn is_answered(&self, topic: &str) -> bool {
        self.consumer.client().fetch_metadata(Some(topic), Duration::from_secs(1)).is_ok()
    }

    /// Waits until every partition of a new topic has a leader and answers.
    pub(super) fn wait_for_topic(&self, topic: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            if matches!(self.look_up(topic)?, Some((partitions, true)) if !partitions.is_empty()) {
                return self.extents(topic).map(|_| ());
            }
            if begun.elapsed() > ADMIN_PATIENCE {
                return Err(Error::external(
                    format!("topic `{topic}` on {} is not ready", self.place),
                    "its partitions have no leaders yet",
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Creates a topic; one that is there already is fine.
pub(super) async fn create_topic(settings: &Settings, topic: &str, partitions: i32) -> Result<()> {
    let doing = format!("cannot create topic `{topic}` on {}", settings.place);
    let administrator: AdminClient<Context> = settings
        .administrator()
        .create_with_context(Context::default())
        .map_err(|error| fault::from_kafka(&doing, &error))?;
    let wanted =
        NewTopic::new(topic, settings.partitions.unwrap_or(partitions), TopicReplication::Fixed(settings.replication));
    let options = AdminOptions::new().request_timeout(Some(ADMIN_PATIENCE)).operation_timeout(Some(ADMIN_PATIENCE));
    let outcome = administrator.create_topics([&wanted], &options).await;
    // Dropping waits for the administrator's own thread.
    tokio::task::spawn_blocking(move || drop(administrator));
    match outcome.map_err(|error| admin_error(&doing, &error))?.into_iter().next() {
        Some(Err((_, code))) if code != Code::TopicAlreadyExists => Err(fault::explain(&doing, code, "")),
        _ => Ok(()),
    }
}

fn admin_error(doing: &str, error: &KafkaError) -> Error {
    match error {
        KafkaError::AdminOp(code) => fault::explain(doing, *code, ""),
        other => fault::from_kafka(doing, other),
    }
}
