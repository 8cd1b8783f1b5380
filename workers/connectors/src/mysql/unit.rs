//! A unit of work: one transaction on one connection, under the lock of its scope's row.
//!
//! Delivery: rows, state, counters and positions are committed together or not at all. A statement that failed may have
//! ended the whole transaction on the server (a deadlock does), so nothing more is done in a unit after an error.
//! Dropped, the transaction is rolled back before its connection is used again; in the middle of a statement the
//! connection is closed instead.

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::store::{Segment, Totals, Unit};
use headrace_core::table::{Table, Value};
use headrace_core::{Claim, Counts, Error, Partition, Result, clock};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Transaction, Value as Sql};
use polars::prelude::DataFrame;

use super::bulk;
use super::dialect::quote;
use super::failure::attempt;
use super::ledger::{self, KEYS_IN_A_STATEMENT, key_of};
use super::select::find_column;
use super::server::Server;
use super::values;

/// A unit of work in MySQL.
pub(super) struct MySqlUnit {
    server: Server,
    transaction: Transaction<'static>,
    scope: String,
    claims: Vec<Claim>,
    positions: Reached,
    sequence: i64,
    totals: Totals,
    /// What the commit takes off the counters.
    less: Counts,
    /// Set while a statement runs, and left so when it fails or is given up.
    broken: bool,
}

/// Begins a unit: locks the scope, and checks that the claims are still the newest.
pub(super) async fn begin(server: &Server, scope: &str, claims: &[Claim]) -> Result<MySqlUnit> {
    if claims.is_empty() {
        ledger::ensure_scope(server, scope).await?;
    }
    let mut transaction = server.transaction().await?;
    let Some(found) = ledger::lock(&mut transaction, scope).await? else {
        return Err(Error::Fenced(scope.to_owned()));
    };
    let partitions: Vec<Partition> = claims.iter().map(|claim| claim.partition.clone()).collect();
    let newest = ledger::read_claims(&mut transaction, scope, &partitions).await?;
    for claim in claims {
        if !newest.iter().any(|other| other.partition == claim.partition && other.epoch == claim.epoch) {
            return Err(Error::Fenced(claim.partition.to_string()));
        }
    }
    let positions = newest.into_iter().filter_map(|claim| Some((claim.partition, claim.position?))).collect();
    Ok(MySqlUnit {
        server: server.clone(),
        transaction,
        scope: scope.to_owned(),
        claims: claims.to_vec(),
        positions,
        sequence: found.sequence,
        totals: found.totals,
        less: Counts::default(),
        broken: false,
    })
}

