//! MySQL and MariaDB as a keyed store: tables, units of work and the ledger in one database.
//!
//! Delivery: exactly once in effect. A unit of work is one transaction that holds rows, state, counters and positions; it is
//! fenced by the epochs of its claims. Nothing is tried again in here: deadlocks, lost connections and lost answers to a
//! commit are external errors, after which the run loop begins a new unit and sees in its positions whether the batch is
//! stored already.
//! Ordering: rows of a unit are written in key order; units of one scope follow each other.
//! Memory: the frame of a unit and its parameters; one page for reads.
//! Connections: at most eight, opened when needed, closed when the store is dropped. The store belongs to the runtime that
//! made it.
//!
//! Layout: `server` (settings, pool), `failure` (kinds of errors), `dialect` (texts of statements), `schema` (create and
//! check), `values` and `calendar` (conversions), `bulk` (upserts), `ledger` and `unit`, `select` and `scan`.

mod bulk;
mod calendar;
mod dialect;
mod failure;
mod ledger;
mod scan;
mod schema;
mod select;
mod server;
mod unit;
mod values;

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::source::Source;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::{Table, View};
use headrace_core::{Claim, Counts, Ident, Partition, Result, StoreUrl};
use polars::prelude::DataFrame;

use server::Server;

/// A database of a MySQL or MariaDB server.
pub struct MySql {
    server: Server,
}

impl MySql {
    /// Connects to `mysql://user:password@host:port/database/table?tls=true&tls_ca=FILE`. The database need not exist yet.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, host, login or certificate, or a newer ledger; an external one when the server does not answer.
    pub async fn connect(url: &StoreUrl) -> Result<Self> {
        let server = Server::connect(url).await?;
        ledger::check_format(&server).await?;
        Ok(Self { server })
    }
}

#[async_trait]
impl Store for MySql {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        schema::create(&self.server, tables).await
    }

    async fn create_view(&self, view: &View) -> Result<()> {
        schema::create_view(&self.server, view).await
    }

    async fn has_table(&self, table: &Ident) -> Result<bool> {
        schema::has_table(&self.server, table).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        select::select(&self.server, select).await
    }

    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>> {
        Ok(Box::new(scan::Scan::new(&self.server, table, columns, parts, only).await?))
    }

    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        ledger::claim(&self.server, scope, partitions).await
    }

    async fn positions(&self, scope: &str) -> Result<Reached> {
        ledger::positions(&self.server, scope).await
    }

    async fn counters(&self, scope: &str) -> Result<Counts> {
        Ok(ledger::totals(&self.server, scope).await?.counts)
    }

    async fn committed_at_us(&self, scope: &str) -> Result<Option<i64>> {
        Ok(ledger::totals(&self.server, scope).await?.committed_at_us)
    }

    async fn forget(&self, scope: &str) -> Result<()> {
        ledger::forget(&self.server, scope).await
    }

    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>> {
        Ok(Box::new(unit::begin(&self.server, scope, claims).await?))
    }

    fn name(&self) -> String {
        self.server.name()
    }

    fn is_transactional(&self) -> bool {
        true
    }
}
