//! Write transactions.
//!
//! SQLite lets one writer in at a time but has no queue: who asks at the right moment wins, and a busy process
//! can keep another out for long. So writers first queue within the process, then pass a turnstile (a lock on
//! `headrace.lock`) that is held only while waiting to get in; whoever has just been in stands behind.
//! All waiting is asynchronous: dropping the future leaves the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::{Error, Result};
use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::database::{Database, RARE_WAIT, Use, blocking};
use super::fault::Fault;

/// How long a writer waits in each of the two queues before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between tries at the turnstile.
const PAUSE: Duration = Duration::from_millis(2);

/// An open write transaction; dropped without commit, it is undone.
#[derive(Debug)]
pub(super) struct Transaction {
    // Before the guard, so that the transaction has ended when the next writer is let in.
    open: Open,
    _turn: OwnedMutexGuard<()>,
}

/// A connection in a transaction.
#[derive(Debug)]
struct Open {
    connection: Option<Connection>,
    database: Arc<Database>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // If this fails the connection is closed, which undoes the transaction too.
            let _ = connection.execute_batch("ROLLBACK");
            self.database.give(connection, Use::Write);
        }
    }
}

impl Transaction {
    /// Waits for the turn to write and begins.
    ///
    /// # Errors
    /// An external error when another writer does not finish in time.
    pub(super) async fn begin(database: &Arc<Database>) -> Result<Self> {
        let late = || {
            Error::external(
                format!("cannot write in {}", database.name()),
                format!(
                    "another writer keeps it locked for more than {} s; wait for it or stop it",
                    PATIENCE.as_secs()
                ),
            )
        };
        let turn =
            tokio::time::timeout(PATIENCE, Arc::clone(&database.writers).lock_owned()).await.map_err(|_| late())?;
        let deadline = Instant::now() + PATIENCE;
        let mut passed = pass(database);
        while passed.is_none() && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            passed = pass(database);
        }
        let passed = passed.ok_or_else(late)?;
        loop {
            let for_thread = Arc::clone(database);
            match blocking(move || try_begin(&for_thread)).await? {
                Some(open) => {
                    drop(passed);
                    return Ok(Self { open, _turn: turn });
                }
                None if Instant::now() < deadline => {}
                None => return Err(late()),
            }
        }
    }

    /// Runs work in the transaction on a blocking thread. The transaction comes back in any case; when the future is
    /// dropped meanwhile, it is undone.
    pub(super) async fn run<T, F>(mut self, doing: impl Into<String>, work: F) -> Result<(Self, Result<T>)>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let doing = doing.into();
        blocking(move || {
            let name = self.open.database.name();
            let result = match self.open.connection.as_mut() {
                Some(connection) => work(connection).map_err(|fault| fault.into_error(name, &doing)),
                None => Err(Error::external(format!("cannot {doing} in {name}"), "its transaction has ended")),
            };
            Ok((self, result))
        })
        .await
    }

    /// Runs the last work and commits.
    ///
    /// # Errors
    /// What the work or the commit says; everything is undone then.
    pub(super) async fn finish<T, F>(self, doing: impl Into<String>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let committing = move |connection: &mut Connection| {
            let value = work(connection)?;
            connection.execute_batch("COMMIT")?;
            Ok(value)
        };
        let (mut this, result) = self.run(doing, committing).await?;
        if result.is_ok()
            && let Some(connection) = this.open.connection.take()
        {
            this.open.database.give(connection, Use::Write);
        }
        result
    }
}

impl Database {
    /// Runs work in a write transaction of its own.
    ///
    /// # Errors
    /// What the work or the commit says; everything is undone then.
    pub(super) async fn write<T, F>(self: &Arc<Self>, doing: impl Into<String>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        Transaction::begin(self).await?.finish(doing, work).await
    }
}

/// The turnstile, passed; unlocked when dropped.
struct Passed<'a>(&'a Database);

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        // Cannot fail for a lock that is held.
        let _ = self.0.turnstile.unlock();
    }
}

fn pass(database: &Database) -> Option<Passed<'_>> {
    match database.turnstile.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => None,
        // A file system without locks has no turnstile; SQLite's own locks still hold.
        Ok(()) | Err(std::fs::TryLockError::Error(_)) => Some(Passed(database)),
    }
}

fn try_begin(database: &Arc<Database>) -> Result<Option<Open>> {
    let connection = database.take(Use::Write)?;
    let fail = |fault: Fault| fault.into_error(database.name(), "begin to write");
    connection.busy_timeout(Duration::from_millis(20)).map_err(|error| fail(error.into()))?;
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(Fault::from);
    connection.busy_timeout(RARE_WAIT).map_err(|error| fail(error.into()))?;
    match begun {
        Ok(()) => Ok(Some(Open { connection: Some(connection), database: Arc::clone(database) })),
        Err(fault) if fault.is_busy() => {
            database.give(connection, Use::Write);
            Ok(None)
        }
        Err(fault) => Err(fail(fault)),
    }
}
