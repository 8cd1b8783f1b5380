//! The archive of raw events: Parquet files by data set and day, each event in one of them, once.
//!
//! Delivery: a batch's rows wait as a blob in the ledger, in the batch's unit. When enough have come, a unit commits a *plan*: which
//! blobs go into the files next. Then they are appended to the last file of each day, which the lake does atomically and once per
//! plan, and a last unit drops the blobs. After a crash the plan is carried out again, which changes nothing where it had been.
//! Ordering: that of the batches. Memory: the rows of one plan.

mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use headrace_connectors::lake::{Lake, LakeKind, LakePath, LakeSchema};
use headrace_core::batch::message_columns::{OFFSET, PARTITION, TOPIC};
use headrace_core::keyed::Keyed;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::{Counts, Error, Result, failpoint, failpoint::Point};
use headrace_transforms::civil::{self, DAY_US};
use polars::prelude::{BooleanChunked, DataFrame, DataType, NewChunkedArray};

use super::decode::texts;
use super::event::Kind;
use super::raw_rows;

pub use state::{ArchiveState, Plan};

/// Bytes of packed rows that are worth a file: some 200,000 events.
const ENOUGH_BYTES: u64 = 16 << 20;
/// A file of so many bytes is not appended to any more.
const FULL_BYTES: u64 = 32 << 20;
/// A plan that is so old is carried out by whoever finds it.
const ORPHANED_US: i64 = 60 * 1_000_000;
/// State: the archive's own blob.
const SPACE: &str = "archive";
/// State: rows that wait.
const ROWS: &str = "archive rows";

/// The columns of raw events, by the contract.
///
/// # Errors
/// Never.
pub fn raw_schema() -> Result<LakeSchema> {
    use LakeKind::{BigInt, Decimal, Double, Int, Text, Timestamp};
    LakeSchema::new(&[
        ("event_id", Text),
        ("user_id", Text),
        ("product_id", Text),
        ("category", Text),
        ("event_type", Text),
        ("price", Decimal { precision: 18, scale: 4 }),
        ("timestamp", Timestamp),
        ("store_id", Text),
        ("store_type", Text),
        ("city", Text),
        ("province", Text),
        ("lat", Double),
        ("lon", Double),
        (TOPIC, Text),
        (PARTITION, Int),
        (OFFSET, BigInt),
    ])
}

/// The folder of a data set's day, counted from 1970.
///
/// # Errors
/// Never.
pub fn folder(kind: Kind, day: i64) -> Result<LakePath> {
    let mut date = Vec::new();
    civil::write_date(civil::date(day * DAY_US), &mut date);
    LakePath::new(&format!("{}/fecha={}", kind.dataset(), String::from_utf8_lossy(&date)))
}

/// Where raw events are kept.
pub struct Archive {
    lake: Lake,
    /// Rows wait so long at most, when following.
    every: Duration,
    /// Whether there may be a plan to carry out.
    due: bool,
    /// When this worker looked last at a plan that is not its own.
    planned_here: bool,
    /// Whether it may say which lake the rows are for; others must know it.
    decides: bool,
}

/// The lake that a scope's raw events go to, if any have.
///
/// # Errors
/// When the store fails.
pub async fn lake_of(store: &dyn Store, scope: &str) -> Result<Option<String>> {
    let mut unit = store.begin(scope, &[]).await?;
    let (_, state) = read_state(&mut *unit).await?;
    Ok(state.map(|state| state.lake).filter(|lake| !lake.is_empty()))
}

/// Reads the archive's state, if there is any yet, with what it is written through again.
async fn read_state(unit: &mut dyn Unit) -> Result<(Keyed, Option<ArchiveState>)> {
    let keyed = Keyed::read(unit, SPACE, [0]).await?;
    let state = keyed.get(0).map(ArchiveState::from_bytes).transpose()?;
    Ok((keyed, state))
}

impl Archive {
    /// Archives into a lake, as the stream does.
    pub fn new(lake: Lake, every: Duration) -> Self {
        Self { lake, every, due: true, planned_here: false, decides: true }
    }

    /// Archives into the lake of a stream, which must be this one.
    pub fn of_stream(lake: Lake) -> Self {
        Self { decides: false, ..Self::new(lake, Duration::MAX) }
    }

    /// Makes sure that rows go to the lake they are for.
    fn check(&self, state: &mut ArchiveState) -> Result<()> {
        let name = self.lake.name();
        if state.lake == name {
            return Ok(());
        }
        if state.lake.is_empty() || (self.decides && state.is_written(state.next())) {
            state.lake = name;
            return Ok(());
        }
        let lake = &state.lake;
        Err(Error::configuration(format!(
            "raw events of this store go to {lake}, and not to {name}: give --archive {lake}{}",
            if self.decides { ", or first write those that wait there with `headrace commerce compact`" } else { "" }
        )))
    }

