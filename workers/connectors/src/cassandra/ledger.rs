//! The ledger: one Cassandra partition per scope, changed only by lightweight transactions.
//!
//! A row per source partition holds its epoch and position; what belongs to the whole scope (the number of the last
//! commit, counters, the last epoch given out) is in static columns. A claim raises the scope's last epoch and writes it to
//! the claimed rows. A commit is **one** conditional batch: it applies if and only if every claim still has its epoch and
//! no other commit came between, so a worker that was overtaken can change nothing. Epochs are never given out twice, also
//! not after [`Ledger::forget`], which starts a new generation and keeps the last epoch.
//!
//! Units that begin in turn (see `turn`) also hold the scope's turn, a number that only grows; their commit applies only
//! while it is theirs. What they write carries that number as its timestamp.
//!
//! An answer that was lost leaves the outcome open: such a commit is an external error, and the next [`Ledger::read`],
//! which is serial, finishes or ends it.

use std::sync::Arc;
use std::time::Duration;

use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::retry::Backoff;
use headrace_core::{Error, Result};
use scylla::deserialize::row::ColumnIterator;
use scylla::errors::ExecutionError;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::value::CqlValue;

use super::client::{Client, Use};
use super::failure;
use super::scope::{Headings, LastUnit, Row, Scope};
use super::storage::quoted;

/// The ledger's tables and their definitions.
///
/// Deleted state may come back from a server that missed the deletion: readers tolerate that (state is a union of
/// segments), so tombstones need not be kept for days.
pub(super) const LEDGER_TABLES: [(&str, &str); 2] = [
    (
        "headrace_ledger",
        "(scope text, last_epoch bigint static, generation bigint static, sequence bigint static, counters text static, \
         unit text static, unit_sequence bigint static, unit_keys text static, \
         turn bigint static, holder text static, beat bigint static, heading text static, left_behind text static, \
         partition text, epoch bigint, position bigint, detail text, PRIMARY KEY ((scope), partition))",
    ),
    (
        "headrace_state",
        "(scope text, generation bigint, space text, key bigint, sequence bigint, unit text, chunk int, \
         chunks int, committed boolean, blob blob, \
         PRIMARY KEY ((scope, generation, space, key), sequence, unit, chunk)) WITH gc_grace_seconds = 3600",
    ),
];

/// Columns of the ledger that its first version had not.
pub(super) const LEDGER_ADDITIONS: [(&str, &str); 5] = [
    ("turn", "bigint static"),
    ("holder", "text static"),
    ("beat", "bigint static"),
    ("heading", "text static"),
    ("left_behind", "text static"),
];

/// Pauses between tries that another worker won: it made progress, so ours comes soon.
const CONTENDED: Backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1), retries: 60 };

/// What a commit changes.
pub(super) struct Change<'a> {
    pub(super) claims: &'a [Claim],
    pub(super) reached: &'a Reached,
    /// The counters, as text.
    pub(super) totals: &'a str,
    /// Whether the unit holds the scope's turn, as it was read.
    pub(super) in_turn: bool,
    /// Set when the unit wrote state.
    pub(super) unit: Option<&'a LastUnit>,
}

pub(super) type Values = Vec<Option<CqlValue>>;

/// The ledger of a keyspace.
pub(super) struct Ledger {
    pub(super) client: Arc<Client>,
    pub(super) table: String,
    pub(super) context: String,
}

impl Ledger {
    pub(super) fn new(client: Arc<Client>) -> Self {
        let table = format!("{}.headrace_ledger", quoted(&client.keyspace));
        let context = format!("cannot use the ledger in keyspace `{}`", client.keyspace);
        Self { client, table, context }
    }

    /// Reads a scope, as of after every commit that was answered.
    ///
    /// # Errors
    /// Configuration when there is no ledger, external when it cannot be read.
    pub(super) async fn read(&self, scope: &str) -> Result<Scope> {
        let cql = format!("SELECT {} FROM {} WHERE scope = ?", Row::COLUMNS, self.table);
        let statement = self.client.prepare(&self.context, &cql, Use::Ledger).await?;
        let rows = self.client.rows(&self.context, &statement, (scope,)).await?;
        let rows: Result<Vec<Row>, _> = failure::answer(&self.context, rows.rows::<Row>())?.collect();
        Scope::from_rows(failure::answer(&self.context, rows)?)
            .map_err(|error| Error::data(format!("{}: `{scope}` is damaged: {error}", self.context)))
    }

