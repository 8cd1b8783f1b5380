//! Upserts and deletions: one request per row, or per small group of rows of one partition, so many in flight as the server takes.
//!
//! A request that the server does not manage (timeout, overload, lost connection) halves the window and is tried again
//! after a pause; only when nothing at all went through for a minute does the whole fail. Rows are keyed, so a repeated
//! request changes nothing. Requests carry the timestamp they are given, or else that of the moment. Memory: the frame, one index per row, and the requests in flight.

use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use headrace_core::retry::Backoff;
use headrace_core::table::Table;
use headrace_core::{Error, Result};
use polars::prelude::DataFrame;
use scylla::errors::ExecutionError;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use tokio::time::Instant;

use super::client::{Client, PATIENCE, Use};
use super::failure;
use super::rows::{Row, Rows};
use super::storage::Layout;
use super::window::Writer;

/// Cassandra warns about batches of 5 KiB.
const BATCH_BYTES: usize = 4 << 10;
/// More statements in one batch bring nothing more.
const BATCH_ROWS: usize = 64;

/// Writes all rows of a frame, nulls left unset.
///
/// # Errors
/// A data error when a value does not fit, before anything is written; external when the server stays unable to follow.
pub(super) async fn upsert(client: &Client, table: &Table, frame: &DataFrame, timestamp: Option<i64>) -> Result<()> {
    let layout = Layout::of(&client.keyspace, table)?;
    let statement = layout.insert();
    send(client, table, &layout, (&statement, timestamp), frame).await
}

/// Deletes the rows with the keys of a frame.
///
/// # Errors
/// As [`upsert`].
pub(super) async fn delete(client: &Client, table: &Table, keys: &DataFrame, timestamp: Option<i64>) -> Result<()> {
    let table = table.only_keys();
    let layout = Layout::of(&client.keyspace, &table)?;
    let statement = format!("DELETE FROM {} WHERE {}", layout.name, layout.key_condition());
    send(client, &table, &layout, (&statement, timestamp), keys).await
}

/// Sends a statement for every row of a frame, with the columns of a layout as its values.
async fn send(
    client: &Client,
    table: &Table,
    layout: &Layout<'_>,
    (cql, timestamp): (&str, Option<i64>),
    frame: &DataFrame,
) -> Result<()> {
    let name = table.name.as_str();
    let rows = Rows::new(name, layout.columns(), frame)?;
    rows.check(name, layout.columns(), layout.partition.len())?;
    let context = format!("cannot write to table `{}.{name}`", client.keyspace);
    let mut statement = client.prepare(&context, cql, Use::Rows).await?;
    statement.set_timestamp(timestamp);
    let groups = Groups::of(&rows, layout);
    let (writer, progress) = (client.window.enter(), Mutex::new(Instant::now()));
    let sending = Sending { client, context, statement, timestamp, writer, progress };
    let mut waiting = (0..groups.ends.len()).map(|group| groups.get(group));
    let mut in_flight = FuturesUnordered::new();
    loop {
        while in_flight.len() < sending.writer.share() {
            let Some(group) = waiting.next() else { break };
            in_flight.push(sending.send(group));
        }
        match in_flight.next().await {
            Some(sent) => sent?,
            None => return Ok(()),
        }
    }
}

/// Rows in the order they are sent, cut into requests.
struct Groups<'a> {
    rows: Vec<Row<'a>>,
    ends: Vec<usize>,
}

impl<'a> Groups<'a> {
    fn of(rows: &'a Rows, layout: &Layout<'_>) -> Self {
        let height = rows.height();
        if layout.clustering.is_empty() {
            return Self { rows: (0..height).map(|index| rows.row(index)).collect(), ends: (1..=height).collect() };
        }
        let partition_columns = layout.partition.len();
        let mut order: Vec<usize> = (0..height).collect();
        order.sort_by(|left, right| rows.compare_partition(partition_columns, *left, *right));
        let mut ends = Vec::new();
        let (mut bytes, mut count) = (0, 0);
        for (at, index) in order.iter().enumerate() {
            let size = rows.row(*index).size();
            let is_other = at > 0 && rows.compare_partition(partition_columns, order[at - 1], *index).is_ne();
            if count > 0 && (is_other || count == BATCH_ROWS || bytes + size > BATCH_BYTES) {
                ends.push(at);
                (bytes, count) = (0, 0);
            }
            bytes += size;
            count += 1;
        }
        if height > 0 {
            ends.push(height);
        }
        Self { rows: order.into_iter().map(|index| rows.row(index)).collect(), ends }
    }

    fn get(&self, group: usize) -> &[Row<'a>] {
        let start = group.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.rows[start..self.ends[group]]
    }
}

struct Sending<'a> {
    client: &'a Client,
    context: String,
    statement: PreparedStatement,
    timestamp: Option<i64>,
    writer: Writer<'a>,
    /// When the last request of this upsert went through.
    progress: Mutex<Instant>,
}

impl Sending<'_> {
    async fn send(&self, group: &[Row<'_>]) -> Result<()> {
        let mut retry = 0;
        loop {
            let started = Instant::now();
            let Err(error) = self.request(group).await else {
                self.writer.answered(started.elapsed());
                *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                return Ok(());
            };
            if !failure::is_overload(&error) {
                return Err(failure::explain(&self.context, &error));
            }
            self.writer.pushed_back();
            let idle = self.progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            let Some(pause) = Backoff::default().pause(retry).filter(|_| idle < PATIENCE) else {
                return Err(Error::external(
                    &self.context,
                    format!("the server does not keep up, {} tries: {}", retry + 1, failure::explain("last", &error)),
                ));
            };
            tokio::time::sleep(pause).await;
            retry += 1;
        }
    }

    async fn request(&self, group: &[Row<'_>]) -> Result<(), ExecutionError> {
        if let [row] = group {
            self.client.session.execute_unpaged(&self.statement, row).await?;
            return Ok(());
        }
        let statements = vec![self.statement.clone().into(); group.len()];
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_is_idempotent(true);
        batch.set_timestamp(self.timestamp);
        if let Some(consistency) = self.statement.get_consistency() {
            batch.set_consistency(consistency);
        }
        self.client.session.batch(&batch, group).await?;
        Ok(())
    }
}
