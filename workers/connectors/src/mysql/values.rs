//! Values between frames, conditions and the server: exact both ways, decimals as text, never through a float.

use headrace_core::table::{Column, Kind, Table, Value, time_uuid_from_sortable, time_uuid_to_sortable};
use headrace_core::{Error, Result};
use mysql_async::Value as Sql;
use polars::prelude::{Column as FrameColumn, DataFrame, IntoColumn, NamedFrom, Series};

use super::calendar;

/// The parameters of a frame, column by column, in the order of [`Table::written`].
pub(super) fn parameters(table: &Table, frame: &DataFrame) -> Result<Vec<Vec<Sql>>> {
    table.written().map(|column| column_parameters(table, column, frame)).collect()
}

fn column_parameters(table: &Table, column: &Column, frame: &DataFrame) -> Result<Vec<Sql>> {
    let wrong =
        |what: &str| Error::data(format!("cannot write to table `{}`: column `{}` {what}", table.name, column.name));
    let series = frame.column(column.name.as_str()).map_err(|_| wrong("is missing in the batch"))?;
    if !column.nullable && series.null_count() > 0 {
        return Err(wrong("must not be null"));
    }
    let mistyped = |_| wrong(&format!("has the type {} in the batch", series.dtype()));
    match column.kind {
        Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
            let values = series.i64().map_err(mistyped)?;
            values
                .iter()
                .map(|value| whole(column.kind, value).ok_or_else(|| wrong("is outside the years 1000 to 9999")))
                .collect()
        }
        Kind::Double => {
            let values = series.f64().map_err(mistyped)?;
            let convert = |value: Option<f64>| match value {
                None => Ok(Sql::NULL),
                Some(value) if value.is_finite() => Ok(Sql::Double(value)),
                Some(value) => Err(wrong(&format!("is {value}, which MySQL cannot hold"))),
            };
            values.iter().map(convert).collect()
        }
        Kind::Single => {
            let values = series.f32().map_err(mistyped)?;
            let convert = |value: Option<f32>| match value {
                None => Ok(Sql::NULL),
                Some(value) if value.is_finite() => Ok(Sql::Float(value)),
                Some(value) => Err(wrong(&format!("is {value}, which MySQL cannot hold"))),
            };
            values.iter().map(convert).collect()
        }
        Kind::Text | Kind::Name(_) => {
            let values = series.str().map_err(mistyped)?;
            Ok(values
                .iter()
                .map(|value| value.map_or(Sql::NULL, |text| Sql::Bytes(text.as_bytes().to_vec())))
                .collect())
        }
        Kind::Bytes => {
            let values = series.binary().map_err(mistyped)?;
            Ok(values.iter().map(|value| value.map_or(Sql::NULL, |bytes| Sql::Bytes(bytes.to_vec()))).collect())
        }
        Kind::TimeUuid => {
            let values = series.binary().map_err(mistyped)?;
            let convert = |value: Option<&[u8]>| match value {
                None => Ok(Sql::NULL),
                Some(bytes) => uuid(bytes).ok_or_else(|| wrong("holds a UUID that has not 16 bytes")),
            };
            values.iter().map(convert).collect()
        }
    }
}

fn whole(kind: Kind, value: Option<i64>) -> Option<Sql> {
    let Some(value) = value else { return Some(Sql::NULL) };
    match kind {
        Kind::Decimal { scale } => Some(Sql::Bytes(decimal_text(value, scale).into_bytes())),
        Kind::DateTime => calendar::date_time(value),
        Kind::Date => calendar::date(value),
        _ => Some(Sql::Int(value)),
    }
}

fn uuid(bytes: &[u8]) -> Option<Sql> {
    let uuid: [u8; 16] = bytes.try_into().ok()?;
    Some(Sql::Bytes(time_uuid_to_sortable(uuid).to_vec()))
}

/// The parameter of one value of a condition.
pub(super) fn parameter(table: &Table, column: &Column, value: &Value) -> Result<Sql> {
    let fitting = match (column.kind, value) {
        (_, Value::Null) => Some(Sql::NULL),
        (Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date, Value::Int(value)) => {
            whole(column.kind, Some(*value))
        }
        (Kind::Double | Kind::Single, Value::Double(value)) => Some(Sql::Double(*value)),
        (Kind::Text | Kind::Name(_), Value::Text(text)) => Some(Sql::Bytes(text.as_bytes().to_vec())),
        (Kind::Bytes, Value::Bytes(bytes)) => Some(Sql::Bytes(bytes.clone())),
        (Kind::TimeUuid, Value::Bytes(bytes)) => uuid(bytes),
        _ => None,
    };
    fitting.ok_or_else(|| {
        Error::data(format!(
            "table `{}`: a value does not fit column `{}` of kind {:?}",
            table.name, column.name, column.kind
        ))
    })
}

