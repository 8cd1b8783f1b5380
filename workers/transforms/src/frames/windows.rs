//! Tumbling, sliding and session windows over the rows of a frame, in time and late ones apart.

use polars::prelude::{Column, DataFrame, IdxCa, NamedFrom, Series, SortMultipleOptions};

use super::aggregate::{Aggregation, Members};
use super::columns::Times;
use super::keys::Keys;
use super::{Error, Result};
use crate::watermark::{Rules, Watermark};
use crate::window::{Sessions, Sliding, Tumbling, Window};

const START: &str = "window_start";
const END: &str = "window_end";
const FINAL: &str = "final";

/// What is computed of the windows of a frame.
#[derive(Clone, Debug)]
pub struct Windowing {
    /// The column of event times.
    pub time: String,
    /// The columns that windows are kept apart by.
    pub keys: Vec<String>,
    /// The columns to compute.
    pub aggregations: Vec<Aggregation>,
    /// How far the watermark stays behind the largest time; without it, nothing is late and windows are never final.
    pub delay_us: Option<i64>,
    /// The column that says from which partition a row came; the slowest of them holds the watermark back.
    pub partition: Option<String>,
}

/// Aggregates by tumbling windows.
///
/// Columns of the result: `window_start`, `window_end`, the keys, the aggregations; with a delay, also `late_…` for each
/// aggregation, of the rows that came when their window was closed, and `final`: the window is closed now.
/// It is sorted by window, then keys.
///
/// # Errors
/// When a column is missing or cannot be used, a row has no time, a sum does not fit, or a name would be used twice.
pub fn tumbling(frame: &DataFrame, windows: &Tumbling, of: &Windowing) -> Result<DataFrame> {
    fixed(frame, of, |time_us| std::iter::once(windows.window(time_us)))
}

/// Aggregates by sliding windows; a row counts in each of its windows. Otherwise as [`tumbling`].
///
/// # Errors
/// As [`tumbling`].
pub fn sliding(frame: &DataFrame, windows: &Sliding, of: &Windowing) -> Result<DataFrame> {
    fixed(frame, of, |time_us| windows.windows(time_us))
}

fn fixed<W: Iterator<Item = Window>>(
    frame: &DataFrame,
    of: &Windowing,
    windows: impl Fn(i64) -> W,
) -> Result<DataFrame> {
    let read = Read::new(frame, of)?;
    let (mut groups, mut number) = (Groups::default(), foldhash::HashMap::default());
    for (row, time_us) in read.times.micros.iter().enumerate() {
        for window in windows(*time_us) {
            let group = *number.entry((read.keys[row], window.start_us)).or_insert_with(|| groups.open(row, window));
            groups.add(row, group, window.is_closed(read.before[row]))?;
        }
    }
    groups.frame(frame, of, &read)
}

/// Aggregates by session windows, which a silence of the gap ends. Otherwise as [`tumbling`].
///
/// Sessions are those of all rows; a row is late if the session that it had joined when it came was closed already.
///
/// # Errors
/// As [`tumbling`], and when the gap is not positive.
pub fn session(frame: &DataFrame, gap_us: i64, of: &Windowing) -> Result<DataFrame> {
    let gap_us = crate::window::positive("gap", gap_us).map_err(|error| Error::Settings(error.to_string()))?;
    let read = Read::new(frame, of)?;
    let mut sessions: foldhash::HashMap<u32, Sessions> = foldhash::HashMap::default();
    let mut late = Vec::with_capacity(frame.height());
    for (row, time_us) in read.times.micros.iter().enumerate() {
        let added = sessions.entry(read.keys[row]).or_default().add(gap_us, *time_us);
        late.push(added.session.window(gap_us).is_closed(read.before[row]));
    }
    let (mut groups, mut number) = (Groups::default(), foldhash::HashMap::default());
    for (row, time_us) in read.times.micros.iter().enumerate() {
        let window = sessions[&read.keys[row]].window(gap_us, *time_us).ok_or_else(|| Error::data("no session"))?;
        let group = *number.entry((read.keys[row], window.start_us)).or_insert_with(|| groups.open(row, window));
        groups.add(row, group, late[row])?;
    }
    groups.frame(frame, of, &read)
}

