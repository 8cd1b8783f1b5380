//! Apache Cassandra: `cassandra://USER@HOST:PORT,HOST/KEYSPACE/TABLE?OPTIONS`, port 9042 and keyspace `kafka_stream` by default.
//!
//! Options: `tls=true`, `tls_ca=FILE` (PEM), `consistency=` (`local_quorum`), `datacenter=`, `replication=` of a keyspace to
//! create (`1`, or `first:3,second:2`), `timeout=` of a request (`12s`), `concurrency=`, the most writes in flight (`256`),
//! `lease=`, how long a worker that gives no sign of life keeps others waiting (`30s`; see `turn`).
//!
//! Delivery: rows are keyed upserts, written at once; repeating them changes nothing. Positions, counters and the visibility
//! of state change together, in one lightweight transaction that a worker whose claim was taken over cannot make (see `ledger`).
//! Units that begin in turn write with timestamps that grow from turn to turn (see `turn`).
//! Nulls are left unset: they write no tombstone, and never remove a value. Ordering: none between rows of an upsert.
//! Memory: the frame at hand and the requests in flight.
//!
//! There are no added-up or computed columns, no updates by condition and no views here; see `storage` for the types.

mod client;
mod failure;
mod ledger;
mod options;
mod page;
mod pages;
mod rows;
mod scan;
mod schema;
mod scope;
mod select;
mod state;
mod storage;
mod sweep;
mod tls;
mod token_reader;
mod tokens;
mod turn;
mod unit;
mod window;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::source::Source;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::{Table, View};
use headrace_core::{Counts, Ident, Result, StoreUrl};
use polars::prelude::DataFrame;

use client::Client;
use ledger::Ledger;
use options::Options;
use unit::{CassandraUnit, Marked};

/// A keyspace of a Cassandra cluster.
#[derive(Clone)]
pub struct Cassandra {
    client: Arc<Client>,
    ledger: Arc<Ledger>,
    marked: Arc<Marked>,
}

impl Cassandra {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// Configuration errors for wrong options, logins and certificates; external ones when no server answers.
    pub async fn connect(url: &StoreUrl) -> Result<Self> {
        let client = Arc::new(Client::connect(Options::from_url(url)?).await?);
        schema::check_format(&client).await?;
        Ok(Self { ledger: Arc::new(Ledger::new(client.clone())), client, marked: Arc::default() })
    }
}

impl fmt::Debug for Cassandra {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())
    }
}

#[async_trait]
impl Store for Cassandra {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        schema::create(&self.client, tables).await
    }

    async fn create_view(&self, _: &View) -> Result<()> {
        Ok(())
    }

    async fn has_table(&self, table: &Ident) -> Result<bool> {
        schema::has_table(&self.client, table).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        select::select(&self.client, select).await
    }

    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>> {
        Ok(Box::new(scan::Scan::open(&self.client, table, columns, parts, only).await?))
    }

    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        self.ledger.claim(scope, partitions).await
    }

    async fn positions(&self, scope: &str) -> Result<Reached> {
        Ok(self.ledger.read(scope).await?.positions())
    }

    async fn counters(&self, scope: &str) -> Result<Counts> {
        Ok(self.ledger.read(scope).await?.totals.counts)
    }

    async fn committed_at_us(&self, scope: &str) -> Result<Option<i64>> {
        Ok(self.ledger.read(scope).await?.totals.committed_at_us)
    }

    async fn forget(&self, scope: &str) -> Result<()> {
        let forgotten = self.ledger.forget(scope).await?;
        if forgotten.last_unit.is_some() {
            state::delete_older(&self.client, scope, forgotten.next_generation()).await?;
        }
        Ok(())
    }

    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>> {
        let unit = CassandraUnit::begin(self.ledger.clone(), self.marked.clone(), scope, claims).await?;
        Ok(Box::new(unit))
    }

    async fn begin_in_turn(&self, scope: &str, claims: &[Claim], reached: &Reached) -> Result<Box<dyn Unit>> {
        let (ledger, marked) = (self.ledger.clone(), self.marked.clone());
        Ok(Box::new(CassandraUnit::begin_in_turn(ledger, marked, scope, claims, reached).await?))
    }

    fn name(&self) -> String {
        format!("cassandra {}/{}", self.client.servers, self.client.keyspace)
    }

    fn is_transactional(&self) -> bool {
        false
    }
}
