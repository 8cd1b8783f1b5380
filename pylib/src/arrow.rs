//! Tables across the border: Arrow's C stream interface in Python capsules, in and out without a copy.
//!
//! This is the only unsafe code of the project. It relies on the producer keeping to
//! <https://arrow.apache.org/docs/format/CStreamInterface.html>, and on the capsule's name for telling what is in it.
#![expect(unsafe_code, reason = "the C interface is made of raw pointers")]

use std::collections::HashMap;
use std::ffi::CStr;

use headrace_core::Control;
use headrace_pipelines::recruitment::one_pass;
use polars::prelude::{ArrowDataType, ArrowField, Column, CompatLevel, DataFrame, DataType, IntoColumn, Series};
use polars_arrow::array::{Array, PrimitiveArray, StructArray};
use polars_arrow::ffi::{ArrowArrayStream, ArrowArrayStreamReader, export_iterator};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::{bad_data, raised};
use crate::wait::Caller;

const NAME: &CStr = c"arrow_array_stream";

/// A table that pandas, Polars, PyArrow and anything else that knows `__arrow_c_stream__` can read, many times.
#[pyclass(frozen, module = "headrace")]
pub(crate) struct ArrowTable {
    frame: DataFrame,
    /// Columns of whole numbers that mean something else: decimals and times.
    types: HashMap<String, ArrowDataType>,
}

impl ArrowTable {
    /// A table whose columns of whole numbers are given out as decimals or times.
    pub(crate) fn typed(frame: DataFrame, types: HashMap<String, ArrowDataType>) -> Self {
        Self { frame, types }
    }
}

impl From<DataFrame> for ArrowTable {
    fn from(frame: DataFrame) -> Self {
        Self { frame, types: HashMap::new() }
    }
}

#[pymethods]
impl ArrowTable {
    /// Exports the table; a requested schema is not cast to, which the interface allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        PyCapsule::new_with_value(py, export(self.frame.clone(), &self.types), NAME)
    }

    /// The names of the columns.
    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.frame.get_column_names().into_iter().map(ToString::to_string).collect()
    }

    fn __len__(&self) -> usize {
        self.frame.height()
    }

    fn __repr__(&self) -> String {
        format!("<ArrowTable of {} rows: {}>", self.frame.height(), self.column_names().join(", "))
    }
}

/// Aggregates a table of message fields to the hourly table.
#[pyfunction]
pub(crate) fn recruitment_hourly(py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    let frame = import(frame, &one_pass::COLUMNS)?;
    transformed(py, move || one_pass::recruitment_hourly(&frame))
}

/// Aggregates message fields of some events to a part of the hourly table.
#[pyfunction]
pub(crate) fn recruitment_hourly_part(py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    let frame = import(frame, &one_pass::COLUMNS)?;
    transformed(py, move || one_pass::recruitment_hourly_part(&frame))
}

/// Adds parts of the hourly table up.
#[pyfunction]
pub(crate) fn recruitment_hourly_whole(py: Python<'_>, parts: &Bound<'_, PyAny>) -> PyResult<ArrowTable> {
    let parts = import(parts, &one_pass::PART_COLUMNS)?;
    transformed(py, move || one_pass::recruitment_hourly_whole(&parts))
}

/// Runs a transform on a thread of the runtime, the interpreter released.
pub(crate) fn transformed(
    py: Python<'_>,
    transform: impl FnOnce() -> headrace_core::Result<DataFrame> + Send + 'static,
) -> PyResult<ArrowTable> {
    detached(py, transform).map(ArrowTable::from)
}

/// Runs something on a thread of the runtime, the interpreter released.
pub(crate) fn detached<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> headrace_core::Result<T> + Send + 'static,
) -> PyResult<T> {
    let ended =
        Caller::default().wait(py, &Control::default(), async move { tokio::task::spawn_blocking(work).await })?;
    ended.map_err(|cause| crate::error::internal(&cause.to_string()))?.map_err(|error| raised(&error))
}

/// What pandas calls the columns in which it sends a table's index.
const INDEX: &str = "__index_level_";

/// Reads the wanted columns of an object with `__arrow_c_stream__`; missing ones are left to the transform to miss.
pub(crate) fn import(frame: &Bound<'_, PyAny>, wanted: &[&str]) -> PyResult<DataFrame> {
    import_where(frame, |name| wanted.contains(&name))
}

/// Reads all columns of an object with `__arrow_c_stream__`, but not the index of a pandas table.
pub(crate) fn import_all(frame: &Bound<'_, PyAny>) -> PyResult<DataFrame> {
    import_where(frame, |name| !name.starts_with(INDEX))
}

