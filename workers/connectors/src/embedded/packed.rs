//! Messages packed into one blob: a version byte, a coding byte, then columns.
//!
//! Version 1, coding 0 (not compressed), all numbers little-endian: the count (u32), the key lengths (i32 each, -1 for
//! none), the value lengths (likewise), all keys, all values.

use headrace_core::{Error, Result};
use polars::prelude::{BinaryChunked, BinaryChunkedBuilder};

/// The key and value of a message.
pub(super) type Message<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

const VERSION: u8 = 1;
const PLAIN: u8 = 0;

/// Messages as they come out of a blob.
#[derive(Clone, Debug)]
pub(super) struct Unpacked {
    /// The keys.
    pub(super) keys: BinaryChunked,
    /// The values.
    pub(super) values: BinaryChunked,
    /// Bytes of key and value of each message.
    pub(super) sizes: Vec<usize>,
}

/// Packs messages.
///
/// # Errors
/// A data error when a key or value is larger than 2 GiB.
pub(super) fn pack(messages: &[Message<'_>]) -> Result<Vec<u8>> {
    let bytes: usize = messages.iter().map(|message| size(message)).sum();
    let mut blob = Vec::with_capacity(6 + 8 * messages.len() + bytes);
    blob.extend([VERSION, PLAIN]);
    let large = || Error::data("a message is larger than 2 GiB");
    blob.extend(u32::try_from(messages.len()).map_err(|_| large())?.to_le_bytes());
    let keys = || messages.iter().map(|message| message.0);
    let values = || messages.iter().map(|message| message.1);
    for part in keys().chain(values()) {
        let length = part.map_or(Ok(-1), |part| i32::try_from(part.len())).map_err(|_| large())?;
        blob.extend(length.to_le_bytes());
    }
    for part in keys().chain(values()).flatten() {
        blob.extend_from_slice(part);
    }
    Ok(blob)
}

/// Bytes of a message's key and value.
pub(super) fn size(message: &Message<'_>) -> usize {
    message.0.map_or(0, <[u8]>::len) + message.1.map_or(0, <[u8]>::len)
}

/// Unpacks a blob.
///
/// # Errors
/// A data error when it is damaged or of a newer version.
pub(super) fn unpack(blob: &[u8]) -> Result<Unpacked> {
    match blob {
        [VERSION, PLAIN, rest @ ..] => plain(rest).ok_or_else(|| Error::data("a batch of messages is damaged")),
        _ => Err(Error::data("a batch of messages has a format that this headrace does not know; use a newer one")),
    }
}

fn plain(rest: &[u8]) -> Option<Unpacked> {
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (key_lengths, rest) = rest.split_at_checked(count.checked_mul(4)?)?;
    let (value_lengths, mut rest) = rest.split_at_checked(count * 4)?;
    let mut sizes = vec![0; count];
    let mut column = |name: &str, lengths: &[u8]| {
        let mut builder = BinaryChunkedBuilder::new(name.into(), count);
        for (length, size) in lengths.chunks_exact(4).zip(&mut sizes) {
            match i32::from_le_bytes(length.try_into().ok()?) {
                -1 => builder.append_null(),
                length => {
                    let length = usize::try_from(length).ok()?;
                    let (part, after) = rest.split_at_checked(length)?;
                    builder.append_value(part);
                    *size += length;
                    rest = after;
                }
            }
        }
        Some(builder.finish())
    };
    let keys = column(headrace_core::batch::message_columns::KEY, key_lengths)?;
    let values = column(headrace_core::batch::message_columns::VALUE, value_lengths)?;
    rest.is_empty().then_some(Unpacked { keys, values, sizes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{pack, unpack};

    type Part = Option<Vec<u8>>;

    proptest! {
        #[test]
        fn unpacking_gives_what_was_packed(messages in proptest::collection::vec(any::<(Part, Part)>(), 0..50)) {
            let borrowed: Vec<_> = messages.iter().map(|(key, value)| (key.as_deref(), value.as_deref())).collect();
            let unpacked = unpack(&pack(&borrowed).unwrap()).unwrap();
            prop_assert_eq!(unpacked.keys.len(), messages.len());
            for (row, (key, value)) in borrowed.iter().enumerate() {
                prop_assert_eq!(unpacked.keys.get(row), *key);
                prop_assert_eq!(unpacked.values.get(row), *value);
                prop_assert_eq!(unpacked.sizes[row], key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
            }
        }

        #[test]
        fn a_cut_blob_is_refused(cut in 0_usize..20) {
            let blob = pack(&[(Some(b"key"), Some(b"value")), (None, Some(b"x"))]).unwrap();
            prop_assert!(unpack(&blob[..blob.len() - 1 - cut]).is_err());
        }
    }
}
