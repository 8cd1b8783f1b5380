//! Reads of rows in key order, page by page.

use headrace_core::Result;
use headrace_core::store::Select;
use headrace_core::table::{Column, Merge, Table, Value};
use polars::prelude::{Column as FrameColumn, DataFrame};

use super::{Place, order, tables};
use crate::redis::read::{at, fitting, frame_column};

/// At most so many rows are in a page.
pub(super) const PAGE_ROWS: usize = 5_000;
/// A page ends behind the rows that reach so many bytes.
const PAGE_BYTES: usize = 8 << 20;
/// So many rows are asked for at once.
const TOGETHER: usize = 500;

/// Which keys to read.
#[derive(Clone)]
pub(super) struct Range {
    /// What the keys begin with.
    pub(super) beginning: Vec<u8>,
    /// Only keys behind this one.
    pub(super) after: Option<Vec<u8>>,
}

/// Rows, with their keys' bytes.
pub(super) struct Page {
    pub(super) rows: Vec<(Vec<u8>, Vec<Value>)>,
    /// Where the next page goes on; none when this is the last.
    pub(super) next: Option<Vec<u8>>,
}

/// Reads a page of at most so many rows. Rows that are deleted meanwhile are left out.
///
/// # Errors
/// When the server fails or a row is damaged.
pub(super) async fn read(place: &Place, table: &Table, range: &Range, limit: usize) -> Result<Page> {
    let context = format!("cannot read table `{}` at {}", table.name, place.link.options.place);
    let [rows, ordered] = place.keys.table(&table.name);
    let bound = |mark: &[u8], key: &[u8]| [mark, key].concat();
    let least = match &range.after {
        Some(after) if *after >= range.beginning => bound(b"(", after),
        _ => bound(b"[", &range.beginning),
    };
    let most = order::behind(&range.beginning).map_or(b"+".to_vec(), |behind| bound(b"(", &behind));
    let limit = limit.min(PAGE_ROWS);
    let mut keys = redis::cmd("ZRANGEBYLEX");
    keys.arg(&ordered).arg(least).arg(most).arg("LIMIT").arg(0).arg(limit);
    let keys: Vec<Vec<u8>> = place.link.ask(&context, &None, keys).await?;
    let mut page =
        Page { rows: Vec::with_capacity(keys.len()), next: keys.last().filter(|_| keys.len() == limit).cloned() };
    let mut bytes = 0;
    for part in keys.chunks(TOGETHER) {
        for (key, packed) in part.iter().zip(fetch(place, &context, &rows, part).await?) {
            let Some(packed) = packed else { continue };
            bytes += packed.len();
            page.rows.push((key.clone(), tables::unpack_row(table, key, &packed)?));
        }
        if bytes >= PAGE_BYTES && part.last() != keys.last() {
            page.next = part.last().cloned();
            break;
        }
    }
    Ok(page)
}

async fn fetch(place: &Place, context: &str, rows: &str, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut get = redis::cmd("HMGET");
    get.arg(rows).arg(keys);
    place.link.ask(context, &None, get).await
}

/// A condition: the column of a number has a value.
type Condition<'a> = (usize, &'a Value);

/// The conditions of a read, checked.
///
/// # Errors
/// A configuration error when a column is unknown or a value is none of its kind.
pub(super) fn conditions<'a>(table: &Table, equal: &'a [(&str, Value)]) -> Result<Vec<Condition<'a>>> {
    equal.iter().map(|(name, value)| Ok((fitting(table, at(table, name)?, value)?, value))).collect()
}

/// The keys that conditions on the first key columns leave, and whether there may be any.
pub(super) fn narrowed(table: &Table, conditions: &[Condition<'_>]) -> (Range, bool) {
    let keys: Vec<&Column> = table.keys().collect();
    let numbers = (0..table.columns.len()).filter(|column| table.columns[*column].merge == Merge::Key);
    let named = |key: usize| conditions.iter().find(|(column, _)| *column == key).map(|(_, value)| *value);
    let beginning: Vec<&Value> = numbers.map_while(named).collect();
    let is_possible = beginning.iter().all(|value| **value != Value::Null);
    (Range { beginning: order::encode(beginning, &keys), after: None }, is_possible)
}

/// Tells whether a row meets all conditions.
pub(super) fn meets(row: &[Value], conditions: &[Condition<'_>]) -> bool {
    conditions.iter().all(|(column, value)| row[*column] == **value)
}

/// Reads rows by condition, behind a key, in key order.
///
/// # Errors
/// A configuration error when the table is missing or a column unknown.
pub(super) async fn select(place: &Place, select: &Select<'_>) -> Result<DataFrame> {
    let table = select.table;
    let columns = select.columns.iter().map(|name| at(table, name)).collect::<Result<Vec<usize>>>()?;
    let conditions = conditions(table, &select.equal)?;
    let keys: Vec<&Column> = table.keys().collect();
    if !select.after.is_empty() && select.after.len() != keys.len() {
        return Err(headrace_core::Error::data(format!(
            "table `{}` has {} key columns, not {}",
            table.name,
            keys.len(),
            select.after.len()
        )));
    }
    for (key, value) in keys.iter().zip(&select.after) {
        fitting(table, at(table, key.name.as_str())?, value)?;
    }
    tables::check(place, table).await?;
    let (mut range, is_possible) = narrowed(table, &conditions);
    range.after = (!select.after.is_empty()).then(|| order::encode(&select.after, &keys));
    let mut rows = Vec::new();
    let mut is_over = !is_possible || select.limit == 0;
    while !is_over {
        // With further conditions it is unknown how many rows must be looked at.
        let wanted = if conditions.is_empty() { select.limit - rows.len() } else { PAGE_ROWS };
        let page = read(place, table, &range, wanted).await?;
        rows.extend(page.rows.into_iter().map(|(_, row)| row).filter(|row| meets(row, &conditions)));
        is_over = page.next.is_none() || rows.len() >= select.limit;
        range.after = page.next;
    }
    rows.truncate(select.limit);
    frame(table, &columns, &rows)
}

/// Some columns of rows as a frame.
///
/// # Errors
/// When the frame cannot be built.
pub(super) fn frame(table: &Table, columns: &[usize], rows: &[Vec<Value>]) -> Result<DataFrame> {
    let column =
        |column: &usize| -> FrameColumn { frame_column(&table.columns[*column], rows.iter().map(|row| &row[*column])) };
    Ok(DataFrame::new(rows.len(), columns.iter().map(column).collect())?)
}