fn import_where(frame: &Bound<'_, PyAny>, wanted: impl Fn(&str) -> bool) -> PyResult<DataFrame> {
    let capsule = frame.call_method0("__arrow_c_stream__").map_err(|_| {
        bad_data("expected a table with __arrow_c_stream__: a pandas (2.2 or newer), Polars or PyArrow table")
    })?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| bad_data("__arrow_c_stream__ gave no capsule"))?;
    let place = capsule.pointer_checked(Some(NAME))?.cast::<ArrowArrayStream>();
    // SAFETY: the capsule's name says what it points at. Moving the stream out and leaving a released one behind is
    // how the interface hands it over: the capsule's destructor then has nothing to release.
    let stream = Box::new(unsafe { place.replace(ArrowArrayStream::empty()) });
    // SAFETY: the producer keeps to the C stream interface.
    let mut reader = unsafe { ArrowArrayStreamReader::try_new(stream) }.map_err(refused)?;
    let ArrowDataType::Struct(fields) = reader.field().dtype().clone() else {
        return Err(bad_data("the Arrow stream holds one column instead of a table"));
    };
    let mut chunks: Vec<Vec<Box<dyn Array>>> = fields.iter().map(|_| Vec::new()).collect();
    // SAFETY: as above.
    while let Some(batch) = unsafe { reader.next() } {
        let batch = batch.map_err(refused)?;
        let table = batch.as_any().downcast_ref::<StructArray>();
        let table = table.ok_or_else(|| bad_data("the Arrow stream holds something else than record batches"))?;
        for (column, values) in chunks.iter_mut().zip(table.values()) {
            column.push(values.clone());
        }
    }
    let columns: PyResult<Vec<Column>> = fields
        .iter()
        .zip(chunks)
        .filter(|(field, _)| wanted(field.name.as_str()))
        .map(|(field, chunks)| column(field, chunks))
        .collect();
    DataFrame::new_infer_height(columns?).map_err(refused)
}

fn column(field: &ArrowField, mut chunks: Vec<Box<dyn Array>>) -> PyResult<Column> {
    use ArrowDataType as Arrow;
    let name = field.name.clone();
    let mut dtype = field.dtype.clone();
    match dtype {
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => {}
        Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::Int64 | Arrow::UInt32 | Arrow::UInt64 => {}
        Arrow::Float32 | Arrow::Float64 | Arrow::Timestamp(..) | Arrow::Duration(_) | Arrow::Date32 => {}
        Arrow::Boolean | Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView => {}
        Arrow::UInt8 => (dtype, chunks) = (Arrow::Int64, widened::<u8>(&chunks)),
        Arrow::UInt16 => (dtype, chunks) = (Arrow::Int64, widened::<u16>(&chunks)),
        // A column without any value has no type; pandas sends it so.
        Arrow::Null => {
            let rows = chunks.iter().map(|chunk| chunk.len()).sum();
            return Ok(Series::full_null(name, rows, &DataType::Float64).into_column());
        }
        other => {
            let text = "cast it to text, integer, float or timestamp, or leave it out";
            return Err(bad_data(format!("column {name} has type {other:?}; {text}")));
        }
    }
    if chunks.is_empty() {
        chunks.push(polars_arrow::array::new_empty_array(dtype.clone()));
    }
    // SAFETY: the reader made every chunk of the stream's schema, and the two widened types were made just above.
    let series = unsafe { Series::_try_from_arrow_unchecked(name, chunks, &dtype) };
    series.map(IntoColumn::into_column).map_err(refused)
}

/// Integers of a width that Polars is built without.
fn widened<N: polars_arrow::types::NativeType + Into<i64>>(chunks: &[Box<dyn Array>]) -> Vec<Box<dyn Array>> {
    let widen = |chunk: &PrimitiveArray<N>| chunk.iter().map(|value| value.map(|value| (*value).into())).collect();
    let chunks = chunks.iter().filter_map(|chunk| chunk.as_any().downcast_ref::<PrimitiveArray<N>>());
    chunks
        .map(|chunk| {
            let wide: PrimitiveArray<i64> = widen(chunk);
            wide.boxed()
        })
        .collect()
}

/// Gives the stream of a table, in the types that every reader knows.
fn export(mut frame: DataFrame, types: &HashMap<String, ArrowDataType>) -> ArrowArrayStream {
    frame.rechunk_mut();
    let fields: Vec<ArrowField> = frame
        .columns()
        .iter()
        .map(|column| {
            let mut field = column.field().to_arrow(CompatLevel::oldest());
            if let Some(dtype) = types.get(field.name.as_str()) {
                field.dtype = dtype.clone();
            }
            field
        })
        .collect();
    let dtype = ArrowDataType::Struct(fields.clone());
    let field = ArrowField::new("".into(), dtype.clone(), false);
    let batches: Vec<_> = frame
        .iter_chunks(CompatLevel::oldest(), false)
        .map(|batch| {
            let rows = batch.height();
            let arrays =
                batch.into_arrays().into_iter().zip(&fields).map(|(array, field)| meant(array, field)).collect();
            StructArray::try_new(dtype.clone(), rows, arrays, None).map(|table| table.boxed())
        })
        .collect();
    export_iterator(Box::new(batches.into_iter()), field)
}

/// Whole numbers as what they mean.
fn meant(array: Box<dyn Array>, field: &ArrowField) -> Box<dyn Array> {
    match (&field.dtype, array.as_any().downcast_ref::<PrimitiveArray<i64>>()) {
        (ArrowDataType::Decimal(..), Some(numbers)) => {
            let wide: PrimitiveArray<i128> = numbers.iter().map(|number| number.copied().map(i128::from)).collect();
            wide.to(field.dtype.clone()).boxed()
        }
        (ArrowDataType::Timestamp(..), Some(numbers)) => numbers.clone().to(field.dtype.clone()).boxed(),
        _ => array,
    }
}

fn refused(error: polars::error::PolarsError) -> PyErr {
    bad_data(format!("cannot read the Arrow stream: {error}"))
}
