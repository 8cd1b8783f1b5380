//! Frames into Parquet: row groups of a fixed number of rows, whatever frames they came in, so that the same rows always give the
//! same bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use headrace_core::{Error, Result};
use hyper::body::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::ColumnPath;
use polars::prelude::{Column, DataFrame, DataType, PolarsResult};

use super::schema::{LakeKind, LakeSchema};

/// Rows of a row group: what is held in memory, and what readers take at once.
pub(super) const GROUP_ROWS: usize = 131_072;

/// The key of the footer under which a file keeps the token of its last append.
pub(super) const TOKEN_KEY: &str = "headrace.token";

/// A Parquet file in the making.
pub(super) struct Encoder {
    writer: SerializedFileWriter<Vec<u8>>,
    schema: LakeSchema,
    /// What texts call the file.
    name: String,
    waiting: VecDeque<DataFrame>,
    waiting_rows: usize,
    rows: u64,
}

impl Encoder {
    pub(super) fn new(schema: &LakeSchema, name: &str) -> Result<Self> {
        let wrong = |error| failed(name, &error);
        let writer = SerializedFileWriter::new(
            Vec::new(),
            schema.to_parquet().map_err(wrong)?,
            Arc::new(properties(schema).map_err(wrong)?),
        )
        .map_err(wrong)?;
        let (schema, waiting) = (schema.clone(), VecDeque::new());
        Ok(Self { writer, schema, name: name.to_owned(), waiting, waiting_rows: 0, rows: 0 })
    }

