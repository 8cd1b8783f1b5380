//! Redis as a keyed store: tables, units of work and the ledger, at `redis://USER@HOST:PORT/NUMBER?OPTIONS`.
//!
//! Options beside those of rows: `lease=` (10s; see `turn`), `timeout=` of an answer (60s), `durability=` (see below). `expire` is refused.
//! Redis 5 or newer, or Valkey.
//!
//! Delivery: exactly once in effect. A unit gathers its changes; when it is large, in parts that are staged under a key only
//! its commit looks at, and that expires with the unit's lease. The commit is one script: it checks the epochs of all claims, the
//! turn and the scope's sequence, works out all rows, sums, segments and positions, and only then writes them, all or nothing.
//! Nothing of a unit that was not committed can be seen. A commit is not sent twice (where a cluster's driver does, the second is
//! refused); an answer that was lost is an external error, after which the next unit's positions tell whether it was made.
//! All keys of a store have one hash tag (see `keys`), so it lies on one node of a cluster. A script holds up its server: a commit
//! of 50,000 rows takes some tenths of a second, during which nothing else is answered.
//!
//! Never losing what was committed needs `appendonly yes` and `appendfsync always` of the server. With `appendfsync everysec` the
//! end of a machine (of the process only while its disk is slow) may take the last second or two: positions, rows and state
//! together, so that the steps, started again, do that part again. The same holds for a replica that takes over. A worker whose
//! own commit is lost notices and ends with an error; one that had only read what is lost notices unless others have committed
//! as often since, so start all workers again. Connecting checks the settings (see `durability`).
//!
//! Ordering: units of one scope follow each other; rows are read in key order. Memory: a unit's frame and one chunk of changes
//! here, all of its changes in the server; a read one page. Everything is in the server's memory: it is for results and state,
//! not for raw data. There are no computed columns and no views here (views are ignored), and a table of documents is written as
//! rows only. A unit cannot update by a column it has changed itself, and does not read its own state.
//!
//! Layout: `keys`, `pack` and `order` (bytes), `tables`, `page` and `scan` (reads), `state`, `changes` and `unit`, `turn`, `ledger`,
//! `scripts`, `durability`.

mod changes;
pub(super) mod durability;
mod keys;
mod ledger;
mod order;
mod pack;
mod page;
mod scan;
pub(super) mod scripts;
mod state;
mod tables;
mod turn;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::source::Source;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::{Table, View};
use headrace_core::{Counts, Error, Ident, Result, StoreUrl};
use polars::prelude::DataFrame;

use super::link::Link;
use super::options::Options;
use keys::Keys;
use ledger::Memory;

/// A database of a Redis server with units of work and a ledger.
pub struct RedisStore {
    place: Arc<Place>,
}

/// Where a store is, and what is known of it.
struct Place {
    link: Link,
    keys: Keys,
    /// Tables that are there, with their descriptions.
    known: Mutex<BTreeSet<(String, String)>>,
    /// By scope.
    memories: Mutex<BTreeMap<String, Memory>>,
}

impl Place {
    fn known(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memories(&self) -> MutexGuard<'_, BTreeMap<String, Memory>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisStore {
    /// Connects to `redis://user:password@host:port/0?durability=always`.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, host, login or certificate, a server that keeps too little, or a newer ledger; an
    /// external one when nothing answers.
    pub async fn connect(url: &StoreUrl) -> Result<Self> {
        let options = Options::from_url(url).await?;
        if options.expire_seconds > 0 {
            return Err(Error::configuration("redis: what is in a ledger does not expire: leave out expire"));
        }
        let keys = Keys::new(&options.prefix);
        let link = Link::connect(options).await?;
        durability::check(&link).await?;
        let place = Place { link, keys, known: Mutex::default(), memories: Mutex::default() };
        tables::check_format(&place).await?;
        Ok(Self { place: Arc::new(place) })
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        tables::create(&self.place, tables).await
    }

    async fn create_view(&self, _: &View) -> Result<()> {
        Ok(())
    }

    async fn has_table(&self, table: &Ident) -> Result<bool> {
        tables::has_table(&self.place, table).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        page::select(&self.place, select).await
    }

    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>> {
        Ok(Box::new(scan::Scan::new(&self.place, table, columns, parts, only).await?))
    }

    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        ledger::claim(&self.place, scope, partitions).await
    }

    async fn positions(&self, scope: &str) -> Result<Reached> {
        ledger::positions(&self.place, scope).await
    }

    async fn counters(&self, scope: &str) -> Result<Counts> {
        Ok(ledger::totals(&self.place, scope).await?.counts)
    }

    async fn committed_at_us(&self, scope: &str) -> Result<Option<i64>> {
        Ok(ledger::totals(&self.place, scope).await?.committed_at_us)
    }

    async fn forget(&self, scope: &str) -> Result<()> {
        ledger::forget(&self.place, scope).await
    }

    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>> {
        Ok(Box::new(unit::RedisUnit::begin(&self.place, scope, claims).await?))
    }

    fn name(&self) -> String {
        self.place.link.options.name()
    }

    fn is_transactional(&self) -> bool {
        true
    }
}
