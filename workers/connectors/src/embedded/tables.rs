//! Tables: making them, and checking those that are there.
//!
//! Whole numbers, decimals and times are INTEGER, names and texts TEXT, UUIDs BLOB. The declared type says the exact
//! kind beyond that (`INT_DECIMAL(18,6)`), so that two kinds with the same storage are told apart.

use headrace_core::table::{Column, Kind, Merge, Table};
use headrace_core::{Error, Ident, Result};
use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use super::recent;

/// Tables with texts and more columns than this have wide rows.
const WIDE_COLUMNS: usize = 12;

/// A name in quotes; an [`Ident`] cannot hold one.
pub(super) fn quoted(name: &Ident) -> String {
    format!("\"{name}\"")
}

/// Names in quotes, with commas.
pub(super) fn list<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

/// The column of a table.
///
/// # Errors
/// A configuration error naming both.
pub(super) fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.find(name).ok_or_else(|| Error::configuration(format!("table `{}` has no column `{name}`", table.name)))
}

/// Makes a table, or checks the one that is there.
///
/// # Errors
/// A configuration error naming the difference.
pub(super) fn create(connection: &Connection, table: &Table, place: &str) -> Result<(), Fault> {
    let lower = table.name.as_str().to_ascii_lowercase();
    if lower.starts_with("headrace_") || lower.starts_with("sqlite_") {
        return Err(Error::configuration(format!(
            "table `{}` has a name that the store keeps for itself; choose another",
            table.name
        ))
        .into());
    }
    match kind_of(connection, &table.name)?.as_deref() {
        None => {
            recent::forget(connection, &table.name)?;
            Ok(connection.execute_batch(&definition(&quoted(&table.name), table))?)
        }
        Some("table") => check(connection, table, place),
        Some(other) => {
            Err(Error::configuration(format!("`{}` in {place} is a {other}, not a table", table.name)).into())
        }
    }
}

/// `table`, `view` or nothing.
pub(super) fn kind_of(connection: &Connection, name: &Ident) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT type FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')";
    connection.query_row(sql, [name.as_str()], |row| row.get(0)).optional()
}

/// Refuses a table that is not there.
///
/// # Errors
/// A configuration error naming it.
pub(super) fn require(connection: &Connection, name: &Ident, place: &str) -> Result<(), Fault> {
    match kind_of(connection, name)? {
        Some(_) => Ok(()),
        None => Err(Error::configuration(format!(
            "there is no table `{name}` in {place}; run the step that fills it first"
        ))
        .into()),
    }
}

fn declared(kind: Kind) -> String {
    match kind {
        Kind::Int => "INTEGER".to_owned(),
        Kind::Small => "SMALLINT".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        Kind::Single => "FLOAT".to_owned(),
        Kind::Text => "TEXT".to_owned(),
        Kind::Name(most) => format!("VARCHAR({most})"),
        Kind::Bytes => "BLOB".to_owned(),
        Kind::Decimal { scale } => format!("INT_DECIMAL(18,{scale})"),
        Kind::DateTime => "INT_DATETIME_US".to_owned(),
        Kind::Date => "INT_DATE_DAYS".to_owned(),
        Kind::TimeUuid => "BLOB_TIMEUUID".to_owned(),
    }
}

