//! Reads raw rows that are not published yet, in time order: hour by hour from the by-hour table.
//!
//! Incremental: an hour is read again only after a load has touched it, and then only the rows of newer commits are sent.
//! Rows of a load that has not committed are left for the next run. Hours are read some ahead: most are small, and each read
//! waits for the store. Memory: a batch, and [`AHEAD`] pages of at most a batch each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesOrdered;
use headrace_core::source::{Event, Source};
use headrace_core::store::{Segment, Select, Store};
use headrace_core::table::Value;
use headrace_core::{Batch, Claim, Partition, Result};
use headrace_transforms::civil::HOUR_US;
use headrace_transforms::time_uuid;
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray};

use crate::reading::Pages;

use super::columns::CREATE_TIME;
use super::hour_progress::{Advance, HourProgress, SPACE};
use super::schema::{HOUR, MESSAGE_COLUMNS, RawSchema, SEQUENCE};

/// Reads that are under way at once.
const AHEAD: usize = 8;

/// Which rows to read, and how fast.
#[derive(Clone, Debug)]
pub struct HoursOptions {
    /// Only hours from here on (microseconds).
    pub since_us: i64,
    /// Only hours before here (microseconds).
    pub until_us: i64,
    /// Event time runs so many times faster than the clock; none for as fast as possible.
    pub speed: Option<f64>,
    /// Rows in a batch.
    pub batch_rows: usize,
}

/// Unsent rows of one hour.
#[derive(Clone)]
struct Page {
    rows: DataFrame,
    ids: Vec<[u8; 16]>,
    /// The hour's progress before these rows.
    before: HourProgress,
    /// The hour's progress behind them.
    behind: HourProgress,
}

/// A batch in the making. The work has moved on behind its rows, so it must outlive a read that failed.
#[derive(Default)]
struct Gathered {
    rows: Option<DataFrame>,
    advance: Advance,
}

/// The source of the replay step.
pub struct HoursSource {
    store: Arc<dyn Store>,
    schema: RawSchema,
    scope: String,
    options: HoursOptions,
    partition: Partition,
    announced: bool,
    /// Hours still to be read, with what is known of each.
    work: VecDeque<HourProgress>,
    /// Pages on their way: of the first hours of the work, in its order.
    reads: FuturesOrdered<BoxFuture<'static, Result<DataFrame>>>,
    /// The page of the first hour, once it is there; its read is none of those above any more.
    arrived: Option<DataFrame>,
    /// The last commit of the load when this run began.
    target: i64,
    /// Grows with every batch.
    at: i64,
    /// What the next batch has so far.
    gathered: Gathered,
    /// A page read ahead of its time, when a speed is set.
    ahead: Option<Page>,
    /// The clock and the event time at which the replay began.
    began: Option<(Instant, i64)>,
    unsent: u64,
}

impl HoursSource {
    /// Makes a source of the rows not yet published under a scope.
    pub fn new(store: Arc<dyn Store>, schema: RawSchema, scope: String, options: HoursOptions) -> Self {
        Self {
            store,
            schema,
            scope,
            options,
            partition: Partition::new("hours"),
            announced: false,
            work: VecDeque::new(),
            reads: FuturesOrdered::new(),
            arrived: None,
            target: -1,
            at: 0,
            gathered: Gathered::default(),
            ahead: None,
            began: None,
            unsent: 0,
        }
    }

