//! Keeps the hourly table from decoded messages: each event counted once, whatever order, batches or workers.
//!
//! Delivery: hourly sums, unattributed sums, dead letters, event ids and positions are one transaction. Units of one result
//! table follow each other (the ledger's lock), so the ids read in a unit cannot be stale. Dead letters are also sent to the
//! dead-letter topic, in the unit where the store is the log too, else before the commit: after a crash one may be there
//! twice, with the same source and position.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::sink::Sink;
use headrace_core::store::{Store, Unit, claims_for, is_committed};
use headrace_core::{Claim, Counts, ErrorKind, Partition, Result, clock};
use headrace_transforms::civil;
use headrace_transforms::deduplicate::{Batch as IdBatch, Change, Verdict};
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};

use super::companies::Companies;
use super::message::{Decoded, place_id};
use super::schema::ResultSchema;
use super::seen_ids::SeenIds;
use super::{classes, dead_letter_message, event, hourly};

/// The sink of the clean step.
pub struct CleanSink {
    store: Arc<dyn Store>,
    schema: ResultSchema,
    companies: Companies,
    /// The topic, as dead letters name it.
    source: String,
    /// Where dead letters are sent besides their table.
    dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    /// The log the messages come from: positions in one log say nothing about another.
    log: String,
    /// By the ledger's names.
    claims: BTreeMap<Partition, Claim>,
    seen: SeenIds<0>,
    enriched: bool,
    pending: Option<(Reached, Counts)>,
}

impl CleanSink {
    /// Makes a sink into tables that exist.
    pub fn new(
        store: Arc<dyn Store>,
        schema: ResultSchema,
        companies: Companies,
        source: String,
        log: String,
        dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    ) -> Self {
        let (claims, seen) = (BTreeMap::new(), SeenIds::default());
        Self { store, schema, companies, source, dead_letter_topic, log, claims, seen, enriched: false, pending: None }
    }

    /// Brings stored rows in line with the dimension. Once at the start, then whenever the dimension was found changed.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn enrich(&mut self, claims: &[Claim]) -> Result<u64> {
        let rows = self.bring_in_line(claims).await;
        if rows.is_err() {
            // What was fetched has not reached the stored rows: the next try fetches and compares everything again.
            self.enriched = false;
            self.companies.expire();
        }
        rows
    }

    async fn bring_in_line(&mut self, claims: &[Claim]) -> Result<u64> {
        let changed = self.companies.fetch().await?;
        let jobs =
            if self.enriched { changed } else { self.companies.differing(&*self.store, &self.schema.result).await? };
        self.enriched = true;
        if jobs.is_empty() {
            return Ok(0);
        }
        let mut unit = self.store.begin(&self.schema.clean_scope(), claims).await?;
        let rows = self.companies.carry(&mut *unit, &self.schema.result, &jobs).await?;
        unit.commit(&Reached::new(), &Counts::default()).await?;
        self.seen.forget();
        tracing::info!("{rows} stored rows of {} jobs got another company", jobs.len());
        Ok(rows)
    }

    /// Writes one batch into a unit and counts what became of its messages.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn apply(&mut self, unit: &mut dyn Unit, decoded: &Decoded) -> Result<(Counts, Vec<Change<0>>)> {
        let batch = IdBatch::new(self.ids(decoded)?.into_iter().map(|id| (id, [])));
        let verdicts = self.seen.check(unit, &batch).await?;
        let is_new = verdicts.iter().map(|verdict| *verdict == Verdict::New);
        let mask: BooleanChunked = BooleanChunked::from_iter_values("new".into(), is_new);
        let events = decoded.events.filter(&mask)?;
        let classes = classes::count_events(&events)?;
        let mut counts = Counts {
            read: (decoded.ids.len() + decoded.rejected.len()) as u64,
            written: classes.counted(),
            duplicate: (decoded.ids.len() - events.height()) as u64,
            ignored: classes.unattributed() + classes.ignored(),
            ..Counts::default()
        };
        classes.add_to(&mut counts);
        self.write_results(unit, &events).await?;
        let letters = self.letters(decoded, &mut counts);
        if !letters.is_empty() {
            unit.upsert(&self.schema.dead_letters, &dead_letter::to_frame(&letters)?).await?;
            if let Some((log, topic)) = &self.dead_letter_topic {
                let messages = dead_letter_message::frame(&letters)?;
                // Where log and result are one place, a message sent beside the unit would wait for the unit to end.
                let same_place = self.store.name() == log.name();
                if !(same_place && unit.append(topic, &messages).await?) {
                    log.produce(topic, &messages).await?;
                }
            }
        }
        let changes = self.seen.write(unit, &batch, &verdicts).await?;
        Ok((counts, changes))
    }

    /// The ids of events; those of old producers, which send none, by their place in the topic.
    fn ids(&self, decoded: &Decoded) -> Result<Vec<[u8; 16]>> {
        let partitions = decoded.events.column(event::PARTITION)?.i32()?.into_no_null_iter();
        let times = decoded.events.column(event::TS)?.i64()?.into_no_null_iter();
        let places = partitions.zip(&decoded.offsets).zip(times);
        let id = |(id, ((partition, offset), ts)): (&Option<_>, ((i32, &i64), i64))| {
            id.unwrap_or_else(|| place_id(&self.source, partition, *offset, ts))
        };
        Ok(decoded.ids.iter().zip(places).map(id).collect())
    }

    async fn write_results(&self, unit: &mut dyn Unit, events: &DataFrame) -> Result<()> {
        let hourly = hourly::join_company(&hourly::hourly(events)?, self.companies.frame())?;
        if hourly.height() > 0 {
            unit.upsert(&self.schema.result, &with_parts(hourly)?).await?;
        }
        let unattributed = hourly::unattributed(events)?;
        if unattributed.height() > 0 {
            unit.upsert(&self.schema.unattributed, &unattributed).await?;
        }
        Ok(())
    }

    fn letters(&self, decoded: &Decoded, counts: &mut Counts) -> Vec<DeadLetter> {
        let failed_at_us = clock::now_us();
        decoded
            .rejected
            .iter()
            .map(|message| {
                counts.dead_lettered += 1;
                counts.class(message.reason.counter(), 1);
                DeadLetter {
                    source: self.source.clone(),
                    position: format!("{}-{}", message.partition, message.offset),
                    reason: message.reason.as_str().to_owned(),
                    detail: message.detail.clone(),
                    key: message.key.clone(),
                    raw: message.raw.clone(),
                    failed_at_us,
                    settled_at_us: None,
                    replays: 0,
                }
            })
            .collect()
    }

    /// Names the topic that the next messages come from.
    pub fn set_source(&mut self, source: String) {
        self.source = source;
    }

    /// Takes over the ids of a committed unit.
    pub fn committed(&mut self, changes: Vec<Change<0>>) {
        self.seen.committed(changes);
    }
}

