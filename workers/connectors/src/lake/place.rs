//! What a lake needs of the system that holds its files: three implementations, one way of working.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::{Result, clock};
use hyper::body::Bytes;

use super::Listed;
use super::path::LakePath;

/// The folder of temporary files: beside all data, so that readers of a folder of data never meet one, and with a name that readers
/// of everything take for hidden.
pub(super) const TEMPORARY: &str = ".headrace-temporary";

/// The name of a temporary file: a beginning that all for the same file have, and the whole name, which no other has.
pub(super) fn temporary_name(path: &LakePath) -> (String, String) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let prefix = format!("{}~~", path.in_one_word());
    let name = format!("{prefix}{}-{}", clock::worker_name(), COUNT.fetch_add(1, Ordering::Relaxed));
    (prefix, name)
}

/// What must still hold of a file when another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing: the last one wins.
    Anything,
    /// There is no such file.
    Nothing,
    /// It is still the one that was opened.
    Version(String),
}

/// A file system or object store.
#[async_trait]
pub(super) trait Place: Send + Sync {
    /// Begins to write a file, which nobody sees before [`Upload::finish`]. With `alone`, writings of the same file that others
    /// have begun are ended: their `finish` fails.
    async fn create(&self, path: &LakePath, alone: bool) -> Result<Box<dyn Upload>>;

    /// Opens a file; none if there is none.
    async fn open(&self, path: &LakePath) -> Result<Option<Box<dyn Opened>>>;

    /// Lists the visible files under a folder, in any order; none if the folder is missing.
    async fn list(&self, folder: &LakePath) -> Result<Vec<Listed>>;

    /// Deletes a file and tells whether there was one.
    async fn delete(&self, path: &LakePath) -> Result<bool>;

    /// Deletes temporary files that were not written to for so long, and counts them.
    async fn sweep(&self, idle: Duration) -> Result<usize>;

    /// The place, without secrets.
    fn name(&self) -> &str;
}

/// A file that is being written; dropped, it was never there.
#[async_trait]
pub(super) trait Upload: Send {
    /// Writes the next bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Puts the file in its place, at once and as a whole.
    async fn finish(self: Box<Self>, expected: &Expected) -> Result<()>;

    /// Gives up.
    async fn abort(self: Box<Self>);
}

/// A file that can be read. It stays the same while others replace it, or reading fails.
#[async_trait]
pub(super) trait Opened: Send + Sync {
    /// Its length.
    fn bytes(&self) -> u64;

    /// What [`Expected::Version`] takes.
    fn version(&self) -> String;

    /// Reads a part of it.
    async fn range(&self, range: Range<u64>) -> Result<Bytes>;
}
