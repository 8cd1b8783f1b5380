//! The core of `commerce stream` alone: parse and check, de-duplicate, judge by watermark, sum up by window. No store and
//! no log.
//!
//! Two threads. Each takes the next batch, parses it beside the other, and waits for its turn with the part that has state;
//! so batches follow each other as in the stream. Ids are kept by the index of the stream, its blobs in memory instead of a
//! store.
//! Memory: all messages, made before the clock runs; the index; the sums.

use std::collections::{BTreeMap, HashMap};
use std::iter::Enumerate;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headrace_core::batch::message_columns;
use headrace_core::{Error, Result, clock};
use headrace_pipelines::commerce::decode::{Columns, Decoded, decode};
use headrace_pipelines::commerce::event::Kind;
use headrace_pipelines::commerce::keeps::Keeps;
use headrace_pipelines::commerce::simulate::{Message, Simulation};
use headrace_pipelines::commerce::stream_state::{MINUTE_US, StreamState};
use headrace_pipelines::commerce::sums::Sums;
use headrace_transforms::civil::SECOND_US;
use headrace_transforms::ids::{Error as IdError, Fetch, Index, Shape, Verdict, Writes};
use polars::prelude::{DataFrame, NamedFrom, Series};

const THREADS: usize = 2;
/// Those of the stream when it drains.
const BATCH_ROWS: u64 = 50_000;
const ID_BYTES: usize = 24 << 20;
const ID_HORIZON_SECONDS: i64 = 25 * 3_600;
const PARTITIONS: u64 = 3;
/// Events are spread over so much time, as `commerce simulate` does.
const SPREAD_US: i64 = 40 * MINUTE_US;

/// What batches leave to those after them.
struct State {
    /// The batch whose turn it is.
    turn: usize,
    stream: StreamState,
    ids: Index,
    blocks: HashMap<i64, Vec<u8>>,
    /// Orders by minute, late ones included.
    orders: BTreeMap<i64, i64>,
    accepted: u64,
    purchases: u64,
    repeated: u64,
    refused: u64,
    failed: Option<Error>,
}

impl State {
    fn new() -> Self {
        Self {
            turn: 0,
            stream: StreamState::default(),
            ids: Index::new(Shape::default(), ID_BYTES),
            blocks: HashMap::new(),
            orders: BTreeMap::new(),
            accepted: 0,
            purchases: 0,
            repeated: 0,
            refused: 0,
            failed: None,
        }
    }

    fn apply(&mut self, decoded: &Decoded, sequence: i64) -> Result<()> {
        let now_us = clock::now_us();
        let verdicts = self.check(decoded)?;
        let is_new = |row: &usize| verdicts[*row] == Verdict::New;
        let accepted: Vec<usize> = (0..verdicts.len()).filter(is_new).collect();
        let judgement = self.stream.judge(decoded, &accepted, now_us)?;
        let (sums, watermark) = (Sums::of(decoded, &judgement, Keeps::Everything)?, self.stream.sales_watermark());
        let minutes = sums.sales_per_minute(watermark)?;
        let (starts, on_time) = (minutes.column("window_start")?.i64()?, minutes.column("total_orders")?.i64()?);
        let late = minutes.column("late_orders")?.i64()?;
        for ((start, on_time), late) in starts.iter().zip(on_time.iter()).zip(late.iter()) {
            let orders = on_time.unwrap_or_default() + late.unwrap_or_default();
            *self.orders.entry(start.unwrap_or_default()).or_default() += orders;
        }
        for frame in [sums.sales_by_product(watermark)?, sums.tickets()?, sums.views_by_category()?, sums.activity()?] {
            std::hint::black_box(frame);
        }
        self.remember(decoded, &verdicts, sequence)?;
        self.accepted += accepted.len() as u64;
        self.purchases += accepted.iter().filter(|row| decoded.kinds[**row] == Kind::Purchase).count() as u64;
        self.repeated += (verdicts.len() - accepted.len()) as u64;
        self.refused += decoded.refused.len() as u64;
        Ok(())
    }

    fn check(&mut self, decoded: &Decoded) -> Result<Vec<Verdict>> {
        let mut lookup = self.ids.look_up(&decoded.ids);
        while let Some(mut fetch) = lookup.next(&mut self.ids) {
            fill(&self.blocks, &mut fetch)?;
            lookup.search(&mut self.ids, fetch).map_err(broken)?;
        }
        Ok(lookup.verdicts(&self.ids))
    }

