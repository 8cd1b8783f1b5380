//! The part of an id that is left within its hour: 36 bits of ticks, 62 bits of clock sequence and node.
//!
//! Version and variant are the same for all time-based ids and are not kept. Byte order is time order.

use crate::time_uuid;

/// Bytes of a packed key.
pub(super) const KEY_BYTES: usize = 13;

const TICKS_PER_HOUR: u64 = 36_000_000_000;
const UNIX_HOUR: i64 = (time_uuid::UNIX_EPOCH_TICKS / TICKS_PER_HOUR) as i64;
const TAIL_BITS: u32 = 62;
const KEY_BITS: u32 = 98;
const TAIL_MASK: u64 = (1 << TAIL_BITS) - 1;
const VARIANT: u64 = 0b10 << TAIL_BITS;

/// Gives the hour, counted since 1970-01-01T00:00Z, in which a time-based id was made.
pub fn hour_of(id: &[u8; 16]) -> i64 {
    (time_uuid::ticks(id) / TICKS_PER_HOUR) as i64 - UNIX_HOUR
}

/// Gives a number that orders ids by hour, then by key.
pub(super) fn pack(id: &[u8; 16]) -> u128 {
    let ticks = time_uuid::ticks(id);
    let tail = u128::from_be_bytes(*id) as u64 & TAIL_MASK;
    u128::from(ticks / TICKS_PER_HOUR) << KEY_BITS | u128::from(ticks % TICKS_PER_HOUR) << TAIL_BITS | u128::from(tail)
}

/// Gives the hour since 1970 of a packed id.
pub(super) fn hour(packed: u128) -> i64 {
    (packed >> KEY_BITS) as i64 - UNIX_HOUR
}

/// Gives the key within its hour of a packed id.
pub(super) fn within_hour(packed: u128) -> u128 {
    packed & ((1 << KEY_BITS) - 1)
}

/// Gives back the id of a key.
pub(super) fn id(hour: i64, key: u128) -> [u8; 16] {
    let ticks = (hour + UNIX_HOUR) as u64 * TICKS_PER_HOUR + (key >> TAIL_BITS) as u64;
    time_uuid::with_ticks(ticks, 1, VARIANT | (key as u64 & TAIL_MASK))
}

/// Reads the key at the start of an entry.
pub(super) fn read(entry: &[u8]) -> u128 {
    let (mut high, mut low) = ([0; 8], [0; 8]);
    high.copy_from_slice(&entry[..8]);
    low.copy_from_slice(&entry[5..KEY_BYTES]);
    // The two words overlap by three bytes: two loads instead of thirteen.
    u128::from(u64::from_be_bytes(high)) << 40 | u128::from(u64::from_be_bytes(low) & 0xFF_FFFF_FFFF)
}

/// Gives the bytes of a key.
pub(super) fn bytes(key: u128) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    bytes.copy_from_slice(&key.to_be_bytes()[16 - KEY_BYTES..]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hours_begin_where_unix_hours_begin() {
        assert_eq!(time_uuid::UNIX_EPOCH_TICKS % TICKS_PER_HOUR, 0);
        let at = |ticks| hour_of(&time_uuid::with_ticks(ticks, 1, VARIANT));
        assert_eq!(at(time_uuid::UNIX_EPOCH_TICKS), 0);
        assert_eq!(at(time_uuid::UNIX_EPOCH_TICKS - 1), -1);
    }

    proptest! {
        #[test]
        fn ids_come_back_and_keep_their_order(a in 0u64..1 << 60, b in 0u64..1 << 60, tail in 0u64..1 << 62) {
            let make = |ticks| time_uuid::with_ticks(ticks, 1, VARIANT | tail);
            let packed = pack(&make(a));
            let key = within_hour(packed);
            prop_assert_eq!(hour(packed), hour_of(&make(a)));
            prop_assert_eq!(id(hour(packed), key), make(a));
            prop_assert_eq!(read(&bytes(key)), key);
            prop_assert_eq!(packed.cmp(&pack(&make(b))), a.cmp(&b));
        }
    }
}