impl MySqlUnit {
    /// Begins a statement; [`Self::leave`] tells that it went well.
    fn enter(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            let context = format!("cannot go on with a unit of `{}`", self.scope);
            return Err(Error::external(context, "an earlier statement failed or was given up; begin a new unit"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.broken = false;
    }

    /// Puts the condition on pairs, and scope, space and pairs as parameters. Pairs are padded with the last one to a power of
    /// two, so that few statements are prepared.
    fn state_condition(&self, space: &str, pairs: &[(i64, i64)], comparison: &str) -> (String, Params) {
        let places = pairs.len().next_power_of_two();
        let condition: Vec<String> =
            (0..places).map(|_| format!("(state_key = ? AND sequence {comparison} ?)")).collect();
        let padding = pairs.last().into_iter().cycle().take(places - pairs.len());
        let mut parameters = vec![Sql::from(key_of(&self.scope)), Sql::from(space)];
        parameters
            .extend(pairs.iter().chain(padding).flat_map(|(key, sequence)| [Sql::Int(*key), Sql::Int(*sequence)]));
        (format!("scope = ? AND space = ? AND ({})", condition.join(" OR ")), Params::Positional(parameters))
    }

    /// The same for all segments of keys.
    fn keys_condition(&self, space: &str, pairs: &[(i64, i64)]) -> (String, Params) {
        let places = pairs.len().next_power_of_two();
        let keys = pairs.iter().chain(pairs.last().into_iter().cycle()).take(places).map(|(key, _)| Sql::Int(*key));
        let parameters = [Sql::from(key_of(&self.scope)), Sql::from(space)].into_iter().chain(keys).collect();
        let condition = format!("scope = ? AND space = ? AND state_key IN ({})", vec!["?"; places].join(", "));
        (condition, Params::Positional(parameters))
    }

    async fn drop_segments(&mut self, space: &str, segments: &[(i64, i64)]) -> Result<()> {
        for chunk in segments.chunks(KEYS_IN_A_STATEMENT) {
            let (condition, parameters) = self.state_condition(space, chunk, "=");
            let text = format!("DELETE FROM headrace_state WHERE {condition}");
            let context = || format!("cannot drop state of `{}`", self.scope);
            attempt(context, self.transaction.exec_drop(text, parameters)).await?;
        }
        Ok(())
    }

    async fn put_segments(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>) -> Result<()> {
        let sequence = self.sequence + 1;
        let scope = key_of(&self.scope);
        let columns = vec![
            put.iter().map(|_| Sql::from(scope.as_str())).collect(),
            put.iter().map(|_| Sql::from(space)).collect(),
            put.iter().map(|(key, _)| Sql::Int(*key)).collect(),
            put.iter().map(|_| Sql::Int(sequence)).collect(),
            put.into_iter().map(|(_, blob)| Sql::Bytes(blob)).collect(),
        ];
        bulk::upsert(&mut self.transaction, &self.server, &ledger::state_table()?, columns).await
    }

    async fn put_positions(&mut self, reached: &Reached) -> Result<()> {
        let mut columns: Vec<Vec<Sql>> = vec![Vec::new(); 6];
        for (partition, position) in reached {
            let Some(claim) = self.claims.iter().find(|claim| claim.partition == *partition) else {
                return Err(Error::Fenced(partition.to_string()));
            };
            let row = [
                Sql::from(key_of(&self.scope)),
                Sql::from(key_of(&partition.0)),
                Sql::from(partition.0.as_str()),
                Sql::Int(claim.epoch),
                Sql::Int(position.at),
                Sql::from(position.detail.as_str()),
            ];
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        bulk::upsert(&mut self.transaction, &self.server, &ledger::position_table()?, columns).await
    }
}

#[async_trait]
impl Unit for MySqlUnit {
    fn positions(&self) -> &Reached {
        &self.positions
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        self.enter()?;
        let mut segments = Vec::new();
        // Ranges of sequences cost the server more to plan than the rows to read, so whole keys are asked for as such.
        let wants_all = wanted.iter().all(|(_, after)| *after < 0);
        for chunk in wanted.chunks(KEYS_IN_A_STATEMENT) {
            let (condition, parameters) =
                if wants_all { self.keys_condition(space, chunk) } else { self.state_condition(space, chunk, ">") };
            let query = format!("SELECT state_key, sequence, content FROM headrace_state WHERE {condition}");
            let context = || format!("cannot read state of `{}`", self.scope);
            let found: Vec<(i64, i64, Vec<u8>)> = attempt(context, self.transaction.exec(query, parameters)).await?;
            segments.extend(found.into_iter().map(|(key, sequence, blob)| Segment { key, sequence, blob }));
        }
        segments.sort_unstable_by_key(|segment| (segment.key, segment.sequence));
        self.leave();
        Ok(segments)
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        self.enter()?;
        self.drop_segments(space, &drop).await?;
        self.put_segments(space, put).await?;
        self.leave();
        Ok(())
    }

    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        self.enter()?;
        let columns = values::parameters(table, frame)?;
        bulk::upsert(&mut self.transaction, &self.server, table, columns).await?;
        self.leave();
        Ok(())
    }

    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        self.enter()?;
        let table = table.only_keys();
        let columns = values::parameters(&table, keys)?;
        let names: Vec<String> = table.keys().map(|column| format!("{} = ?", quote(&column.name))).collect();
        let of_row = format!("({})", names.join(" AND "));
        let rows: Vec<usize> = (0..keys.height()).collect();
        for chunk in rows.chunks(KEYS_IN_A_STATEMENT) {
            let condition = vec![of_row.as_str(); chunk.len()].join(" OR ");
            let text = format!("DELETE FROM {} WHERE {condition}", quote(&table.name));
            let parameters: Vec<Sql> =
                chunk.iter().flat_map(|row| columns.iter().map(move |column| column[*row].clone())).collect();
            let context = || format!("cannot delete from {}", self.server.called(&table.name));
            attempt(context, self.transaction.exec_drop(text, Params::Positional(parameters))).await?;
        }
        self.leave();
        Ok(())
    }

    async fn update(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        self.enter()?;
        let (target, condition) = (find_column(table, set.0)?, find_column(table, equal.0)?);
        let mut parameters = vec![values::parameter(table, target, &set.1)?];
        let filter = if equal.1 == Value::Null {
            format!("{} IS NULL", quote(&condition.name))
        } else {
            parameters.push(values::parameter(table, condition, &equal.1)?);
            format!("{} = ?", quote(&condition.name))
        };
        let text = format!("UPDATE {} SET {} = ? WHERE {filter}", quote(&table.name), quote(&target.name));
        let context = || format!("cannot update {}", self.server.called(&table.name));
        attempt(context, self.transaction.exec_drop(text, Params::Positional(parameters))).await?;
        self.leave();
        Ok(self.transaction.affected_rows())
    }

    fn take_off(&mut self, counts: Counts) {
        self.less.add(&counts);
    }

    async fn commit(mut self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()> {
        self.enter()?;
        self.put_positions(reached).await?;
        let text = std::mem::take(&mut self.totals).after(counts, &self.less, clock::now_us())?;
        let context = || format!("cannot commit a unit of `{}`", self.scope);
        let update = "UPDATE headrace_scope SET sequence = ?, counters = ? WHERE scope = ?";
        let parameters = (self.sequence + 1, text, key_of(&self.scope));
        attempt(context, self.transaction.exec_drop(update, parameters)).await?;
        attempt(context, self.transaction.commit()).await
    }
}
