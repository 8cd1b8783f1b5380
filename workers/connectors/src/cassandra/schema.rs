//! Keyspace and tables: created when missing, checked when there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headrace_core::table::{Column, Table};
use headrace_core::{Error, Ident, Result, ledger_format};

use super::client::{Client, Patience, Use};
use super::failure;
use super::ledger::{LEDGER_ADDITIONS, LEDGER_TABLES};
use super::storage::{Layout, Storage, quoted};

/// The format of the ledger's content; see [`ledger_format`]. The second added turns.
const FORMAT: u32 = 2;
/// How long another worker may take to create a table.
const CREATION: Duration = Duration::from_secs(10);
/// The table whose comment tells the format.
const FIRST_TABLE: &str = "headrace_ledger";

/// Refuses a ledger of a newer format.
///
/// # Errors
/// A configuration error when it is newer, an external one when the server cannot be asked.
pub(super) async fn check_format(client: &Client) -> Result<()> {
    let context = format!("cannot look for the ledger in keyspace `{}`", client.keyspace);
    let cql = "SELECT comment FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    let statement = client.prepare(&context, cql, Use::State).await?;
    let rows = client.rows(&context, &statement, (client.keyspace.as_str(), FIRST_TABLE)).await?;
    let found = failure::answer(&context, rows.maybe_first_row::<(Option<String>,)>())?;
    let comment = found.and_then(|(comment,)| comment).unwrap_or_default();
    ledger_format::check(&format!("keyspace `{}`", client.keyspace), &comment, FORMAT)
}

/// Creates what is missing and checks the rest.
///
/// # Errors
/// A configuration error naming the table and the difference.
pub(super) async fn create(client: &Client, tables: &[&Table]) -> Result<()> {
    let layouts: Vec<Layout<'_>> =
        tables.iter().map(|table| Layout::of(&client.keyspace, table)).collect::<Result<_>>()?;
    let keyspace = &client.keyspace;
    if !has_keyspace(client).await? {
        let cql =
            format!("CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {}", quoted(keyspace), client.replication);
        change(client, &format!("cannot create keyspace `{keyspace}`"), &cql).await?;
    }
    create_ledger(client).await?;
    for (table, layout) in tables.iter().zip(&layouts) {
        let name = table.name.as_str();
        let mut found = columns(client, name).await?;
        if found.is_empty() {
            change(client, &format!("cannot create table `{keyspace}.{name}`"), &layout.create()).await?;
            found = columns(client, name).await?;
        } else {
            can_be_used(client, &table.name).await?;
        }
        check(layout, &found).map_err(|difference| {
            Error::configuration(format!(
                "table `{keyspace}.{name}` is there already, but {difference}; alter or drop it, or choose another table"
            ))
        })?;
    }
    Ok(())
}

/// Creates the ledger's tables, and adds what an older version did not have.
async fn create_ledger(client: &Client) -> Result<()> {
    let keyspace = &client.keyspace;
    let comment = format!("WITH comment = '{}'", ledger_format::comment(FORMAT));
    for (name, definition) in LEDGER_TABLES {
        let found = columns(client, name).await?;
        if found.is_empty() {
            let comment = if name == FIRST_TABLE { comment.as_str() } else { "" };
            let cql = format!("CREATE TABLE IF NOT EXISTS {}.{name} {definition} {comment}", quoted(keyspace));
            change(client, &format!("cannot create table `{keyspace}.{name}`"), &cql).await?;
        } else if found.contains_key("last_epoch") {
            let missing = || LEDGER_ADDITIONS.iter().filter(|(column, _)| !found.contains_key(*column));
            for (column, kind) in missing() {
                let cql = format!("ALTER TABLE {}.{name} ADD IF NOT EXISTS {column} {kind}", quoted(keyspace));
                change(client, &format!("cannot add column {column} to table `{keyspace}.{name}`"), &cql).await?;
            }
            if missing().next().is_some() {
                let cql = format!("ALTER TABLE {}.{name} {comment}", quoted(keyspace));
                change(client, &format!("cannot mark table `{keyspace}.{name}`"), &cql).await?;
            }
        }
        if !found.is_empty() {
            can_be_used(client, &Ident::new(name)?).await?;
        }
    }
    Ok(())
}

