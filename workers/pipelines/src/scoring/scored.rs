//! The pure half of scoring: raw messages in, scored registrations and refused messages out.
//!
//! The same message always gives the same numbers under the same model. Ordering: that of the messages. Memory: one batch.

use std::sync::Arc;

use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, TIMESTAMP, VALUE};
use headrace_core::{Error, Result};
use polars::prelude::DataFrame;
use xxhash_rust::xxh3::xxh3_64;

use super::model::Model;
use super::offer::Scores;
use super::registration::{self, OLDEST, Refusal, Registration};
use super::shadow::Differences;
use crate::dead_letters::message_letter::MessageLetter;

/// A registration with its scores and its place in the topic.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredRegistration {
    /// The registration.
    pub registration: Registration,
    /// What the model makes of it.
    pub scores: Scores,
    /// Whether training never saw one of its categories.
    pub unseen: bool,
    /// The partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The hash of the message's value, by which repeated ones are known.
    pub hash: u64,
}

impl ScoredRegistration {
    /// The version of the offer: the greatest wins.
    pub fn version(&self) -> i64 {
        self.registration.version(self.offset)
    }

    /// Whether the age was above those the model knows.
    pub fn is_clipped(&self) -> bool {
        i64::from(self.registration.child_age) > OLDEST
    }
}

/// A refused message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedMessage {
    /// The partition it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value as it came.
    pub raw: Option<Vec<u8>>,
    /// Why it was refused.
    pub refusal: Refusal,
}

impl RefusedMessage {
    /// As a dead letter of a topic.
    pub(super) fn letter<'a>(&'a self, topic: &'a str) -> MessageLetter<'a> {
        MessageLetter {
            topic,
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_deref(),
            raw: self.raw.as_deref(),
            reason: self.refusal.reason,
            detail: &self.refusal.detail,
        }
    }
}

/// What became of a batch of messages.
pub struct ScoredBatch {
    /// The valid registrations, in message order; repeated ones are still among them.
    pub scored: Vec<ScoredRegistration>,
    /// The refused messages, in message order.
    pub refused: Vec<RefusedMessage>,
    /// The model that scored all of them.
    pub model: Arc<dyn Model>,
    /// How another model's scores differ, where one runs in the shadow.
    pub shadow: Option<Differences>,
}

/// Reads and scores a frame of raw messages.
///
/// # Errors
/// When a column of the frame is missing or of another type, or the model cannot be computed.
pub fn score(frame: &DataFrame, model: Arc<dyn Model>, shadow: Option<&dyn Model>) -> Result<ScoredBatch> {
    let keys = frame.column(KEY)?.binary()?.iter();
    let values = frame.column(VALUE)?.binary()?.iter();
    let partitions = frame.column(PARTITION)?.i32()?.iter();
    let offsets = frame.column(OFFSET)?.i64()?.iter();
    let times = frame.column(TIMESTAMP)?.i64()?.iter();
    let mut registrations = Vec::with_capacity(frame.height());
    let mut places = Vec::with_capacity(frame.height());
    let mut refused = Vec::new();
    for (((key, raw), (partition, offset)), time) in keys.zip(values).zip(partitions.zip(offsets)).zip(times) {
        let (partition, offset) = (partition.unwrap_or_default(), offset.unwrap_or_default());
        match registration::read(raw, time.unwrap_or_default()) {
            Ok(registration) => {
                registrations.push(registration);
                places.push((partition, offset, xxh3_64(raw.unwrap_or_default())));
            }
            Err(refusal) => {
                let (key, raw) = (key.map(<[u8]>::to_vec), raw.map(<[u8]>::to_vec));
                refused.push(RefusedMessage { partition, offset, key, raw, refusal });
            }
        }
    }
    let results = scores(&*model, &registrations)?;
    let shadow = match shadow {
        Some(candidate) => {
            Some(Differences::between(&results, &scores(candidate, &registrations)?, candidate.version()))
        }
        None => None,
    };
    let scored = registrations
        .into_iter()
        .zip(results)
        .zip(places)
        .map(|((registration, (scores, unseen)), (partition, offset, hash))| ScoredRegistration {
            registration,
            scores,
            unseen,
            partition,
            offset,
            hash,
        })
        .collect();
    Ok(ScoredBatch { scored, refused, model, shadow })
}

/// Scores, and makes sure that there is one finite result for each registration.
fn scores(model: &dyn Model, registrations: &[Registration]) -> Result<Vec<(Scores, bool)>> {
    let results = model.score(registrations)?;
    if results.len() != registrations.len() {
        let (have, want) = (results.len(), registrations.len());
        return Err(Error::data(format!("model {} gave {have} results for {want} registrations", model.version())));
    }
    if results.iter().any(|(scores, _)| scores.0.iter().any(|score| !score.is_finite())) {
        return Err(Error::data(format!("model {} gave a score that is no number", model.version())));
    }
    Ok(results)
}
