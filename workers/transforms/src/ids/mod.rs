//! Exact de-duplication of arbitrary ids within a horizon of event time, as a small log-structured index.
//!
//! An [`Entry`] is a 16-byte key (a hash of the id, or an id that is ordered by time), a hash of the content and the
//! event time. The new ids of a batch become a *run*: entries sorted by key. Eight runs of a level are merged into one
//! of the next, so an id is rewritten once per level and a look-up has few runs to ask. A run is made of *sections* of
//! up to 16 Ki entries:
//! - `block`: up to 512 entries, packed by column into the bytes their differences need; the caller's store keeps them;
//! - `filter`: 19 bits an id in memory that spare a new id the search (one in about ten thousand is searched in vain);
//! - `section`: the first key of each block and the filter, as one blob, so that a restart reads filters and no ids.
//!
//! A small batch is one blob, the `journal` entry of its commit: entries, filter, and the list of all runs for the next
//! worker. `lookup` asks the runs, newest first; `merge` merges a bounded number of entries with each batch, block by
//! block; `plan` says what is merged; `index` holds all of it; `draft` is what one batch changes.
//!
//! Nothing here reads or writes: the caller brings the blobs that are wanted, and stores those that are given.
//!
//! Memory: 19 bits and a 32nd of a byte an id for filters and block keys, the entries of the newest batches (until
//! eight of them are merged), and a budget for blocks read lately. A merge holds a few blocks of each of its runs and
//! one section.
//! Expiry: an entry is forgotten when its time is before the *cutoff*, which only rises. It is invisible at once, and
//! leaves the store with the next merge of its run, or with the run, when that has no younger entry.

mod batch;
mod block;
mod cache;
mod draft;
mod fetch;
mod filter;
mod index;
mod journal;
mod lookup;
mod manifest;
mod merge;
mod plan;
mod section;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Entry, Verdict, hash_key};
pub use block::Block;
pub use draft::{Draft, Writes};
pub use fetch::{Fetch, Place};
pub use index::{Index, JOURNAL_KEY};
pub use lookup::Lookup;
pub use merge::Merger;

/// Sizes of the parts of an index. The default is right for work; small ones let tests see everything with few ids.
///
/// What is stored does not depend on it: an index may be opened with other sizes than it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Entries of a block.
    pub block_entries: usize,
    /// Blocks of a section, at most 256; a section may have 65,535 entries at most.
    pub section_blocks: usize,
    /// So many runs of a level are merged into one of the next.
    pub fan: usize,
    /// No merge makes a run of more entries than this.
    pub run_entries: u64,
    /// About so many entries are merged with one batch (more with a large one); the rest waits for the next.
    pub merged_entries: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { block_entries: 512, section_blocks: 32, fan: 8, run_entries: 2 << 20, merged_entries: 128 << 10 }
    }
}

impl Shape {
    /// Gives the number of entries of a full section.
    pub fn section_entries(&self) -> usize {
        self.block_entries * self.section_blocks
    }
}

/// Why stored ids cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The blob was written by another version, or is something else.
    #[error("blob of ids has format {found}, this program reads format {expected}")]
    UnknownFormat {
        /// What the blob begins with.
        found: String,
        /// What it should begin with.
        expected: String,
    },
    /// The blob has the right format but not the right content.
    #[error("blob of ids is damaged: {0}")]
    Damaged(&'static str),
    /// A blob that the list of runs names is not there.
    #[error("the {what} of run {run} of the ids is not stored")]
    Missing {
        /// What kind of blob.
        what: &'static str,
        /// The number of the run.
        run: i64,
    },
}

/// Refuses a blob that does not begin with a format.
fn check_format(blob: &[u8], expected: [u8; 4]) -> Result<(), Error> {
    let found = &blob[..blob.len().min(expected.len())];
    if found == expected {
        return Ok(());
    }
    let [found, expected] = [found, &expected].map(|format| format.escape_ascii().to_string());
    Err(Error::UnknownFormat { found, expected })
}

/// Reads a number of up to 16 bytes, least significant first.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
