//! Frames to RowBinary, cut into blocks. Every value is checked as it is written, before its block is sent.

use headrace_core::table::{Column, Kind, Table, time_uuid_to_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{
    BinaryChunked, ChunkedArray, DataFrame, Float32Chunked, Float64Chunked, Int64Chunked, PolarsNumericType,
    StringChunked,
};

use super::types::{Stored, Wire};

/// A block ends once it holds so many bytes. The server makes one part of up to a million rows.
const BLOCK_BYTES: usize = 32 << 20;
/// A block holds at most so many rows.
const BLOCK_ROWS: usize = 500_000;
/// Days of the years 1900 to 2299.
pub(super) const DAYS: std::ops::Range<i64> = -25_567..120_530;
const DAY_US: i64 = 86_400_000_000;

enum Cells {
    Int(Int64Chunked),
    Double(Float64Chunked),
    Single(Float32Chunked),
    Text(StringChunked),
    Bytes(BinaryChunked),
}

/// One column of a frame on its way.
struct Writer<'a> {
    table: &'a Table,
    column: &'a Column,
    stored: Stored,
    cells: Cells,
    /// Whether numbers lie side by side, with no null among them.
    is_dense: bool,
}

/// Cuts a frame into blocks of rows.
///
/// # Errors
/// A data error naming the column whose type does not fit.
pub(super) fn blocks(table: &Table, frame: &DataFrame) -> Result<impl Iterator<Item = Result<Vec<u8>>> + Send> {
    let writers =
        table.written().map(|column| Writer::new(table, column, frame)).collect::<Result<Vec<Writer<'_>>>>()?;
    let (height, mut row) = (frame.height(), 0);
    Ok(std::iter::from_fn(move || {
        let first = row;
        // Rows of numbers are mostly this long; a block that needs more grows.
        let mut block = Vec::with_capacity(((height - first) * writers.len() * 8).min(BLOCK_BYTES));
        while row < height && row - first < BLOCK_ROWS && block.len() < BLOCK_BYTES {
            for writer in &writers {
                if let Err(error) = writer.write(row, &mut block) {
                    row = height;
                    return Some(Err(error));
                }
            }
            row += 1;
        }
        (row > first).then_some(Ok(block))
    }))
}