    /// Lists the hours that have rows to send.
    async fn plan(&mut self, claim: &Claim) -> Result<()> {
        let load_scope = self.schema.load_scope();
        self.target = self.store.begin(&load_scope, &[]).await?.sequence();
        let loaded = self.store.counters(&load_scope).await?.written;
        self.unsent = loaded.saturating_sub(self.store.counters(&self.scope).await?.written);
        let mut touched: Vec<(i64, i64)> = Vec::new();
        let mut pages = Pages::new(&*self.store, &self.schema.hours, &[HOUR, SEQUENCE]);
        while let Some(page) = pages.next().await? {
            let hours = page.column(HOUR)?.i64()?;
            touched.extend(hours.into_no_null_iter().zip(page.column(SEQUENCE)?.i64()?.into_no_null_iter()));
        }
        let wanted = self.options.since_us..self.options.until_us;
        touched.retain(|(hour, _)| wanted.contains(hour));
        let keys: Vec<(i64, i64)> = touched.iter().map(|(hour, _)| (hour.div_euclid(HOUR_US), -1)).collect();
        let mut unit = self.store.begin(&self.scope, std::slice::from_ref(claim)).await?;
        let segments = unit.read_state(SPACE, &keys).await?;
        drop(unit);
        self.work.clear();
        self.reads = FuturesOrdered::new();
        self.arrived = None;
        let mut by_hour: HashMap<i64, Vec<&Segment>> = HashMap::new();
        for segment in &segments {
            by_hour.entry(segment.key).or_default().push(segment);
        }
        for ((_, touched_at), (hour, _)) in touched.iter().zip(&keys) {
            let of_hour = by_hour.remove(hour).unwrap_or_default();
            let progress = HourProgress::of(*hour, &of_hour)?;
            // A row of a later, uncommitted load may have moved the index ahead: such an hour is looked at too.
            if progress.partial.is_some() || *touched_at > progress.done {
                self.work.push_back(progress);
            }
        }
        Ok(())
    }