    /// Text for a column that holds a structure; none for an empty one.
    pub(super) fn headings(&self, headings: &Headings) -> Result<Option<CqlValue>> {
        if headings.is_empty() { Ok(None) } else { Ok(text(&self.json(headings)?)) }
    }

    fn json<T: serde::Serialize>(&self, value: &T) -> Result<String> {
        serde_json::to_string(value).map_err(|error| Error::data(format!("{}: {error}", self.context)))
    }

    /// Claims partitions: see [`headrace_core::store::Store::claim`]. May be repeated; each time raises the epochs.
    ///
    /// # Errors
    /// External when other workers or an absent server keep it from succeeding.
    pub(super) async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut retry = 0;
        let epoch = loop {
            let read = self.read(scope).await?;
            let last = read.last_epoch();
            let epoch = last.unwrap_or(0) + 1;
            let mut changes = vec![(
                format!("UPDATE {} SET last_epoch = ? WHERE scope = ? IF last_epoch = ?", self.table),
                vec![number(epoch), text(scope), last.map(CqlValue::BigInt)],
            )];
            if partitions.iter().any(|partition| read.heading.contains_key(&partition.0)) {
                // Whoever holds the turn cannot commit under the old epoch: nobody has to wait for it.
                changes.push(self.end_turn(scope, &read)?);
            }
            for partition in partitions {
                changes.push((
                    format!("UPDATE {} SET epoch = ? WHERE scope = ? AND partition = ?", self.table),
                    vec![number(epoch), text(scope), text(&partition.0)],
                ));
            }
            match self.apply(changes).await {
                Ok(true) => break epoch,
                Ok(false) => {}
                // Raising the epoch once more than needed does no harm.
                Err(Refused::Unknown(error)) => tracing::debug!(%error, "claiming again: the answer was lost"),
                Err(Refused::Error(error)) => return Err(error),
            }
            self.pause(&mut retry, "other workers keep claiming").await?;
        };
        // Read behind the claim: from here on no older claim can move these positions.
        let read = self.read(scope).await?;
        let claim =
            |partition: &Partition| Claim { partition: partition.clone(), epoch, position: read.position(partition) };
        Ok(partitions.iter().map(claim).collect())
    }

    /// The change that changes nothing, and makes others depend on a claim being the newest.
    pub(super) fn claimed(&self, scope: &str, claim: &Claim) -> (String, Values) {
        (
            format!("UPDATE {} SET epoch = ? WHERE scope = ? AND partition = ? IF epoch = ?", self.table),
            vec![number(claim.epoch), text(scope), text(&claim.partition.0), number(claim.epoch)],
        )
    }

    /// Tries to commit behind a scope as it was read; tells whether it applied.
    ///
    /// # Errors
    /// External when the outcome is unknown.
    pub(super) async fn commit(&self, scope: &str, read: &Scope, change: &Change<'_>) -> Result<bool> {
        let sequence = read.sequence() + 1;
        let mut set = "sequence = ?, counters = ?".to_owned();
        let mut values = vec![number(sequence), text(change.totals)];
        if change.in_turn {
            set.push_str(", holder = ?, heading = ?, left_behind = ?");
            values.extend([None, None, self.headings(&read.left_after(change.reached))?]);
        }
        if let Some(unit) = change.unit {
            let keys = self.json(&unit.keys)?;
            set.push_str(", unit = ?, unit_sequence = ?, unit_keys = ?");
            values.extend([text(&unit.tag), number(unit.sequence), text(&keys)]);
        }
        values.extend([
            text(scope),
            read.stored_sequence().map(CqlValue::BigInt),
            read.generation.map(CqlValue::BigInt),
        ]);
        let mut condition = "IF sequence = ? AND generation = ?".to_owned();
        if change.in_turn {
            condition.push_str(" AND turn = ? AND holder = ?");
            values.extend([read.turn.map(CqlValue::BigInt), read.holder.as_deref().and_then(text)]);
        }
        let scope_change = format!("UPDATE {} SET {set} WHERE scope = ? {condition}", self.table);
        let mut changes = vec![(scope_change, values)];
        for claim in change.claims {
            let Some(position) = change.reached.get(&claim.partition) else {
                changes.push(self.claimed(scope, claim));
                continue;
            };
            let set = "epoch = ?, position = ?, detail = ?";
            changes.push((
                format!("UPDATE {} SET {set} WHERE scope = ? AND partition = ? IF epoch = ?", self.table),
                vec![
                    number(claim.epoch),
                    number(position.at),
                    text(&position.detail),
                    text(scope),
                    text(&claim.partition.0),
                    number(claim.epoch),
                ],
            ));
        }
        self.apply(changes).await.map_err(|refused| match refused {
            Refused::Unknown(error) => {
                Error::external(format!("cannot commit `{scope}`: the outcome is unknown"), error.to_string())
            }
            Refused::Error(error) => error,
        })
    }

    /// Forgets a scope and starts its next generation, so that nothing of the old one is ever seen again; gives the scope as it was.
    ///
    /// # Errors
    /// External when it cannot be done.
    pub(super) async fn forget(&self, scope: &str) -> Result<Scope> {
        let mut retry = 0;
        loop {
            let read = self.read(scope).await?;
            let epoch = read.next_generation();
            let mut changes = vec![(
                format!(
                    "UPDATE {} SET last_epoch = ?, generation = ?, sequence = ?, counters = ?, unit = ?, unit_sequence = ?, \
                     unit_keys = ?, holder = ?, heading = ?, left_behind = ? WHERE scope = ? IF last_epoch = ?",
                    self.table
                ),
                [number(epoch), number(epoch)]
                    .into_iter()
                    .chain(std::iter::repeat_n(None, 8))
                    .chain([text(scope), read.last_epoch().map(CqlValue::BigInt)])
                    .collect(),
            )];
            for partition in read.partitions() {
                changes.push((
                    format!("DELETE FROM {} WHERE scope = ? AND partition = ?", self.table),
                    vec![text(scope), text(&partition.0)],
                ));
            }
            match self.apply(changes).await {
                Ok(true) => return Ok(read),
                Ok(false) => {}
                Err(Refused::Unknown(error)) => tracing::debug!(%error, "forgetting again: the answer was lost"),
                Err(Refused::Error(error)) => return Err(error),
            }
            self.pause(&mut retry, "other workers keep claiming").await?;
        }
    }

    /// Waits before trying again what another worker was quicker with.
    ///
    /// # Errors
    /// External when that happened too often.
    pub(super) async fn pause(&self, retry: &mut u32, why: &str) -> Result<()> {
        let Some(pause) = CONTENDED.pause(*retry) else { return Err(Error::external(&self.context, why)) };
        *retry += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Applies changes of one scope if all their conditions hold.
    pub(super) async fn apply(&self, changes: Vec<(String, Values)>) -> Result<bool, Refused> {
        let mut statements: Vec<BatchStatement> = Vec::new();
        let mut values = Vec::new();
        for (cql, bound) in changes {
            let statement = self.client.prepare(&self.context, &cql, Use::Commit).await.map_err(Refused::Error)?;
            statements.push(statement.into());
            values.push(bound);
        }
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_consistency(Consistency::Quorum);
        let result = self.client.session.batch(&batch, &values).await.map_err(|error| {
            if failure::is_overload(&error) {
                Refused::Unknown(Box::new(error))
            } else {
                Refused::Error(failure::explain(&self.context, &error))
            }
        })?;
        let rows = failure::answer(&self.context, result.into_rows_result()).map_err(Refused::Error)?;
        // The first column of every row says whether the whole batch applied.
        let row = failure::answer(&self.context, rows.first_row::<ColumnIterator<'_, '_>>()).map_err(Refused::Error)?;
        let applied = row.into_iter().next().and_then(std::result::Result::ok).and_then(|column| column.slice);
        Ok(applied.is_some_and(|slice| slice.as_slice() == [1]))
    }
}

/// Why changes were not answered with yes or no.
pub(super) enum Refused {
    /// They may have been applied or not, or may be later.
    Unknown(Box<ExecutionError>),
    /// They were not.
    Error(Error),
}

impl Refused {
    pub(super) fn explain(self, context: &str) -> Error {
        match self {
            Self::Unknown(error) => Error::external(context, error.to_string()),
            Self::Error(error) => error,
        }
    }
}

pub(super) fn number(value: i64) -> Option<CqlValue> {
    Some(CqlValue::BigInt(value))
}

pub(super) fn text(value: &str) -> Option<CqlValue> {
    Some(CqlValue::Text(value.to_owned()))
}
