//! Joins of the rows of two frames by keys and by their distance in time: all pairs, or one-to-one.

use polars::prelude::{DataFrame, IdxCa};

use super::columns::{Times, Values};
use super::keys::Keys;
use super::{Error, Result};
use crate::join::{Event, EventId, Interval, IntervalJoin};

/// What two frames are joined by.
#[derive(Clone, Debug)]
pub struct Matching {
    /// The columns, of the same names in both frames, whose values must be equal; a row without one matches nothing.
    pub keys: Vec<String>,
    /// The column of event times of the left frame.
    pub left_time: String,
    /// The column of event times of the right frame.
    pub right_time: String,
    /// What is added to the name of a column of the right frame that the left one has too.
    pub suffix: String,
}

/// Gives all pairs of rows with equal keys and `left + lower <= right <= left + upper`.
///
/// Columns of the result: those of the left frame, then those of the right frame but the keys. The pairs are in the
/// order of the rows of the right frame, and those of a right row in the order of the times of the left.
///
/// # Errors
/// When a column is missing or cannot be used, a row has no time, or a name would be used twice.
pub fn interval_join(left: &DataFrame, right: &DataFrame, on: &Interval, by: &Matching) -> Result<DataFrame> {
    let sides = Sides::read(left, right, by)?;
    let mut pairs = Vec::new();
    for (lefts, rights) in sides.by_key() {
        let mut first = 0;
        for (right_us, right_row) in rights {
            while first < lefts.len() && !on.reaches(lefts[first].0, *right_us) {
                first += 1;
            }
            let matching = lefts[first..].iter().take_while(|(left_us, _)| on.holds(*left_us, *right_us));
            pairs.extend(matching.map(|(_, left_row)| (*left_row, *right_row)));
        }
    }
    joined(left, right, by, pairs)
}

/// Gives for each right row at most one left row, and each left row to at most one right row.
///
/// Rights take their turn by (time, id), and each takes the matching left with the greatest (time, id) that none has taken.
/// Ids are columns of text or integers; without one, rows of the same time are in the order of the frame.
/// The result is that of [`interval_join`] with fewer rows.
///
/// # Errors
/// As [`interval_join`], and when a row has no id.
pub fn attribute(
    left: &DataFrame,
    right: &DataFrame,
    on: &Interval,
    by: &Matching,
    left_id: Option<&str>,
    right_id: Option<&str>,
) -> Result<DataFrame> {
    let sides = Sides::read(left, right, by)?;
    let (left_ids, right_ids) = (ids(left, left_id)?, ids(right, right_id)?);
    let mut pairs = Vec::new();
    for (lefts, rights) in sides.by_key() {
        let event = |ids: &[EventId], (time_us, row): &Moment| Event {
            time_us: *time_us,
            id: ids[*row as usize].clone(),
            payload: row.to_be_bytes().into(),
        };
        let lefts = lefts.iter().map(|at| event(&left_ids, at));
        let rights = rights.iter().map(|at| event(&right_ids, at));
        for attribution in IntervalJoin::of(lefts, rights).drain(on) {
            pairs.push((row(&attribution.left), row(&attribution.right)));
        }
    }
    joined(left, right, by, pairs)
}

fn row(event: &Event) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&event.payload);
    u32::from_be_bytes(bytes)
}

/// The ids of all rows; the rows' numbers if there is no column of ids.
fn ids(frame: &DataFrame, column: Option<&str>) -> Result<Vec<EventId>> {
    let rows = 0..frame.height();
    let Some(name) = column else {
        return Ok(rows.map(|row| EventId::new(&row.to_be_bytes())).collect());
    };
    let values = Values::read(frame, name)?;
    let ordered = values.ordered(name)?;
    let id = |row| ordered(row).ok_or_else(|| Error::data(format!("row {row} has no id in column {name}")));
    rows.map(|row| Ok(EventId::new(&id(row)?))).collect()
}

/// A row's key, time and number.
type Place = (u32, i64, u32);
/// A row's time and number.
type Moment = (i64, u32);

/// The rows of both frames, by key and time.
struct Sides {
    left: Vec<Moment>,
    right: Vec<Moment>,
    /// Where the rows of each key that both frames have are.
    spans: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
}

impl Sides {
    fn read(left: &DataFrame, right: &DataFrame, by: &Matching) -> Result<Self> {
        let mut keys = Keys::default();
        let left = places(left, &mut keys, &by.keys, &by.left_time).map_err(|error| of_table("left", error))?;
        let right = places(right, &mut keys, &by.keys, &by.right_time).map_err(|error| of_table("right", error))?;
        let (mut left_at, mut right_at) = (0, 0);
        let mut spans = Vec::new();
        while left_at < left.len() && right_at < right.len() {
            let key = left[left_at].0.max(right[right_at].0);
            let end = |places: &[Place], from: usize, key| from + places[from..].partition_point(|place| place.0 < key);
            (left_at, right_at) = (end(&left, left_at, key), end(&right, right_at, key));
            let (left_end, right_end) = (end(&left, left_at, key + 1), end(&right, right_at, key + 1));
            if left_end > left_at && right_end > right_at {
                spans.push((left_at..left_end, right_at..right_end));
            }
            (left_at, right_at) = (left_end, right_end);
        }
        let without_key = |places: Vec<Place>| places.into_iter().map(|(_, time_us, row)| (time_us, row)).collect();
        Ok(Self { left: without_key(left), right: without_key(right), spans })
    }

    fn by_key(&self) -> impl Iterator<Item = (&[Moment], &[Moment])> {
        self.spans.iter().map(|(left, right)| (&self.left[left.clone()], &self.right[right.clone()]))
    }
}

/// The rows that have a key, by key, time and number.
fn places(frame: &DataFrame, keys: &mut Keys, columns: &[String], time: &str) -> Result<Vec<Place>> {
    let numbered = keys.number(frame, columns)?;
    let times = Times::read(frame, time)?.micros;
    let rows = numbered.numbers.into_iter().zip(numbered.complete).zip(times).zip(0..);
    let mut places: Vec<_> = rows
        .filter(|(((_, complete), _), _)| *complete)
        .map(|(((number, _), time_us), row)| (number, time_us, row))
        .collect();
    places.sort_unstable();
    Ok(places)
}

fn of_table(side: &str, error: Error) -> Error {
    match error {
        Error::Data(text) => Error::Data(format!("the {side} table: {text}")),
        settings => settings,
    }
}

/// Puts the rows of pairs (left, right) side by side, in the order of the right ones.
fn joined(left: &DataFrame, right: &DataFrame, by: &Matching, mut pairs: Vec<(u32, u32)>) -> Result<DataFrame> {
    pairs.sort_by_key(|(_, right_row)| *right_row);
    let (left_rows, right_rows): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut columns = left.take(&IdxCa::from_vec("".into(), left_rows))?.into_columns();
    let right = right.take(&IdxCa::from_vec("".into(), right_rows))?;
    let rows = right.height();
    for mut column in right.into_columns() {
        if by.keys.iter().any(|key| key == column.name().as_str()) {
            continue;
        }
        if left.get_column_index(column.name()).is_some() {
            column.rename(format!("{}{}", column.name(), by.suffix).into());
        }
        if columns.iter().any(|taken| taken.name() == column.name()) {
            let text = format!("two columns of the result would be named {}; choose another suffix", column.name());
            return Err(Error::Settings(text));
        }
        columns.push(column);
    }
    Ok(DataFrame::new(rows, columns)?)
}