/// Waits until a table that is described can be used: another worker may be creating it at this moment.
async fn can_be_used(client: &Client, name: &Ident) -> Result<()> {
    let end = Instant::now() + CREATION;
    let cql = format!("SELECT * FROM {}.{} LIMIT 1", quoted(&client.keyspace), quoted(name));
    loop {
        match client.prepare(&format!("cannot use table `{name}`"), &cql, Use::State).await {
            // Such a table is unknown to the server, or known and not there, which it takes for a fault of its own.
            Err(_) if Instant::now() < end => tokio::time::sleep(Duration::from_millis(50)).await,
            ended => return ended.map(drop),
        }
    }
}

/// Tells whether a table is there.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn has_table(client: &Client, table: &Ident) -> Result<bool> {
    Ok(!columns(client, table.as_str()).await?.is_empty())
}

async fn has_keyspace(client: &Client) -> Result<bool> {
    let context = "cannot read the keyspaces of Cassandra";
    let cql = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let statement = client.prepare(context, cql, Use::State).await?;
    Ok(client.rows(context, &statement, (client.keyspace.as_str(),)).await?.rows_num() > 0)
}

/// A column as the server describes it.
#[derive(Clone, Debug)]
struct Found {
    kind: String,
    position: i32,
    stored: String,
}

async fn columns(client: &Client, table: &str) -> Result<BTreeMap<String, Found>> {
    let context = format!("cannot read the columns of table `{}.{table}`", client.keyspace);
    let cql = "SELECT column_name, kind, position, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
    let statement = client.prepare(&context, cql, Use::State).await?;
    let rows = client.rows(&context, &statement, (client.keyspace.as_str(), table)).await?;
    let rows = failure::answer(&context, rows.rows::<(String, String, i32, String)>())?;
    rows.map(|row| {
        let (name, kind, position, stored) = failure::answer(&context, row)?;
        Ok((name, Found { kind, position, stored }))
    })
    .collect()
}

/// Changes the schema and waits until all servers know.
async fn change(client: &Client, context: &str, cql: &str) -> Result<()> {
    tracing::debug!(cql, "changing the schema of cassandra");
    let mut patience = Patience::new();
    while let Err(error) = client.session.query_unpaged(cql, ()).await {
        patience.wait(context, error).await?;
    }
    Ok(())
}

/// Says what differs. Further columns that are no key are fine.
fn check(layout: &Layout<'_>, found: &BTreeMap<String, Found>) -> Result<(), String> {
    for (kind, what, wanted) in
        [("partition_key", "partition key", &layout.partition), ("clustering", "clustering key", &layout.clustering)]
    {
        let mut keys: Vec<(&i32, &str)> = found
            .iter()
            .filter(|(_, column)| column.kind == kind)
            .map(|(name, column)| (&column.position, name.as_str()))
            .collect();
        keys.sort_unstable();
        let has: Vec<&str> = keys.into_iter().map(|(_, name)| name).collect();
        let wants: Vec<&str> = wanted.iter().map(|column| column.name.as_str()).collect();
        if has != wants {
            return Err(format!("its {what} is ({}), expected ({})", has.join(", "), wants.join(", ")));
        }
    }
    layout.columns().try_for_each(|column| check_column(column, found.get(column.name.as_str())))
}

fn check_column(column: &Column, found: Option<&Found>) -> Result<(), String> {
    let wanted = Storage::of(column).cql();
    match found {
        None => Err(format!("it has no column {} {wanted}", column.name)),
        Some(found) if found.stored != wanted => {
            Err(format!("its column {} is {}, expected {wanted}", column.name, found.stored))
        }
        Some(found) if found.kind == "static" => Err(format!("its column {} is static", column.name)),
        Some(_) => Ok(()),
    }
}
