//! From SQLite to frames: rows gathered into typed columns.

use headrace_core::table::{Column, Kind, time_uuid_from_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{
    BinaryChunkedBuilder, DataFrame, IntoColumn, IntoSeries, NamedFrom, Series, StringChunkedBuilder,
};
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Gathers rows into the columns of a frame.
pub(super) struct Rows {
    builders: Vec<(Column, Builder)>,
    height: usize,
    bytes: usize,
}

enum Builder {
    Int(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Single(Vec<Option<f32>>),
    Text(StringChunkedBuilder),
    Bytes(BinaryChunkedBuilder),
    TimeUuid(BinaryChunkedBuilder),
}

impl Rows {
    /// Starts with the columns that a query returns, in its order.
    pub(super) fn new(columns: &[Column]) -> Self {
        let builder = |column: &Column| match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => Builder::Int(Vec::new()),
            Kind::Double => Builder::Double(Vec::new()),
            Kind::Single => Builder::Single(Vec::new()),
            Kind::Text | Kind::Name(_) => Builder::Text(StringChunkedBuilder::new(column.name.as_str().into(), 0)),
            Kind::Bytes => Builder::Bytes(BinaryChunkedBuilder::new(column.name.as_str().into(), 0)),
            Kind::TimeUuid => Builder::TimeUuid(BinaryChunkedBuilder::new(column.name.as_str().into(), 0)),
        };
        let builders = columns.iter().map(|column| (column.clone(), builder(column))).collect();
        Self { builders, height: 0, bytes: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A data error naming the column when it holds something of another type.
    pub(super) fn push(&mut self, row: &Row<'_>) -> Result<()> {
        for (at, (column, builder)) in self.builders.iter_mut().enumerate() {
            let value = row
                .get_ref(at)
                .map_err(|error| Error::external(format!("cannot read column `{}`", column.name), error))?;
            self.bytes += match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                _ => 8,
            };
            if !builder.push(value) {
                return Err(Error::data(format!(
                    "column `{}` holds a value of type {} where {:?} is expected",
                    column.name,
                    value.data_type(),
                    column.kind
                )));
            }
        }
        self.height += 1;
        Ok(())
    }

    /// About how many bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the frame.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub(super) fn finish(self) -> Result<DataFrame> {
        let column = |(column, builder): (Column, Builder)| {
            let name = column.name.as_str().into();
            match builder {
                Builder::Int(values) => Series::new(name, values),
                Builder::Double(values) => Series::new(name, values),
                Builder::Single(values) => Series::new(name, values),
                Builder::Text(builder) => builder.finish().into_series(),
                Builder::Bytes(builder) | Builder::TimeUuid(builder) => builder.finish().into_series(),
            }
            .into_column()
        };
        Ok(DataFrame::new(self.height, self.builders.into_iter().map(column).collect())?)
    }
}

impl Builder {
    /// Adds a value; false when it has another type.
    fn push(&mut self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Self::Int(values), ValueRef::Integer(number)) => values.push(Some(number)),
            (Self::Int(values), ValueRef::Null) => values.push(None),
            (Self::Double(values), ValueRef::Real(number)) => values.push(Some(number)),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a view may compute a whole number where a double is expected"
            )]
            (Self::Double(values), ValueRef::Integer(number)) => values.push(Some(number as f64)),
            (Self::Double(values), ValueRef::Null) => values.push(None),
            #[expect(clippy::cast_possible_truncation, reason = "it was written as a single")]
            (Self::Single(values), ValueRef::Real(number)) => values.push(Some(number as f32)),
            (Self::Single(values), ValueRef::Null) => values.push(None),
            (Self::Text(builder), ValueRef::Text(text)) => match std::str::from_utf8(text) {
                Ok(text) => builder.append_value(text),
                Err(_) => return false,
            },
            (Self::Text(builder), ValueRef::Null) => builder.append_null(),
            (Self::Bytes(builder), ValueRef::Blob(bytes)) => builder.append_value(bytes),
            (Self::TimeUuid(builder), ValueRef::Blob(bytes)) => match bytes.try_into() {
                Ok(uuid) => builder.append_value(time_uuid_from_sortable(uuid)),
                Err(_) => return false,
            },
            (Self::Bytes(builder) | Self::TimeUuid(builder), ValueRef::Null) => builder.append_null(),
            _ => return false,
        }
        true
    }
}
