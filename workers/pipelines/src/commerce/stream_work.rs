//! What the stream step does with a batch of checked events: each counted once, whatever order, batches or workers.
//!
//! Delivery: ids, state, tables, counters, dead letters, rows for the archive and positions are one unit of the ledger. Dead letters
//! and alerts are messages too: in the unit where the log is the ledger's store, else sent before the commit.
//! Ordering: units of one scope follow each other, so state read in a unit is never stale. Memory: the batch, the state of its keys,
//! and the indexes of ids and keys ([`IdIndex`], [`KeyedPages`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::keyed::Keyed;
use headrace_core::ledger_sink::UnitWork;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::table::{Table, Value};
use headrace_core::{Claim, Counts, Partition, Result, clock};
use headrace_transforms::civil::SECOND_US;
use headrace_transforms::ids::Verdict;
use headrace_transforms::window::Window;
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray};

use super::accept::{Accepted, accept};
use super::archive::Archive;
use super::decode::{Decoded, Refused, texts};
use super::funnel::{self, FunnelRows, Grouped};
use super::keeps::Keeps;
use super::quality::Quality;
use super::schema::{ABANDONED_TOPIC, DEAD_LETTER_TOPIC, PEAKS_TOPIC, Schema};
use super::stream_state::{Judgement, Metric, StreamState};
use super::sums::{Sums, ints, names};
use super::{alerts, peaks, timers};
use crate::dead_letters::message_letter;
use crate::id_index::{self, IdIndex};
use crate::keyed_pages::{self, KeyedPages};

/// Memory for blocks of ids.
const ID_BYTES: usize = 24 << 20;
/// Memory for the index of the funnel's keys, and for their values.
const FUNNEL_BYTES: [usize; 2] = [24 << 20, 32 << 20];
/// How long ids are remembered behind the newest event time: longer than an event may be late.
pub(super) const ID_HORIZON: Duration = Duration::from_secs(25 * 3_600);
/// The state space of the stream's own blob.
pub const SPACE: &str = "stream";

/// Where messages about events go.
#[derive(Clone)]
pub struct Messages {
    log: Arc<dyn Log>,
    /// What stands before the names of topics.
    prefix: String,
    /// The log is the ledger's store.
    same_place: bool,
}

impl Messages {
    /// To the topics of a log.
    pub fn new(log: Arc<dyn Log>, prefix: String, store: &dyn Store) -> Self {
        let same_place = log.name() == store.name();
        Self { log, prefix, same_place }
    }

    /// Sends messages, in the unit if that can be.
    ///
    /// # Errors
    /// When the log fails.
    pub async fn send(&self, unit: &mut dyn Unit, topic: &str, messages: &DataFrame) -> Result<()> {
        if messages.height() == 0 {
            return Ok(());
        }
        let topic = format!("{}{topic}", self.prefix);
        if !(self.same_place && unit.append(&topic, messages).await?) {
            self.log.produce(&topic, messages).await?;
        }
        Ok(())
    }
}

/// What the stream step does with its batches.
pub struct StreamWork {
    store: Arc<dyn Store>,
    pub(super) schema: Schema,
    keeps: Option<Keeps>,
    /// The log the events come from: positions in one log say nothing about another.
    log: String,
    messages: Option<Messages>,
    archive: Option<Archive>,
    pub(super) ids: IdIndex,
    pub(super) funnel: KeyedPages,
    /// The partitions this worker has claimed, and when.
    claimed: BTreeMap<String, i64>,
    /// Whether partitions may be idle for a reason other than this worker's start.
    resumed: bool,
}

/// What has to be remembered of a committed unit.
pub struct Changes {
    pub(super) ids: id_index::Changes,
    pub(super) funnel: Option<keyed_pages::Changes>,
}

impl StreamWork {
    /// Works into tables that exist.
    pub fn new(
        store: Arc<dyn Store>,
        schema: Schema,
        log: String,
        messages: Option<Messages>,
        archive: Option<Archive>,
    ) -> Self {
        let ids = IdIndex::new("ids", ID_BYTES, ID_HORIZON);
        let (funnel, claimed) = (funnel_state(), BTreeMap::new());
        Self { store, schema, log, messages, archive, ids, funnel, claimed, resumed: false, keeps: None }
    }

    /// Begins to keep this where a stream begins, and refuses one that keeps something else.
    pub fn keeping(mut self, keeps: Keeps) -> Self {
        self.keeps = Some(keeps);
        self
    }

