//! Columns as the transforms read them: times in microseconds, and values as bytes that tell equal from different.

use polars::prelude::{
    BinaryChunked, Column, DataFrame, DataType, Float64Chunked, Int64Chunked, IntoSeries, NamedFrom, Series,
    StringChunked, TimeUnit, TimeZone, UInt64Chunked,
};

use super::{Error, Result};

/// Gives a column, or says which ones there are.
pub(super) fn column<'a>(frame: &'a DataFrame, name: &str) -> Result<&'a Column> {
    frame.column(name).map_err(|_| {
        let names: Vec<_> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
        Error::data(format!("there is no column {name} in the table; it has {}", names.join(", ")))
    })
}

/// A column of event times.
pub(super) struct Times {
    /// In microseconds, rounded down.
    pub(super) micros: Vec<i64>,
    /// The zone in which timestamps are shown; none if they are integers.
    zone: Option<Option<TimeZone>>,
}

impl Times {
    pub(super) fn read(frame: &DataFrame, name: &str) -> Result<Self> {
        let column = column(frame, name)?;
        let (zone, scale) = match column.dtype() {
            DataType::Int64 => (None, Scale::Times(1)),
            DataType::Date => (Some(None), Scale::Times(86_400_000_000)),
            DataType::Datetime(unit, zone) => {
                let scale = match unit {
                    TimeUnit::Milliseconds => Scale::Times(1000),
                    TimeUnit::Microseconds => Scale::Times(1),
                    TimeUnit::Nanoseconds => Scale::Through(1000),
                };
                (Some(zone.clone()), scale)
            }
            other => {
                let text = "is neither a timestamp nor an integer of microseconds; convert it first";
                return Err(Error::data(format!("the times in column {name} have type {other}; that {text}")));
            }
        };
        let numbers = column.to_physical_repr().cast(&DataType::Int64)?;
        let mut micros = Vec::with_capacity(numbers.len());
        for (row, number) in numbers.i64()?.iter().enumerate() {
            let number = number.ok_or_else(|| Error::data(format!("row {row} has no time in column {name}")))?;
            let scaled = match scale {
                Scale::Times(factor) => number.checked_mul(factor),
                Scale::Through(divisor) => Some(number.div_euclid(divisor)),
            };
            micros.push(
                scaled.ok_or_else(|| Error::data(format!("row {row} has a time out of range in column {name}")))?,
            );
        }
        Ok(Self { micros, zone })
    }

    /// Gives times as a column of the same kind: integers, or timestamps of the same zone.
    pub(super) fn column(&self, name: &str, micros: Vec<i64>) -> Column {
        let numbers = Int64Chunked::from_vec(name.into(), micros);
        match &self.zone {
            None => numbers.into_series().into(),
            Some(zone) => numbers.into_datetime(TimeUnit::Microseconds, zone.clone()).into_series().into(),
        }
    }
}

enum Scale {
    Times(i64),
    Through(i64),
}

/// A column whose values are compared.
pub(super) struct Values {
    reader: Reader,
    /// What kind of values there are: only those of one kind can be equal.
    pub(super) kind: String,
}

enum Reader {
    Nothing,
    Text(StringChunked),
    Bytes(BinaryChunked),
    Signed(Int64Chunked),
    Unsigned(UInt64Chunked),
    Float(Float64Chunked),
}

/// What a value begins with, so that no two of different kinds give the same bytes.
const INTEGER: u8 = 1;
const FRACTION: u8 = 2;
const BYTES: u8 = 3;
/// Floats from here on may stand for several integers, but they are integers themselves.
const TWO_TO_THE_63: f64 = 9_223_372_036_854_775_808.0;

impl Values {
    pub(super) fn read(frame: &DataFrame, name: &str) -> Result<Self> {
        let column = column(frame, name)?.as_materialized_series().rechunk();
        let dtype = column.dtype().clone();
        let (kind, reader) = match &dtype {
            DataType::Null => ("nothing".to_owned(), Reader::Nothing),
            DataType::String => ("text".to_owned(), Reader::Text(column.str()?.clone())),
            DataType::Binary => ("bytes".to_owned(), Reader::Bytes(column.binary()?.clone())),
            DataType::UInt64 => ("number".to_owned(), Reader::Unsigned(column.u64()?.clone())),
            DataType::Float32 | DataType::Float64 => {
                ("number".to_owned(), Reader::Float(column.cast(&DataType::Float64)?.f64()?.clone()))
            }
            dtype if dtype.is_integer() => {
                ("number".to_owned(), Reader::Signed(column.cast(&DataType::Int64)?.i64()?.clone()))
            }
            DataType::Boolean => ("truth".to_owned(), Reader::Signed(column.cast(&DataType::Int64)?.i64()?.clone())),
            DataType::Date | DataType::Datetime(..) | DataType::Duration(_) => {
                let numbers = column.to_physical_repr().cast(&DataType::Int64)?;
                (dtype.to_string(), Reader::Signed(numbers.i64()?.clone()))
            }
            other => {
                return Err(Error::data(format!("values in column {name} have type {other} and cannot be compared")));
            }
        };
        Ok(Self { reader, kind })
    }

    /// Appends the value of a row, and says whether there is one.
    pub(super) fn put(&self, row: usize, out: &mut Vec<u8>) -> bool {
        match &self.reader {
            Reader::Nothing => false,
            Reader::Text(values) => put_bytes(values.get(row).map(str::as_bytes), out),
            Reader::Bytes(values) => put_bytes(values.get(row), out),
            Reader::Signed(values) => put_integer(values.get(row).map(i128::from), out),
            Reader::Unsigned(values) => put_integer(values.get(row).map(i128::from), out),
            Reader::Float(values) => match values.get(row).filter(|value| !value.is_nan()) {
                // An integer that has become a float, as pandas does when one is missing, is still the same.
                Some(value) if value.fract() == 0.0 && value.abs() <= TWO_TO_THE_63 => {
                    put_integer(Some(value as i128), out)
                }
                Some(value) => {
                    out.push(FRACTION);
                    out.extend_from_slice(&value.to_bits().to_be_bytes());
                    true
                }
                None => false,
            },
        }
    }

    /// Gives bytes whose order is that of the values, for text and integers.
    pub(super) fn ordered(&self, name: &str) -> Result<impl Fn(usize) -> Option<Vec<u8>>> {
        if matches!(self.reader, Reader::Float(_)) {
            return Err(Error::data(format!("the ids in column {name} are floats; convert them to integers or text")));
        }
        Ok(|row: usize| {
            let mut bytes = Vec::new();
            let behind_kind = match self.reader {
                Reader::Text(_) | Reader::Bytes(_) => 1 + size_of::<u64>(),
                _ => 1,
            };
            self.put(row, &mut bytes).then(|| bytes.split_off(behind_kind))
        })
    }
}

fn put_bytes(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.push(BYTES);
    out.extend_from_slice(&(value.len() as u64).to_be_bytes());
    out.extend_from_slice(value);
    true
}

fn put_integer(value: Option<i128>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.push(INTEGER);
    // The sign is turned over, so that byte order is the order of the numbers.
    out.extend_from_slice(&(value ^ i128::MIN).to_be_bytes());
    true
}

/// A column of integers that may be absent.
pub(super) fn numbers<T>(name: &str, values: Vec<T>) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), values).into()
}
