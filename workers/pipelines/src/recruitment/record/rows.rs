//! Builds the columns of the raw store, row by row.

use headrace_core::Result;
use headrace_transforms::csv_record::RecordSplitter;
use polars::prelude::{
    BinaryChunkedBuilder, ChunkedBuilder, Column, DataFrame, Float64Type, IntoColumn, PrimitiveChunkedBuilder,
    StringChunkedBuilder,
};

use crate::recruitment::columns::{COLUMN_COUNT, EVENT_ID_AT, Kind, TRACKING};

/// One column under construction.
enum Cells {
    Id(BinaryChunkedBuilder),
    Double(PrimitiveChunkedBuilder<Float64Type>),
    Text(StringChunkedBuilder),
}

/// The rows under construction; columns as in the log, without the row index.
pub(super) struct RowBuilder {
    columns: Vec<Cells>,
    height: usize,
}

impl RowBuilder {
    pub(super) fn with_capacity(rows: usize) -> Self {
        let columns = TRACKING[EVENT_ID_AT..].iter().map(|column| match column.kind {
            Kind::EventId => Cells::Id(BinaryChunkedBuilder::new(column.name.into(), rows)),
            kind if kind.is_double() => Cells::Double(PrimitiveChunkedBuilder::new(column.name.into(), rows)),
            _ => Cells::Text(StringChunkedBuilder::new(column.name.into(), rows)),
        });
        Self { columns: columns.collect(), height: 0 }
    }

    /// Adds a row; empty texts become null.
    pub(super) fn push(&mut self, id: &[u8; 16], fields: &RecordSplitter, doubles: &[Option<f64>; COLUMN_COUNT]) {
        self.height += 1;
        let cells = self.columns.iter_mut().zip(fields.fields().zip(doubles).skip(EVENT_ID_AT));
        for (column, (text, double)) in cells {
            match column {
                Cells::Id(ids) => ids.append_value(id),
                Cells::Double(doubles) => doubles.append_option(*double),
                Cells::Text(texts) => texts.append_option(Some(text).filter(|text| !text.is_empty())),
            }
        }
    }

    pub(super) fn finish(self) -> Result<DataFrame> {
        let columns = self.columns.into_iter().map(|column| -> Column {
            match column {
                Cells::Id(ids) => ids.finish().into_column(),
                Cells::Double(doubles) => doubles.finish().into_column(),
                Cells::Text(texts) => texts.finish().into_column(),
            }
        });
        Ok(DataFrame::new(self.height, columns.collect())?)
    }
}
