//! From frames to SQLite: the cells of one frame column, checked once and bound row by row.

use std::cmp::Ordering;

use headrace_core::table::{Column, Kind, Table, Value, time_uuid_to_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{BinaryChunked, DataFrame, Float64Chunked, Int64Chunked, StringChunked};
use rusqlite::Statement;
use rusqlite::types::Null;

/// The cells of one column.
pub(super) enum Cells {
    /// Whole numbers.
    Int(Int64Chunked),
    /// Doubles.
    Double(Float64Chunked),
    /// Texts.
    Text(StringChunked),
    /// Bytes as they are.
    Bytes(BinaryChunked),
    /// Version 1 UUIDs, stored so that their order is that of time.
    TimeUuid(BinaryChunked),
}

impl Cells {
    /// Takes a column from a frame and checks that all of it fits.
    ///
    /// # Errors
    /// A data error naming table and column.
    pub(super) fn of(table: &Table, column: &Column, frame: &DataFrame) -> Result<Self> {
        let wrong =
            |what: &str| Error::data(format!("cannot write table `{}`: column `{}` {what}", table.name, column.name));
        let series = frame.column(column.name.as_str()).map_err(|_| wrong("is missing in the batch"))?;
        let series = series.as_materialized_series();
        if !column.nullable && series.null_count() > 0 {
            return Err(wrong("has a null, which it may not have"));
        }
        let bad_type = |_| wrong(&format!("is {} in the batch, which does not fit {:?}", series.dtype(), column.kind));
        Ok(match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
                Self::Int(series.i64().map_err(bad_type)?.rechunk().into_owned())
            }
            Kind::Double => {
                let values = series.f64().map_err(bad_type)?;
                if values.iter().flatten().any(f64::is_nan) {
                    return Err(wrong("has a NaN, which the store does not keep"));
                }
                Self::Double(values.rechunk().into_owned())
            }
            Kind::Single => {
                let values = series.f32().map_err(bad_type)?;
                if values.iter().flatten().any(f32::is_nan) {
                    return Err(wrong("has a NaN, which the store does not keep"));
                }
                Self::Double(values.iter().map(|value| value.map(f64::from)).collect())
            }
            Kind::Text => Self::Text(series.str().map_err(bad_type)?.rechunk().into_owned()),
            Kind::Name(most) => {
                let values = series.str().map_err(bad_type)?;
                let most = usize::from(most);
                if values.iter().flatten().any(|text| text.len() > most && text.chars().count() > most) {
                    return Err(wrong(&format!("has a text of more than {most} characters")));
                }
                Self::Text(values.rechunk().into_owned())
            }
            Kind::Bytes => Self::Bytes(series.binary().map_err(bad_type)?.rechunk().into_owned()),
            Kind::TimeUuid => {
                let values = series.binary().map_err(bad_type)?;
                if values.iter().flatten().any(|uuid| uuid.len() != 16) {
                    return Err(wrong("has a UUID that is not 16 bytes"));
                }
                Self::TimeUuid(values.rechunk().into_owned())
            }
        })
    }

    /// Binds one cell to a parameter (counted from 1).
    pub(super) fn bind(&self, statement: &mut Statement<'_>, parameter: usize, row: usize) -> rusqlite::Result<()> {
        match self {
            Self::Int(cells) => bind(statement, parameter, cells.get(row)),
            Self::Double(cells) => bind(statement, parameter, cells.get(row)),
            Self::Text(cells) => bind(statement, parameter, cells.get(row)),
            Self::Bytes(cells) => bind(statement, parameter, cells.get(row)),
            Self::TimeUuid(cells) => bind(statement, parameter, cells.get(row).and_then(sortable)),
        }
    }

    /// Numbers in the order of the cells, for sorting by them without looking each cell up again and again; none for kinds
    /// that no number stands for.
    pub(super) fn ranks(&self) -> Option<Vec<u128>> {
        const SIGN: u64 = 1 << 63;
        match self {
            Self::Int(cells) => Some(cells.iter().map(|cell| u128::from(cell.unwrap_or(0) as u64 ^ SIGN)).collect()),
            Self::TimeUuid(cells) => {
                Some(cells.iter().map(|cell| cell.and_then(sortable).map_or(0, u128::from_be_bytes)).collect())
            }
            Self::Double(_) | Self::Text(_) | Self::Bytes(_) => None,
        }
    }

    /// Compares two cells as the store orders them.
    pub(super) fn compare(&self, one: usize, other: usize) -> Ordering {
        match self {
            Self::Int(cells) => cells.get(one).cmp(&cells.get(other)),
            Self::Double(cells) => cells.get(one).partial_cmp(&cells.get(other)).unwrap_or(Ordering::Equal),
            Self::Text(cells) => cells.get(one).cmp(&cells.get(other)),
            Self::Bytes(cells) => cells.get(one).cmp(&cells.get(other)),
            Self::TimeUuid(cells) => cells.get(one).and_then(sortable).cmp(&cells.get(other).and_then(sortable)),
        }
    }
}

fn bind(statement: &mut Statement<'_>, parameter: usize, value: Option<impl rusqlite::ToSql>) -> rusqlite::Result<()> {
    match value {
        Some(value) => statement.raw_bind_parameter(parameter, value),
        None => statement.raw_bind_parameter(parameter, Null),
    }
}

fn sortable(uuid: &[u8]) -> Option<[u8; 16]> {
    uuid.try_into().ok().map(time_uuid_to_sortable)
}

/// Turns a value of a condition into what the store holds for it.
///
/// # Errors
/// A configuration error when it does not fit the column.
pub(super) fn stored(column: &Column, value: &Value) -> Result<rusqlite::types::Value> {
    use rusqlite::types::Value as Stored;
    Ok(match (column.kind, value) {
        (_, Value::Null) => Stored::Null,
        (Kind::TimeUuid, Value::Bytes(uuid)) => match sortable(uuid) {
            Some(uuid) => Stored::Blob(uuid.to_vec()),
            None => return Err(Error::configuration(format!("a UUID for column `{}` is not 16 bytes", column.name))),
        },
        (Kind::Bytes, Value::Bytes(bytes)) => Stored::Blob(bytes.clone()),
        (Kind::Text | Kind::Name(_), Value::Text(text)) => Stored::Text(text.clone()),
        (Kind::Double | Kind::Single, Value::Double(number)) => Stored::Real(*number),
        (Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date, Value::Int(number)) => {
            Stored::Integer(*number)
        }
        (kind, value) => {
            return Err(Error::configuration(format!("{value:?} is no value for column `{}` ({kind:?})", column.name)));
        }
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::{BinaryChunked, Int64Chunked, NewChunkedArray};
    use proptest::prelude::*;

    use super::Cells;

    proptest! {
        #[test]
        fn ranks_are_in_the_order_of_the_cells(numbers: Vec<i64>, uuids: Vec<[u8; 16]>) {
            let ids = BinaryChunked::from_iter_values("".into(), uuids.iter().map(|uuid| uuid.as_slice()));
            for cells in [Cells::Int(Int64Chunked::from_vec("".into(), numbers)), Cells::TimeUuid(ids)] {
                let ranks = cells.ranks().unwrap();
                for one in 0..ranks.len() {
                    for other in 0..ranks.len() {
                        prop_assert_eq!(ranks[one].cmp(&ranks[other]), cells.compare(one, other));
                    }
                }
            }
        }
    }
}
