//! Tables by event id keep their newest rows apart, once they are large.
//!
//! Events come in any order of time, so the rows of a batch belong to nearly every page of a large tree, and each page is
//! written twice for one row of it. A small tree beside it takes the newest rows; when that has grown to a part of the
//! large one, all of it is put there at once, in the order of keys, which writes each page once for many rows. Readers see
//! both, and a row of the small tree instead of one in the large. Small tables have no second tree.
//!
//! Everything happens inside the unit that writes, so a table is whole at any time. Memory: the writer's page cache.

use headrace_core::Ident;
use headrace_core::table::{Column, Kind, Merge, Table};
use polars::prelude::DataFrame;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use super::tables::{definition, list, quoted};
use super::upsert;

/// When a second tree is used.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A table of fewer rows takes them itself; as many are kept apart at least before they are put into it.
    rows: i64,
    /// Of larger tables this part is kept apart: the newest in so many.
    share: i64,
}

const LIMITS: Limits = Limits { rows: 500_000, share: 8 };

/// Whether a table's rows come in any order of its key and replace each other as a whole.
pub(super) fn is_kept_apart(table: &Table) -> bool {
    table.keys().any(|key| key.kind == Kind::TimeUuid)
        && table.columns.iter().all(|column| matches!(column.merge, Merge::Key | Merge::Replace))
}

/// The second tree's name, in quotes.
pub(super) fn name(table: &Ident) -> String {
    format!("\"headrace_recent_{}\"", entry(table))
}

/// The table's name in the register: SQLite's names have no case.
fn entry(table: &Ident) -> String {
    table.as_str().to_ascii_lowercase()
}

/// How many rows are kept apart, about.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn rows(connection: &Connection, table: &Ident) -> rusqlite::Result<i64> {
    Ok(sizes(connection, table)?.map_or(0, |(_, recent)| recent))
}

/// Inserts rows or merges them into those that are there.
///
/// # Errors
/// A data error when a value does not fit.
pub(super) fn upsert(connection: &Connection, table: &Table, frame: &DataFrame) -> Result<(), Fault> {
    upsert_within(connection, table, frame, LIMITS)
}

fn upsert_within(connection: &Connection, table: &Table, frame: &DataFrame, limits: Limits) -> Result<(), Fault> {
    if !is_kept_apart(table) {
        return upsert::upsert(connection, &quoted(&table.name), table, frame);
    }
    let (mut settled, mut recent) = match sizes(connection, &table.name)? {
        Some(sizes) => sizes,
        // Filled by an older version, or new.
        None => (number(connection, &format!("SELECT COUNT(*) FROM {}", quoted(&table.name)))?, 0),
    };
    let rows = i64::try_from(frame.height()).unwrap_or(i64::MAX);
    if recent == 0 && settled < limits.rows {
        upsert::upsert(connection, &quoted(&table.name), table, frame)?;
        settled += rows;
    } else {
        if recent == 0 {
            let made = definition(&name(&table.name), table).replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
            connection.execute_batch(&made)?;
        }
        upsert::upsert(connection, &name(&table.name), table, frame)?;
        recent += rows;
        if recent >= limits.rows.max(settled / limits.share) {
            settle(connection, table)?;
            (settled, recent) = (settled + recent, 0);
        }
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO headrace_recent VALUES (?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET settled = excluded.settled, recent = excluded.recent",
    )?;
    statement.execute((entry(&table.name), settled, recent))?;
    Ok(())
}

/// Deletes rows by key, wherever they are.
///
/// # Errors
/// A data error when a key does not fit.
pub(super) fn delete(connection: &Connection, table: &Table, keys: &DataFrame) -> Result<(), Fault> {
    upsert::delete(connection, &quoted(&table.name), table, keys)?;
    if is_kept_apart(table) && rows(connection, &table.name)? > 0 {
        upsert::delete(connection, &name(&table.name), table, keys)?;
    }
    Ok(())
}

/// Forgets what is known of a table that is not there any more.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn forget(connection: &Connection, table: &Ident) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM headrace_recent WHERE name = ?", [entry(table)])?;
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", name(table)))
}

/// Puts the rows that are apart into the table.
fn settle(connection: &Connection, table: &Table) -> Result<(), Fault> {
    connection.execute_batch(&settling(table))?;
    Ok(connection.execute_batch(&format!("DELETE FROM {}", name(&table.name)))?)
}

/// The statement that does it, in the order of keys.
fn settling(table: &Table) -> String {
    let columns: Vec<&Column> = table.written().collect();
    let selected = list(columns.iter().copied());
    // WHERE, since ON would be taken for a join's.
    let rows = format!("SELECT {selected} FROM {} WHERE true ORDER BY {}", name(&table.name), list(table.keys()));
    upsert::sql(&quoted(&table.name), table, &columns, &rows)
}

/// How many rows were put into the table, and how many are apart.
fn sizes(connection: &Connection, table: &Ident) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut statement = connection.prepare_cached("SELECT settled, recent FROM headrace_recent WHERE name = ?")?;
    statement.query_row([entry(table)], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.query_row(sql, [], |row| row.get(0))
}

#[cfg(test)]
mod tests;
