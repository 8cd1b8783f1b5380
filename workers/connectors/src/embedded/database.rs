//! The directory, its file and the connections to it.
//!
//! SQLite blocks, so all work runs on tokio's blocking threads; a connection is used by one of them at a time.
//! Idle connections are kept: one that writes, with a large page cache, and at most [`READERS`] that read, with small ones.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headrace_core::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::format;

/// Idle connections for reading kept open.
const READERS: usize = 8;

/// What a connection is for, and so how many pages it keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A look at what is committed; the system's own cache is near enough.
    Read,
    /// Transactions, one after the other in a process.
    Write,
}

impl Use {
    fn cache_kib(self) -> i64 {
        match self {
            Self::Read => 4_096,
            Self::Write => 32_768,
        }
    }
}

/// How long SQLite itself waits where a wait is rare: recovery, closing, changing the schema.
pub(super) const RARE_WAIT: Duration = Duration::from_secs(5);

/// One opened directory, shared by all clones of the store.
#[derive(Debug)]
pub(super) struct Database {
    directory: PathBuf,
    name: String,
    synchronous: &'static str,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Option<Connection>>,
    /// Writers of this process queue here, in order.
    pub(super) writers: Arc<tokio::sync::Mutex<()>>,
    /// Writers of all processes queue here; see [`super::transaction`].
    pub(super) turnstile: File,
}

impl Database {
    /// Opens a directory, making it and its file where they are missing.
    ///
    /// # Errors
    /// A configuration error when the directory or file cannot be used, an external one when it is locked or the disk full.
    pub(super) fn open(directory: &Path, synchronous: &'static str) -> Result<Arc<Self>> {
        let unusable = |doing: &str, error: std::io::Error| {
            Error::configuration(format!(
                "cannot {doing} {}: {error}; give a directory that may be written",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory).map_err(|error| unusable("make the directory", error))?;
        let directory = directory.canonicalize().map_err(|error| unusable("find the directory", error))?;
        let turnstile = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("headrace.lock"))
            .map_err(|error| unusable("write in the directory", error))?;
        let name = format!("embedded:{}", directory.display());
        let (readers, writer) = (Mutex::default(), Mutex::default());
        let database = Self { directory, name, synchronous, readers, writer, writers: Arc::default(), turnstile };
        let mut connection = database.locked(|| database.connect(Use::Write))?;
        database
            .locked(|| format::migrate(&mut connection, &database.name))
            .map_err(|fault| fault.into_error(&database.name, "prepare the store"))?;
        database.give(connection, Use::Write);
        Ok(Arc::new(database))
    }

    /// The store's name: the scheme and the directory.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs something while no other process prepares the directory; where locks are not supported, without that.
    pub(super) fn locked<T>(&self, work: impl FnOnce() -> T) -> T {
        let is_locked = self.turnstile.lock().is_ok();
        let result = work();
        if is_locked {
            // Closing the file would unlock it as well.
            let _ = self.turnstile.unlock();
        }
        result
    }

    fn connect(&self, purpose: Use) -> Result<Connection> {
        let connection = connect(&self.directory.join("headrace.sqlite"), self.synchronous, purpose);
        connection.map_err(|error| Fault::from(error).into_error(&self.name, "open the store"))
    }

    /// Takes an idle connection or opens one.
    pub(super) fn take(&self, purpose: Use) -> Result<Connection> {
        let idle = match purpose {
            Use::Read => self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop(),
            Use::Write => self.writer.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        idle.map_or_else(|| self.connect(purpose), Ok)
    }

    /// Gives a connection back; one with an open transaction is closed, which undoes it.
    pub(super) fn give(&self, connection: Connection, purpose: Use) {
        if !connection.is_autocommit() {
            return;
        }
        match purpose {
            Use::Read => {
                let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
                if readers.len() < READERS {
                    readers.push(connection);
                }
            }
            Use::Write => *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection),
        }
    }

    /// Runs read-only work on a blocking thread; `doing` completes "cannot … in embedded:DIRECTORY".
    ///
    /// # Errors
    /// What the work says.
    pub(super) async fn read<T, F>(self: &Arc<Self>, doing: impl Into<String>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let database = Arc::clone(self);
        let doing = doing.into();
        blocking(move || {
            let mut connection = database.take(Use::Read)?;
            let result = work(&mut connection);
            database.give(connection, Use::Read);
            result.map_err(|fault| fault.into_error(&database.name, &doing))
        })
        .await
    }
}

/// Opens a connection with the settings all of them have.
pub(super) fn connect(path: &Path, synchronous: &str, purpose: Use) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(RARE_WAIT)?;
    // Works only before the file has its first page, and is ignored afterwards.
    connection.pragma_update(None, "page_size", 8_192)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -purpose.cache_kib())?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update_and_check(None, "journal_size_limit", 128 << 20, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Runs work on a blocking thread.
///
/// # Errors
/// What the work says, or an external error when it panicked.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::external("the embedded store failed", error)))
}
