//! Parquet into frames: the footer, and the columns of one row group out of their bytes.

use std::ops::Range;
use std::sync::Arc;

use headrace_core::{Error, Result};
use hyper::body::Bytes;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType as ParquetType, DoubleType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use polars::prelude::{Column, NamedFrom, Series};

use super::encode::TOKEN_KEY;
use super::place::Opened;
use super::schema::LakeKind;

/// Footers are mostly smaller than this and come with the first reading.
const TAIL_BYTES: u64 = 64 << 10;

/// Reads the footer of a file.
///
/// # Errors
/// A data error when it is no Parquet file.
pub(super) async fn footer(opened: &dyn Opened, name: &str) -> Result<ParquetMetaData> {
    let length = opened.bytes();
    let mut wanted = TAIL_BYTES.min(length);
    loop {
        let tail = opened.range(length - wanted..length).await?;
        // All that is said of a row group goes along when it is copied.
        let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        let mut reader = ParquetMetaDataReader::new().with_metadata_options(Some(options));
        match reader.try_parse_sized(&tail, length) {
            Ok(()) => return reader.finish().map_err(|error| unreadable(name, &error)),
            Err(ParquetError::NeedMoreData(needed)) if (needed as u64) > wanted => wanted = needed as u64,
            Err(error) => return Err(unreadable(name, &error)),
        }
    }
}

/// The token of the last append, none in files written in one piece.
pub(super) fn token(metadata: &ParquetMetaData) -> Option<i64> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == TOKEN_KEY)?.value.as_ref()?.parse().ok()
}

pub(super) fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("cannot read {name}: {error}"))
}

/// Where the bytes of a column are.
pub(super) fn place_of(column: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = column.byte_range();
    start..start + length
}

/// Decodes one column of a row group.
pub(super) fn column(
    name: &str,
    kind: LakeKind,
    metadata: &ColumnChunkMetaData,
    bytes: Bytes,
    rows: usize,
) -> Result<Column, ParquetError> {
    let tail = Arc::new(Tail { start: place_of(metadata).start, bytes });
    let pages = SerializedPageReader::new(tail, metadata, rows, None)?;
    let reader = get_column_reader(metadata.column_descr_ptr(), Box::new(pages));
    let name = name.into();
    let series = match kind {
        LakeKind::Text => {
            let values = values::<ByteArrayType>(get_typed_column_reader(reader), rows)?;
            let texts: Result<Vec<Option<&str>>, ParquetError> =
                values.iter().map(|value| value.as_ref().map(ByteArray::as_utf8).transpose()).collect();
            Series::new(name, texts?)
        }
        LakeKind::Decimal { .. } | LakeKind::Timestamp | LakeKind::BigInt => {
            Series::new(name, values::<Int64Type>(get_typed_column_reader(reader), rows)?)
        }
        LakeKind::Int => {
            let values = values::<Int32Type>(get_typed_column_reader(reader), rows)?;
            Series::new(name, values.into_iter().map(|value| value.map(i64::from)).collect::<Vec<_>>())
        }
        LakeKind::Double => Series::new(name, values::<DoubleType>(get_typed_column_reader(reader), rows)?),
        LakeKind::Bool => Series::new(name, values::<BoolType>(get_typed_column_reader(reader), rows)?),
    };
    Ok(series.into())
}

fn values<T: ParquetType>(mut reader: ColumnReaderImpl<T>, rows: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut levels, mut present) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (read, _, _) = reader.read_records(rows, Some(&mut levels), None, &mut present)?;
    if read != rows {
        return Err(ParquetError::General(format!("a column ends after {read} of {rows} rows")));
    }
    let mut present = present.into_iter();
    if levels.is_empty() {
        return Ok(present.map(Some).collect()); // a column without nulls has no levels
    }
    Ok(levels.into_iter().map(|level| if level == 0 { None } else { present.next() }).collect())
}

/// A part of a file, addressed as in the whole file.
struct Tail {
    start: u64,
    bytes: Bytes,
}

impl Tail {
    fn place(&self, start: u64) -> Result<usize, ParquetError> {
        let place = start.checked_sub(self.start).and_then(|place| usize::try_from(place).ok());
        place
            .filter(|place| *place <= self.bytes.len())
            .ok_or_else(|| ParquetError::EOF("outside of what was read".into()))
    }
}

impl Length for Tail {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Tail {
    type T = std::io::Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(std::io::Cursor::new(self.bytes.slice(self.place(start)?..)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let from = self.place(start)?;
        let to = self.place(start + length as u64)?;
        Ok(self.bytes.slice(from..to))
    }
}
