//! ClickHouse over HTTP: `clickhouse://USER@HOST:PORT/DATABASE/TABLE?OPTIONS`, or `clickhouses://` with TLS; port 8123, or 8443
//! with TLS, and database `default` if not given. Option: `tls_ca=FILE` (PEM) instead of the system's authorities.
//!
//! Delivery: tables are replacing ones (`ReplacingMergeTree`), so a row that is written again is there once, and of a versioned
//! table the greatest version stays; reads are with `FINAL`. An insert goes in large blocks, each with a name by which the
//! server drops one that it has already (`insert_deduplication_token`, from 22.2 on, and where the table keeps such names).
//! Nothing is tried again in here. Ordering: none; between equal versions the one inserted last counts.
//! Memory: the frame at hand and one block; the answer of a read.
//!
//! Servers from 18.16 on. Types decide what an older one can keep: `LowCardinality` needs 19.1, `DateTime64` 20.1, `Date32` 21.9;
//! a table that has them is refused by name. There are no merges but replacement and no computed columns here.
//!
//! Layout: `http` (requests), `failure` (kinds of errors), `types` (how columns are stored), `schema` (create and check),
//! `encode` and `decode` (frames to RowBinary and back), `select` (reads).

mod decode;
mod encode;
mod failure;
mod http;
mod schema;
mod select;
mod types;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use headrace_core::rows::Rows;
use headrace_core::store::Select;
use headrace_core::table::Table;
use headrace_core::{Error, Ident, Result, StoreUrl};
use polars::prelude::DataFrame;

use http::Http;

/// A database of a ClickHouse server.
pub struct ClickHouse {
    http: Http,
    database: Ident,
    /// The first two numbers of the server's version.
    version: (u32, u32),
    /// Tables that were found to fit; they are not looked at before every read.
    checked: Mutex<BTreeSet<Ident>>,
}

impl ClickHouse {
    /// Connects to `clickhouse://user:password@host:port/database`. The database need not exist yet.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, host, login or certificate, or when it is not ClickHouse that answers; an external
    /// one when nothing answers.
    pub async fn connect(url: &StoreUrl) -> Result<Self> {
        let http = Http::new(url).await?;
        let database = url.database("default")?;
        let answer = http.run(&format!("cannot connect to {}", http.place()), "SELECT version()", &[]).await?;
        let text = String::from_utf8_lossy(&answer);
        let version = parse_version(text.trim()).ok_or_else(|| {
            Error::configuration(format!(
                "what answers at {} is not ClickHouse: give the port of its HTTP interface (8123, with TLS 8443)",
                http.place()
            ))
        })?;
        Ok(Self { http, database, version, checked: Mutex::default() })
    }

    /// The table's name with its database, for texts.
    fn called(&self, table: &Ident) -> String {
        format!("table `{}`.`{table}` of {}", self.database, self.http.place())
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, BTreeSet<Ident>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Rows for ClickHouse {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        schema::create(self, tables).await
    }

    async fn write(&self, table: &Table, frame: &DataFrame, token: &str) -> Result<()> {
        let columns: Vec<_> = table.written().collect();
        let names: Vec<String> = columns.iter().map(|column| types::quoted(&column.name)).collect();
        let insert = format!(
            "INSERT INTO {}.{} ({}) FORMAT RowBinary",
            types::quoted(&self.database),
            types::quoted(&table.name),
            names.join(", ")
        );
        let context = format!("cannot write to {}", self.called(&table.name));
        for (number, block) in encode::blocks(table, frame)?.enumerate() {
            let token = format!("{token}/{number}");
            let settings: &[(&str, &str)] =
                if self.version >= (22, 2) { &[("insert_deduplication_token", token.as_str())] } else { &[] };
            self.http.insert(&context, &insert, block?, settings).await?;
        }
        Ok(())
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        let is_known = self.checked().contains(&select.table.name);
        if !is_known {
            schema::check(self, select.table).await?;
        }
        let (columns, sql) = select::statement(&self.database, select)?;
        let context = format!("cannot read {}", self.called(&select.table.name));
        let answer = self.http.run(&context, &sql, &[]).await?;
        decode::frame(&context, &columns, &answer)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.http.place(), self.database)
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions() {
        assert_eq!(parse_version("18.16.1"), Some((18, 16)));
        assert_eq!(parse_version("26.9.2.1"), Some((26, 9)));
        for other in ["", "Ok.", "<html>", "1", "8.0.36-log"] {
            assert_eq!(parse_version(other), None, "{other}");
        }
    }
}
