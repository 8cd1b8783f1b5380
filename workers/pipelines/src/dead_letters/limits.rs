//! How much of a letter goes into a message of a dead-letter topic, and the frame of messages.

use headrace_core::Result;
use headrace_core::batch::message_columns::{KEY, VALUE};
use polars::prelude::{DataFrame, NamedFrom, Series};

/// Bytes of raw text in a message: even escaped and in hexadecimal it stays below a broker's default limit.
pub(crate) const LONGEST_RAW: usize = 96 << 10;
/// Bytes of a message's key. A longer one is left out: with the raw text it could exceed the limit.
pub(crate) const LONGEST_KEY: usize = 128 << 10;
/// Bytes of detail in a message.
pub(crate) const LONGEST_DETAIL: usize = 4 << 10;

/// Gives messages (columns `key`, `value`) of letters: their keys as they came, and their values.
///
/// # Errors
/// When a value cannot be written, or the frame cannot be built.
pub(crate) fn frame<'a>(letters: impl Iterator<Item = (Option<&'a [u8]>, Result<String>)>) -> Result<DataFrame> {
    let (mut keys, mut values): (Vec<Option<&[u8]>>, Vec<String>) = (Vec::new(), Vec::new());
    for (key, value) in letters {
        keys.push(key.filter(|key| key.len() <= LONGEST_KEY));
        values.push(value?);
    }
    let values: Vec<Option<&[u8]>> = values.iter().map(|value| Some(value.as_bytes())).collect();
    let height = keys.len();
    let columns = vec![Series::new(KEY.into(), keys).into(), Series::new(VALUE.into(), values).into()];
    Ok(DataFrame::new(height, columns)?)
}
