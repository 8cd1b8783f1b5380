//! The format of the file: its version, and how older versions become the newest.
//!
//! `application_id` marks the file as ours, `user_version` counts the migrations it has seen. A migration that
//! was released is never changed; a new format is a further entry.

use headrace_core::Error;
use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;

/// "HDRC" as a number.
const APPLICATION_ID: i64 = 0x4844_5243;

/// What each version adds. The version of a file is how many of these it has seen.
const MIGRATIONS: [&str; 3] = [LEDGER, TOPICS, RECENT];

/// Version 1: scopes with positions, epochs, counters and state.
const LEDGER: &str = "
CREATE TABLE headrace_scopes (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL UNIQUE,
    sequence INTEGER NOT NULL DEFAULT 0,
    counters TEXT NOT NULL DEFAULT ''
);
CREATE TABLE headrace_partitions (
    scope_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    at INTEGER,
    detail TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (scope_id, name)
) WITHOUT ROWID;
CREATE TABLE headrace_state (
    scope_id INTEGER NOT NULL,
    space TEXT NOT NULL,
    key INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (scope_id, space, key, sequence)
);
";

/// Version 2: topics, and one row for each batch of messages.
const TOPICS: &str = "
CREATE TABLE headrace_topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE headrace_topic_partitions (
    topic_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    first INTEGER NOT NULL,
    end INTEGER NOT NULL,
    PRIMARY KEY (topic_id, number)
) WITHOUT ROWID;
CREATE TABLE headrace_messages (
    topic_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    base INTEGER NOT NULL,
    count INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (topic_id, number, base)
);
";

/// Version 3: of tables whose newest rows are kept apart, how many rows are where.
const RECENT: &str = "
CREATE TABLE headrace_recent (
    name TEXT PRIMARY KEY,
    settled INTEGER NOT NULL,
    recent INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Brings a file to the newest version; a new file gets everything.
///
/// # Errors
/// A configuration error for a file of a newer version or of another program.
pub(super) fn migrate(connection: &mut Connection, place: &str) -> Result<(), Fault> {
    if read_version(connection)? == MIGRATIONS.len() && number(connection, "application_id")? == APPLICATION_ID {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = read_version(&transaction)?;
    let is_ours = number(&transaction, "application_id")? == APPLICATION_ID;
    let tables: i64 = transaction.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if !is_ours && tables > 0 {
        return Err(Error::configuration(format!(
            "{place} holds a database of another program; choose another directory"
        ))
        .into());
    }
    if version > MIGRATIONS.len() {
        return Err(Error::configuration(format!(
            "{place} was written by a newer headrace (format {version}, this one knows {}); use the newer headrace or another directory",
            MIGRATIONS.len()
        ))
        .into());
    }
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}

fn read_version(connection: &Connection) -> Result<usize, Fault> {
    Ok(usize::try_from(number(connection, "user_version")?).unwrap_or(usize::MAX))
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use headrace_core::ErrorKind;
    use rusqlite::Connection;

    use super::{APPLICATION_ID, LEDGER, MIGRATIONS, migrate, number};

    #[test]
    fn an_older_file_is_upgraded_and_keeps_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(LEDGER).unwrap();
        connection.execute("INSERT INTO headrace_scopes (scope, sequence) VALUES ('s', 7)", []).unwrap();
        connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        migrate(&mut connection, "here").unwrap();
        migrate(&mut connection, "here").unwrap();
        assert_eq!(number(&connection, "user_version").unwrap(), i64::try_from(MIGRATIONS.len()).unwrap());
        let sequence: i64 = connection.query_row("SELECT sequence FROM headrace_scopes", [], |row| row.get(0)).unwrap();
        assert_eq!(sequence, 7);
        assert!(connection.prepare("SELECT * FROM headrace_messages").is_ok());
    }

    #[test]
    fn a_newer_file_and_a_strange_one_are_refused() {
        let mut newer = Connection::open_in_memory().unwrap();
        newer.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut newer, "the place").unwrap_err().into_error("", "");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("the place") && error.to_string().contains("newer"), "{error}");
        let mut strange = Connection::open_in_memory().unwrap();
        strange.execute_batch("CREATE TABLE books (title)").unwrap();
        let error = migrate(&mut strange, "the place").unwrap_err().into_error("", "");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("another program"), "{error}");
    }
}
