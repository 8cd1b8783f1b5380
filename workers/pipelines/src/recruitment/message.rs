//! The messages of the topic: one JSON object for each stored event.
//!
//! A message carries what the hourly table needs, and the event id, by which consumers de-duplicate.

mod decode;
mod encode;
mod place_id;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, RejectedMessage, decode};
pub use encode::encode;
pub use place_id::place_id;
