//! Recounts the raw store and the topic and compares them with the result: what is missing, doubled or different.

mod events;
mod table;

pub use events::{Differences, EventSet};
pub use table::{TableDifferences, compare, fold};

/// Examples shown of each kind of difference.
pub const EXAMPLES: usize = 5;
