//! Commerce: shop events become sales per minute, tickets, views, a conversion funnel and an archive, each event counted once.

mod accept;
pub mod alerts;
pub mod archive;
pub mod checks;
pub mod content;
pub mod dead_letter_replay;
pub mod decode;
pub mod event;
pub mod export;
pub mod fields;
pub mod file_source;
pub mod finish;
pub mod funnel;
pub mod peaks;
pub mod quality;
pub mod raw_rows;
pub mod reason;
pub mod recompute;
pub mod schema;
pub mod simulate;
pub mod source;
pub mod steps;
pub mod stream_state;
pub mod stream_work;
pub mod sums;
pub mod tables;
pub mod timers;
