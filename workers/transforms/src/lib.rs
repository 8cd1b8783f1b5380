//! Pure transforms: bytes, numbers, ids and Polars frames in; the same out.
//!
//! Nothing here does I/O, waits, or reads a clock, so every function gives the same answer
//! for the same input wherever it runs: in a worker, in Python, inside a Spark task.
//! Nothing here names a table, topic or column of one system either; that is for `pipelines`.

pub mod civil;
pub mod csv_record;
pub mod decimal;
pub mod deduplicate;
pub mod frames;
pub mod ids;
pub mod join;
pub mod packed;
pub mod time_uuid;
pub mod watermark;
pub mod window;