/// What is read of a frame for any kind of window.
struct Read {
    times: Times,
    keys: Vec<u32>,
    /// The watermark before each row.
    before: Vec<Option<i64>>,
    /// The watermark behind the last row.
    last: Option<i64>,
}

impl Read {
    fn new(frame: &DataFrame, of: &Windowing) -> Result<Self> {
        let times = Times::read(frame, &of.time)?;
        let keys = Keys::default().number(frame, &of.keys)?.numbers;
        let Some(delay_us) = of.delay_us else {
            return Ok(Self { before: vec![None; times.micros.len()], times, keys, last: None });
        };
        if delay_us < 0 {
            return Err(Error::Settings(format!("the delay is {delay_us} µs; it must not be negative")));
        }
        let partitions = Keys::default().number(frame, of.partition.as_slice())?.numbers;
        let (rules, mut watermark) = (Rules { delay_us, idle_after_us: None }, Watermark::default());
        let slots: Vec<_> = (0..=partitions.iter().max().copied().unwrap_or(0))
            .map(|partition| watermark.slot(&partition.to_string()))
            .collect();
        let mut before = Vec::with_capacity(frame.height());
        for (time_us, partition) in times.micros.iter().zip(&partitions) {
            before.push(watermark.advance(&rules, slots[*partition as usize], *time_us, 0).before);
        }
        Ok(Self { times, keys, before, last: watermark.value() })
    }
}

/// The windows found, each for one key.
#[derive(Default)]
struct Groups {
    windows: Vec<Window>,
    /// A row of each, for the values of its keys.
    examples: Vec<u32>,
    members: Members,
}

impl Groups {
    fn open(&mut self, row: usize, window: Window) -> u32 {
        self.windows.push(window);
        self.examples.push(row as u32);
        (self.windows.len() - 1) as u32
    }

    fn add(&mut self, row: usize, group: u32, late: bool) -> Result<()> {
        if self.members.rows.len() >= u32::MAX as usize {
            return Err(Error::data("there are too many rows in too many windows for one table; work on parts of it"));
        }
        self.members.rows.push(row as u32);
        self.members.groups.push(group);
        self.members.late.push(late);
        Ok(())
    }

    fn frame(mut self, frame: &DataFrame, of: &Windowing, read: &Read) -> Result<DataFrame> {
        self.members.count = self.windows.len();
        let micros = |pick: fn(&Window) -> i64| self.windows.iter().map(pick).collect::<Vec<_>>();
        let mut columns = vec![
            read.times.column(START, micros(|window| window.start_us)),
            read.times.column(END, micros(|window| window.end_us)),
        ];
        let examples = IdxCa::from_vec("".into(), self.examples.clone());
        for key in &of.keys {
            columns.push(frame.column(key)?.take(&examples)?);
        }
        let mut late_columns = Vec::new();
        for aggregation in &of.aggregations {
            let [in_time, late] = aggregation.compute(frame, &self.members)?;
            columns.push(in_time);
            late_columns.push(late);
        }
        if of.delay_us.is_some() {
            columns.append(&mut late_columns);
            let closed: Vec<bool> = self.windows.iter().map(|window| window.is_closed(read.last)).collect();
            columns.push(Series::new(FINAL.into(), closed).into());
        }
        check_names(&columns)?;
        let order: Vec<&str> = [START].into_iter().chain(of.keys.iter().map(String::as_str)).collect();
        Ok(DataFrame::new(self.windows.len(), columns)?.sort(order, SortMultipleOptions::default())?)
    }
}

/// Checks that no name is used twice.
fn check_names(columns: &[Column]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    match columns.iter().find(|column| !names.insert(column.name().as_str())) {
        Some(column) => Err(Error::Settings(format!(
            "two columns of the result would be named {}; name one otherwise",
            column.name()
        ))),
        None => Ok(()),
    }
}