    fn remember(&mut self, decoded: &Decoded, verdicts: &[Verdict], sequence: i64) -> Result<()> {
        let newest = self.stream.newest_us().map_or(i64::MIN, |newest| newest.div_euclid(SECOND_US));
        let cutoff = newest.saturating_sub(ID_HORIZON_SECONDS);
        let mut draft = self.ids.draft(&decoded.ids, verdicts, cutoff, sequence);
        while let Some(mut merger) = draft.next_merge(&self.ids) {
            while let Some((waiting, mut fetch)) = draft.merge(&mut self.ids, merger) {
                put(&mut self.blocks, draft.take_writes());
                fill(&self.blocks, &mut fetch)?;
                merger = waiting;
                merger.feed(fetch).map_err(broken)?;
            }
        }
        let last = draft.finish(&self.ids).map_err(broken)?;
        put(&mut self.blocks, last);
        self.ids.apply(draft);
        Ok(())
    }
}

fn put(blocks: &mut HashMap<i64, Vec<u8>>, writes: Writes) {
    blocks.extend(writes.blocks);
    for (key, _) in writes.dropped_blocks {
        blocks.remove(&key);
    }
}

fn fill(blocks: &HashMap<i64, Vec<u8>>, fetch: &mut Fetch) -> Result<()> {
    let wanted: Vec<i64> = fetch.places().iter().map(|place| place.key).collect();
    fetch.fill(wanted.into_iter().filter_map(|key| Some((key, blocks.get(&key)?.clone())))).map_err(broken)
}

fn broken(error: IdError) -> Error {
    Error::data(format!("cannot use the ids: {error}"))
}

/// A batch of simulated messages of all topics, as the stream's source gives it.
fn batch(
    simulation: &Simulation,
    numbers: std::ops::Range<u64>,
    arrival: impl Fn(u64) -> i64 + Copy,
) -> Result<DataFrame> {
    let offsets: Vec<i64> = numbers.clone().map(|number| number as i64).collect();
    let times: Vec<i64> = numbers.clone().map(|number| arrival(number) / 1_000).collect();
    let messages: Vec<Message> = numbers.map(|number| simulation.message(number, arrival)).collect();
    let partitions =
        messages.iter().map(|message| (message.key.parse::<u64>().unwrap_or_default() % PARTITIONS) as i32);
    let partitions: Vec<i32> = partitions.collect();
    let keys: Vec<Option<&[u8]>> = messages.iter().map(|message| Some(message.key.as_bytes())).collect();
    let values: Vec<Option<&[u8]>> = messages.iter().map(|message| message.value.as_deref()).collect();
    let topics: Vec<&str> = messages.iter().map(|message| message.kind.topic()).collect();
    let columns = vec![
        Series::new(message_columns::KEY.into(), keys).into(),
        Series::new(message_columns::VALUE.into(), values).into(),
        Series::new(message_columns::TIMESTAMP.into(), times).into(),
        Series::new(message_columns::PARTITION.into(), partitions).into(),
        Series::new(message_columns::OFFSET.into(), offsets).into(),
        Series::new(message_columns::TOPIC.into(), topics).into(),
    ];
    Ok(DataFrame::new(messages.len(), columns)?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes batch after batch until there are no more, or one has failed.
fn work(waiting: &Mutex<Enumerate<std::vec::IntoIter<DataFrame>>>, state: &Mutex<State>, changed: &Condvar) {
    loop {
        let Some((number, frame)) = lock(waiting).next() else { return };
        let decoded = decode(frame, Columns::All);
        let waited = changed.wait_while(lock(state), |state| state.turn != number && state.failed.is_none());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.failed.is_some() {
            return;
        }
        let sequence = number as i64 + 1;
        state.failed = decoded.and_then(|decoded| state.apply(&decoded, sequence)).err();
        state.turn += 1;
        changed.notify_all();
    }
}

/// Gives the number of events and the seconds they took.
///
/// # Errors
/// When an event is lost between parsing and the windows.
pub(crate) fn window(events: u64, users: u64, products: u64) -> Result<(u64, f64)> {
    let simulation = Simulation { seed: 1, users, products, late: 0.03, repeated: 0.02, broken: 0.01 };
    let start_us = clock::now_us() - SPREAD_US;
    let arrival = |number: u64| start_us + (number as f64 / events as f64 * SPREAD_US as f64) as i64;
    let starts = (0..events).step_by(BATCH_ROWS as usize);
    let frames = starts.map(|first| batch(&simulation, first..events.min(first + BATCH_ROWS), arrival));
    let frames: Vec<DataFrame> = frames.collect::<Result<_>>()?;
    let waiting = Mutex::new(frames.into_iter().enumerate());
    let (state, changed) = (Mutex::new(State::new()), Condvar::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| work(&waiting, &state, &changed));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failed) = state.failed {
        return Err(failed);
    }
    let (known, windowed) = (state.accepted + state.repeated + state.refused, state.orders.values().sum::<i64>());
    if known != events || windowed != state.purchases as i64 {
        return Err(Error::data(format!(
            "of {events} events {known} are accepted, repeated or refused, and of {} orders {windowed} are in windows",
            state.purchases
        )));
    }
    Ok((events, seconds))
}