    /// Asks for the next page of an hour.
    fn read(&self, progress: &HourProgress) -> BoxFuture<'static, Result<DataFrame>> {
        let (store, table, limit) = (self.store.clone(), self.schema.by_hour.clone(), self.options.batch_rows);
        let hour = Value::Int(progress.hour * HOUR_US);
        let last = progress.partial.map(|(_, last)| vec![hour.clone(), Value::Bytes(last.to_vec())]);
        let reading = async move {
            let mut columns = MESSAGE_COLUMNS.to_vec();
            columns.push(SEQUENCE);
            let after = last.unwrap_or_default();
            store.select(&Select { table: &table, columns, equal: vec![(HOUR, hour)], after, limit }).await
        };
        reading.boxed()
    }

    /// Waits for the page of the first hour of the work; false when there is no work. Given up, it loses nothing.
    async fn arrive(&mut self) -> Result<bool> {
        if self.arrived.is_some() {
            return Ok(true);
        }
        for progress in self.work.iter().take(AHEAD).skip(self.reads.len()) {
            let read = self.read(progress);
            self.reads.push_back(read);
        }
        match self.reads.next().await.transpose() {
            Ok(page) => self.arrived = page,
            Err(error) => {
                // The next call asks for all of them again.
                self.reads = FuturesOrdered::new();
                return Err(error);
            }
        }
        Ok(self.arrived.is_some())
    }

    /// Takes one page of an hour and moves the work on behind it.
    async fn page(&mut self) -> Result<Option<Page>> {
        self.arrive().await?;
        let (Some(page), Some(before)) = (self.arrived.take(), self.work.front().cloned()) else { return Ok(None) };
        let target = before.partial.map_or(self.target, |(target, _)| target);
        let all: Vec<[u8; 16]> = page
            .column(CREATE_TIME)?
            .binary()?
            .iter()
            .map(|id| id.and_then(|id| id.try_into().ok()).unwrap_or_default())
            .collect();
        let mut behind = before.clone();
        match all.last() {
            Some(last) if page.height() >= self.options.batch_rows => behind.partial = Some((target, *last)),
            _ => (behind.done, behind.partial) = (target, None),
        }
        let unsent: Vec<bool> = page
            .column(SEQUENCE)?
            .i64()?
            .into_no_null_iter()
            .map(|sequence| sequence > before.done && sequence <= target)
            .collect();
        // An hour that an earlier run left half read is done only up to what had been loaded then: it is read once more.
        if behind.partial.is_some() || behind.done < self.target {
            self.work[0] = behind.clone();
            self.reads.push_front(self.read(&behind));
        } else {
            self.work.pop_front();
        }
        let ids = all.into_iter().zip(&unsent).filter(|(_, keep)| **keep).map(|(id, _)| id).collect();
        let mask: BooleanChunked = BooleanChunked::from_iter_values("unsent".into(), unsent.into_iter());
        let rows = page.filter(&mask)?.select(MESSAGE_COLUMNS)?;
        Ok(Some(Page { rows, ids, before, behind }))
    }

    /// Gathers rows of as many hours as fit into a batch.
    async fn gather(&mut self) -> Result<Event> {
        loop {
            let gathered = self.gathered.rows.as_ref().map_or(0, DataFrame::height);
            self.arrive().await?;
            let coming = self.arrived.as_ref().map_or(0, DataFrame::height);
            if gathered > 0 && gathered + coming > self.options.batch_rows {
                break;
            }
            let Some(page) = self.page().await? else { break };
            // An hour that is not done ends the batch, so that no hour is in it twice.
            let last = self.work.front().is_some_and(|next| next.hour == page.behind.hour);
            self.gathered.advance.hours.push(page.behind);
            match &mut self.gathered.rows {
                Some(rows) => drop(rows.vstack_mut(&page.rows)?),
                None => self.gathered.rows = Some(page.rows),
            }
            if last {
                break;
            }
        }
        let Gathered { rows, advance } = std::mem::take(&mut self.gathered);
        match rows {
            Some(rows) => self.batch(rows, advance),
            None => Ok(Event::End),
        }
    }

    /// Gives the rows whose time has come, waiting a little for them.
    async fn due(&mut self, speed: f64) -> Result<Event> {
        while self.ahead.as_ref().is_none_or(|page| page.ids.is_empty()) {
            self.ahead = self.page().await?;
            if self.ahead.is_none() {
                return Ok(Event::End);
            }
        }
        let Some(page) = self.ahead.clone() else { return Ok(Event::End) };
        let first_us = time_uuid::event_time_us(&page.ids[0]);
        let (began, began_us) = *self.began.get_or_insert_with(|| (Instant::now(), first_us));
        let wait = |id: &[u8; 16]| {
            let ahead_us = (time_uuid::event_time_us(id) - began_us).max(0);
            let due = Duration::try_from_secs_f64(ahead_us as f64 / 1e6 / speed).unwrap_or(Duration::MAX);
            due.saturating_sub(began.elapsed())
        };
        let pause = wait(&page.ids[0]);
        if !pause.is_zero() {
            tokio::time::sleep(pause.min(Duration::from_millis(500))).await;
            if pause > Duration::from_millis(500) {
                return Ok(Event::Idle);
            }
        }
        let ready = page.ids.partition_point(|id| wait(id).is_zero()).max(1);
        let Page { rows, ids, before, behind } = page;
        if ready == ids.len() {
            self.ahead = None;
            return self.batch(rows, Advance { hours: vec![behind] });
        }
        let target = behind.partial.map_or(behind.done, |(target, _)| target);
        let sent = HourProgress { partial: Some((target, ids[ready - 1])), ..before.clone() };
        let (now, later) = rows.split_at(ready as i64);
        self.ahead = Some(Page { rows: later, ids: ids[ready..].to_vec(), before, behind });
        self.batch(now, Advance { hours: vec![sent] })
    }

    fn batch(&mut self, frame: DataFrame, advance: Advance) -> Result<Event> {
        self.at += frame.height().max(1) as i64;
        self.unsent = self.unsent.saturating_sub(frame.height() as u64);
        let reached = [(self.partition.clone(), advance.into_position(self.at)?)].into();
        Ok(Event::Batch(Batch { bytes: frame.estimated_size() as u64, frame, reached }))
    }
}

#[async_trait]
impl Source for HoursSource {
    async fn next(&mut self) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(vec![self.partition.clone()]));
        }
        match self.options.speed {
            Some(speed) => self.due(speed).await,
            None => self.gather().await,
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        let Some(claim) = claims.first() else { return Ok(()) };
        self.at = claim.position.as_ref().map_or(0, |position| position.at);
        self.gathered = Gathered::default();
        self.ahead = None;
        self.plan(claim).await
    }

    async fn release(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.unsent)
    }
}
