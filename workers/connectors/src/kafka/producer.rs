//! Sending messages: one idempotent producer for each handle.
//!
//! Delivery: a call returns when every message of it is acknowledged by all in-sync replicas, or with the first error.
//! The library's own retries never store a message twice; a call that is made again after an error may.
//! Ordering: messages of one key keep their order. Memory: the library holds at most 64 MiB of unsent messages;
//! a full queue makes the call wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use headrace_core::batch::message_columns;
use headrace_core::{Error, Result};
use polars::prelude::{BinaryChunked, DataFrame, DataType};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::Notify;

use super::context::{Context, lock};
use super::fault;
use super::settings::Settings;

const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// Counts the delivery reports of one call; shared by its messages instead of a future for each.
pub(super) struct Call {
    open: AtomicUsize,
    failed: AtomicUsize,
    first_error: OnceLock<RDKafkaErrorCode>,
    abandoned: AtomicBool,
    done: Notify,
}

impl Call {
    /// A call whose caller is still sending.
    fn new() -> Self {
        Self {
            open: AtomicUsize::new(1),
            failed: AtomicUsize::new(0),
            first_error: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            done: Notify::new(),
        }
    }

    /// Notes one delivery report.
    pub(super) fn report(&self, error: Option<RDKafkaErrorCode>) {
        if let Some(code) = error {
            // Only the first error is kept.
            let _ = self.first_error.set(code);
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > 0 || self.abandoned.load(Ordering::Relaxed)
    }

    async fn finished(&self) {
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
    }
}

/// Stops the sending of a call whose caller does not wait any more, so that nothing blocks the end of the runtime.
struct Caller(Arc<Call>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}

type Sender = ThreadedProducer<Context>;

/// The producer of a handle, made when it is first needed and made anew after a fatal error.
#[derive(Default)]
pub(super) struct Outlet {
    sender: Mutex<Option<Arc<Sender>>>,
}

impl Outlet {
    fn sender(&self, settings: &Settings, doing: &str) -> Result<Arc<Sender>> {
        let mut slot = lock(&self.sender);
        if let Some(sender) = &*slot {
            return Ok(sender.clone());
        }
        let created: Sender = settings
            .producer()
            .create_with_context(Context::default())
            .map_err(|error| fault::from_kafka(doing, &error))?;
        Ok(slot.insert(Arc::new(created)).clone())
    }

    /// Sends the messages of a frame and waits for all of them.
    pub(super) async fn send(&self, settings: &Settings, topic: &str, messages: &DataFrame) -> Result<()> {
        let doing = format!("cannot write to topic `{topic}` on {}", settings.place);
        let (keys, values) = (bytes(messages, message_columns::KEY)?, bytes(messages, message_columns::VALUE)?);
        let sender = self.sender(settings, &doing)?;
        let call = Arc::new(Call::new());
        let _caller = Caller(call.clone());
        let sending = {
            let (sender, call, topic) = (sender.clone(), call.clone(), topic.to_owned());
            tokio::task::spawn_blocking(move || {
                let outcome = send_all(&sender, &topic, &keys, &values, &call);
                call.report(None);
                outcome
            })
        };
        let outcome = sending.await.map_err(|error| Error::external(&doing, error))?;
        call.finished().await;
        if sender.client().fatal_error().is_some() {
            lock(&self.sender).take();
        }
        if let Err(error) = outcome {
            return Err(fault::from_kafka(&doing, &error));
        }
        let Some(code) = call.first_error.get() else { return Ok(()) };
        let failed = call.failed.load(Ordering::Relaxed);
        Err(fault::explain(
            &doing,
            *code,
            &format!("{failed} of {} messages were not stored: {code}", messages.height()),
        ))
    }
}

fn bytes(messages: &DataFrame, name: &str) -> Result<BinaryChunked> {
    let column = messages.column(name)?.cast(&DataType::Binary)?;
    Ok(column.binary()?.clone())
}

fn send_all(
    sender: &Sender,
    topic: &str,
    keys: &BinaryChunked,
    values: &BinaryChunked,
    call: &Arc<Call>,
) -> Result<(), KafkaError> {
    for (key, value) in keys.iter().zip(values.iter()) {
        if call.is_over() {
            return Ok(());
        }
        let mut record: BaseRecord<'_, [u8], [u8], Arc<Call>> = BaseRecord::with_opaque_to(topic, call.clone());
        record.key = key;
        record.payload = value;
        call.open.fetch_add(1, Ordering::Relaxed);
        while let Err((error, refused)) = sender.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                call.report(None);
                return Err(error);
            }
            if call.is_over() {
                call.report(None);
                return Ok(());
            }
            // The producer's own thread empties the queue; a message stays in it two minutes at most.
            std::thread::sleep(QUEUE_FULL_PAUSE);
            record = refused;
        }
    }
    Ok(())
}
