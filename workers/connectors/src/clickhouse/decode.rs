//! RowBinary to frames.

use headrace_core::table::{Column, Kind, time_uuid_from_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{
    BinaryChunkedBuilder, Column as FrameColumn, DataFrame, IntoColumn, IntoSeries, NamedFrom, Series,
    StringChunkedBuilder,
};

use super::types::{Stored, Wire};

enum Cells {
    Int(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Single(Vec<Option<f32>>),
    Text(StringChunkedBuilder),
    Bytes(BinaryChunkedBuilder),
}

/// Makes a frame of an answer whose rows have the given columns.
///
/// # Errors
/// An external error when the answer is cut off, a data error when a value fits no frame.
pub(super) fn frame(context: &str, columns: &[&Column], answer: &[u8]) -> Result<DataFrame> {
    let mut cells = columns
        .iter()
        .map(|column| Ok((*column, Stored::of(column)?, Cells::new(column))))
        .collect::<Result<Vec<(&Column, Stored, Cells)>>>()?;
    let mut rest = answer;
    let mut height = 0;
    while !rest.is_empty() {
        for (column, stored, cells) in &mut cells {
            let cut = || Error::external(context, "the server's answer is cut off");
            let is_null = stored.nullable && take(&mut rest, 1).ok_or_else(cut)?[0] != 0;
            let value = if is_null { None } else { Some(value(stored.wire, &mut rest).ok_or_else(cut)?) };
            cells.push(stored.wire, value).ok_or_else(|| {
                Error::data(format!("{context}: column `{}` holds a value that is no {:?}", column.name, column.kind))
            })?;
        }
        height += 1;
    }
    let columns = cells.into_iter().map(|(column, _, cells)| cells.finish(column)).collect();
    Ok(DataFrame::new(height, columns)?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// Takes the bytes of one value.
fn value<'a>(wire: Wire, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match wire {
        Wire::Signed(bytes) | Wire::Unsigned(bytes) | Wire::Fixed(bytes) => bytes,
        Wire::Decimal(_) | Wire::Double | Wire::Moment(_) => 8,
        Wire::Single | Wire::Seconds | Wire::Days => 4,
        Wire::Text => {
            let (mut length, mut shift) = (0_usize, 0);
            loop {
                let byte = take(rest, 1)?[0];
                length |= usize::from(byte & 0x7F).checked_shl(shift)?;
                shift += 7;
                if byte < 0x80 {
                    break length;
                }
            }
        }
    };
    take(rest, length)
}

/// A whole number of any length, extended by its sign.
fn whole(bytes: &[u8], is_signed: bool) -> Option<i64> {
    let is_negative = is_signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut extended = [if is_negative { 0xFF } else { 0 }; 9];
    extended.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let mut low = [0; 8];
    low.copy_from_slice(&extended[..8]);
    let number = i64::from_le_bytes(low);
    (is_signed || number >= 0).then_some(number)
}

impl Cells {
    fn new(column: &Column) -> Self {
        let name = column.name.as_str().into();
        match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => Self::Int(Vec::new()),
            Kind::Double => Self::Double(Vec::new()),
            Kind::Single => Self::Single(Vec::new()),
            Kind::Text | Kind::Name(_) => Self::Text(StringChunkedBuilder::new(name, 0)),
            Kind::Bytes | Kind::TimeUuid => Self::Bytes(BinaryChunkedBuilder::new(name, 0)),
        }
    }

    /// Adds a value; none when it does not fit.
    fn push(&mut self, wire: Wire, value: Option<&[u8]>) -> Option<()> {
        match (self, value) {
            (Self::Int(cells), None) => cells.push(None),
            (Self::Int(cells), Some(bytes)) => {
                let number = whole(bytes, !matches!(wire, Wire::Unsigned(_) | Wire::Seconds))?;
                let number = match wire {
                    Wire::Seconds => number.checked_mul(1_000_000)?,
                    Wire::Moment(digits) => number.checked_mul(10_i64.pow(6_u32.checked_sub(digits)?))?,
                    _ => number,
                };
                cells.push(Some(number));
            }
            (Self::Double(cells), None) => cells.push(None),
            (Self::Double(cells), Some(bytes)) => cells.push(Some(f64::from_le_bytes(bytes.try_into().ok()?))),
            (Self::Single(cells), None) => cells.push(None),
            (Self::Single(cells), Some(bytes)) => cells.push(Some(f32::from_le_bytes(bytes.try_into().ok()?))),
            (Self::Text(builder), None) => builder.append_null(),
            (Self::Text(builder), Some(bytes)) => builder.append_value(std::str::from_utf8(bytes).ok()?),
            (Self::Bytes(builder), None) => builder.append_null(),
            (Self::Bytes(builder), Some(bytes)) if wire == Wire::Fixed(16) => {
                builder.append_value(time_uuid_from_sortable(bytes.try_into().ok()?));
            }
            (Self::Bytes(builder), Some(bytes)) => builder.append_value(bytes),
        }
        Some(())
    }

    fn finish(self, column: &Column) -> FrameColumn {
        let name = column.name.as_str().into();
        match self {
            Self::Int(cells) => Series::new(name, cells),
            Self::Double(cells) => Series::new(name, cells),
            Self::Single(cells) => Series::new(name, cells),
            Self::Text(builder) => builder.finish().into_series(),
            Self::Bytes(builder) => builder.finish().into_series(),
        }
        .into_column()
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::table::{Kind, Merge, Table};
    use headrace_core::{ErrorKind, Ident};
    use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
    use proptest::prelude::*;

    use super::super::encode;
    use super::frame;

    fn table() -> Table {
        let table =
            Table::new(Ident::new("t").unwrap()).key("id", Kind::Int).unwrap().value("text", Kind::Text).unwrap();
        let table = table.value("raw", Kind::Bytes).unwrap().value("real", Kind::Single).unwrap();
        table.column("small", Kind::Int, false, Merge::Replace).unwrap().clickhouse("UInt32")
    }

    proptest! {
        #[test]
        fn frames_come_back(rows in proptest::collection::vec(
            (any::<i64>(), any::<Option<String>>(), any::<Option<Vec<u8>>>(), any::<Option<i16>>(), any::<u32>()), 0..40,
        )) {
            let column = |series: Series| series.into_column();
            let given = DataFrame::new(rows.len(), vec![
                column(Series::new("id".into(), rows.iter().map(|row| row.0).collect::<Vec<_>>())),
                column(Series::new("text".into(), rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>())),
                column(Series::new("raw".into(), rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>())),
                column(Series::new("real".into(), rows.iter().map(|row| row.3.map(f32::from)).collect::<Vec<_>>())),
                column(Series::new("small".into(), rows.iter().map(|row| i64::from(row.4)).collect::<Vec<_>>())),
            ]).unwrap();
            let table = table();
            let columns: Vec<_> = table.columns.iter().collect();
            let bytes: Vec<u8> = encode::blocks(&table, &given).unwrap().flat_map(Result::unwrap).collect();
            prop_assert!(frame("read", &columns, &bytes).unwrap().equals_missing(&given));
            // An answer that ends inside a row is no shorter table.
            if !bytes.is_empty() {
                let error = frame("read", &columns, &bytes[..bytes.len() - 1]).unwrap_err();
                prop_assert_eq!(error.kind(), ErrorKind::External);
            }
        }
    }
}
