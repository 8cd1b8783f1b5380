//! Rows of a frame as the driver sends them: written straight from the columns into the request, with nothing allocated per row.
//!
//! Every value is checked before the first row is sent, so a frame that does not fit writes nothing. Nulls are left
//! unset: they write no tombstone, and a value that is there already stays.

use std::cmp::Ordering;

use headrace_core::table::{Column, Kind, Merge, time_uuid_to_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{BinaryChunked, DataFrame, Float64Chunked, Int64Chunked, PolarsResult, StringChunked};
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::{CellOverflowError, CellWriter, RowWriter, WrittenCellProof};

use super::storage::Storage;

/// Cassandra's bound on each key column.
const LONGEST_KEY: usize = 65_535;
/// Cassandra refuses a row of 16 MiB with its overhead.
const LARGEST_ROW: usize = 15 << 20;
/// What Cassandra counts for a value beside its bytes: timestamp and expiry.
const CELL_OVERHEAD: usize = 16;

#[derive(Debug)]
enum Values {
    Int(Int64Chunked),
    Double(Float64Chunked),
    Text(StringChunked),
    Bytes(BinaryChunked),
}

impl Values {
    fn new(column: &Column, frame: &DataFrame) -> PolarsResult<Self> {
        let series = frame.column(column.name.as_str())?;
        Ok(match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
                Self::Int(series.i64()?.rechunk().into_owned())
            }
            Kind::Double | Kind::Single => Self::Double(series.f64()?.rechunk().into_owned()),
            Kind::Text | Kind::Name(_) => Self::Text(series.str()?.rechunk().into_owned()),
            Kind::Bytes | Kind::TimeUuid => Self::Bytes(series.binary()?.rechunk().into_owned()),
        })
    }

    fn bytes(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Text(values) => values.get(row).map(str::as_bytes),
            Self::Bytes(values) => values.get(row),
            Self::Int(_) | Self::Double(_) => None,
        }
    }

    fn null_count(&self) -> usize {
        match self {
            Self::Int(values) => values.null_count(),
            Self::Double(values) => values.null_count(),
            Self::Text(values) => values.null_count(),
            Self::Bytes(values) => values.null_count(),
        }
    }
}

#[derive(Debug)]
struct Cells {
    storage: Storage,
    values: Values,
}

