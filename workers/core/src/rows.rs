//! Keyed rows in stores that have no units of work, such as ClickHouse and Redis.
//!
//! Delivery: rows are there at once and are written again after a failure, so every table must be such that writing a row twice
//! changes nothing; with [`Table::versioned_by`] an older row never replaces a newer one, in whatever order they come.
//! Ordering: none between the rows of a frame. Memory: the frame at hand.

use async_trait::async_trait;
use polars::prelude::DataFrame;

use crate::Result;
use crate::store::Select;
use crate::table::Table;

/// A store of keyed rows. Cheap to share; every method may be called from several tasks.
#[async_trait]
pub trait Rows: Send + Sync {
    /// Creates the tables that are missing and checks those that are there.
    ///
    /// # Errors
    /// A configuration error naming the difference, or what the store cannot keep.
    async fn create(&self, tables: &[&Table]) -> Result<()>;

    /// Writes rows over those with the same key, or, in a versioned table, over those whose version is not greater. The frame has
    /// all written columns; keys are unique within it. The token names the block: a store that can tells blocks apart by it
    /// and drops one that comes again.
    ///
    /// # Errors
    /// When the store fails or a value does not fit. Any part of the frame may have been written then.
    async fn write(&self, table: &Table, frame: &DataFrame, token: &str) -> Result<()>;

    /// Reads rows in key order, of each key the one that counts.
    ///
    /// # Errors
    /// A configuration error naming the table when it is missing.
    async fn select(&self, select: &Select<'_>) -> Result<DataFrame>;

    /// Names what others have put where rows of a table would lie, and what is none of them. Nothing in stores whose tables hold nothing
    /// but rows.
    ///
    /// # Errors
    /// When the store fails.
    async fn strangers(&self, table: &Table) -> Result<Vec<String>> {
        let _ = table;
        Ok(Vec::new())
    }

    /// Names the store and database without secrets; two stores with the same name are the same place.
    fn name(&self) -> String;
}
