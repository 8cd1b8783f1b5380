//! The ledger's tables, and what is done to them outside units of work: claim, look, forget.
//!
//! Whoever changes anything of a scope holds the lock of the scope's row, so everything in a scope happens one after
//! another. The row outlives [`forget`], because its epoch must never fall: an old claim stays old.

use headrace_core::position::Reached;
use headrace_core::store::Totals;
use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Claim, Error, Ident, Partition, Position, Result, ledger_format};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Transaction, Value as Sql};
use xxhash_rust::xxh3::xxh3_128;

use super::bulk;
use super::dialect::commas;
use super::failure::{NO_SUCH_TABLE, attempt, code, failure};
use super::server::Server;

/// So many characters of a name are its key; four bytes each, two of them fit into an index.
const KEY_CHARACTERS: u16 = 255;
/// At most so many keys are asked for in one statement.
pub(super) const KEYS_IN_A_STATEMENT: usize = 256;

/// The format of the tables' content; see [`ledger_format`].
const FORMAT: u32 = 1;
/// The table whose comment tells the format.
const FIRST_TABLE: &str = "headrace_scope";

/// What a new table of that name gets as a comment, as part of its definition.
pub(super) fn comment(table: &Ident) -> String {
    if table.as_str() == FIRST_TABLE {
        format!(" COMMENT = '{}'", ledger_format::comment(FORMAT))
    } else {
        String::new()
    }
}

/// Refuses a ledger of a newer format.
pub(super) async fn check_format(server: &Server) -> Result<()> {
    // What else may be wrong with the database is told by what uses it first.
    let Ok(Some(mut connection)) = server.connection_if_exists().await else { return Ok(()) };
    let query =
        "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";
    let context = || format!("cannot look for the ledger in {}", server.name());
    let comment: Option<String> = attempt(context, connection.exec_first(query, (FIRST_TABLE,))).await?;
    ledger_format::check(&server.name(), &comment.unwrap_or_default(), FORMAT)
}

/// All tables of the ledger.
pub(super) fn tables() -> Result<[Table; 3]> {
    Ok([scope_table()?, position_table()?, state_table()?])
}

fn scope_table() -> Result<Table> {
    Table::new(Ident::new(FIRST_TABLE)?)
        .key("scope", Kind::Name(KEY_CHARACTERS))?
        .column("name", Kind::Text, false, Merge::Replace)?
        .column("epoch", Kind::Int, false, Merge::Replace)?
        .column("sequence", Kind::Int, false, Merge::Replace)?
        .column("counters", Kind::Text, false, Merge::Replace)
}

/// What a claim writes: everything but the position.
fn claim_table() -> Result<Table> {
    Table::new(Ident::new("headrace_position")?)
        .key("scope", Kind::Name(KEY_CHARACTERS))?
        .key("partition_key", Kind::Name(KEY_CHARACTERS))?
        .column("name", Kind::Text, false, Merge::Replace)?
        .column("epoch", Kind::Int, false, Merge::Replace)
}

/// Positions by scope and partition.
pub(super) fn position_table() -> Result<Table> {
    claim_table()?.value("position", Kind::Int)?.value("detail", Kind::Text)
}

/// State by scope, space, key and sequence.
pub(super) fn state_table() -> Result<Table> {
    Table::new(Ident::new("headrace_state")?)
        .key("scope", Kind::Name(KEY_CHARACTERS))?
        .key("space", Kind::Name(64))?
        .key("state_key", Kind::Int)?
        .key("sequence", Kind::Int)?
        .column("content", Kind::Bytes, false, Merge::Replace)
}

/// The key of a scope or partition: its name, or where that is too long its beginning and a hash.
pub(super) fn key_of(name: &str) -> String {
    if name.chars().count() <= usize::from(KEY_CHARACTERS) {
        return name.to_owned();
    }
    let beginning: String = name.chars().take(usize::from(KEY_CHARACTERS) - 33).collect();
    format!("{beginning}#{:032x}", xxh3_128(name.as_bytes()))
}

/// What a scope's row holds.
pub(super) struct Scope {
    pub(super) epoch: i64,
    pub(super) sequence: i64,
    pub(super) totals: Totals,
}

/// Locks a scope's row until the transaction ends; none when there is no such row.
pub(super) async fn lock(transaction: &mut Transaction<'static>, scope: &str) -> Result<Option<Scope>> {
    let query = "SELECT epoch, sequence, counters FROM headrace_scope WHERE scope = ? FOR UPDATE";
    let found: Option<(i64, i64, String)> =
        attempt(|| format!("cannot lock the ledger of `{scope}`"), transaction.exec_first(query, (key_of(scope),)))
            .await?;
    found.map(|(epoch, sequence, text)| Ok(Scope { epoch, sequence, totals: Totals::parse(scope, &text)? })).transpose()
}

/// Makes the scope's row, in a transaction of its own: locking rows that are there blocks nobody else.
pub(super) async fn ensure_scope(server: &Server, scope: &str) -> Result<()> {
    let mut connection = server.connection().await?;
    let context = || format!("cannot begin the ledger of `{scope}`");
    let query = "SELECT 1 FROM headrace_scope WHERE scope = ?";
    let found: Option<u8> = attempt(context, connection.exec_first(query, (key_of(scope),))).await?;
    if found.is_none() {
        let text = "INSERT INTO headrace_scope (scope, name, epoch, sequence, counters) VALUES (?, ?, 0, 0, '') \
                    ON DUPLICATE KEY UPDATE scope = headrace_scope.scope";
        attempt(context, connection.exec_drop(text, (key_of(scope), scope))).await?;
    }
    Ok(())
}

