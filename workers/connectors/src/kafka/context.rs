//! What the client library calls back: log lines, errors, rebalances and delivery reports.
//!
//! Callbacks only take notes; the thread that polls acts on them afterwards, outside the library. Only while a
//! consumer closes are rebalances answered at once, because nobody polls notes any more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaRespErr;

use super::producer::Call;

/// More notes of errors than this are not kept.
const KEPT: usize = 32;

/// An error that the client library told without being asked.
pub(super) struct Trouble {
    /// What it is.
    pub(super) code: RDKafkaErrorCode,
    /// The library's words.
    pub(super) reason: String,
}

/// A change of the assignment, to be answered.
pub(super) struct Rebalance {
    /// Partitions come; otherwise they go.
    pub(super) assigned: bool,
    /// They are gone already, to another member perhaps.
    pub(super) lost: bool,
    /// The partitions.
    pub(super) partitions: Vec<i32>,
}

/// The notes of one client.
#[derive(Default)]
pub(super) struct Context {
    troubles: Mutex<VecDeque<Trouble>>,
    rebalances: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

/// Locks, also after a panic elsewhere: notes are whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Takes the errors noted since the last call.
    pub(super) fn take_troubles(&self) -> VecDeque<Trouble> {
        std::mem::take(&mut *lock(&self.troubles))
    }

    /// Takes the oldest rebalance that was not answered yet.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// From now on rebalances are answered at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // These come as errors too, and whoever asked tells them once, in clear words.
            _ if matches!(facility, "FAIL" | "ERROR") => tracing::debug!(facility, "kafka client: {message}"),
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, "kafka client: {message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "kafka client: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::PartitionEOF) else {
            return;
        };
        tracing::debug!(%code, "kafka client: {reason}");
        let mut troubles = lock(&self.troubles);
        if troubles.len() == KEPT {
            troubles.pop_front();
        }
        troubles.push_back(Trouble { code, reason: reason.to_owned() });
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            close_answer(consumer, assigned);
            return;
        }
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        let lost = !assigned && consumer.assignment_lost();
        lock(&self.rebalances).push_back(Rebalance { assigned, lost, partitions });
    }
}

/// Answers a rebalance. Partitions that come are acknowledged with an empty list: which of them are read, and from where,
/// is told later. Partitions that go are those of the list that the library reads.
pub(super) fn answer(consumer: &BaseConsumer<Context>, assigned: bool, list: &TopicPartitionList) {
    let outcome = if assigned { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
    if let Err(error) = outcome {
        tracing::warn!(assigned, "kafka client: cannot answer a rebalance: {error}");
    }
}

/// Answers a rebalance of a consumer that leaves: it reads nothing any more.
pub(super) fn close_answer(consumer: &BaseConsumer<Context>, assigned: bool) {
    let list = if assigned { TopicPartitionList::new() } else { consumer.assignment().unwrap_or_default() };
    answer(consumer, assigned, &list);
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Call>;

    fn delivery(&self, result: &DeliveryResult<'_>, call: Arc<Call>) {
        call.report(result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code()));
    }
}
