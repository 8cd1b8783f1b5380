//! Reads: one row by its whole key, or all rows of a table gathered, filtered and sorted here.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use headrace_core::store::Select;
use headrace_core::table::{Column, Kind, Merge, Table, Value, time_uuid_to_sortable};
use headrace_core::{Error, Result};
use polars::prelude::{Column as FrameColumn, DataFrame, IntoColumn, NamedFrom, Series};
use redis::Cmd;

use super::documents::Shape;
use super::layout::{beginning, check, key, note_key, value};
use super::link::{Link, PIPELINE};

/// How many keys a node looks at for one answer.
const SCAN: usize = 1_000;

/// Reads rows.
///
/// # Errors
/// A configuration error when the table is missing or a column unknown.
pub(super) async fn select(link: &Link, select: &Select<'_>) -> Result<DataFrame> {
    let table = select.table;
    let columns = select.columns.iter().map(|name| at(table, name)).collect::<Result<Vec<usize>>>()?;
    let equal = select
        .equal
        .iter()
        .map(|(name, value)| Ok((fitting(table, at(table, name)?, value)?, value)))
        .collect::<Result<Vec<(usize, &Value)>>>()?;
    let keys: Vec<usize> =
        (0..table.columns.len()).filter(|column| table.columns[*column].merge == Merge::Key).collect();
    if !select.after.is_empty() && select.after.len() != keys.len() {
        let given = select.after.len();
        return Err(Error::data(format!("table `{}` has {} key columns, not {given}", table.name, keys.len())));
    }
    for (column, value) in keys.iter().zip(&select.after) {
        fitting(table, *column, value)?;
    }
    if !table.documents {
        check(link, table).await?;
    }
    let named = |key: &usize| equal.iter().find(|(column, _)| column == key).map(|(_, value)| (*value).clone());
    let whole_key: Option<Vec<Value>> = keys.iter().map(named).collect();
    let context = format!("cannot read table `{}` at {}", table.name, link.options.place);
    let names = match whole_key {
        Some(values) => vec![name_of(link, table, &values)],
        None => names(link, &context, table).await?,
    };
    let mut rows = Vec::new();
    for part in names.chunks(PIPELINE) {
        rows.extend(fetch(link, &context, table, part).await?);
    }
    let behind = |row: &Vec<Value>| {
        let order = keys.iter().zip(&select.after).map(|(key, after)| compare(&table.columns[*key], &row[*key], after));
        select.after.is_empty() || order.fold(Ordering::Equal, Ordering::then).is_gt()
    };
    rows.retain(|row| behind(row) && equal.iter().all(|(column, value)| row[*column] == **value));
    rows.sort_by(|one, other| {
        let order = keys.iter().map(|key| compare(&table.columns[*key], &one[*key], &other[*key]));
        order.fold(Ordering::Equal, Ordering::then)
    });
    rows.truncate(select.limit);
    let frame =
        columns.iter().map(|column| frame_column(&table.columns[*column], rows.iter().map(|row| &row[*column])));
    Ok(DataFrame::new(rows.len(), frame.collect())?)
}

/// A column's number.
///
/// # Errors
/// A configuration error when there is none of the name.
pub(super) fn at(table: &Table, name: &str) -> Result<usize> {
    let unknown = || Error::configuration(format!("table `{}` has no column `{name}`", table.name));
    table.columns.iter().position(|column| column.name.as_str() == name).ok_or_else(unknown)
}

/// The column, when the value is of its kind.
///
/// # Errors
/// A configuration error when it is not.
pub(super) fn fitting(table: &Table, at: usize, value: &Value) -> Result<usize> {
    let column = &table.columns[at];
    let fits = match value {
        Value::Null => true,
        Value::Double(_) => matches!(column.kind, Kind::Double | Kind::Single),
        Value::Text(_) => matches!(column.kind, Kind::Text | Kind::Name(_)),
        Value::Bytes(_) => matches!(column.kind, Kind::Bytes | Kind::TimeUuid),
        Value::Int(_) => {
            matches!(column.kind, Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date)
        }
    };
    let unfit =
        || Error::configuration(format!("table `{}`: {value:?} is no value for column `{}`", table.name, column.name));
    fits.then_some(at).ok_or_else(unfit)
}

