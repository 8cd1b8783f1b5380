//! Writes scored registrations: history, offers, cache, dead letters; each registration once in effect, whatever order, batches or
//! workers.
//!
//! Delivery: the hashes of accepted values, the versions of offers, counters, dead letters and positions are one transaction of the
//! ledger. History and offers are written before it, then the cache; where they are in the ledger's own store they are part of it.
//! After a crash in between the same rows are written again, with the same versions. Units of one table follow each other (the
//! ledger's lock), so the state read in a unit cannot be stale. Dead letters are also sent to the dead-letter topic: after a crash
//! one may be there twice, with the same partition and offset. How often each category and score occurred is added to the profile
//! every few seconds; what a killed worker had not added yet is missing there, and only there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::store::Unit;
use headrace_core::{Counts, Partition, Result, clock, failpoint, failpoint::Point};
use xxhash_rust::xxh3::Xxh3;

use super::classify::{Classified, classify};
use super::early_cache::KnownValues;
use super::frames::{self, Offer};
use super::offer_versions::{self, OfferVersions};
use super::profile::{self, Profile};
use super::scored::{RefusedMessage, ScoredBatch, ScoredRegistration};
use super::seen_values::{self, SeenValues};
use super::shadow::Differences;
use super::targets::{Target, Targets};
use crate::dead_letters::message_letter;

/// How often the profile is written while a topic is followed.
const PROFILE_EVERY: Duration = Duration::from_secs(5);

/// What the score step does with a batch of messages.
pub struct ScoreWork {
    targets: Targets,
    /// The topic, as dead letters name it.
    topic: String,
    /// The log the messages come from, by its name: positions in one log say nothing about another.
    log: String,
    /// Where dead letters are sent besides their table.
    dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    seen: SeenValues,
    versions: OfferVersions,
    /// What the shadow model did in committed batches.
    shadow: Arc<Mutex<Option<Differences>>>,
    /// What committed batches were made of and is not in the table yet.
    profile: Profile,
    profile_written: Instant,
    profile_every: Duration,
    /// Where offers are in the cache before their commit: the values that are known there.
    known: Option<Arc<KnownValues>>,
}

/// What a unit changes.
pub struct Changes {
    seen: seen_values::Change,
    versions: Vec<offer_versions::Change>,
    shadow: Option<Differences>,
    /// What the batch was made of; none where the unit has written it, with all that was waiting.
    profile: Option<Profile>,
}

/// What a batch became.
pub(super) struct Applied {
    pub(super) counts: Counts,
    pub(super) changes: Changes,
}

impl ScoreWork {
    /// Scores into tables that exist.
    pub fn new(
        targets: Targets,
        topic: String,
        log: String,
        dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    ) -> Self {
        Self {
            targets,
            topic,
            log,
            dead_letter_topic,
            seen: SeenValues::default(),
            versions: OfferVersions::default(),
            shadow: Arc::default(),
            profile: Profile::default(),
            profile_written: Instant::now(),
            profile_every: Duration::ZERO,
            known: None,
        }
    }

    /// Follows the topic: many small batches come, and the profile is not written with each.
    #[must_use]
    pub fn following(self) -> Self {
        Self { profile_every: PROFILE_EVERY, ..self }
    }

    /// Tells what was committed to whoever writes the cache before commits.
    #[must_use]
    pub fn with_known_values(self, known: Arc<KnownValues>) -> Self {
        Self { known: Some(known), ..self }
    }

    /// Names the topic that the next registrations come from.
    pub(super) fn set_topic(&mut self, topic: String) {
        self.topic = topic;
    }

    /// Writes what a batch's registrations become; not its refused messages.
    pub(super) async fn apply(&mut self, unit: &mut dyn Unit, batch: &ScoredBatch) -> Result<Applied> {
        self.seen.look(unit).await?;
        if let Some(known) = &self.known {
            known.committed(&self.seen);
        }
        self.versions.look(unit, batch.scored.iter().map(|row| row.registration.user_id)).await?;
        let classified = classify(batch, |hash| self.seen.contains(hash), |user_id| self.versions.of(user_id));
        self.write_offers(unit, &classified, batch.model.version()).await?;
        let mut made_of = Profile::of(&*batch.model, &classified.accepted);
        let is_due = self.profile_written.elapsed() >= self.profile_every;
        if is_due {
            made_of.add(&self.profile);
            profile::write(unit, &self.targets.schema.profile, &made_of, clock::now_us()).await?;
        }
        let changed = classified.offers.iter().map(|row| (row.registration.user_id, row.version()));
        let changes = Changes {
            seen: self.seen.write(unit, classified.accepted.iter().map(|row| row.hash).collect()).await?,
            versions: self.versions.write(unit, changed).await?,
            shadow: batch.shadow.clone(),
            profile: (!is_due).then_some(made_of),
        };
        Ok(Applied { counts: classified.counts, changes })
    }