    /// Rows taken so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes rows, and writes the row groups that have become full.
    ///
    /// # Errors
    /// A data error naming the column that is missing, of another type or out of range.
    pub(super) fn push(&mut self, frame: &DataFrame) -> Result<()> {
        let named = |(name, kind): (&str, LakeKind)| {
            let column = frame.column(name).map_err(|_| format!("the frame has no column `{name}`"))?;
            in_kind(column, kind).map_err(|error| format!("column `{name}`: {error}"))
        };
        let columns: Result<Vec<Column>, String> = self.schema.columns().map(named).collect();
        let columns = columns.map_err(|error| Error::data(format!("cannot write {}: {error}", self.name)))?;
        self.waiting.push_back(DataFrame::new(frame.height(), columns)?);
        self.waiting_rows += frame.height();
        self.rows += frame.height() as u64;
        while self.waiting_rows >= GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    /// Takes a row group of another file as it is, column by column. It must be full, and no rows may be waiting.
    pub(super) fn copy_group(&mut self, columns: Vec<(ColumnChunkMetaData, Bytes)>, rows: u64) -> Result<()> {
        let name = self.name.clone();
        self.rows += rows;
        let copy = || {
            let mut group = self.writer.next_row_group()?;
            for (metadata, bytes) in columns {
                let metadata = at_zero(&metadata)?;
                let close = ColumnCloseResult {
                    bytes_written: bytes.len() as u64,
                    rows_written: rows,
                    metadata,
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                group.append_column(&bytes, close)?;
            }
            group.close().map(|_| ())
        };
        copy().map_err(|error| failed(&name, &error))
    }

    /// Gives the bytes that are ready.
    pub(super) fn take(&mut self) -> Result<Bytes> {
        self.writer.flush().map_err(|error| failed(&self.name, &ParquetError::External(Box::new(error))))?;
        Ok(Bytes::from(std::mem::take(self.writer.inner_mut())))
    }

    /// Writes what is waiting and the footer, and gives the last bytes.
    pub(super) fn finish(mut self, token: Option<i64>) -> Result<Bytes> {
        while self.waiting_rows > 0 {
            self.write_group()?;
        }
        if let Some(token) = token {
            self.writer.append_key_value_metadata(KeyValue::new(TOKEN_KEY.to_owned(), token.to_string()));
        }
        self.writer.finish().map_err(|error| failed(&self.name, &error))?;
        self.take()
    }

    fn write_group(&mut self) -> Result<()> {
        let frame = self.next_group()?;
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for (column, (_, kind)) in frame.columns().iter().zip(self.schema.columns()) {
                let mut writer =
                    group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
                write_column(&mut writer, column, kind)?;
                writer.close()?;
            }
            group.close().map(|_| ())
        };
        write().map_err(|error: ParquetError| failed(&self.name, &error))
    }

    /// The rows of the next row group, out of as many frames as it takes.
    fn next_group(&mut self) -> PolarsResult<DataFrame> {
        let mut group: Option<DataFrame> = None;
        let mut missing = GROUP_ROWS.min(self.waiting_rows);
        while missing > 0 {
            let Some(frame) = self.waiting.pop_front() else { break };
            let taken = frame.height().min(missing);
            if taken < frame.height() {
                self.waiting.push_front(frame.slice(taken as i64, frame.height() - taken));
            }
            let piece = frame.head(Some(taken));
            match &mut group {
                None => group = Some(piece),
                Some(group) => {
                    group.vstack_mut(&piece)?;
                }
            }
            missing -= taken;
            self.waiting_rows -= taken;
        }
        Ok(group.unwrap_or_default())
    }
}

fn failed(name: &str, error: &ParquetError) -> Error {
    Error::data(format!("cannot write {name}: {error}"))
}

fn properties(schema: &LakeSchema) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        // What every reader knows.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(format!("headrace version {} (build 0)", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // Row groups are copied as they are when a file grows, and indexes of pages would not come along.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None);
    for (name, kind) in schema.columns() {
        // Times and offsets grow from row to row.
        if matches!(kind, LakeKind::Timestamp | LakeKind::BigInt) {
            let column = ColumnPath::from(name);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

/// Moves what a column's metadata says of places to the beginning of its own bytes.
fn at_zero(metadata: &ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    let (start, _) = metadata.byte_range();
    let start = i64::try_from(start).map_err(|error| ParquetError::External(Box::new(error)))?;
    metadata
        .clone()
        .into_builder()
        .set_data_page_offset(metadata.data_page_offset() - start)
        .set_dictionary_page_offset(metadata.dictionary_page_offset().map(|offset| offset - start))
        .build()
}

/// The column in the type that its kind has in frames.
fn in_kind(column: &Column, kind: LakeKind) -> Result<Column, String> {
    let (found, wanted) = (column.dtype(), frame_type(kind));
    let column = match (kind, found) {
        // A column of nothing but nulls may have come without a type.
        (_, DataType::Null) => column.cast(&wanted),
        (LakeKind::Bool, DataType::Int64) => {
            check(column, |value| (0..=1).contains(&value), "neither 0 nor 1")?;
            column.cast(&wanted)
        }
        _ => Ok(column.clone()),
    };
    let column = column.map_err(|error| error.to_string())?;
    if column.dtype() != &wanted {
        return Err(format!("it is {found}, and {kind:?} is written from {wanted}"));
    }
    match kind {
        LakeKind::Int => check(&column, |value| i32::try_from(value).is_ok(), "no number of 32 bits")?,
        LakeKind::Decimal { precision, .. } => {
            let limit = 10_u64.pow(u32::from(precision));
            check(&column, |value| value.unsigned_abs() < limit, &format!("of more than {precision} digits"))?;
        }
        _ => {}
    }
    Ok(column)
}

pub(super) fn frame_type(kind: LakeKind) -> DataType {
    match kind {
        LakeKind::Text => DataType::String,
        LakeKind::Decimal { .. } | LakeKind::Timestamp | LakeKind::Int | LakeKind::BigInt => DataType::Int64,
        LakeKind::Double => DataType::Float64,
        LakeKind::Bool => DataType::Boolean,
    }
}

fn check(column: &Column, fits: impl Fn(i64) -> bool, what: &str) -> Result<(), String> {
    let numbers = column.i64().map_err(|error| error.to_string())?;
    match numbers.iter().flatten().find(|value| !fits(*value)) {
        None => Ok(()),
        Some(value) => Err(format!("{value} is {what}")),
    }
}

fn write_column(writer: &mut SerializedColumnWriter<'_>, column: &Column, kind: LakeKind) -> Result<(), ParquetError> {
    let outside = |error: polars::error::PolarsError| ParquetError::External(Box::new(error));
    let present: Vec<i16> = if column.null_count() == 0 {
        vec![1; column.len()]
    } else {
        column.is_not_null().iter().map(|present| i16::from(present == Some(true))).collect()
    };
    let levels = Some(present.as_slice());
    let count = match kind {
        LakeKind::Text => {
            let values = texts(column.str().map_err(outside)?.iter().flatten());
            writer.typed::<ByteArrayType>().write_batch(&values, levels, None)
        }
        LakeKind::Decimal { .. } | LakeKind::Timestamp | LakeKind::BigInt => {
            let values: Vec<i64> = column.i64().map_err(outside)?.iter().flatten().collect();
            writer.typed::<Int64Type>().write_batch(&values, levels, None)
        }
        LakeKind::Int => {
            let numbers = column.i64().map_err(outside)?.iter().flatten();
            let values: Result<Vec<i32>, _> = numbers.map(i32::try_from).collect();
            let values = values.map_err(|error| ParquetError::External(Box::new(error)))?;
            writer.typed::<Int32Type>().write_batch(&values, levels, None)
        }
        LakeKind::Double => {
            let values: Vec<f64> = column.f64().map_err(outside)?.iter().flatten().collect();
            writer.typed::<DoubleType>().write_batch(&values, levels, None)
        }
        LakeKind::Bool => {
            let values: Vec<bool> = column.bool().map_err(outside)?.iter().flatten().collect();
            writer.typed::<BoolType>().write_batch(&values, levels, None)
        }
    };
    count.map(|_| ())
}

/// Texts as Parquet takes them, all in one piece of memory.
fn texts<'a>(values: impl Iterator<Item = &'a str>) -> Vec<ByteArray> {
    let mut all = Vec::new();
    let ends: Vec<usize> = values
        .map(|value| {
            all.extend_from_slice(value.as_bytes());
            all.len()
        })
        .collect();
    let all = Bytes::from(all);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| ByteArray::from(all.slice(start..*end))).collect()
}