    async fn apply(&mut self, unit: &mut dyn Unit, decoded: &Decoded) -> Result<(Counts, Changes)> {
        let now_us = clock::now_us();
        let (state, mut stream) = read_stream(unit).await?;
        stream.keep(self.keeps.or(stream.keeps()).unwrap_or_default())?;
        if !self.resumed {
            stream.resume(now_us);
        }
        self.claimed.iter().for_each(|(partition, since_us)| stream.expect(partition, *since_us));
        let verdicts = self.ids.check(unit, &decoded.ids).await?;
        let accepted = accept(decoded, &verdicts)?;
        let judgement = stream.judge(decoded, &accepted.rows, now_us)?;
        self.write_sums(unit, decoded, &judgement, &stream).await?;
        let woken = timers::ring(unit, &mut stream, timers::Until::Passed).await?;
        let (rows, funnel) = self.join(unit, decoded, &judgement, &mut stream, woken).await?;
        let quality = Quality::of(decoded, &accepted, &judgement, rows.pairs.len())?;
        upsert(unit, &self.schema.quality_per_minute, &quality.rows()?).await?;
        self.write_late(unit, decoded, &judgement).await?;
        self.send(unit, ABANDONED_TOPIC, &alerts::abandoned(&rows.abandoned)?).await?;
        self.write_dead_letters(unit, decoded, &accepted, now_us).await?;
        let ids = self.keep(unit, decoded, &accepted, &verdicts, &stream, now_us).await?;
        state.write(unit, vec![(0, Some(stream.to_bytes()))]).await?;
        Ok((quality.counts, Changes { ids, funnel }))
    }

    /// Joins a batch's events, and those of keys that were woken, if the stream keeps what comes of it.
    pub(super) async fn join(
        &mut self,
        unit: &mut dyn Unit,
        decoded: &Decoded,
        judgement: &Judgement,
        stream: &mut StreamState,
        woken: timers::Woken,
    ) -> Result<(FunnelRows, Option<keyed_pages::Changes>)> {
        if stream.keeps() == Some(Keeps::Sales) {
            return Ok((FunnelRows::default(), None));
        }
        let (schema, keyed) = (&self.schema, &mut self.funnel);
        let (rows, changes) = join(unit, schema, decoded, judgement, stream, keyed, woken).await?;
        Ok((rows, Some(changes)))
    }

    /// Keeps a batch's new events for the archive, and their ids.
    pub(super) async fn keep(
        &mut self,
        unit: &mut dyn Unit,
        decoded: &Decoded,
        accepted: &Accepted,
        verdicts: &[Verdict],
        stream: &StreamState,
        now_us: i64,
    ) -> Result<id_index::Changes> {
        if let Some(archive) = &mut self.archive {
            let mut is_new = vec![false; decoded.kinds.len()];
            accepted.rows.iter().for_each(|row| is_new[*row] = true);
            let mask = BooleanChunked::from_slice("new".into(), &is_new);
            archive.keep(unit, &decoded.rows.filter(&mask)?, now_us).await?;
        }
        let newest = stream.newest_us().map_or(i64::MIN, |newest| newest.div_euclid(SECOND_US));
        self.ids.write(unit, &decoded.ids, verdicts, newest).await
    }

    pub(super) async fn write_sums(
        &self,
        unit: &mut dyn Unit,
        decoded: &Decoded,
        judgement: &Judgement,
        stream: &StreamState,
    ) -> Result<()> {
        let (schema, sums) = (&self.schema, Sums::of(decoded, judgement, stream.keeps().unwrap_or_default())?);
        let watermark = stream.sales_watermark();
        // Before the sums, which know what is closed: not every store can ask for rows that a unit has changed.
        let closed: Vec<Window> = judgement.closings.iter().map(|(window, _)| *window).collect();
        close_minutes(unit, schema, &closed).await?;
        upsert(unit, &schema.sales_per_minute, &sums.sales_per_minute(watermark)?).await?;
        upsert(unit, &schema.sales_by_product, &sums.sales_by_product(watermark)?).await?;
        upsert(unit, &schema.orders_avg_ticket, &sums.tickets()?).await?;
        upsert(unit, &schema.views_by_category, &sums.views_by_category()?).await?;
        upsert(unit, &schema.views_by_product, &sums.views_by_product()?).await?;
        upsert(unit, &schema.activity_per_minute, &sums.activity()?).await?;
        upsert(unit, &schema.window_closings, &closings(decoded, judgement)?).await?;
        let peaks = peaks::update(unit, &sums, &closed, stream.first_minute_us).await?;
        upsert(unit, &schema.demand_peaks, &peaks::frame(&peaks)?).await?;
        self.send(unit, PEAKS_TOPIC, &alerts::peaks(&peaks)?).await
    }