    /// What the shadow model did so far; none where none ran.
    pub fn shadow(&self) -> Arc<Mutex<Option<Differences>>> {
        self.shadow.clone()
    }

    async fn write_offers(&self, unit: &mut dyn Unit, classified: &Classified<'_>, model_version: &str) -> Result<()> {
        if classified.accepted.is_empty() {
            return Ok(());
        }
        let now_us = clock::now_us();
        let schema = &self.targets.schema;
        let history = frames::history(&classified.accepted, model_version, now_us)?;
        let offers: Vec<Offer> = classified.offers.iter().map(|row| Offer::of(row, model_version)).collect();
        let (rows, inputs) = (frames::offers(&offers)?, frames::registrations(&classified.offers)?);
        let accepted_token = token(&classified.accepted, model_version);
        let offers_token = token(&classified.offers, model_version);
        let tables = [
            (&schema.history, &history, &accepted_token),
            (&schema.offers, &rows, &offers_token),
            (&schema.registrations, &inputs, &offers_token),
        ];
        match &self.targets.offers {
            Target::Own(_) => {
                for (table, frame, _) in tables {
                    unit.upsert(table, frame).await?;
                    failpoint::after(Point::Write)?;
                }
            }
            // Side by side: each of them waits for a server.
            Target::Apart(store) => {
                let writes = tables.map(|(table, frame, token)| async move {
                    if frame.height() > 0 {
                        store.write(table, frame, token).await?;
                    }
                    failpoint::after(Point::Write)
                });
                futures::future::try_join_all(writes).await?;
            }
        }
        if !offers.is_empty() {
            let cached = frames::cache(&offers, now_us)?;
            self.targets.cache.write(unit, &self.targets.cache_table, &cached, &offers_token).await?;
        }
        failpoint::after(Point::Write)
    }

    async fn write_dead_letters(&self, unit: &mut dyn Unit, refused: &[RefusedMessage]) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let letters: Vec<DeadLetter> = refused.iter().map(|message| self.letter(message)).collect();
        dead_letter::write(unit, &self.targets.schema.dead_letters, &letters).await?;
        let Some((log, topic)) = &self.dead_letter_topic else { return Ok(()) };
        let refused = refused.iter().map(|message| message.letter(&self.topic));
        let messages = message_letter::frame(refused, letters[0].failed_at_us)?;
        // Where log and ledger are one place, a message sent beside the unit would wait for the unit to end.
        let same_place = self.targets.ledger.name() == log.name();
        if !(same_place && unit.append(topic, &messages).await?) {
            log.produce(topic, &messages).await?;
        }
        Ok(())
    }

    fn letter(&self, message: &RefusedMessage) -> DeadLetter {
        let place = format!("{}-{}", message.partition, message.offset);
        let detail = message.refusal.detail.clone();
        let letter = DeadLetter::refused(&self.topic, place, message.refusal.reason, detail, message.raw.clone());
        DeadLetter { key: message.key.clone(), ..letter }
    }
}

/// Names a block of rows by what is in it: the same rows scored by the same model, written again, are the same block.
fn token(rows: &[&ScoredRegistration], model_version: &str) -> String {
    let mut hash = Xxh3::new();
    hash.update(model_version.as_bytes());
    for row in rows {
        hash.update(&row.partition.to_le_bytes());
        hash.update(&row.offset.to_le_bytes());
        hash.update(&row.hash.to_le_bytes());
        hash.update(&row.version().to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

#[async_trait]
impl UnitWork<ScoredBatch> for ScoreWork {
    type Changes = Changes;

    fn scope(&self) -> String {
        self.targets.scope()
    }

    async fn write(&mut self, unit: &mut dyn Unit, batch: &ScoredBatch, _: &Reached) -> Result<(Counts, Changes)> {
        let Applied { counts, changes } = self.apply(unit, batch).await?;
        self.write_dead_letters(unit, &batch.refused).await?;
        Ok((counts, changes))
    }

    fn committed(&mut self, changes: Changes) {
        self.seen.committed(changes.seen);
        self.versions.committed(changes.versions);
        match changes.profile {
            Some(made_of) => self.profile.add(&made_of),
            None => (self.profile, self.profile_written) = (Profile::default(), Instant::now()),
        }
        if let Some(differences) = changes.shadow {
            let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
            shadow.get_or_insert_default().add(&differences);
        }
    }

    fn forget(&mut self) {
        self.seen.forget();
        self.versions.forget();
    }

    fn ledger_name(&self, partition: &Partition) -> Partition {
        Partition(format!("{} {partition}", self.log))
    }

    /// It reads state, and other workers may write the same users' rows.
    fn takes_turns(&self) -> bool {
        true
    }
}
