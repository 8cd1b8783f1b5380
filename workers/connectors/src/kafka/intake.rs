//! Messages taken from the library many at a time.
//!
//! The library's own poll gives one message a call and asks the clock for each. So partitions are forwarded to a queue of
//! the reader's own, from which one call takes hundreds; what concerns the group still comes by the consumer's queue.
//! This is the only place of this connector with `unsafe` code.
#![expect(unsafe_code, reason = "the safe crate has no call that takes more than one message")]

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use headrace_core::{Error, Result};
use rdkafka::bindings::{self, rd_kafka_timestamp_type_t as TimeKind};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr};

use super::context::Context;

/// A queue to which partitions of a topic are forwarded.
pub(super) struct Intake {
    queue: NonNull<RDKafkaQueue>,
    topic: CString,
    /// The client lives at least as long as its queue.
    consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: the library's queues may be used from any thread.
unsafe impl Send for Intake {}

impl Intake {
    /// An empty queue.
    pub(super) fn new(consumer: &Arc<BaseConsumer<Context>>, topic: &str) -> Result<Self> {
        let failed = |what: &str| Error::external(format!("cannot read topic {topic:?}"), what);
        let name = CString::new(topic).map_err(|_| failed("its name has a NUL"))?;
        // SAFETY: the client is alive; the queue is given back in `drop`.
        let queue = unsafe { bindings::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or_else(|| failed("the client gives no queue"))?;
        Ok(Self { queue, topic: name, consumer: consumer.clone() })
    }

    /// Lets what is read of a partition come by this queue. The library forgets it when it stops reading the partition.
    pub(super) fn forward(&self, partition: i32) {
        // SAFETY: the client and both queues are alive; the partition's handle is given back at once, and the library
        // keeps what it needs.
        unsafe {
            let client = self.consumer.client().native_ptr();
            let queue = bindings::rd_kafka_queue_get_partition(client, self.topic.as_ptr(), partition);
            if !queue.is_null() {
                bindings::rd_kafka_queue_forward(queue, self.queue.as_ptr());
                bindings::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Takes what is there, at most so many messages; waits for all of them, at most so long.
    pub(super) fn take(&self, most: usize, patience: Duration) -> Burst {
        let mut messages: Vec<*mut RDKafkaMessage> = Vec::with_capacity(most);
        let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: there is room for `most` pointers, and the library says how many of them it has written.
        unsafe {
            let taken = bindings::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                patience,
                messages.as_mut_ptr(),
                messages.capacity(),
            );
            messages.set_len(usize::try_from(taken).unwrap_or(0));
        }
        Burst { messages, at: 0, _consumer: self.consumer.clone() }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and given back only here, before the client.
        unsafe { bindings::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// Messages that were taken together, in their order.
pub(super) struct Burst {
    messages: Vec<*mut RDKafkaMessage>,
    /// How many were looked at.
    at: usize,
    _consumer: Arc<BaseConsumer<Context>>,
}

// SAFETY: the library's messages may be read and given back from any thread.
unsafe impl Send for Burst {}

impl Burst {
    /// Tells whether all were looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.messages.len()
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Option<Taken<'_>> {
        let message = *self.messages.get(self.at)?;
        self.at += 1;
        // SAFETY: the library gives no null pointers, and the message is given back when the burst is dropped, not before.
        Some(Taken { message: unsafe { &*message } })
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        for message in &self.messages {
            // SAFETY: taken from the queue, and given back only here.
            unsafe { bindings::rd_kafka_message_destroy(*message) };
        }
    }
}

/// A message, or what the library says in its place.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    message: &'a RDKafkaMessage,
}

impl<'a> Taken<'a> {
    /// What it says instead of a message, and the library's words.
    pub(super) fn trouble(&self) -> Option<(RDKafkaErrorCode, String)> {
        if self.message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the message is alive, and the text lives as long as it.
        let words = unsafe {
            let words = bindings::rd_kafka_message_errstr(self.message);
            if words.is_null() { String::new() } else { CStr::from_ptr(words).to_string_lossy().into_owned() }
        };
        Some((self.message.err.into(), words))
    }

    /// Its partition.
    pub(super) fn partition(&self) -> i32 {
        self.message.partition
    }

    /// Its place in the partition.
    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// Its key.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: the library says where the key is and how long; it lives as long as the message.
        unsafe { bytes(self.message.key.cast(), self.message.key_len) }
    }

    /// Its value.
    pub(super) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.message.payload.cast(), self.message.len) }
    }

    /// Its time, in milliseconds since 1970.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = TimeKind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and so is the place for the kind.
        let time = unsafe { bindings::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (time != -1 && kind != TimeKind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(time)
    }
}

/// # Safety
/// `start` is null, or the beginning of so many bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}
