//! From a page of an answer to a frame: values are read straight from the answer's bytes into column builders.

use headrace_core::table::{Column, Table};
use headrace_core::{Error, Result};
use polars::prelude::{
    BinaryChunkedBuilder, ChunkedBuilder as _, Column as Series, DataFrame, Float64Type, Int64Type, IntoColumn as _,
    IntoSeries as _, PlSmallStr, PrimitiveChunkedBuilder, StringChunkedBuilder,
};
use scylla::deserialize::row::ColumnIterator;
use scylla::frame::response::result::{ColumnType, NativeType};
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::prepared::PreparedStatement;

use super::failure;
use super::storage::{Storage, quoted};

/// Which columns an answer has, in order.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    table: String,
    columns: Vec<(PlSmallStr, Storage)>,
}

impl Columns {
    /// Finds columns of a table by name.
    ///
    /// # Errors
    /// A configuration error naming a column the table does not have.
    pub(super) fn of(table: &Table, names: &[&str]) -> Result<Self> {
        let columns = names
            .iter()
            .map(|name| find(table, name).map(|column| (PlSmallStr::from_str(name), Storage::of(column))))
            .collect::<Result<_>>()?;
        Ok(Self { table: table.name.as_str().to_owned(), columns })
    }

    /// The columns for a `SELECT`.
    pub(super) fn list(table: &Table, names: &[&str]) -> Result<Vec<String>> {
        names.iter().map(|name| find(table, name).map(|column| quoted(&column.name))).collect()
    }

    /// Checks that a statement's answers have these columns in these types.
    ///
    /// # Errors
    /// A configuration error naming the first column that is stored otherwise.
    pub(super) fn check(&self, statement: &PreparedStatement) -> Result<()> {
        let specs = statement.get_current_result_set_col_specs();
        for (spec, (name, storage)) in specs.get().iter().zip(&self.columns) {
            if spec.typ() != &ColumnType::Native(storage.native()) {
                let found = match spec.typ() {
                    ColumnType::Native(native) => native_name(native),
                    other => format!("{other:?}"),
                };
                return Err(Error::configuration(format!(
                    "table `{}`: column {name} is {found} in Cassandra, expected {}",
                    self.table,
                    storage.cql()
                )));
            }
        }
        Ok(())
    }

    /// Reads one page; values behind these columns are tokens, one per row, for which `token` is called.
    ///
    /// # Errors
    /// External when the answer cannot be read.
    pub(super) fn read(&self, page: &QueryRowsResult, mut token: impl FnMut(usize, i64)) -> Result<DataFrame> {
        let context = "cannot read an answer of Cassandra";
        let mut builders: Vec<Builder> =
            self.columns.iter().map(|(name, storage)| Builder::new(name, *storage, page.rows_num())).collect();
        for (row, columns) in failure::answer(context, page.rows::<ColumnIterator<'_, '_>>())?.enumerate() {
            for (at, column) in failure::answer(context, columns)?.enumerate() {
                let value = failure::answer(context, column)?.slice.map(|slice| slice.as_slice());
                let is_read = match builders.get_mut(at) {
                    Some(builder) => builder.append(value),
                    None => number(value).map(|value| token(row, value)).is_some(),
                };
                if !is_read {
                    return Err(Error::external(context, format!("table `{}`: a value of another type", self.table)));
                }
            }
        }
        let columns: Vec<Series> = builders.into_iter().map(Builder::finish).collect();
        Ok(DataFrame::new(page.rows_num(), columns)?)
    }

    /// A frame of these columns without rows.
    ///
    /// # Errors
    /// When a column is asked for twice.
    pub(super) fn nothing(&self) -> Result<DataFrame> {
        let columns = self.columns.iter().map(|(name, storage)| Builder::new(name, *storage, 0).finish()).collect();
        Ok(DataFrame::new(0, columns)?)
    }
}

fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.find(name).ok_or_else(|| Error::configuration(format!("table `{}` has no column {name}", table.name)))
}

fn native_name(native: &NativeType) -> String {
    format!("{native:?}").to_ascii_lowercase()
}

enum Builder {
    Number(PrimitiveChunkedBuilder<Int64Type>, Storage),
    Double(PrimitiveChunkedBuilder<Float64Type>),
    Text(StringChunkedBuilder),
    Bytes(BinaryChunkedBuilder),
}

impl Builder {
    fn new(name: &PlSmallStr, storage: Storage, rows: usize) -> Self {
        match storage {
            Storage::BigInt | Storage::Int | Storage::Timestamp | Storage::Date => {
                Self::Number(PrimitiveChunkedBuilder::new(name.clone(), rows), storage)
            }
            Storage::Double => Self::Double(PrimitiveChunkedBuilder::new(name.clone(), rows)),
            Storage::Text => Self::Text(StringChunkedBuilder::new(name.clone(), rows)),
            Storage::Blob | Storage::TimeUuid => Self::Bytes(BinaryChunkedBuilder::new(name.clone(), rows)),
        }
    }

    /// Appends a value, or tells that its bytes make none of this type.
    fn append(&mut self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Number(builder, _), None) => builder.append_null(),
            (Self::Double(builder), None) => builder.append_null(),
            (Self::Text(builder), None) => builder.append_null(),
            (Self::Bytes(builder), None) => builder.append_null(),
            (Self::Number(builder, storage), Some(bytes)) => {
                let stored = match (*storage, bytes.len()) {
                    (Storage::Int, 4) => {
                        <[u8; 4]>::try_from(bytes).ok().map(|bytes| i64::from(i32::from_be_bytes(bytes)))
                    }
                    (Storage::Date, 4) => {
                        <[u8; 4]>::try_from(bytes).ok().map(|bytes| i64::from(u32::from_be_bytes(bytes)))
                    }
                    (_, 8) => number(Some(bytes)),
                    _ => None,
                };
                match stored.and_then(|stored| storage.frame_number(stored)) {
                    Some(value) => builder.append_value(value),
                    None => return false,
                }
            }
            (Self::Double(builder), Some(bytes)) => match <[u8; 8]>::try_from(bytes) {
                Ok(bytes) => builder.append_value(f64::from_be_bytes(bytes)),
                Err(_) => return false,
            },
            (Self::Text(builder), Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => builder.append_value(text),
                Err(_) => return false,
            },
            (Self::Bytes(builder), Some(bytes)) => builder.append_value(bytes),
        }
        true
    }

    fn finish(self) -> Series {
        match self {
            Self::Number(builder, _) => builder.finish().into_series().into_column(),
            Self::Double(builder) => builder.finish().into_series().into_column(),
            Self::Text(builder) => builder.finish().into_series().into_column(),
            Self::Bytes(builder) => builder.finish().into_series().into_column(),
        }
    }
}

fn number(value: Option<&[u8]>) -> Option<i64> {
    value.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(i64::from_be_bytes)
}
