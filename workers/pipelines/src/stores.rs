//! Opens the store or log a URL names.

use std::sync::Arc;

use headrace_connectors::cassandra::Cassandra;
use headrace_connectors::clickhouse::ClickHouse;
use headrace_connectors::embedded::Embedded;
use headrace_connectors::kafka::Kafka;
use headrace_connectors::mysql::MySql;
use headrace_connectors::redis::{Redis, RedisStore};
use headrace_core::log::Log;
use headrace_core::rows::Rows;
use headrace_core::store::Store;
use headrace_core::{Error, Result, StoreUrl};

/// The store of every step that is given none: a directory where the command runs.
pub const DEFAULT_STORE: &str = "embedded:headrace-data";

/// Opens a keyed store of raw rows.
///
/// # Errors
/// A configuration error for a wrong kind of store, else what the connector says.
pub async fn open_raw(url: &StoreUrl) -> Result<Arc<dyn Store>> {
    match url.scheme.as_str() {
        "embedded" => Ok(Arc::new(open_embedded(url).await?)),
        "cassandra" => Ok(Arc::new(Cassandra::connect(url).await?)),
        other => Err(unfit(other, "raw rows", "cassandra://HOST/KEYSPACE/TABLE")),
    }
}

/// Opens a transactional store of results and dimensions.
///
/// # Errors
/// A configuration error for a wrong kind of store, else what the connector says.
pub async fn open_warehouse(url: &StoreUrl) -> Result<Arc<dyn Store>> {
    match url.scheme.as_str() {
        "embedded" => Ok(Arc::new(open_embedded(url).await?)),
        "mysql" | "mariadb" => Ok(Arc::new(MySql::connect(url).await?)),
        "redis" | "rediss" => Ok(Arc::new(RedisStore::connect(url).await?)),
        other => Err(unfit(other, "results", "mysql://USER@HOST/DATABASE/TABLE, redis://HOST")),
    }
}

/// Opens a message log.
///
/// # Errors
/// A configuration error for a wrong kind of store, else what the connector says.
pub async fn open_log(url: &StoreUrl) -> Result<Arc<dyn Log>> {
    match url.scheme.as_str() {
        "embedded" => Ok(Arc::new(open_embedded(url).await?)),
        "kafka" => Ok(Arc::new(Kafka::connect(url)?)),
        other => Err(unfit(other, "messages", "kafka://HOST/TOPIC")),
    }
}

/// Opens a store of keyed rows that has no units of work.
///
/// # Errors
/// A configuration error for a wrong kind of store, else what the connector says.
pub async fn open_rows(url: &StoreUrl) -> Result<Arc<dyn Rows>> {
    match url.scheme.as_str() {
        "clickhouse" | "clickhouses" => Ok(Arc::new(ClickHouse::connect(url).await?)),
        "redis" | "rediss" => Ok(Arc::new(Redis::connect(url).await?)),
        other => Err(unfit(other, "rows without a ledger", "clickhouse://USER@HOST/DATABASE, redis://HOST")),
    }
}

/// Opens the embedded store on a blocking thread. It waits for a file lock that a task of this very process may hold; waiting
/// on the runtime's own threads would keep that task from going on.
async fn open_embedded(url: &StoreUrl) -> Result<Embedded> {
    let url = url.clone();
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&url)).await;
    opened.map_err(|error| Error::external("cannot open the embedded store", error))?
}

fn unfit(scheme: &str, what: &str, example: &str) -> Error {
    Error::configuration(format!("{scheme}: cannot hold {what}; use {example} or embedded:DIRECTORY"))
}