    pub(super) async fn write_late(&self, unit: &mut dyn Unit, decoded: &Decoded, judgement: &Judgement) -> Result<()> {
        let (rows, late) = (&decoded.rows, &judgement.late);
        let (topics, ids) = (texts(rows, "topic")?, texts(rows, "event_id")?);
        let (partitions, offsets) = (rows.column("partition")?.i32()?, rows.column("offset")?.i64()?);
        let times = rows.column("timestamp")?.i64()?;
        let columns = vec![
            names("topic", late.iter().map(|(row, ..)| topics.get(*row).unwrap_or_default())),
            ints("partition_number", late.iter().map(|(row, ..)| partitions.get(*row).map_or(0, i64::from))),
            ints("record_offset", late.iter().map(|(row, ..)| offsets.get(*row).unwrap_or_default())),
            names("metric", late.iter().map(|(_, metric, _): &(_, Metric, _)| metric.as_str())),
            names("event_id", late.iter().map(|(row, ..)| ids.get(*row).unwrap_or_default())),
            ints("timestamp", late.iter().map(|(row, ..)| times.get(*row).unwrap_or_default())),
            ints("watermark", late.iter().map(|(.., watermark)| *watermark)),
        ];
        upsert(unit, &self.schema.late_events, &DataFrame::new(late.len(), columns)?).await
    }

    async fn write_dead_letters(
        &self,
        unit: &mut dyn Unit,
        decoded: &Decoded,
        accepted: &Accepted,
        now_us: i64,
    ) -> Result<()> {
        let refused = || decoded.refused.iter().chain(&accepted.conflicting);
        let letters: Vec<DeadLetter> = refused().map(|event| letter(event, now_us)).collect();
        dead_letter::write(unit, &self.schema.dead_letters, &letters).await?;
        let arrivals: Vec<i64> = refused().map(|event| event.arrival_us).collect();
        upsert(unit, &self.schema.dead_letter_arrivals, &arrival_rows(&letters, arrivals)?).await?;
        self.send(unit, DEAD_LETTER_TOPIC, &message_letter::frame(refused().map(Refused::letter), now_us)?).await
    }

    async fn send(&self, unit: &mut dyn Unit, topic: &str, messages: &DataFrame) -> Result<()> {
        match &self.messages {
            Some(to) => to.send(unit, topic, messages).await,
            None => Ok(()),
        }
    }
}

fn letter(event: &Refused, now_us: i64) -> DeadLetter {
    let place = format!("{}-{}", event.place.partition, event.place.offset);
    let (reason, detail) = (event.refusal.reason.as_str(), event.refusal.detail.clone());
    let letter = DeadLetter::refused(&event.place.topic, place, reason, detail, event.raw.clone());
    DeadLetter { key: event.key.clone(), failed_at_us: now_us, ..letter }
}