impl Cells {
    /// Says what is wrong with the first value that Cassandra would refuse or change.
    fn check(&self, column: &Column, alone_in_partition: bool) -> Result<(), String> {
        let is_key = column.merge == Merge::Key;
        if self.values.null_count() > 0 && (is_key || !column.nullable) {
            return Err("a null in a column that takes none".to_owned());
        }
        match &self.values {
            Values::Int(values) => {
                if matches!(self.storage, Storage::Int | Storage::Timestamp | Storage::Date)
                    && let Some(value) =
                        values.iter().flatten().find(|value| self.storage.store_number(*value).is_none())
                {
                    let why =
                        if self.storage == Storage::Timestamp { "is no whole millisecond" } else { "is out of range" };
                    return Err(format!("{value} {why} ({})", self.storage.cql()));
                }
            }
            Values::Double(_) => {}
            Values::Text(_) | Values::Bytes(_) => {
                let longest = match column.kind {
                    Kind::Name(longest) => usize::from(longest),
                    _ => usize::MAX,
                };
                let rows = match &self.values {
                    Values::Text(values) => values.len(),
                    Values::Bytes(values) => values.len(),
                    Values::Int(_) | Values::Double(_) => 0,
                };
                for value in (0..rows).filter_map(|row| self.values.bytes(row)) {
                    if self.storage == Storage::TimeUuid && !is_time_uuid(value) {
                        return Err("a value that is no version 1 UUID of 16 bytes".to_owned());
                    }
                    if value.len() > longest && characters(value) > longest {
                        return Err(format!("a text of more than {longest} characters"));
                    }
                    if is_key && value.len() > LONGEST_KEY {
                        return Err(format!("a key of {} bytes; Cassandra takes {LONGEST_KEY}", value.len()));
                    }
                    if alone_in_partition && value.is_empty() {
                        return Err("an empty key, which Cassandra does not take".to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    fn size(&self, row: usize) -> usize {
        match &self.values {
            Values::Int(_) | Values::Double(_) => 8,
            Values::Text(_) | Values::Bytes(_) => self.values.bytes(row).map_or(0, <[u8]>::len),
        }
    }

    fn write<'a>(&self, row: usize, cell: CellWriter<'a>) -> Result<WrittenCellProof<'a>, CellOverflowError> {
        match &self.values {
            Values::Int(values) => match values.get(row).and_then(|value| self.storage.store_number(value)) {
                None => Ok(cell.set_unset()),
                // `check` made sure that the number fits its type, so these casts cut nothing off.
                Some(value) => match self.storage {
                    Storage::Int => cell.set_value(&(value as i32).to_be_bytes()),
                    Storage::Date => cell.set_value(&(value as u32).to_be_bytes()),
                    _ => cell.set_value(&value.to_be_bytes()),
                },
            },
            Values::Double(values) => match values.get(row) {
                None => Ok(cell.set_unset()),
                Some(value) => cell.set_value(&value.to_be_bytes()),
            },
            Values::Text(_) | Values::Bytes(_) => match self.values.bytes(row) {
                None => Ok(cell.set_unset()),
                Some(value) => cell.set_value(value),
            },
        }
    }

    fn compare(&self, left: usize, right: usize) -> Ordering {
        match &self.values {
            Values::Int(values) => values.get(left).cmp(&values.get(right)),
            Values::Double(values) => {
                let value = |row: usize| values.get(row).unwrap_or(f64::NAN);
                value(left).total_cmp(&value(right))
            }
            Values::Bytes(values) if self.storage == Storage::TimeUuid => {
                let sortable = |row: usize| {
                    values.get(row).and_then(|value| <[u8; 16]>::try_from(value).ok()).map(time_uuid_to_sortable)
                };
                sortable(left).cmp(&sortable(right))
            }
            Values::Text(_) | Values::Bytes(_) => self.values.bytes(left).cmp(&self.values.bytes(right)),
        }
    }
}

fn characters(value: &[u8]) -> usize {
    std::str::from_utf8(value).map_or(value.len(), |text| text.chars().count())
}

fn is_time_uuid(value: &[u8]) -> bool {
    value.len() == 16 && value[6] >> 4 == 1
}

/// The rows of a frame, checked against the columns they go to.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<Cells>,
    height: usize,
}

impl Rows {
    /// Takes the columns of a frame that go to a table.
    ///
    /// # Errors
    /// A data error naming the table, the column and what does not fit.
    pub(super) fn new<'a>(table: &str, columns: impl Iterator<Item = &'a Column>, frame: &DataFrame) -> Result<Self> {
        let mut cells = Vec::new();
        for column in columns {
            let values = Values::new(column, frame).map_err(|error| {
                Error::data(format!("cannot write to table `{table}`: column {}: {error}", column.name))
            })?;
            cells.push(Cells { storage: Storage::of(column), values });
        }
        Ok(Self { columns: cells, height: frame.height() })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// A data error naming the table, the column and the value that Cassandra would refuse or change.
    pub(super) fn check<'a>(
        &self,
        table: &str,
        columns: impl Iterator<Item = &'a Column>,
        partition_columns: usize,
    ) -> Result<()> {
        for (at, (cells, column)) in self.columns.iter().zip(columns).enumerate() {
            cells.check(column, partition_columns == 1 && at == 0).map_err(|what| {
                Error::data(format!("cannot write to table `{table}`: column {} has {what}", column.name))
            })?;
        }
        match (0..self.height).map(|row| self.row(row).size()).max() {
            Some(largest) if largest > LARGEST_ROW => Err(Error::data(format!(
                "cannot write to table `{table}`: a row of {largest} bytes; Cassandra takes {LARGEST_ROW}"
            ))),
            _ => Ok(()),
        }
    }

    /// The number of rows.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// One row.
    pub(super) fn row(&self, index: usize) -> Row<'_> {
        Row { rows: self, index }
    }

    /// Compares two rows by their columns, in order.
    pub(super) fn compare(&self, left: usize, right: usize) -> Ordering {
        self.columns
            .iter()
            .map(|cells| cells.compare(left, right))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Compares two rows by the columns that choose their partition.
    pub(super) fn compare_partition(&self, partition_columns: usize, left: usize, right: usize) -> Ordering {
        self.columns[..partition_columns]
            .iter()
            .map(|cells| cells.compare(left, right))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// One row, as the driver takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

impl Row<'_> {
    /// The row's size as Cassandra counts it, roughly.
    pub(super) fn size(&self) -> usize {
        self.rows.columns.iter().map(|cells| cells.size(self.index) + CELL_OVERHEAD).sum()
    }
}

impl SerializeRow for Row<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter) -> Result<(), SerializationError> {
        for cells in &self.rows.columns {
            cells.write(self.index, writer.make_cell_writer()).map_err(SerializationError::new)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rows.columns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Table};
    use polars::prelude::{Column as Series, DataFrame, NamedFrom};
    use scylla::serialize::row::{RowSerializationContext, SerializeRow};
    use scylla::serialize::writers::RowWriter;

    use super::Rows;

    fn table() -> Table {
        let table = Table::new(Ident::new("t").unwrap()).key("hour", Kind::DateTime).unwrap();
        let table = table.value("small", Kind::Small).unwrap().value("note", Kind::Name(3)).unwrap();
        table.value("event", Kind::TimeUuid).unwrap()
    }

    fn frame(hour: i64, small: Option<i64>, note: Option<&str>, event: Option<&[u8]>) -> DataFrame {
        fn series<T, P: ?Sized>(name: &str, value: T) -> Series
        where
            polars::prelude::Series: NamedFrom<[T; 1], P>,
        {
            polars::prelude::Series::new(name.into(), [value]).into()
        }
        DataFrame::new(
            1,
            vec![series("hour", hour), series("small", small), series("note", note), series("event", event)],
        )
        .unwrap()
    }

    #[test]
    fn rows_are_written_as_the_protocol_says_with_nulls_unset() {
        let table = table();
        let rows = Rows::new("t", table.written(), &frame(5_000, None, Some("ab"), None)).unwrap();
        rows.check("t", table.written(), 1).unwrap();
        let mut bytes = Vec::new();
        let mut writer = RowWriter::new(&mut bytes);
        rows.row(0).serialize(&RowSerializationContext::empty(), &mut writer).unwrap();
        let unset = [255, 255, 255, 254];
        let wanted = [&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5][..], &unset, &[0, 0, 0, 2, b'a', b'b'], &unset].concat();
        assert_eq!(bytes, wanted);
    }

    #[test]
    fn refuses_what_does_not_fit_before_anything_is_sent() {
        let table = table();
        for (frame, part) in [
            (frame(5_001, None, None, None), "column hour has 5001 is no whole millisecond"),
            (frame(0, Some(1 << 31), None, None), "column small has 2147483648 is out of range"),
            (frame(0, None, Some("abcd"), None), "column note has a text of more than 3 characters"),
            (frame(0, None, None, Some(&[0; 15])), "column event"),
            (frame(0, None, None, Some(&[0; 16])), "column event"),
        ] {
            let rows = Rows::new("t", table.written(), &frame).unwrap();
            let error = rows.check("t", table.written(), 1).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let fits = Rows::new("t", table.written(), &frame(0, Some(-1), Some("日本語"), None)).unwrap();
        fits.check("t", table.written(), 1).unwrap();
    }
}
