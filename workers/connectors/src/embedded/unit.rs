//! A unit of work: one SQLite transaction.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::store::{Segment, Unit};
use headrace_core::table::{Table, Value};
use headrace_core::{Claim, Counts, Error, Result};
use polars::prelude::DataFrame;
use rusqlite::Connection;

use super::cells::stored;
use super::database::Database;
use super::fault::Fault;
use super::ledger::{self, Scope};
use super::tables::{find, quoted};
use super::transaction::Transaction;
use super::{recent, topics};

/// One unit of work under claims.
pub(super) struct EmbeddedUnit {
    /// None once it failed or was cancelled; the transaction is undone then.
    transaction: Option<Transaction>,
    scope_name: String,
    scope: Scope,
    claims: Vec<Claim>,
    positions: Reached,
    /// What the commit takes off the counters.
    less: Counts,
}

impl EmbeddedUnit {
    /// Begins a unit.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim is no longer the newest.
    pub(super) async fn begin(database: &Arc<Database>, scope: &str, claims: &[Claim]) -> Result<Self> {
        let transaction = Transaction::begin(database).await?;
        let (name, claimed) = (scope.to_owned(), claims.to_vec());
        let work = move |connection: &mut Connection| {
            let scope = ledger::find_or_make(connection, &name)?;
            Ok((scope, ledger::check(connection, scope, &claimed)?))
        };
        let (transaction, begun) = transaction.run(format!("begin a unit of `{scope}`"), work).await?;
        let (found, positions) = begun?;
        Ok(Self {
            transaction: Some(transaction),
            scope_name: scope.to_owned(),
            scope: found,
            claims: claims.to_vec(),
            positions,
            less: Counts::default(),
        })
    }

    fn take(&mut self) -> Result<Transaction> {
        let ended =
            || Error::external(format!("cannot go on with a unit of `{}`", self.scope_name), "it was interrupted");
        self.transaction.take().ok_or_else(ended)
    }

    /// Runs work in the unit. After an error the unit is over, because part of the work may have been done.
    async fn run<T, F>(&mut self, doing: String, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (transaction, result) = self.take()?.run(doing, work).await?;
        if result.is_ok() {
            self.transaction = Some(transaction);
        }
        result
    }
}

#[async_trait]
impl Unit for EmbeddedUnit {
    fn positions(&self) -> &Reached {
        &self.positions
    }

    fn sequence(&self) -> i64 {
        self.scope.sequence
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        let (scope, space, wanted) = (self.scope, space.to_owned(), wanted.to_vec());
        let doing = format!("read state `{space}` of `{}`", self.scope_name);
        self.run(doing, move |connection| ledger::read_state(connection, scope, &space, &wanted)).await
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        let (scope, space) = (self.scope, space.to_owned());
        let doing = format!("write state `{space}` of `{}`", self.scope_name);
        self.run(doing, move |connection| ledger::write_state(connection, scope, &space, &put, &drop)).await
    }

    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        let (table, frame) = (table.clone(), frame.clone());
        let doing = format!("write to table `{}`", table.name);
        self.run(doing, move |connection| recent::upsert(connection, &table, &frame)).await
    }

    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        let (table, keys) = (table.clone(), keys.clone());
        let doing = format!("delete from table `{}`", table.name);
        self.run(doing, move |connection| recent::delete(connection, &table, &keys)).await
    }

    async fn update(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        let (changed, condition) = (find(table, set.0)?, find(table, equal.0)?);
        let parameters = [stored(changed, &set.1)?, stored(condition, &equal.1)?];
        let sql = format!(
            "UPDATE {} SET {} = ? WHERE {} IS ?",
            quoted(&table.name),
            quoted(&changed.name),
            quoted(&condition.name)
        );
        let doing = format!("update table `{}`", table.name);
        let work = move |connection: &mut Connection| Ok(connection.prepare_cached(&sql)?.execute(parameters)? as u64);
        self.run(doing, work).await
    }

    async fn append(&mut self, topic: &str, messages: &DataFrame) -> Result<bool> {
        let (name, messages) = (topic.to_owned(), messages.clone());
        let work = move |connection: &mut Connection| topics::append(connection, &name, &messages);
        self.run(format!("append to topic `{topic}`"), work).await?;
        Ok(true)
    }

    fn take_off(&mut self, counts: Counts) {
        self.less.add(&counts);
    }

    async fn commit(mut self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()> {
        let transaction = self.take()?;
        let (name, scope, claims) = (self.scope_name.clone(), self.scope, std::mem::take(&mut self.claims));
        let (reached, counts, less) = (reached.clone(), counts.clone(), std::mem::take(&mut self.less));
        let work = move |connection: &mut Connection| {
            ledger::finish(connection, &name, scope, &claims, &reached, (&counts, &less))
        };
        transaction.finish(format!("commit a unit of `{}`", self.scope_name), work).await
    }
}
