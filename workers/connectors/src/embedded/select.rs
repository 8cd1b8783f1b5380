//! Reads: rows by condition behind a key, in key order.

use headrace_core::Result;
use headrace_core::store::Select;
use headrace_core::table::{Column, Table, Value};
use polars::prelude::DataFrame;
use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::cells::stored;
use super::fault::Fault;
use super::recent;
use super::rows::Rows;
use super::tables::{find, list, quoted, require};

/// A read that is ready to run on any connection.
pub(super) struct Query {
    table: headrace_core::Ident,
    columns: Vec<Column>,
    sql: String,
    /// For tables that keep their newest rows apart, while there are any.
    sql_with_recent: Option<String>,
    parameters: Vec<Stored>,
}

impl Query {
    /// Prepares a read.
    ///
    /// # Errors
    /// A configuration error when a column is unknown or a value does not fit.
    pub(super) fn new(select: &Select<'_>) -> Result<Self> {
        let keys: Vec<&Column> = select.table.keys().collect();
        let after = select.after.iter().zip(&keys).map(|(value, key)| stored(key, value)).collect::<Result<_>>()?;
        Self::behind(select.table, &select.columns, &select.equal, after, select.limit)
    }

    /// Prepares a read behind a key as the store holds it.
    ///
    /// # Errors
    /// A configuration error when a column is unknown or a value does not fit.
    pub(super) fn behind(
        table: &Table,
        columns: &[&str],
        equal: &[(&str, Value)],
        after: Vec<Stored>,
        limit: usize,
    ) -> Result<Self> {
        let columns = columns.iter().map(|name| find(table, name).cloned()).collect::<Result<Vec<_>>>()?;
        let mut parameters = Vec::new();
        let mut conditions = Vec::new();
        for (name, value) in equal {
            let column = find(table, name)?;
            match stored(column, value)? {
                Stored::Null => conditions.push(format!("{} IS NULL", quoted(&column.name))),
                value => {
                    parameters.push(value);
                    conditions.push(format!("{} = ?{}", quoted(&column.name), parameters.len()));
                }
            }
        }
        if !after.is_empty() {
            let marks: Vec<String> =
                (1..=after.len()).map(|number| format!("?{}", parameters.len() + number)).collect();
            conditions.push(format!("({}) > ({})", list(table.keys().take(after.len())), marks.join(", ")));
            parameters.extend(after);
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        parameters.push(Stored::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let (selected, name) = (list(columns.iter()), quoted(&table.name));
        let limit = format!("LIMIT ?{}", parameters.len());
        let sql = format!("SELECT {selected} FROM {name}{filter} ORDER BY {} {limit}", list(table.keys()));
        let sql_with_recent = recent::is_kept_apart(table).then(|| {
            // Ordered by key columns that are selected once more, since they must be in the answer.
            let order: Vec<String> = (1..=table.keys().count()).map(|key| (columns.len() + key).to_string()).collect();
            let recent_name = recent::name(&table.name);
            let selected = format!("{selected}, {}", list(table.keys()));
            let same: Vec<String> =
                table.keys().map(|key| format!("newer.{0} = settled.{0}", quoted(&key.name))).collect();
            let not_newer = format!("NOT EXISTS (SELECT 1 FROM {recent_name} AS newer WHERE {})", same.join(" AND "));
            let before = if filter.is_empty() { " WHERE ".to_owned() } else { format!("{filter} AND ") };
            format!(
                "SELECT {selected} FROM {name} AS settled{before}{not_newer} \
                 UNION ALL SELECT {selected} FROM {recent_name}{filter} ORDER BY {} {limit}",
                order.join(", ")
            )
        });
        Ok(Self { table: table.name.clone(), columns, sql, sql_with_recent, parameters })
    }

    /// Runs the read until it ends or the rows hold so many bytes; tells whether it ended.
    ///
    /// # Errors
    /// A configuration error naming the table when it is missing.
    pub(super) fn run(&self, connection: &Connection, place: &str, bytes: usize) -> Result<(DataFrame, bool), Fault> {
        require(connection, &self.table, place)?;
        let sql = match &self.sql_with_recent {
            Some(sql) if recent::rows(connection, &self.table)? > 0 => sql,
            _ => &self.sql,
        };
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query(rusqlite::params_from_iter(&self.parameters))?;
        let mut rows = Rows::new(&self.columns);
        let mut ended = false;
        while rows.bytes() < bytes && !ended {
            match found.next()? {
                Some(row) => rows.push(row)?,
                None => ended = true,
            }
        }
        Ok((rows.finish()?, ended))
    }
}