fn name_of(link: &Link, table: &Table, values: &[Value]) -> String {
    match values {
        [Value::Text(name)] if table.documents => format!("{}{name}", link.options.prefix),
        values => key(&link.options.prefix, table, values),
    }
}

/// The names of all keys that may hold rows of a table.
async fn names(link: &Link, context: &str, table: &Table) -> Result<Vec<String>> {
    let start = if table.documents { link.options.prefix.clone() } else { beginning(&link.options.prefix, table) };
    let mut pattern = String::new();
    for letter in start.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    let mut names = BTreeSet::new();
    for node in link.nodes(context).await? {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN);
            scan.arg("TYPE").arg(if table.documents { "string" } else { "hash" });
            // Keys of others may be no text at all.
            let (next, found): (u64, Vec<Vec<u8>>) = link.ask(context, &node, scan).await?;
            names.extend(found.into_iter().filter_map(|name| String::from_utf8(name).ok()));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    if table.documents {
        let notes = note_key(link, table);
        let notes = &notes[..notes.len() - table.name.as_str().len()];
        names.retain(|name| !name.starts_with(notes));
    }
    Ok(names.into_iter().collect())
}

/// The rows under some keys, without those that are gone.
async fn fetch(link: &Link, context: &str, table: &Table, names: &[String]) -> Result<Vec<Vec<Value>>> {
    let shape = if table.documents { Some(Shape::of(table)?) } else { None };
    let command = |name: &String| {
        let mut command: Cmd = redis::cmd(if table.documents { "GET" } else { "HGETALL" });
        command.arg(name);
        command
    };
    let commands: Vec<Cmd> = names.iter().map(command).collect();
    let mut rows = Vec::new();
    for (name, answer) in names.iter().zip(link.run(context, &commands).await?) {
        if let Some(shape) = &shape {
            let text: Option<Vec<u8>> = link.read(context, answer)?;
            let text = text.and_then(|text| String::from_utf8(text).ok());
            rows.extend(text.and_then(|text| shape.read(&name[link.options.prefix.len()..], text)));
            continue;
        }
        let mut fields: BTreeMap<String, Vec<u8>> = link.read(context, answer)?;
        if !fields.is_empty() {
            let row = table.columns.iter().map(|column| value(table, column, fields.remove(column.name.as_str())));
            rows.push(row.collect::<Result<Vec<Value>>>()?);
        }
    }
    Ok(rows)
}

/// Compares values of one column as stores order them; nulls come first.
fn compare(column: &Column, one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => one.total_cmp(other),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Bytes(one), Value::Bytes(other)) if column.kind == Kind::TimeUuid => {
            let sortable = |uuid: &Vec<u8>| uuid.as_slice().try_into().ok().map(time_uuid_to_sortable);
            sortable(one).cmp(&sortable(other))
        }
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        (one, other) => (*one != Value::Null).cmp(&(*other != Value::Null)),
    }
}

/// Values as a frame's column.
pub(super) fn frame_column<'a>(column: &Column, values: impl Iterator<Item = &'a Value>) -> FrameColumn {
    let name = column.name.as_str().into();
    let int = |value: &Value| if let Value::Int(value) = value { Some(*value) } else { None };
    let double = |value: &Value| if let Value::Double(value) = value { Some(*value) } else { None };
    match column.kind {
        Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
            Series::new(name, values.map(int).collect::<Vec<Option<i64>>>())
        }
        Kind::Double => Series::new(name, values.map(double).collect::<Vec<Option<f64>>>()),
        #[expect(clippy::cast_possible_truncation, reason = "it was a single before")]
        Kind::Single => {
            Series::new(name, values.map(|value| double(value).map(|value| value as f32)).collect::<Vec<Option<f32>>>())
        }
        Kind::Text | Kind::Name(_) => {
            let text = |value: &'a Value| if let Value::Text(text) = value { Some(text.as_str()) } else { None };
            Series::new(name, values.map(text).collect::<Vec<Option<&str>>>())
        }
        Kind::Bytes | Kind::TimeUuid => {
            let bytes = |value: &'a Value| if let Value::Bytes(bytes) = value { Some(bytes.as_slice()) } else { None };
            Series::new(name, values.map(bytes).collect::<Vec<Option<&[u8]>>>())
        }
    }
    .into_column()
}
