//! Keeps the hourly table from decoded messages: each event counted once, whatever order, batches or workers.
//!
//! Delivery: hourly sums, unattributed sums, dead letters, event ids and positions are one transaction. Units of one result
//! table follow each other (the ledger's lock), so the ids read in a unit cannot be stale. Dead letters are also sent to the
//! dead-letter topic, in the unit where the store is the log too, else before the commit: after a crash one may be there
//! twice, with the same source and position.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::{Claim, Counts, Partition, Result};
use headrace_transforms::civil;
use headrace_transforms::deduplicate::{Batch as IdBatch, Change, Verdict};
use polars::prelude::{BooleanChunked, DataFrame, NamedFrom, NewChunkedArray, Series};

use super::companies::Companies;
use super::message::{Decoded, RejectedMessage, place_id};
use super::schema::ResultSchema;
use super::seen_ids::SeenIds;
use super::{classes, event, hourly};
use crate::dead_letters::message as dead_letter_message;

/// Ids kept in memory between batches: some 800,000. Messages come about in order of time, and hours that have passed are not
/// asked for again; where they come in any order, a batch asks for all hours, and those of a batch stay.
const SEEN_BYTES: usize = 12 << 20;

/// What the clean step does with a batch of messages.
pub struct CleanWork {
    store: Arc<dyn Store>,
    schema: ResultSchema,
    companies: Companies,
    /// The topic, as dead letters name it.
    source: String,
    /// Where dead letters are sent besides their table.
    dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    /// The log the messages come from: positions in one log say nothing about another.
    log: String,
    seen: SeenIds<0>,
    enriched: bool,
}

impl CleanWork {
    /// Cleans into tables that exist.
    pub fn new(
        store: Arc<dyn Store>,
        schema: ResultSchema,
        companies: Companies,
        source: String,
        log: String,
        dead_letter_topic: Option<(Arc<dyn Log>, String)>,
    ) -> Self {
        let seen = SeenIds::with_budget(SEEN_BYTES);
        Self { store, schema, companies, source, dead_letter_topic, log, seen, enriched: false }
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
        dead_letter::write(unit, &self.schema.dead_letters, &letters).await?;
        if let Some((log, topic)) = self.dead_letter_topic.as_ref().filter(|_| !letters.is_empty()) {
            let messages = dead_letter_message::frame(&letters)?;
            // Where log and result are one place, a message sent beside the unit would wait for the unit to end.
            let same_place = self.store.name() == log.name();
            if !(same_place && unit.append(topic, &messages).await?) {
                log.produce(topic, &messages).await?;
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
        let letter = |message: &RejectedMessage| {
            counts.dead_lettered += 1;
            counts.class(message.reason.counter(), 1);
            let place = format!("{}-{}", message.partition, message.offset);
            let (reason, detail) = (message.reason.as_str(), message.detail.clone());
            let letter = DeadLetter::refused(&self.source, place, reason, detail, message.raw.clone());
            DeadLetter { key: message.key.clone(), ..letter }
        };
        decoded.rejected.iter().map(letter).collect()
    }

    /// Names the topic that the next messages come from.
    pub fn set_source(&mut self, source: String) {
        self.source = source;
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
impl UnitWork<Decoded> for CleanWork {
    type Changes = Vec<Change<0>>;

    fn scope(&self) -> String {
        self.schema.clean_scope()
    }

    async fn write(&mut self, unit: &mut dyn Unit, decoded: &Decoded, _: &Reached) -> Result<(Counts, Self::Changes)> {
        self.apply(unit, decoded).await
    }

    fn committed(&mut self, changes: Self::Changes) {
        self.seen.committed(changes);
    }

    fn forget(&mut self) {
        self.seen.forget();
    }

    fn ledger_name(&self, partition: &Partition) -> Partition {
        ledger_partition(&self.log, partition)
    }

    async fn prepare(&mut self, claims: &[Claim]) -> Result<()> {
        if self.companies.is_stale() {
            self.enrich(claims).await?;
        }
        Ok(())
    }
}
