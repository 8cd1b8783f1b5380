//! Writes: each row one script call, in pipelines.

use std::borrow::Cow;

use headrace_core::table::{Column, Kind, Merge, Table, Value};
use headrace_core::{Error, Result};
use polars::prelude::{AnyValue, DataFrame};
use redis::Cmd;

use super::documents::{Document, Shape};
use super::layout::{field, key};
use super::link::{Link, PIPELINE};

/// Documents that one call writes. Meanwhile the server does nothing else, so they are not many.
const TOGETHER: usize = 64;
/// A version as text, at most.
const VERSION_BYTES: usize = 17;

/// Writes a frame. All of it is checked before the first row is sent.
///
/// # Errors
/// A data error when a value does not fit.
pub(super) async fn write(link: &Link, table: &Table, frame: &DataFrame) -> Result<()> {
    let context = format!("cannot write to table `{}` at {}", table.name, link.options.place);
    if table.documents {
        return documents(link, &context, table, frame).await;
    }
    let columns: Vec<&Column> = table.written().collect();
    for part in rows(table, &columns, frame)?.chunks(PIPELINE) {
        let commands: Vec<Cmd> = part.iter().map(|row| hash(link, table, &columns, row)).collect();
        link.run(&context, &commands).await?;
    }
    Ok(())
}

/// Writes texts under their keys. In a cluster keys live at different nodes, so each is a call of its own.
async fn documents(link: &Link, context: &str, table: &Table, frame: &DataFrame) -> Result<()> {
    let shape = Shape::of(table)?;
    let rows = shape.rows(frame)?;
    let together = if link.options.is_cluster { 1 } else { TOGETHER };
    for part in rows.chunks(PIPELINE) {
        let commands: Vec<Cmd> = part.chunks(together).map(|rows| document_call(link, &shape, rows)).collect();
        link.run(context, &commands).await?;
    }
    Ok(())
}

fn document_call(link: &Link, shape: &Shape<'_>, rows: &[Document<'_>]) -> Cmd {
    let prefix = &link.options.prefix;
    let bytes = rows.iter().map(|row| prefix.len() + row.key.len() + row.text.len() + VERSION_BYTES).sum();
    let keys = rows
        .iter()
        .map(|row| if prefix.is_empty() { Cow::Borrowed(row.key) } else { format!("{prefix}{}", row.key).into() });
    let mut command = link.scripts.documents(keys, bytes, shape.version, link.options.expire_seconds);
    for row in rows {
        command.arg(row.version.unwrap_or_default()).arg(row.text);
    }
    command
}

fn hash(link: &Link, table: &Table, columns: &[&Column], row: &[Value]) -> Cmd {
    let named = || columns.iter().zip(row);
    let keys: Vec<Value> =
        named().filter(|(column, _)| column.merge == Merge::Key).map(|(_, value)| value.clone()).collect();
    let version = table.versioned_by.as_ref().and_then(|name| {
        let number = named().find(|(column, _)| column.name == *name).map(|(_, value)| value);
        if let Some(Value::Int(number)) = number { Some((name.as_str(), *number)) } else { None }
    });
    let key = key(&link.options.prefix, table, &keys);
    let mut command = link.scripts.row(&key, version, link.options.expire_seconds);
    for (column, value) in named() {
        if let Some(field) = field(column, value) {
            command.arg(column.name.as_str()).arg(field);
        }
    }
    command
}

/// The values of a frame by row, checked.
///
/// # Errors
/// A data error naming the column when a value does not fit.
pub(super) fn rows(table: &Table, columns: &[&Column], frame: &DataFrame) -> Result<Vec<Vec<Value>>> {
    let mut rows = vec![Vec::with_capacity(columns.len()); frame.height()];
    for column in columns {
        for (row, value) in rows.iter_mut().zip(values(table, column, frame)?) {
            row.push(value);
        }
    }
    Ok(rows)
}

/// The values of one column, checked.
fn values(table: &Table, column: &Column, frame: &DataFrame) -> Result<Vec<Value>> {
    let wrong =
        |what: &str| Error::data(format!("cannot write to table `{}`: column `{}` {what}", table.name, column.name));
    let series = frame.column(column.name.as_str()).map_err(|_| wrong("is missing in the batch"))?;
    let series = series.as_materialized_series();
    if !column.nullable && series.null_count() > 0 {
        return Err(wrong("has a null, which it may not have"));
    }
    let value = |value: AnyValue<'_>| match (column.kind, value) {
        (_, AnyValue::Null) => Ok(Value::Null),
        (Kind::Double, AnyValue::Float64(number)) if !number.is_nan() => Ok(Value::Double(number)),
        (Kind::Single, AnyValue::Float32(number)) if !number.is_nan() => Ok(Value::Double(f64::from(number))),
        (Kind::Double, AnyValue::Float64(_)) | (Kind::Single, AnyValue::Float32(_)) => {
            Err(wrong("has a NaN, which no other store keeps"))
        }
        (Kind::Name(most), AnyValue::String(text)) if text.chars().count() > usize::from(most) => {
            Err(wrong(&format!("has a text of more than {most} characters")))
        }
        (Kind::Text | Kind::Name(_), AnyValue::String(text)) => Ok(Value::Text(text.to_owned())),
        (Kind::TimeUuid, AnyValue::Binary(bytes)) if bytes.len() != 16 => Err(wrong("has a UUID that is not 16 bytes")),
        (Kind::Bytes | Kind::TimeUuid, AnyValue::Binary(bytes)) => Ok(Value::Bytes(bytes.to_vec())),
        (Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date, AnyValue::Int64(number)) => {
            Ok(Value::Int(number))
        }
        _ => Err(wrong(&format!("is {} in the batch, which does not fit {:?}", series.dtype(), column.kind))),
    };
    series.rechunk().iter().map(value).collect()
}
