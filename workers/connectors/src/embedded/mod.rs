//! The embedded store: raw tables, logs with consumer groups, dimensions, results and the ledger in one directory, on
//! SQLite, with nothing installed.
//!
//! Delivery: a unit of work is one SQLite transaction that holds rows, messages, state, positions and counters, so every
//! step is exactly-once in effect. Several processes and threads may use a directory at once: readers never wait, writers
//! take turns. Memory: a page of rows or messages for each reader, the batch at hand for the writer.
//!
//! Files: `headrace.sqlite` (everything that matters, with its `-wal` and `-shm`), `groups.sqlite` (who reads what now;
//! may be deleted) and `headrace.lock` (the writers' queue).
//!
//! - `database`, `transaction`, `fault`, `format`: connections, turns to write, errors, versions of the file.
//! - `tables`, `cells`, `rows`, `upsert`, `recent`, `select`, `scan`: tables and frames.
//! - `ledger`, `unit`: positions, state and units of work.
//! - `packed`, `topics`, `group`, `reader`, `consumer`: the log.

mod cells;
mod consumer;
mod database;
mod fault;
mod format;
mod group;
mod ledger;
mod packed;
mod reader;
mod recent;
mod rows;
mod scan;
mod select;
mod tables;
mod topics;
mod transaction;
mod unit;
mod upsert;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::log::{Consume, Extent, Log};
use headrace_core::position::Reached;
use headrace_core::source::Source;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::{Table, View};
use headrace_core::{Claim, Counts, Error, Ident, Partition, Result, StoreUrl};
use polars::prelude::DataFrame;

use database::Database;

/// The embedded store and log. Clones share one set of connections.
#[derive(Clone, Debug)]
pub struct Embedded {
    database: Arc<Database>,
}

impl Embedded {
    /// Opens the directory of a URL such as `embedded:./data`, making what is missing. `sync=normal` trades the last
    /// commits before a power failure (never consistency) for speed.
    ///
    /// # Errors
    /// A configuration error when the URL, the directory or its file cannot be used, an external one when the disk is full
    /// or another process keeps the file locked.
    pub fn open(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&["table", "topic", "sync"])?;
        let synchronous = match url.option("sync") {
            None | Some("full") => "FULL",
            Some("normal") => "NORMAL",
            Some(other) => {
                return Err(Error::configuration(format!("embedded: sync={other} is neither full nor normal")));
            }
        };
        let directory = url.path.first().filter(|_| url.scheme == "embedded");
        let directory =
            directory.ok_or_else(|| Error::configuration(format!("{url} is no URL of an embedded store")))?;
        Ok(Self { database: Database::open(Path::new(directory), synchronous)? })
    }
}

#[async_trait]
impl Store for Embedded {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        let wanted: Vec<Table> = tables.iter().map(|&table| table.clone()).collect();
        let place = self.database.name().to_owned();
        let work = move |connection: &mut rusqlite::Connection| {
            wanted.iter().try_for_each(|table| tables::create(connection, table, &place))
        };
        self.database.write("create tables", work).await
    }

    async fn create_view(&self, view: &View) -> Result<()> {
        let name = tables::quoted(&view.name);
        let sql = format!("DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {}", view.sqlite);
        self.database
            .write(format!("create view `{}`", view.name), move |connection| Ok(connection.execute_batch(&sql)?))
            .await
    }

    async fn has_table(&self, table: &Ident) -> Result<bool> {
        let name = table.clone();
        let work = move |connection: &mut rusqlite::Connection| Ok(tables::kind_of(connection, &name)?.is_some());
        self.database.read(format!("look for table `{table}`"), work).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        let query = select::Query::new(select)?;
        let place = self.database.name().to_owned();
        let work = move |connection: &mut rusqlite::Connection| Ok(query.run(connection, &place, usize::MAX)?.0);
        self.database.read(format!("read table `{}`", select.table.name), work).await
    }

    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>> {
        Ok(Box::new(scan::Scan::new(&self.database, table, columns, parts, only).await?))
    }

    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let (name, partitions) = (scope.to_owned(), partitions.to_vec());
        let work = move |connection: &mut rusqlite::Connection| ledger::claim(connection, &name, &partitions);
        self.database.write(format!("claim partitions of `{scope}`"), work).await
    }

    async fn positions(&self, scope: &str) -> Result<Reached> {
        let name = scope.to_owned();
        self.database
            .read(format!("read positions of `{scope}`"), move |connection| ledger::positions(connection, &name))
            .await
    }

    async fn counters(&self, scope: &str) -> Result<Counts> {
        let name = scope.to_owned();
        self.database
            .read(
                format!("read counters of `{scope}`"),
                move |connection| Ok(ledger::totals(connection, &name)?.counts),
            )
            .await
    }

    async fn committed_at_us(&self, scope: &str) -> Result<Option<i64>> {
        let name = scope.to_owned();
        let work = move |connection: &mut rusqlite::Connection| Ok(ledger::totals(connection, &name)?.committed_at_us);
        self.database.read(format!("read the last commit of `{scope}`"), work).await
    }

    async fn forget(&self, scope: &str) -> Result<()> {
        let name = scope.to_owned();
        self.database.write(format!("forget `{scope}`"), move |connection| ledger::forget(connection, &name)).await
    }

    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>> {
        Ok(Box::new(unit::EmbeddedUnit::begin(&self.database, scope, claims).await?))
    }

    fn name(&self) -> String {
        self.database.name().to_owned()
    }

    fn is_transactional(&self) -> bool {
        true
    }
}

#[async_trait]
impl Log for Embedded {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        if partitions < 1 {
            return Err(Error::configuration(format!(
                "topic `{topic}` needs at least one partition, not {partitions}"
            )));
        }
        let name = topic.to_owned();
        let work = move |connection: &mut rusqlite::Connection| topics::create(connection, &name, partitions);
        self.database.write(format!("create topic `{topic}`"), work).await
    }

    async fn extents(&self, topic: &str) -> Result<Option<Vec<Extent>>> {
        let name = topic.to_owned();
        let work = move |connection: &mut rusqlite::Connection| {
            Ok(topics::find(connection, &name)?.map(|topic| topic.extents))
        };
        self.database.read(format!("read topic `{topic}`"), work).await
    }

    async fn consume(&self, topic: &str, options: &Consume) -> Result<Box<dyn Source>> {
        options.check()?;
        Ok(Box::new(consumer::Consumer::join(&self.database, topic, options).await?))
    }

    async fn produce(&self, topic: &str, messages: &DataFrame) -> Result<()> {
        let (name, messages) = (topic.to_owned(), messages.clone());
        let work = move |connection: &mut rusqlite::Connection| topics::append(connection, &name, &messages);
        self.database.write(format!("append to topic `{topic}`"), work).await
    }

    fn name(&self) -> String {
        self.database.name().to_owned()
    }
}
