//! The connection: one driver session with its prepared statements, and requests that are tried again while the server is busy.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headrace_core::retry::Backoff;
use headrace_core::{Error, Ident, Result};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};
use tokio::time::Instant;

use super::options::Options;
use super::window::Window;
use super::{failure, tls};

/// Without any progress for so long, a request gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How a statement may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// Reads and writes of rows, at the consistency the URL asks for.
    Rows,
    /// State, which must be seen by every later reader: at least a quorum.
    State,
    /// Reads of the ledger, which finish half-done commits first.
    Ledger,
    /// Conditional writes of the ledger: never repeated blindly.
    Commit,
}

/// One connection, shared by everything that works on a store.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) keyspace: Ident,
    /// `host:port,…`, for messages.
    pub(super) servers: String,
    pub(super) window: Window,
    pub(super) replication: String,
    /// How long a worker that gives no sign of life keeps others waiting.
    pub(super) lease: Duration,
    consistency: Consistency,
    timeout: Duration,
    prepared: Mutex<HashMap<(String, Use), PreparedStatement>>,
    /// Rows that fit into a page, by statement, as far as it was read before.
    page_rows: Mutex<HashMap<String, usize>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// See [`failure::connecting`].
    pub(super) async fn connect(options: Options) -> Result<Self> {
        let profile = ExecutionProfile::builder()
            .consistency(options.consistency)
            .serial_consistency(Some(SerialConsistency::Serial))
            .request_timeout(Some(options.timeout))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&options.hosts)
            .default_execution_profile_handle(profile.into_handle())
            .pool_size(PoolSize::PerHost(const { std::num::NonZeroUsize::MIN.saturating_add(1) }))
            // Timestamps of one writer never go backwards, also when its writes take different ways.
            .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()))
            .keyspaces_to_fetch([options.keyspace.as_str()])
            .fetch_full_schema_metadata(false);
        if let Some((user, password)) = &options.login {
            builder = builder.user(user, password.reveal());
        }
        if let Some(datacenter) = &options.datacenter {
            builder = builder.prefer_datacenter(datacenter.clone());
        }
        if options.tls {
            builder = builder.tls_context(Some(tls::client(options.tls_ca.as_deref())?));
        }
        let session = builder.build().await.map_err(|error| failure::connecting(&options, &error))?;
        if let Some(wanted) = &options.datacenter {
            check_datacenter(&session, wanted)?;
        }
        Ok(Self {
            session,
            servers: options.hosts.join(","),
            window: Window::new(options.concurrency),
            replication: options.replication,
            lease: options.lease,
            keyspace: options.keyspace,
            consistency: options.consistency,
            timeout: options.timeout,
            prepared: Mutex::default(),
            page_rows: Mutex::default(),
        })
    }

    /// Prepares a statement, once.
    ///
    /// # Errors
    /// A configuration error when the server refuses it, naming what is missing.
    pub(super) async fn prepare(&self, context: &str, cql: &str, kind: Use) -> Result<PreparedStatement> {
        let key = (cql.to_owned(), kind);
        if let Some(known) = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let mut statement = Statement::new(cql);
        statement.set_is_idempotent(kind != Use::Commit);
        statement.set_consistency(match kind {
            Use::Rows => self.consistency,
            Use::Ledger => Consistency::Serial,
            Use::Commit => Consistency::Quorum,
            // Quorums of all data centers meet each other: state written under a commit is seen by all that read behind it.
            Use::State if self.consistency == Consistency::All => Consistency::All,
            Use::State => Consistency::Quorum,
        });
        let mut patience = Patience::new();
        let prepared = loop {
            let answer = tokio::time::timeout(self.timeout, self.session.prepare(statement.clone())).await;
            match answer.map_err(|_| Error::external(context, "the server does not answer"))? {
                Ok(prepared) => break prepared,
                Err(error) => patience.wait(context, error.into()).await?,
            }
        };
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(key, prepared.clone());
        Ok(prepared)
    }

    /// Rows for the first page of a statement that was read before.
    pub(super) fn page_rows(&self, cql: &str) -> Option<usize> {
        self.page_rows.lock().unwrap_or_else(PoisonError::into_inner).get(cql).copied()
    }

    /// Notes how many rows fit into a page of a statement.
    pub(super) fn note_page_rows(&self, cql: &str, rows: usize) {
        self.page_rows.lock().unwrap_or_else(PoisonError::into_inner).insert(cql.to_owned(), rows);
    }

    /// Runs a statement that may be repeated, patiently.
    ///
    /// # Errors
    /// External when the server stays busy or away, configuration when it refuses.
    pub(super) async fn run(
        &self,
        context: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryResult> {
        let mut patience = Patience::new();
        loop {
            match self.session.execute_unpaged(statement, &values).await {
                Ok(result) => return Ok(result),
                Err(error) => patience.wait(context, error).await?,
            }
        }
    }

    /// Runs a reading statement and gives its rows.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub(super) async fn rows(
        &self,
        context: &str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult> {
        failure::answer(context, self.run(context, statement, values).await?.into_rows_result())
    }
}

/// A data center that does not exist would leave every request without a server.
fn check_datacenter(session: &Session, wanted: &str) -> Result<()> {
    let cluster = session.get_cluster_state();
    let known: BTreeSet<&str> = cluster.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    if known.contains(wanted) {
        return Ok(());
    }
    let known: Vec<&str> = known.into_iter().collect();
    Err(Error::configuration(format!("cassandra: there is no data center {wanted:?}; known are {}", known.join(", "))))
}

/// Waits between tries of a request that may be repeated.
pub(super) struct Patience {
    started: Instant,
    retry: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), retry: 0 }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The failure, explained, when trying again cannot help or did not help for [`PATIENCE`].
    pub(super) async fn wait(&mut self, context: &str, error: ExecutionError) -> Result<()> {
        let pause = Backoff::default().pause(self.retry).filter(|pause| self.started.elapsed() + *pause < PATIENCE);
        let Some(pause) = pause.filter(|_| failure::is_overload(&error)) else {
            return Err(failure::explain(context, &error));
        };
        tracing::debug!(%error, context, "cassandra is busy: trying again");
        tokio::time::sleep(pause).await;
        self.retry += 1;
        Ok(())
    }
}
