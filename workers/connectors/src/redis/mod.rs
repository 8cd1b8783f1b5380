//! Redis and Valkey, as rows without units of work ([`Redis`], here) and as a store with a ledger ([`RedisStore`], in `store`).
//!
//! `redis://USER@HOST:PORT/NUMBER?OPTIONS`, or `rediss://` with TLS; port 6379 and database number 0 if not given.
//! Several hosts need `cluster=true`: they are nodes of a cluster. Further options: `tls_ca=FILE` (PEM) instead of the system's
//! authorities, `prefix=TEXT` of all keys, `expire=30d` after which a row that was not written again is gone (else never).
//!
//! Delivery: a row is one key, and a script compares its version and replaces it as a whole, atomically; writing a row again
//! changes nothing, and an older version never replaces a newer one. Rows of a frame go in pipelines, each row for itself: every
//! script has one key, so rows may lie on any node of a cluster. A request that meets a lost connection is sent once
//! more over a new one; nothing else is tried again in here.
//! Ordering: none between rows. What is written survives a crash of the server as far as its own persistence goes.
//! Memory: the frame at hand and one pipeline; a read that does not name the whole key gathers all matching rows: small tables only.
//!
//! The two kinds do not see each other's tables: rows of the first are keys of their own, which other programs read.
//!
//! Layout: `options`, `link` (connections), `failure` (kinds of errors), `scripts` (Lua), `layout` (tables as keys and fields),
//! `documents` (rows that are JSON texts) and `plain` (their versions, found quickly), `write`, `read`, `strangers` (keys of others among documents); `store`.

mod documents;
mod failure;
mod layout;
mod link;
mod options;
mod plain;
mod read;
mod scripts;
mod store;
mod strangers;
mod write;

use async_trait::async_trait;
use headrace_core::rows::Rows;
use headrace_core::store::Select;
use headrace_core::table::Table;
use headrace_core::{Result, StoreUrl};
use polars::prelude::DataFrame;

use link::Link;
use options::Options;
pub use store::RedisStore;

/// A database of a Redis server, or a cluster.
pub struct Redis {
    link: Link,
}

impl Redis {
    /// Connects to `redis://user:password@host:port/0`.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, host, login or certificate; an external one when nothing answers.
    pub async fn connect(url: &StoreUrl) -> Result<Self> {
        Ok(Self { link: Link::connect(Options::from_url(url).await?).await? })
    }
}

#[async_trait]
impl Rows for Redis {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        layout::create(&self.link, tables).await
    }

    async fn write(&self, table: &Table, frame: &DataFrame, _token: &str) -> Result<()> {
        write::write(&self.link, table, frame).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        read::select(&self.link, select).await
    }

    async fn strangers(&self, table: &Table) -> Result<Vec<String>> {
        strangers::strangers(&self.link, table).await
    }

    fn name(&self) -> String {
        self.link.options.name()
    }
}
