//! Reading some rows in key order: pages of one partition in its own order, or a small table gathered and sorted.

use std::cmp::Ordering;
use std::sync::Arc;

use headrace_core::source::{Event, Source as _};
use headrace_core::store::Select;
use headrace_core::table::{Column, Table, Value};
use headrace_core::{Error, Result};
use polars::prelude::{DataFrame, IdxCa, IdxSize, IntoColumn as _, NamedFrom as _, Series};
use scylla::value::CqlValue;

use super::client::{Client, Use};
use super::page::Columns;
use super::pages::{Pages, cannot_read, unfit};
use super::rows::Rows;
use super::scan::Scan;
use super::storage::{Layout, Storage, list};

/// A table that is gathered as a whole is read in so many parts.
const GATHER_PARTS: usize = 8;

/// Reads the rows asked for.
///
/// # Errors
/// A configuration error when the table is missing or the condition does not name exactly the partition columns.
pub(super) async fn select(client: &Arc<Client>, select: &Select<'_>) -> Result<DataFrame> {
    let layout = Layout::of(&client.keyspace, select.table)?;
    let context = cannot_read(&client.keyspace, &select.table.name);
    let keys = layout.partition.len() + layout.clustering.len();
    if !select.after.is_empty() && select.after.len() != keys {
        return Err(Error::configuration(format!("{context}: `after` needs all {keys} key columns")));
    }
    if select.equal.is_empty() {
        return gather(client, select, &layout).await;
    }
    let mut partition = Vec::new();
    for column in &layout.partition {
        let Some((_, value)) = select.equal.iter().find(|(name, _)| *name == column.name.as_str()) else {
            return Err(partition_only(&context, &layout));
        };
        partition.push((*column, value));
    }
    if select.equal.len() != partition.len() {
        return Err(partition_only(&context, &layout));
    }
    one_partition(client, select, &layout, &partition, &context).await
}

fn partition_only(context: &str, layout: &Layout<'_>) -> Error {
    Error::configuration(format!(
        "{context}: Cassandra reads by {}, or the whole table",
        list(&layout.partition).replace('"', "")
    ))
}

async fn one_partition(
    client: &Client,
    select: &Select<'_>,
    layout: &Layout<'_>,
    partition: &[(&Column, &Value)],
    context: &str,
) -> Result<DataFrame> {
    let columns = Columns::of(select.table, &select.columns)?;
    let bind =
        |column: &Column, value: &Value| Storage::of(column).bind(value).ok_or_else(|| unfit(context, &column.name));
    let mut values: Vec<CqlValue> =
        partition.iter().map(|(column, value)| bind(column, value)).collect::<Result<_>>()?;
    let mut condition: Vec<String> = layout.partition.iter().map(|column| format!("\"{}\" = ?", column.name)).collect();
    if !select.after.is_empty() {
        let (before, inside) = select.after.split_at(layout.partition.len());
        let pairs = partition.iter().zip(before);
        match pairs.map(|((_, wanted), after)| compare(after, wanted)).find(|order| order.is_ne()) {
            // The whole partition lies behind, or before.
            Some(Ordering::Less) => {}
            Some(_) => return columns.nothing(),
            None if inside.is_empty() => return columns.nothing(),
            None => {
                for (column, value) in layout.clustering.iter().zip(inside) {
                    values.push(bind(column, value)?);
                }
                condition.push(format!("({}) > ({})", list(&layout.clustering), vec!["?"; inside.len()].join(", ")));
            }
        }
    }
    let cql = format!(
        "SELECT {} FROM {} WHERE {} LIMIT ?",
        Columns::list(select.table, &select.columns)?.join(", "),
        layout.name,
        condition.join(" AND ")
    );
    values.push(CqlValue::Int(i32::try_from(select.limit).unwrap_or(i32::MAX)));
    if select.limit == 0 {
        return columns.nothing();
    }
    let statement = client.prepare(context, &cql, Use::Rows).await?;
    columns.check(&statement)?;
    // Partitions are small next to what is asked for in all, so each would begin with a small page again.
    let mut pages =
        Pages::new(context.to_owned(), statement, values).known(client.page_rows(&cql)).limited(select.limit);
    let mut frame = columns.nothing()?;
    while let Some(page) = pages.next(client).await? {
        frame.vstack_mut(&columns.read(&page, |_, _| ())?)?;
    }
    if frame.height() > 0 {
        client.note_page_rows(&cql, pages.rows());
    }
    Ok(frame)
}

/// Compares two values of one kind; such of different kinds are told apart, in no useful order.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Double(left), Value::Double(right)) => left.total_cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        _ => Ordering::Greater,
    }
}

/// Reads a whole table, sorts it by key and cuts it to what was asked for. Memory: the asked columns of the whole table.
async fn gather(client: &Arc<Client>, select: &Select<'_>, layout: &Layout<'_>) -> Result<DataFrame> {
    let keys: Vec<&Column> = layout.partition.iter().chain(&layout.clustering).copied().collect();
    let mut names = select.columns.clone();
    names.extend(keys.iter().map(|key| key.name.as_str()).filter(|key| !select.columns.contains(key)));
    let mut scan = Scan::open(client, select.table, &names, GATHER_PARTS, &[]).await?;
    let mut frame = Columns::of(select.table, &names)?.nothing()?;
    loop {
        match scan.next().await? {
            Event::Batch(batch) => {
                frame.vstack_mut(&batch.frame)?;
            }
            Event::Assigned(partitions) => scan.start_all(&partitions)?,
            Event::End => break,
            Event::Idle | Event::Revoked(_) => {}
        }
    }
    let height = frame.height();
    let mut compared = frame;
    if !select.after.is_empty() {
        compared.vstack_mut(&after_row(select.table, &names, &keys, &select.after)?)?;
    }
    let rows = Rows::new(select.table.name.as_str(), keys.into_iter(), &compared)?;
    let mut order: Vec<usize> =
        (0..height).filter(|row| select.after.is_empty() || rows.compare(*row, height).is_gt()).collect();
    order.sort_unstable_by(|left, right| rows.compare(*left, *right));
    order.truncate(select.limit);
    let indices: Vec<IdxSize> = order.into_iter().map(|row| row as IdxSize).collect();
    let taken = compared.take(&IdxCa::from_vec("row".into(), indices))?;
    Ok(taken.select(select.columns.iter().copied())?)
}

/// A row that has the given key and nothing else, to compare others with.
fn after_row(table: &Table, names: &[&str], keys: &[&Column], after: &[Value]) -> Result<DataFrame> {
    let empty = Columns::of(table, names)?.nothing()?;
    let mut columns = Vec::new();
    for column in empty.columns() {
        let name = column.name().clone();
        let key = keys.iter().position(|key| key.name.as_str() == name.as_str());
        let series = match key.map(|key| &after[key]) {
            Some(Value::Int(value)) => Series::new(name, [*value]),
            Some(Value::Double(value)) => Series::new(name, [*value]),
            Some(Value::Text(value)) => Series::new(name, [value.as_str()]),
            Some(Value::Bytes(value)) => Series::new(name, [value.as_slice()]),
            Some(Value::Null) | None => Series::full_null(name, 1, column.dtype()),
        };
        if series.dtype() != column.dtype() {
            return Err(Error::configuration(format!(
                "cannot read table `{}`: the value for column {} is of another kind",
                table.name,
                column.name()
            )));
        }
        columns.push(series.into_column());
    }
    Ok(DataFrame::new(1, columns)?)
}