/// Claims partitions: raises the scope's epoch and gives it to them.
pub(super) async fn claim(server: &Server, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
    ensure_scope(server, scope).await?;
    let context = || format!("cannot claim partitions of `{scope}`");
    let mut transaction = server.transaction().await?;
    let Some(found) = lock(&mut transaction, scope).await? else {
        return Err(Error::external(context(), "the ledger's row vanished"));
    };
    let epoch = found.epoch + 1;
    let update = "UPDATE headrace_scope SET epoch = ? WHERE scope = ?";
    attempt(context, transaction.exec_drop(update, (epoch, key_of(scope)))).await?;
    let text = |value: String| Sql::Bytes(value.into_bytes());
    let columns = vec![
        partitions.iter().map(|_| text(key_of(scope))).collect(),
        partitions.iter().map(|partition| text(key_of(&partition.0))).collect(),
        partitions.iter().map(|partition| text(partition.0.clone())).collect(),
        partitions.iter().map(|_| Sql::Int(epoch)).collect(),
    ];
    bulk::upsert(&mut transaction, server, &claim_table()?, columns).await?;
    let claims = read_claims(&mut transaction, scope, partitions).await?;
    attempt(context, transaction.commit()).await?;
    Ok(claims)
}

/// Reads the newest claims of partitions, in their order, without those never claimed.
pub(super) async fn read_claims(
    transaction: &mut Transaction<'static>,
    scope: &str,
    partitions: &[Partition],
) -> Result<Vec<Claim>> {
    type Found = (String, i64, Option<i64>, Option<String>);
    let mut claims = Vec::with_capacity(partitions.len());
    for chunk in partitions.chunks(KEYS_IN_A_STATEMENT) {
        // Padded to a power of two, so that few statements are prepared.
        let places = chunk.len().next_power_of_two();
        let query = format!(
            "SELECT partition_key, epoch, position, detail FROM headrace_position WHERE scope = ? AND partition_key IN ({})",
            commas(std::iter::repeat_n("?", places))
        );
        let keys: Vec<String> = chunk.iter().map(|partition| key_of(&partition.0)).collect();
        let padded = keys.iter().chain(std::iter::repeat_n(&keys[keys.len() - 1], places - keys.len()));
        let parameters = std::iter::once(Sql::from(key_of(scope))).chain(padded.map(Sql::from)).collect();
        let context = || format!("cannot read the positions of `{scope}`");
        let found: Vec<Found> = attempt(context, transaction.exec(query, Params::Positional(parameters))).await?;
        let mut found: std::collections::HashMap<String, (i64, Option<Position>)> = found
            .into_iter()
            .map(|(key, epoch, at, detail)| {
                (key, (epoch, at.map(|at| Position { at, detail: detail.unwrap_or_default() })))
            })
            .collect();
        for (partition, key) in chunk.iter().zip(&keys) {
            if let Some((epoch, position)) = found.remove(key) {
                claims.push(Claim { partition: partition.clone(), epoch, position });
            }
        }
    }
    Ok(claims)
}

/// Reads all committed positions of a scope; none where there is no ledger yet.
pub(super) async fn positions(server: &Server, scope: &str) -> Result<Reached> {
    let Some(mut connection) = server.connection_if_exists().await? else { return Ok(Reached::new()) };
    let query = "SELECT name, position, detail FROM headrace_position WHERE scope = ? AND position IS NOT NULL";
    let found: mysql_async::Result<Vec<(String, i64, Option<String>)>> = connection.exec(query, (key_of(scope),)).await;
    match found {
        Ok(rows) => Ok(rows
            .into_iter()
            .map(|(name, at, detail)| (Partition(name), Position { at, detail: detail.unwrap_or_default() }))
            .collect()),
        Err(fault) if code(&fault) == NO_SUCH_TABLE => Ok(Reached::new()),
        Err(fault) => Err(failure(format!("cannot read the positions of `{scope}`"), fault)),
    }
}

/// Reads the counters of a scope and the time of its last commit; zero and none where there is no ledger yet.
pub(super) async fn totals(server: &Server, scope: &str) -> Result<Totals> {
    let Some(mut connection) = server.connection_if_exists().await? else { return Ok(Totals::default()) };
    let query = "SELECT counters FROM headrace_scope WHERE scope = ?";
    let found: mysql_async::Result<Option<String>> = connection.exec_first(query, (key_of(scope),)).await;
    match found {
        Ok(text) => Totals::parse(scope, &text.unwrap_or_default()),
        Err(fault) if code(&fault) == NO_SUCH_TABLE => Ok(Totals::default()),
        Err(fault) => Err(failure(format!("cannot read the counters of `{scope}`"), fault)),
    }
}

/// Forgets positions, counters and state of a scope; claims made before are refused from now on.
pub(super) async fn forget(server: &Server, scope: &str) -> Result<()> {
    let context = || format!("cannot forget `{scope}`");
    let mut transaction = server.transaction().await?;
    if lock(&mut transaction, scope).await?.is_none() {
        return Ok(());
    }
    for text in [
        "DELETE FROM headrace_position WHERE scope = ?",
        "DELETE FROM headrace_state WHERE scope = ?",
        "UPDATE headrace_scope SET epoch = epoch + 1, sequence = 0, counters = '' WHERE scope = ?",
    ] {
        attempt(context, transaction.exec_drop(text, (key_of(scope),))).await?;
    }
    attempt(context, transaction.commit()).await
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn long_names_have_keys_that_fit_and_differ() {
        assert_eq!(key_of("recruitment clean kafka://h/t"), "recruitment clean kafka://h/t");
        let long = "ä".repeat(256);
        let other = format!("{long}b");
        assert_eq!(key_of(&long).chars().count(), 255);
        assert_ne!(key_of(&long), key_of(&other));
        assert_eq!(key_of(&"x".repeat(255)), "x".repeat(255));
    }
}
