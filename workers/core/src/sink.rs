//! Where batches are committed, together with their positions.

use async_trait::async_trait;

use crate::position::{Claim, Partition, Reached};
use crate::{Counts, Result};

/// A sink of transformed batches and the ledger of their positions.
#[async_trait]
pub trait Sink<Output: Send + Sync>: Send {
    /// Claims partitions in the ledger and tells where each goes on.
    ///
    /// # Errors
    /// When the ledger cannot be reached or refuses.
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>>;

    /// Stores one transformed batch and the positions reached after it, as one.
    ///
    /// Called again with the same batch after an external error: an unknown outcome must be resolved by
    /// reading the position back, so that a batch is never applied twice.
    ///
    /// # Errors
    /// External errors are tried again; [`crate::Error::Fenced`] means another worker has claimed a partition.
    async fn commit(&mut self, output: &Output, reached: &Reached) -> Result<Counts>;

    /// Does what is due while nothing comes, such as refreshing a dimension.
    ///
    /// # Errors
    /// External errors are told and tried again at the next idle moment; others end the run.
    async fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Ends the work: flushes, closes, tells the last word. Called once, also after a stop.
    ///
    /// # Errors
    /// When closing fails.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