/// The ledger's name of a topic's partition.
pub fn ledger_partition(log: &str, partition: &Partition) -> Partition {
    Partition(format!("{log} {partition}"))
}

/// Adds the columns that follow from the hour, and the constant one.
fn with_parts(mut hourly: DataFrame) -> Result<DataFrame> {
    let hours = hourly.column("ts")?.i64()?.clone();
    let dates: Vec<i64> = hours.into_no_null_iter().map(civil::days).collect();
    let of_day: Vec<i64> = hours.into_no_null_iter().map(|hour| i64::from(civil::hour_of_day(hour))).collect();
    let height = hourly.height();
    hourly.with_column(Series::new("dates".into(), dates).into())?;
    hourly.with_column(Series::new("hours".into(), of_day).into())?;
    hourly.with_column(Series::new("sources".into(), vec!["Cassandra"; height]).into())?;
    Ok(hourly)
}

#[async_trait]
impl Sink<Decoded> for CleanSink {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let names: Vec<Partition> = partitions.iter().map(|name| ledger_partition(&self.log, name)).collect();
        let claims = self.store.claim(&self.schema.clean_scope(), &names).await?;
        self.claims.extend(claims.iter().map(|claim| (claim.partition.clone(), claim.clone())));
        if self.companies.is_stale() {
            match self.enrich(&claims).await {
                // Taken over already: the first commit will tell, or the rebalance that is under way.
                Err(error) if error.kind() == ErrorKind::Fenced => tracing::debug!("not enriched: {error}"),
                other => drop(other?),
            }
        }
        let names: BTreeMap<Partition, &Partition> = names.into_iter().zip(partitions).collect();
        let bare = |claim: Claim| {
            let partition = names.get(&claim.partition).map_or(claim.partition, |name| (*name).clone());
            Claim { partition, ..claim }
        };
        Ok(claims.into_iter().map(bare).collect())
    }

    async fn idle(&mut self) -> Result<()> {
        if self.companies.is_stale() && !self.claims.is_empty() {
            let claims: Vec<Claim> = self.claims.values().take(1).cloned().collect();
            self.enrich(&claims).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, decoded: &Decoded, reached: &Reached) -> Result<Counts> {
        let reached: Reached =
            reached.iter().map(|(name, position)| (ledger_partition(&self.log, name), position.clone())).collect();
        let reached = &reached;
        let claims = claims_for(&self.claims, reached)?;
        if self.companies.is_stale() {
            self.enrich(&claims).await?;
        }
        let mut unit = self.store.begin(&self.schema.clean_scope(), &claims).await?;
        if let Some((pending, counts)) = self.pending.take()
            && pending == *reached
            && is_committed(&*unit, reached)
        {
            return Ok(counts);
        }
        let committed = match self.apply(&mut *unit, decoded).await {
            Ok((counts, changes)) => {
                self.pending = Some((reached.clone(), counts.clone()));
                unit.commit(reached, &counts).await.map(|()| (counts, changes))
            }
            Err(error) => Err(error),
        };
        match committed {
            Ok((counts, changes)) => {
                self.pending = None;
                self.committed(changes);
                Ok(counts)
            }
            Err(error) => {
                self.seen.forget();
                Err(error)
            }
        }
    }
}
