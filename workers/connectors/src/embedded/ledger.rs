//! The ledger: epochs and positions by partition, the sequence and counters by scope, state by key.
//!
//! These functions run inside the transaction or connection they are given.

use headrace_core::position::Reached;
use headrace_core::store::{Segment, Totals};
use headrace_core::{Claim, Counts, Error, Partition, Position, clock};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;

/// A scope's row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Its number in the other tables.
    pub(super) id: i64,
    /// The number of its last commit.
    pub(super) sequence: i64,
}

/// Finds a scope.
pub(super) fn find(connection: &Connection, scope: &str) -> Result<Option<Scope>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id, sequence FROM headrace_scopes WHERE scope = ?")?;
    let found = statement.query_row([scope], |row| Ok(Scope { id: row.get(0)?, sequence: row.get(1)? }));
    Ok(found.optional()?)
}

/// Finds a scope or makes it.
pub(super) fn find_or_make(connection: &Connection, scope: &str) -> Result<Scope, Fault> {
    if let Some(found) = find(connection, scope)? {
        return Ok(found);
    }
    connection.execute("INSERT INTO headrace_scopes (scope) VALUES (?)", [scope])?;
    Ok(Scope { id: connection.last_insert_rowid(), sequence: 0 })
}

/// Raises the epochs of partitions.
pub(super) fn claim(connection: &Connection, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>, Fault> {
    let scope = find_or_make(connection, scope)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO headrace_partitions (scope_id, name, epoch) VALUES (?, ?, 1)
         ON CONFLICT (scope_id, name) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, at, detail",
    )?;
    let mut claims = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let (epoch, position) = statement
            .query_row(params![scope.id, partition.0], |row| Ok((row.get(0)?, position(row.get(1)?, row.get(2)?))))?;
        claims.push(Claim { partition: partition.clone(), epoch, position });
    }
    Ok(claims)
}

fn position(at: Option<i64>, detail: String) -> Option<Position> {
    at.map(|at| Position { at, detail })
}

/// Checks that claims are the newest, and reads their positions.
///
/// # Errors
/// [`Error::Fenced`] naming the partition.
pub(super) fn check(connection: &Connection, scope: Scope, claims: &[Claim]) -> Result<Reached, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT epoch, at, detail FROM headrace_partitions WHERE scope_id = ? AND name = ?")?;
    let mut reached = Reached::new();
    for claim in claims {
        let row = statement.query_row(params![scope.id, claim.partition.0], |row| {
            Ok((row.get::<_, i64>(0)?, position(row.get(1)?, row.get(2)?)))
        });
        match row.optional()? {
            Some((epoch, position)) if epoch == claim.epoch => {
                reached.extend(position.map(|position| (claim.partition.clone(), position)));
            }
            _ => return Err(Error::Fenced(claim.partition.to_string()).into()),
        }
    }
    Ok(reached)
}

/// Reads all positions of a scope.
pub(super) fn positions(connection: &Connection, scope: &str) -> Result<Reached, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT name, at, detail FROM headrace_partitions JOIN headrace_scopes ON id = scope_id WHERE scope = ? AND at IS NOT NULL",
    )?;
    let rows = statement.query_map([scope], |row| {
        Ok((Partition::new(row.get::<_, String>(0)?), Position { at: row.get(1)?, detail: row.get(2)? }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Reads the counters of a scope and the time of its last commit.
pub(super) fn totals(connection: &Connection, scope: &str) -> Result<Totals, Fault> {
    let mut statement = connection.prepare_cached("SELECT counters FROM headrace_scopes WHERE scope = ?")?;
    let text: Option<String> = statement.query_row([scope], |row| row.get(0)).optional()?;
    Ok(Totals::parse(scope, text.as_deref().unwrap_or_default())?)
}

/// Forgets a scope. Its partitions keep their rows with a raised epoch, so that old claims stay fenced.
pub(super) fn forget(connection: &Connection, scope: &str) -> Result<(), Fault> {
    let Some(scope) = find(connection, scope)? else { return Ok(()) };
    connection.execute("DELETE FROM headrace_state WHERE scope_id = ?", [scope.id])?;
    connection.execute(
        "UPDATE headrace_partitions SET at = NULL, detail = '', epoch = epoch + 1 WHERE scope_id = ?",
        [scope.id],
    )?;
    connection.execute("UPDATE headrace_scopes SET sequence = 0, counters = '' WHERE id = ?", [scope.id])?;
    Ok(())
}

/// Reads segments of state, by key and sequence.
pub(super) fn read_state(
    connection: &Connection,
    scope: Scope,
    space: &str,
    wanted: &[(i64, i64)],
) -> Result<Vec<Segment>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, blob FROM headrace_state WHERE scope_id = ? AND space = ? AND key = ? AND sequence > ? ORDER BY sequence",
    )?;
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    let mut segments = Vec::new();
    for (key, after) in wanted {
        let mut rows = statement.query(params![scope.id, space, key, after])?;
        while let Some(row) = rows.next()? {
            segments.push(Segment { key, sequence: row.get(0)?, blob: row.get(1)? });
        }
    }
    Ok(segments)
}

/// Drops segments, then writes others under a sequence; a key written twice in one unit keeps the last blob.
pub(super) fn write_state(
    connection: &Connection,
    scope: Scope,
    space: &str,
    put: &[(i64, Vec<u8>)],
    drop: &[(i64, i64)],
) -> Result<(), Fault> {
    let mut delete = connection
        .prepare_cached("DELETE FROM headrace_state WHERE scope_id = ? AND space = ? AND key = ? AND sequence = ?")?;
    for (key, sequence) in drop {
        delete.execute(params![scope.id, space, key, sequence])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO headrace_state (scope_id, space, key, sequence, blob) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (scope_id, space, key, sequence) DO UPDATE SET blob = excluded.blob",
    )?;
    for (key, blob) in put {
        insert.execute(params![scope.id, space, key, scope.sequence + 1, blob])?;
    }
    Ok(())
}

/// Writes positions, the next sequence, and counters: what is added, and what is taken off.
///
/// # Errors
/// [`Error::Fenced`] for a position of a partition that was not claimed.
pub(super) fn finish(
    connection: &Connection,
    scope_name: &str,
    scope: Scope,
    claims: &[Claim],
    reached: &Reached,
    (counts, less): (&Counts, &Counts),
) -> Result<(), Fault> {
    let mut update = connection.prepare_cached(
        "UPDATE headrace_partitions SET at = ?, detail = ? WHERE scope_id = ? AND name = ? AND epoch = ?",
    )?;
    for (partition, position) in reached {
        let claim = claims.iter().find(|claim| claim.partition == *partition);
        let epoch = claim.map(|claim| claim.epoch).ok_or_else(|| Error::Fenced(partition.to_string()))?;
        if update.execute(params![position.at, position.detail, scope.id, partition.0, epoch])? != 1 {
            return Err(Error::Fenced(partition.to_string()).into());
        }
    }
    let text = totals(connection, scope_name)?.after(counts, less, clock::now_us())?;
    connection
        .prepare_cached("UPDATE headrace_scopes SET sequence = sequence + 1, counters = ? WHERE id = ?")?
        .execute(params![text, scope.id])?;
    Ok(())
}