fn arrival_rows(letters: &[DeadLetter], arrivals_us: Vec<i64>) -> Result<DataFrame> {
    let columns = vec![
        names("source", letters.iter().map(|letter| letter.source.as_str())),
        names("position", letters.iter().map(|letter| letter.position.as_str())),
        ints("arrived_at", arrivals_us.into_iter()),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}

/// Reads the state of the stream as of a unit, with what it is written through again.
///
/// # Errors
/// When the store fails, or what is stored is damaged.
pub(super) async fn read_stream(unit: &mut dyn Unit) -> Result<(Keyed, StreamState)> {
    let state = Keyed::read(unit, SPACE, [0]).await?;
    let stream = state.get(0).map(StreamState::from_bytes).transpose()?.unwrap_or_default();
    Ok((state, stream))
}

/// Upserts rows, if there are any.
///
/// # Errors
/// When the store fails.
pub async fn upsert(unit: &mut dyn Unit, table: &Table, rows: &DataFrame) -> Result<()> {
    if rows.height() > 0 { unit.upsert(table, rows).await } else { Ok(()) }
}

/// Marks stored rows of closed minutes as final.
///
/// # Errors
/// When the store fails.
pub async fn close_minutes(unit: &mut dyn Unit, schema: &Schema, closed: &[Window]) -> Result<()> {
    for window in closed {
        for table in [&schema.sales_per_minute, &schema.sales_by_product] {
            unit.update(table, ("final", Value::Int(1)), ("window_start", Value::Int(window.start_us))).await?;
        }
    }
    Ok(())
}

fn closings(decoded: &Decoded, judgement: &Judgement) -> Result<DataFrame> {
    let (rows, closings) = (&decoded.rows, &judgement.closings);
    let topics = texts(rows, "topic")?;
    let (partitions, offsets) = (rows.column("partition")?.i32()?, rows.column("offset")?.i64()?);
    let columns = vec![
        ints("window_start", closings.iter().map(|(window, _)| window.start_us)),
        ints("window_end", closings.iter().map(|(window, _)| window.end_us)),
        names("topic", closings.iter().map(|(_, row)| topics.get(*row).unwrap_or_default())),
        ints("partition_number", closings.iter().map(|(_, row)| partitions.get(*row).map_or(0, i64::from))),
        ints("record_offset", closings.iter().map(|(_, row)| offsets.get(*row).unwrap_or_default())),
    ];
    Ok(DataFrame::new(closings.len(), columns)?)
}

/// The state of the funnel, of which nothing is in memory yet.
pub fn funnel_state() -> KeyedPages {
    let [index, pages] = FUNNEL_BYTES;
    KeyedPages::new(funnel::STATE, index, pages)
}

/// Joins a batch's events, and those of keys that were woken, and writes what changes.
///
/// # Errors
/// When the store fails, or what is stored is damaged.
pub async fn join(
    unit: &mut dyn Unit,
    schema: &Schema,
    decoded: &Decoded,
    judgement: &Judgement,
    stream: &mut StreamState,
    keyed: &mut KeyedPages,
    woken: timers::Woken,
) -> Result<(FunnelRows, keyed_pages::Changes)> {
    let mut grouped = Grouped::of(decoded, judgement)?;
    grouped.wake(woken.keys);
    let values = keyed.read(unit, grouped.keys()).await?;
    let changes = funnel::apply(&values, &grouped, decoded, judgement, woken.watermark, &woken.minutes)?;
    timers::set(unit, stream, changes.timers).await?;
    let (time, needed) = (stream.latest_seconds(), stream.join_needs_seconds());
    let written = keyed.write(unit, &values, changes.values, time, needed).await?;
    let rows = changes.rows;
    upsert(unit, &schema.funnel, &rows.funnel()?).await?;
    upsert(unit, &schema.conversion_pairs, &rows.pairs()?).await?;
    if !rows.unattributed.is_empty() {
        unit.delete(&schema.conversion_attributed, &rows.unattributed()?).await?;
    }
    upsert(unit, &schema.conversion_attributed, &rows.attributed()?).await?;
    upsert(unit, &schema.abandoned_carts, &rows.abandoned()?).await?;
    Ok((rows, written))
}

#[async_trait]
impl UnitWork<Decoded> for StreamWork {
    type Changes = Changes;

    fn scope(&self) -> String {
        self.schema.scope()
    }

    async fn write(&mut self, unit: &mut dyn Unit, decoded: &Decoded, _: &Reached) -> Result<(Counts, Changes)> {
        self.apply(unit, decoded).await
    }

    fn committed(&mut self, changes: Changes) {
        self.resumed = true;
        self.ids.committed(changes.ids);
        changes.funnel.into_iter().for_each(|changes| self.funnel.committed(changes));
    }

    fn forget(&mut self) {
        self.ids.forget();
        self.funnel.forget();
    }

    fn ledger_name(&self, partition: &Partition) -> Partition {
        Partition(format!("{} {partition}", self.log))
    }

    fn takes_turns(&self) -> bool {
        true
    }

    /// Brings what is due to the archive.
    async fn prepare(&mut self, claims: &[Claim]) -> Result<()> {
        for claim in claims {
            if let Some(partition) = claim.partition.0.strip_prefix(&self.log)
                && !self.claimed.contains_key(partition.trim_start())
            {
                self.claimed.insert(partition.trim_start().to_owned(), clock::now_us());
            }
        }
        match &mut self.archive {
            Some(archive) => archive.carry_out(&*self.store, &self.schema.scope()).await,
            None => Ok(()),
        }
    }
}
