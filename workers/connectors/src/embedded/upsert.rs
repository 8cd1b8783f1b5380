//! Upserts into one tree and deletions from it. Upserts are prepared statements of several rows, in key order, so that
//! neighbours in the tree are written together. Which tree a row goes to is decided in [`super::recent`].

use std::cmp::Ordering;

use headrace_core::table::{Column, Merge, Table};
use polars::prelude::DataFrame;
use rusqlite::Connection;

use super::cells::Cells;
use super::fault::Fault;
use super::tables::{list, quoted};

/// At most so many parameters in one statement; more rows at once gain nothing.
const PARAMETERS: usize = 400;

/// Inserts rows into a table of some name, given in quotes, or merges them into those that are there.
///
/// # Errors
/// A data error when a value does not fit.
pub(super) fn upsert(connection: &Connection, name: &str, table: &Table, frame: &DataFrame) -> Result<(), Fault> {
    let columns: Vec<&Column> = table.written().collect();
    let cells = columns.iter().map(|column| Cells::of(table, column, frame)).collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<&Cells> =
        columns.iter().zip(&cells).filter(|(column, _)| column.merge == Merge::Key).map(|(_, cells)| cells).collect();
    let order = in_key_order(&keys, frame.height());
    let together = (PARAMETERS / columns.len().max(1)).max(1);
    let chunks = order.chunks_exact(together);
    let rest = chunks.remainder();
    if order.len() >= together {
        let mut statement = connection.prepare_cached(&sql(name, table, &columns, &values(&columns, together)))?;
        for rows in chunks {
            execute(&mut statement, &cells, rows)?;
        }
    }
    if !rest.is_empty() {
        let mut statement = connection.prepare_cached(&sql(name, table, &columns, &values(&columns, 1)))?;
        for row in rest {
            execute(&mut statement, &cells, std::slice::from_ref(row))?;
        }
    }
    Ok(())
}

/// Deletes rows of a table of some name, given in quotes, by key.
///
/// # Errors
/// A data error when a key does not fit.
pub(super) fn delete(connection: &Connection, name: &str, table: &Table, keys: &DataFrame) -> Result<(), Fault> {
    let columns: Vec<&Column> = table.keys().collect();
    let cells = columns.iter().map(|column| Cells::of(table, column, keys)).collect::<Result<Vec<_>, _>>()?;
    let condition: Vec<String> = columns.iter().map(|column| format!("{} = ?", quoted(&column.name))).collect();
    let sql = format!("DELETE FROM {name} WHERE {}", condition.join(" AND "));
    let mut statement = connection.prepare_cached(&sql)?;
    for row in 0..keys.height() {
        execute(&mut statement, &cells, &[row])?;
    }
    Ok(())
}

fn execute(statement: &mut rusqlite::Statement<'_>, cells: &[Cells], rows: &[usize]) -> rusqlite::Result<()> {
    let mut parameter = 0;
    for &row in rows {
        for column in cells {
            parameter += 1;
            column.bind(statement, parameter, row)?;
        }
    }
    statement.raw_execute()?;
    Ok(())
}

/// The rows' numbers in key order. Keys have no nulls.
fn in_key_order(keys: &[&Cells], height: usize) -> Vec<usize> {
    let ranks: Option<Vec<Vec<u128>>> = keys.iter().map(|key| key.ranks()).collect();
    let compare = |&one: &usize, &other: &usize| {
        let unequal = match &ranks {
            Some(ranks) => ranks.iter().map(|rank| rank[one].cmp(&rank[other])).find(|order| order.is_ne()),
            None => keys.iter().map(|key| key.compare(one, other)).find(|order| order.is_ne()),
        };
        unequal.unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<usize> = (0..height).collect();
    if !order.is_sorted_by(|one, other| compare(one, other).is_le()) {
        order.sort_by(compare);
    }
    order
}

/// The values of so many rows, as marks.
fn values(columns: &[&Column], rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns.len()].join(", "));
    format!("VALUES {}", vec![row.as_str(); rows].join(", "))
}

/// The statement that inserts rows from somewhere, or merges them into those that are there.
pub(super) fn sql(name: &str, table: &Table, columns: &[&Column], rows: &str) -> String {
    let merge = |column: &&Column| {
        let column_name = quoted(&column.name);
        match column.merge {
            Merge::Replace => Some(format!("{column_name} = excluded.{column_name}")),
            Merge::ReplaceWhileNull(other) => Some(format!(
                "{column_name} = CASE WHEN {name}.\"{other}\" IS NULL THEN excluded.{column_name} ELSE {name}.{column_name} END"
            )),
            Merge::First => Some(format!("{column_name} = COALESCE({name}.{column_name}, excluded.{column_name})")),
            Merge::Add => Some(format!(
                "{column_name} = CASE WHEN excluded.{column_name} IS NULL THEN {name}.{column_name} \
                 ELSE COALESCE({name}.{column_name}, 0) + excluded.{column_name} END"
            )),
            Merge::Key | Merge::Computed { .. } => None,
        }
    };
    let merged: Vec<String> = columns.iter().filter_map(merge).collect();
    let then = if merged.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", merged.join(", ")) };
    let not_older = table.versioned_by.as_ref().map_or_else(String::new, |version| {
        let version = quoted(version);
        format!(" WHERE excluded.{version} >= {name}.{version}")
    });
    format!(
        "INSERT INTO {name} ({}) {rows} ON CONFLICT ({}) DO {then}{not_older}",
        list(columns.iter().copied()),
        list(table.keys())
    )
}
