//! Windows, joins and de-duplication as Python calls them: tables in, tables out, lengths of time in microseconds.

use headrace_core::Error;
use headrace_transforms::frames::{self, Aggregation, Function, Matching, Windowing};
use headrace_transforms::join::Interval;
use headrace_transforms::window::{Sliding, Tumbling};
use polars::prelude::DataFrame;
use pyo3::prelude::*;

use crate::arrow::{ArrowTable, import, import_all, transformed};
use crate::error::raised;

/// A column of the result as Python gives it: its name, the column it is computed from, the function.
type Asked = (String, Option<String>, String);

/// What all windows are given: the time, the keys, the aggregations, the delay in microseconds, the partition.
type Of = (String, Vec<String>, Vec<Asked>, Option<i64>, Option<String>);

/// Aggregates by tumbling windows.
#[pyfunction]
pub(crate) fn tumbling_window(
    py: Python<'_>,
    frame: &Bound<'_, PyAny>,
    size_us: i64,
    offset_us: i64,
    of: Of,
) -> PyResult<ArrowTable> {
    let windows = Tumbling::new(size_us).map_err(settings)?.with_offset(offset_us);
    windowed(py, frame, of, move |frame, of| frames::tumbling(frame, &windows, of))
}

/// Aggregates by sliding windows.
#[pyfunction]
pub(crate) fn sliding_window(
    py: Python<'_>,
    frame: &Bound<'_, PyAny>,
    size_us: i64,
    slide_us: i64,
    of: Of,
) -> PyResult<ArrowTable> {
    let windows = Sliding::new(size_us, slide_us).map_err(settings)?;
    windowed(py, frame, of, move |frame, of| frames::sliding(frame, &windows, of))
}

/// Aggregates by session windows.
#[pyfunction]
pub(crate) fn session_window(py: Python<'_>, frame: &Bound<'_, PyAny>, gap_us: i64, of: Of) -> PyResult<ArrowTable> {
    windowed(py, frame, of, move |frame, of| frames::session(frame, gap_us, of))
}

fn windowed(
    py: Python<'_>,
    frame: &Bound<'_, PyAny>,
    (time, keys, asked, delay_us, partition): Of,
    transform: impl FnOnce(&DataFrame, &Windowing) -> frames::Result<DataFrame> + Send + 'static,
) -> PyResult<ArrowTable> {
    let aggregation = |(name, column, function): Asked| {
        Ok(Aggregation { name, column, function: Function::named(&function).map_err(refused)? })
    };
    let aggregations = asked.into_iter().map(aggregation).collect::<PyResult<Vec<_>>>()?;
    let of = Windowing { time, keys, aggregations, delay_us, partition };
    let columns = of.aggregations.iter().filter_map(|aggregation| aggregation.column.as_deref());
    let wanted: Vec<_> = columns
        .chain(of.keys.iter().map(String::as_str))
        .chain([of.time.as_str()])
        .chain(of.partition.as_deref())
        .collect();
    let frame = import(frame, &wanted)?;
    transformed(py, move || transform(&frame, &of).map_err(core))
}

/// Pairs the rows of two tables by keys and by their distance in time: bounds, both inclusive, in microseconds.
#[pyfunction]
pub(crate) fn interval_join(
    py: Python<'_>,
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
    bounds_us: (i64, i64),
    keys: Vec<String>,
    times: (String, String),
    suffix: String,
) -> PyResult<ArrowTable> {
    let (on, by) = joining(bounds_us, keys, times, suffix)?;
    let (left, right) = (import_all(left)?, import_all(right)?);
    transformed(py, move || frames::interval_join(&left, &right, &on, &by).map_err(core))
}

/// Gives each right row at most one left row, and each left row to at most one.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are those of the Python function")]
pub(crate) fn attribute(
    py: Python<'_>,
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
    bounds_us: (i64, i64),
    keys: Vec<String>,
    times: (String, String),
    suffix: String,
    ids: (Option<String>, Option<String>),
) -> PyResult<ArrowTable> {
    let (on, by) = joining(bounds_us, keys, times, suffix)?;
    let (left, right) = (import_all(left)?, import_all(right)?);
    transformed(py, move || {
        frames::attribute(&left, &right, &on, &by, ids.0.as_deref(), ids.1.as_deref()).map_err(core)
    })
}

fn joining(
    (lower_us, upper_us): (i64, i64),
    keys: Vec<String>,
    (left_time, right_time): (String, String),
    suffix: String,
) -> PyResult<(Interval, Matching)> {
    let on = Interval::new(lower_us, upper_us).map_err(settings)?;
    Ok((on, Matching { keys, left_time, right_time, suffix }))
}

/// Splits a table into first rows, copies and contradictions.
#[pyfunction]
pub(crate) fn deduplicate(
    py: Python<'_>,
    frame: &Bound<'_, PyAny>,
    id: String,
    content: Option<Vec<String>>,
) -> PyResult<(ArrowTable, ArrowTable, ArrowTable)> {
    let frame = import_all(frame)?;
    let given = crate::arrow::detached(py, move || frames::deduplicate(&frame, &id, content.as_deref()).map_err(core))?;
    Ok((given.kept.into(), given.duplicates.into(), given.conflicts.into()))
}

fn core(error: frames::Error) -> Error {
    match error {
        frames::Error::Settings(text) => Error::configuration(text),
        frames::Error::Data(text) => Error::data(text),
    }
}

fn refused(error: frames::Error) -> PyErr {
    raised(&core(error))
}

/// The exception for windows and intervals that make no sense.
fn settings(error: impl ToString) -> PyErr {
    raised(&Error::configuration(error.to_string()))
}
