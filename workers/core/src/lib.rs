//! The engine of Headrace. It knows batches, positions and ledgers, and no database.
//!
//! # Layout
//! - [`batch`]: a Polars frame and the positions reached after it.
//! - [`position`]: partitions, positions and claims on them.
//! - [`source`], [`sink`]: where batches come from and where they are committed; [`merge`] reads several sources as one.
//! - [`ledger_sink`]: the sink of steps that keep their ledger in a store; a step gives what it does in a unit of work.
//! - [`run`]: the one run loop: claim, read, transform and commit side by side, stop, retry.
//! - [`store`]: tables, units of work and the ledger, as every keyed store offers them.
//! - [`keyed`]: state of a step by key, in the ledger.
//! - [`rows`]: keyed rows in stores without units of work.
//! - [`log`]: topics, as every message log offers them.
//! - [`ledger_format`]: refuses a ledger that a newer release has written.
//! - [`table`], [`ident`]: typed descriptions of tables; names that cannot inject.
//! - [`dead_letter`]: rows that were refused, with reason, position and raw text.
//! - [`step`]: a step declared once, seen from the command line, Python and Airflow.
//! - [`report`], [`control`], [`progress`]: what a run tells, how it is stopped, how it is watched.
//! - [`failpoint`]: named places where a build for tests can be told to die.
//! - [`json`]: one pass over simple messages.
//! - [`store_url`], [`secret`], [`error`], [`clock`], [`retry`], [`bounded`], [`per_process`]: the small things everyone needs.

pub mod batch;
pub mod bounded;
pub mod clock;
pub mod control;
pub mod dead_letter;
pub mod error;
pub mod failpoint;
pub mod ident;
pub mod json;
pub mod keyed;
pub mod ledger_format;
pub mod ledger_sink;
pub mod log;
pub mod merge;
pub mod per_process;
pub mod position;
pub mod progress;
pub mod report;
pub mod retry;
pub mod rows;
pub mod run;
pub mod secret;
pub mod sink;
pub mod source;
pub mod step;
pub mod store;
pub mod store_url;
pub mod table;

pub use batch::Batch;
pub use control::Control;
pub use error::{Error, ErrorKind, Result};
pub use ident::Ident;
pub use position::{Claim, Partition, Position};
pub use report::{Counts, Report};
pub use secret::Secret;
pub use store_url::StoreUrl;