/// What a column of the server holds, as a value.
pub(super) fn read(table: &Table, column: &Column, value: Sql) -> Result<Value> {
    let fitting = match (column.kind, value) {
        (_, Sql::NULL) => Some(Value::Null),
        (Kind::Int | Kind::Small, Sql::Int(value)) => Some(Value::Int(value)),
        (Kind::Int | Kind::Small, Sql::UInt(value)) => i64::try_from(value).ok().map(Value::Int),
        // Sums and other expressions of views are decimals without digits after the point.
        (Kind::Int | Kind::Small, Sql::Bytes(text)) => parse_decimal(&text, 0).map(Value::Int),
        (Kind::Double, Sql::Double(value)) => Some(Value::Double(value)),
        (Kind::Double | Kind::Single, Sql::Float(value)) => Some(Value::Double(f64::from(value))),
        (Kind::Text | Kind::Name(_), Sql::Bytes(bytes)) => String::from_utf8(bytes).ok().map(Value::Text),
        (Kind::Bytes, Sql::Bytes(bytes)) => Some(Value::Bytes(bytes)),
        (Kind::Decimal { scale }, Sql::Bytes(text)) => parse_decimal(&text, scale).map(Value::Int),
        (Kind::Decimal { scale }, Sql::Int(value)) => {
            10_i64.checked_pow(u32::from(scale)).and_then(|unit| value.checked_mul(unit)).map(Value::Int)
        }
        (Kind::DateTime, value) => calendar::read_date_time(&value).map(Value::Int),
        (Kind::Date, value) => calendar::read_date(&value).map(Value::Int),
        (Kind::TimeUuid, Sql::Bytes(bytes)) => {
            bytes.try_into().ok().map(|sortable| Value::Bytes(time_uuid_from_sortable(sortable).to_vec()))
        }
        _ => None,
    };
    fitting.ok_or_else(|| {
        Error::data(format!(
            "cannot read table `{}`: column `{}` holds a value that is no {:?}",
            table.name, column.name, column.kind
        ))
    })
}

/// Makes a column of a frame of values.
pub(super) fn frame_column(column: &Column, values: Vec<Value>) -> FrameColumn {
    let name = column.name.as_str().into();
    let series = match column.kind {
        Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
            let pick = |value: Value| if let Value::Int(value) = value { Some(value) } else { None };
            Series::new(name, values.into_iter().map(pick).collect::<Vec<_>>())
        }
        Kind::Double => {
            let pick = |value: Value| if let Value::Double(value) = value { Some(value) } else { None };
            Series::new(name, values.into_iter().map(pick).collect::<Vec<_>>())
        }
        Kind::Single => {
            #[expect(clippy::cast_possible_truncation, reason = "it was a single before")]
            let pick = |value: Value| if let Value::Double(value) = value { Some(value as f32) } else { None };
            Series::new(name, values.into_iter().map(pick).collect::<Vec<_>>())
        }
        Kind::Text | Kind::Name(_) => {
            let pick = |value: Value| if let Value::Text(value) = value { Some(value) } else { None };
            Series::new(name, values.into_iter().map(pick).collect::<Vec<_>>())
        }
        Kind::Bytes | Kind::TimeUuid => {
            let pick = |value: Value| if let Value::Bytes(value) = value { Some(value) } else { None };
            Series::new(name, values.into_iter().map(pick).collect::<Vec<_>>())
        }
    };
    series.into_column()
}

/// Writes a scaled whole number as a decimal: 2005 with three digits is `2.005`.
fn decimal_text(scaled: i64, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", scaled.unsigned_abs(), width = scale + 1);
    let sign = if scaled < 0 { "-" } else { "" };
    let (whole, rest) = digits.split_at(digits.len() - scale);
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// Reads a decimal as a scaled whole number; none when digits would be lost.
fn parse_decimal(text: &[u8], scale: u8) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let scale = usize::from(scale);
    let (kept, lost) = rest.split_at_checked(scale).unwrap_or((rest, ""));
    if lost.bytes().any(|digit| digit != b'0') {
        return None;
    }
    format!("{whole}{kept:0<scale$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decimal_text, parse_decimal};

    #[test]
    fn decimals_as_text() {
        for (scaled, scale, text) in [
            (2_005, 3, "2.005"),
            (-5, 2, "-0.05"),
            (0, 6, "0.000000"),
            (7, 0, "7"),
            (i64::MIN, 1, "-922337203685477580.8"),
        ] {
            assert_eq!(decimal_text(scaled, scale), text);
        }
        assert_eq!(parse_decimal(b"1.5", 2), Some(150));
        assert_eq!(parse_decimal(b"1.500", 2), Some(150));
        assert_eq!(parse_decimal(b"1.505", 2), None);
        assert_eq!(parse_decimal(b"-12", 2), Some(-1_200));
        assert_eq!(parse_decimal(b"x", 2), None);
    }

    proptest! {
        #[test]
        fn decimals_come_back(scaled in any::<i64>(), scale in 0_u8..=18) {
            prop_assert_eq!(parse_decimal(decimal_text(scaled, scale).as_bytes(), scale), Some(scaled));
        }
    }
}