/// The statement that makes a table under some name, given in quotes.
pub(super) fn definition(table_name: &str, table: &Table) -> String {
    let column = |column: &Column| {
        let name = quoted(&column.name);
        let mut text = format!("{name} {}", declared(column.kind));
        if !column.nullable {
            text.push_str(" NOT NULL");
        }
        match column.merge {
            Merge::Computed { sqlite, .. } => text.push_str(&format!(" GENERATED ALWAYS AS ({sqlite}) STORED")),
            // SQLite turns a sum that overflows into a double; a sum must stay exact or fail.
            Merge::Add if !matches!(column.kind, Kind::Double | Kind::Single) => {
                text.push_str(&format!(" CHECK (typeof({name}) <> 'real')"))
            }
            _ => {}
        }
        text
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    // Narrow rows live in the key's tree. Wide ones, arriving in any order of keys, would rewrite a page each; they are
    // appended, and only their keys go into a tree.
    let is_wide = table
        .columns
        .iter()
        .any(|column| matches!(column.kind, Kind::Text | Kind::Bytes) && column.merge != Merge::Key)
        && table.columns.len() > WIDE_COLUMNS;
    format!(
        "CREATE TABLE {table_name} ({}, PRIMARY KEY ({})){}",
        columns.join(", "),
        list(table.keys()),
        if is_wide { "" } else { " WITHOUT ROWID" }
    )
}

/// A column as the file has it.
struct Found {
    name: String,
    declared: String,
    not_null: bool,
    key: i64,
    computed: bool,
}

fn check(connection: &Connection, table: &Table, place: &str) -> Result<(), Fault> {
    let differs = |what: String| -> Fault {
        let text = format!("table `{}` in {place} {what}; drop it or choose another table or directory", table.name);
        Error::configuration(text).into()
    };
    let found = columns_of(connection, &table.name)?;
    for column in &table.columns {
        let same_name = |found: &&Found| found.name.eq_ignore_ascii_case(column.name.as_str());
        let Some(there) = found.iter().find(same_name) else {
            return Err(differs(format!("has no column `{}`", column.name)));
        };
        let wanted = declared(column.kind);
        if there.declared != wanted {
            return Err(differs(format!("has column `{}` as {}, not {wanted}", column.name, there.declared)));
        }
        if there.not_null == column.nullable {
            let text = if column.nullable { "cannot be null, but should" } else { "can be null, but should not" };
            return Err(differs(format!("has column `{}` that {text}", column.name)));
        }
        if there.computed != matches!(column.merge, Merge::Computed { .. }) {
            return Err(differs(format!(
                "has column `{}` {}computed",
                column.name,
                if there.computed { "" } else { "not " }
            )));
        }
    }
    if let Some(surplus) = found
        .iter()
        .find(|found| !table.columns.iter().any(|column| found.name.eq_ignore_ascii_case(column.name.as_str())))
    {
        return Err(differs(format!("has a further column `{}`", surplus.name)));
    }
    let mut keys: Vec<&Found> = found.iter().filter(|found| found.key > 0).collect();
    keys.sort_by_key(|found| found.key);
    let keys: Vec<&str> = keys.iter().map(|found| found.name.as_str()).collect();
    let wanted: Vec<&str> = table.keys().map(|column| column.name.as_str()).collect();
    if keys.len() != wanted.len() || !keys.iter().zip(&wanted).all(|(one, other)| one.eq_ignore_ascii_case(other)) {
        return Err(differs(format!("has the key ({}), not ({})", keys.join(", "), wanted.join(", "))));
    }
    let unique = "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND origin <> 'pk'";
    match connection.query_row(unique, [table.name.as_str()], |row| row.get::<_, String>(0)).optional()? {
        Some(index) => Err(differs(format!("has a further unique key `{index}`"))),
        None => Ok(()),
    }
}

fn columns_of(connection: &Connection, table: &Ident) -> rusqlite::Result<Vec<Found>> {
    // `hidden` is 2 or 3 for generated columns, which table_info leaves out.
    let mut statement = connection.prepare("SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?)")?;
    let rows = statement.query_map([table.as_str()], |row| {
        Ok(Found {
            name: row.get(0)?,
            // SQLite keeps the words GENERATED ALWAYS as part of the type.
            declared: row.get::<_, String>(1)?.trim_end_matches(" GENERATED ALWAYS").to_owned(),
            not_null: row.get(2)?,
            key: row.get(3)?,
            computed: row.get::<_, i64>(4)? >= 2,
        })
    })?;
    rows.collect()
}