    /// Keeps a batch's rows in its unit, and plans a file when there are enough.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep(&mut self, unit: &mut dyn Unit, rows: &DataFrame, now_us: i64) -> Result<()> {
        let (keyed, state) = read_state(unit).await?;
        let mut state = state.unwrap_or_default();
        self.check(&mut state)?;
        if rows.height() > 0 {
            let blob = raw_rows::pack(rows)?;
            let chunk = state.add(blob.len() as u64, now_us);
            unit.write_state(ROWS, vec![(chunk, blob)], Vec::new()).await?;
        }
        let waited_us = now_us - state.waiting_since_us.unwrap_or(now_us);
        let is_time = waited_us >= i64::try_from(self.every.as_micros()).unwrap_or(i64::MAX);
        match &state.plan {
            Some(plan) => self.due |= self.planned_here || now_us - plan.made_at_us > ORPHANED_US,
            None if state.waiting_bytes >= ENOUGH_BYTES || is_time => {
                state.make_plan(unit.sequence() + 1, now_us);
                (self.due, self.planned_here) = (true, true);
            }
            None => {}
        }
        keyed.write(unit, vec![(0, Some(state.to_bytes()))]).await
    }

    /// Carries out the plan there may be.
    ///
    /// # Errors
    /// When the store or the lake fails; it is carried out again then.
    pub async fn carry_out(&mut self, store: &dyn Store, scope: &str) -> Result<()> {
        if self.due {
            self.write_planned(store, scope).await?;
            (self.due, self.planned_here) = (false, false);
        }
        Ok(())
    }

    /// Writes everything that waits now; gives the number of files written. What a stream adds meanwhile is the stream's to write.
    ///
    /// # Errors
    /// As [`Self::carry_out`], and when the rows are for another lake.
    pub async fn flush(&mut self, store: &dyn Store, scope: &str, now_us: i64) -> Result<usize> {
        let (mut files, mut below) = (0, None);
        loop {
            let mut unit = store.begin(scope, &[]).await?;
            let (keyed, Some(mut state)) = read_state(&mut *unit).await? else { return Ok(files) };
            self.check(&mut state)?;
            if state.is_written(*below.get_or_insert(state.next())) {
                return Ok(files);
            }
            if state.plan.is_none() {
                state.make_plan(unit.sequence() + 1, now_us);
                keyed.write(&mut *unit, vec![(0, Some(state.to_bytes()))]).await?;
                unit.commit(&Reached::new(), &Counts::default()).await?;
            } else {
                drop(unit);
            }
            files += self.write_planned(store, scope).await?;
        }
    }

    /// Carries the plan out, if there is one; gives the number of files written.
    async fn write_planned(&self, store: &dyn Store, scope: &str) -> Result<usize> {
        let mut unit = store.begin(scope, &[]).await?;
        let (_, state) = read_state(&mut *unit).await?;
        let mut state = state.unwrap_or_default();
        self.check(&mut state)?;
        let Some(plan) = state.plan.clone() else { return Ok(0) };
        let chunks: Vec<(i64, i64)> = plan.chunks().map(|chunk| (chunk, -1)).collect();
        let segments = unit.read_state(ROWS, &chunks).await?;
        drop(unit);
        let mut files: BTreeMap<(Kind, i64), Vec<DataFrame>> = BTreeMap::new();
        for segment in &segments {
            for (file, rows) in by_file(&raw_rows::unpack(&segment.blob)?)? {
                files.entry(file).or_default().push(rows);
            }
        }
        let (schema, mut full, written) = (raw_schema()?, Vec::new(), files.len());
        for ((kind, day), frames) in files {
            let part = state.part(kind, day);
            let path = folder(kind, day)?.join(&format!("part-{part:05}.parquet"))?;
            let info = self.lake.append(&path, &schema, &frames, plan.token).await?;
            if info.bytes >= FULL_BYTES {
                full.push((kind, day));
            }
        }
        failpoint::after(Point::Write)?;
        let mut unit = store.begin(scope, &[]).await?;
        let (keyed, state) = read_state(&mut *unit).await?;
        let mut state = state.unwrap_or_default();
        // Another worker may have been as far.
        if state.plan.as_ref().is_some_and(|found| found.token == plan.token) {
            state.finish_plan(&full);
            let dropped = segments.iter().map(|segment| (segment.key, segment.sequence)).collect();
            unit.write_state(ROWS, Vec::new(), dropped).await?;
            keyed.write(&mut *unit, vec![(0, Some(state.to_bytes()))]).await?;
            unit.commit(&Reached::new(), &Counts::default()).await?;
        }
        Ok(written)
    }
}

/// Cuts rows by data set and day.
fn by_file(rows: &DataFrame) -> Result<Vec<((Kind, i64), DataFrame)>> {
    let types = texts(rows, "event_type")?;
    let times = rows.column("timestamp")?.i64()?;
    let of_row = |row: usize| {
        let word = types.get(row).unwrap_or_default();
        let kind = Kind::ALL.into_iter().find(|kind| kind.event_type() == word).unwrap_or(Kind::View);
        (kind, civil::days(times.get(row).unwrap_or_default()))
    };
    let files: Vec<(Kind, i64)> = (0..rows.height()).map(of_row).collect();
    let mut distinct = files.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let mut rows = rows.clone();
    let partitions = rows.column(PARTITION)?.cast(&DataType::Int64)?;
    rows.with_column(partitions)?;
    let cut = |file: (Kind, i64)| {
        let mask = BooleanChunked::from_iter_values("file".into(), files.iter().map(|of_row| *of_row == file));
        Ok((file, rows.filter(&mask)?))
    };
    distinct.into_iter().map(cut).collect()
}