impl<'a> Writer<'a> {
    fn new(table: &'a Table, column: &'a Column, frame: &DataFrame) -> Result<Self> {
        let stored = Stored::of(column)?;
        let wrong = |what: String| {
            Error::data(format!("cannot write to table `{}`: column `{}` {what}", table.name, column.name))
        };
        let series = frame.column(column.name.as_str()).map_err(|_| wrong("is missing in the batch".to_owned()))?;
        let series = series.as_materialized_series();
        if !column.nullable && series.null_count() > 0 {
            return Err(wrong("has a null, which it may not have".to_owned()));
        }
        let mistyped = |_| wrong(format!("is {} in the batch, which does not fit {:?}", series.dtype(), column.kind));
        let cells = match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
                Cells::Int(series.i64().map_err(mistyped)?.rechunk().into_owned())
            }
            Kind::Double => Cells::Double(series.f64().map_err(mistyped)?.rechunk().into_owned()),
            Kind::Single => Cells::Single(series.f32().map_err(mistyped)?.rechunk().into_owned()),
            Kind::Text | Kind::Name(_) => Cells::Text(series.str().map_err(mistyped)?.rechunk().into_owned()),
            Kind::Bytes | Kind::TimeUuid => Cells::Bytes(series.binary().map_err(mistyped)?.rechunk().into_owned()),
        };
        let is_dense = series.null_count() == 0;
        Ok(Self { table, column, stored, cells, is_dense })
    }

    fn wrong(&self, what: &str) -> Error {
        Error::data(format!("cannot write to table `{}`: column `{}` {what}", self.table.name, self.column.name))
    }

    /// One number; taken from the column as it lies in memory, where that can be done.
    fn number<T: PolarsNumericType>(&self, cells: &ChunkedArray<T>, row: usize) -> Option<T::Native> {
        if self.is_dense
            && let Ok(numbers) = cells.cont_slice()
        {
            return numbers.get(row).copied();
        }
        cells.get(row)
    }

    fn write(&self, row: usize, block: &mut Vec<u8>) -> Result<()> {
        match &self.cells {
            Cells::Int(cells) => self.put(self.number(cells, row), block, |value, block| self.whole(value, block)),
            Cells::Double(cells) => self.put(self.number(cells, row), block, |value, block| {
                self.finite(value.is_nan())?;
                block.extend(value.to_le_bytes());
                Ok(())
            }),
            Cells::Single(cells) => self.put(self.number(cells, row), block, |value, block| {
                self.finite(value.is_nan())?;
                block.extend(value.to_le_bytes());
                Ok(())
            }),
            Cells::Text(cells) => self.put(cells.get(row), block, |value, block| self.text(value, block)),
            Cells::Bytes(cells) => self.put(cells.get(row), block, |value, block| self.bytes(value, block)),
        }
    }

    fn put<T>(
        &self,
        value: Option<T>,
        block: &mut Vec<u8>,
        write: impl FnOnce(T, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        if self.stored.nullable {
            block.push(u8::from(value.is_none()));
        }
        value.map_or(Ok(()), |value| write(value, block))
    }

    fn finite(&self, is_nan: bool) -> Result<()> {
        if is_nan { Err(self.wrong("has a NaN, which no other store keeps")) } else { Ok(()) }
    }

    fn whole(&self, value: i64, block: &mut Vec<u8>) -> Result<()> {
        let outside = |what: &str| self.wrong(&format!("has {value}, which is {what}"));
        let (number, bytes) = match self.stored.wire {
            Wire::Signed(bytes) => {
                // All bits above the sign are the sign's.
                let above = value >> (8 * bytes - 1);
                if above != 0 && above != -1 {
                    return Err(outside(&format!("no whole number of {} bits", 8 * bytes)));
                }
                (value, bytes)
            }
            Wire::Unsigned(bytes) => {
                if value < 0 || (bytes < 8 && value >> (8 * bytes) != 0) {
                    return Err(outside(&format!("no whole number of {} bits without a sign", 8 * bytes)));
                }
                (value, bytes)
            }
            Wire::Seconds => {
                let seconds = value.div_euclid(1_000_000);
                if u32::try_from(seconds).is_err() {
                    return Err(outside("outside the years 1970 to 2105"));
                }
                (seconds, 4)
            }
            Wire::Moment(digits) => {
                if !(DAYS.start * DAY_US..DAYS.end * DAY_US).contains(&value) {
                    return Err(outside("outside the years 1900 to 2299"));
                }
                (value.div_euclid(10_i64.pow(6 - digits.min(6))), 8)
            }
            Wire::Days => {
                if !DAYS.contains(&value) {
                    return Err(outside("outside the years 1900 to 2299"));
                }
                (value, 4)
            }
            Wire::Decimal(_) if value.unsigned_abs() >= 10_u64.pow(18) => {
                return Err(outside("a decimal of more than 18 digits"));
            }
            _ => (value, 8),
        };
        block.extend_from_slice(&number.to_le_bytes()[..bytes]);
        Ok(())
    }

    fn text(&self, value: &str, block: &mut Vec<u8>) -> Result<()> {
        if let Kind::Name(most) = self.column.kind {
            let most = usize::from(most);
            if value.len() > most && value.chars().count() > most {
                return Err(self.wrong(&format!("has a text of more than {most} characters")));
            }
        }
        put_bytes(value.as_bytes(), block);
        Ok(())
    }

    fn bytes(&self, value: &[u8], block: &mut Vec<u8>) -> Result<()> {
        if self.column.kind == Kind::TimeUuid {
            let uuid = value.try_into().map_err(|_| self.wrong("has a UUID that is not 16 bytes"))?;
            block.extend(time_uuid_to_sortable(uuid));
        } else {
            put_bytes(value, block);
        }
        Ok(())
    }
}

/// The length in groups of seven bits, then the bytes.
fn put_bytes(value: &[u8], block: &mut Vec<u8>) {
    let mut length = value.len();
    while length >= 0x80 {
        block.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    block.push(length as u8);
    block.extend_from_slice(value);
}
