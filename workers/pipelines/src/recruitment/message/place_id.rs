//! The id of a message whose producer sends none: made from its place, so it is the same however often it is read.
//!
//! The log's own name is no part of it: a broker that is reached by another address gives the same events. Messages of two
//! logs would have to agree in topic, partition, offset and second to be taken for one.

use headrace_transforms::time_uuid;
use xxhash_rust::xxh3::Xxh3;

const TICKS_PER_MICROSECOND: i64 = 10;
const TICKS_PER_SECOND: u128 = 10_000_000;
/// Ticks have 60 bits.
const LAST_SECOND: u64 = (1 << 60) - 1 - TICKS_PER_SECOND as u64;
const TAIL_BITS: u32 = 62;
const VARIANT: u64 = 0b10 << TAIL_BITS;

/// Gives a time-based id in the second of the message's time; the other 85 bits are a hash of topic, partition and offset.
pub fn place_id(topic: &str, partition: i32, offset: i64, ts_us: i64) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(&partition.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(topic.as_bytes());
    let hash = hasher.digest128();
    let since_1970 = ts_us.saturating_mul(TICKS_PER_MICROSECOND);
    let second = time_uuid::UNIX_EPOCH_TICKS.saturating_add_signed(since_1970).min(LAST_SECOND);
    let ticks = second + ((hash >> TAIL_BITS) % TICKS_PER_SECOND) as u64;
    time_uuid::with_ticks(ticks, 1, VARIANT | (hash as u64 & !(0b11 << TAIL_BITS)))
}

#[cfg(test)]
mod tests {
    use super::place_id;
    use headrace_transforms::time_uuid::{event_time_us, is_time_uuid};
    use std::collections::HashSet;

    #[test]
    fn places_have_ids_of_their_own_in_the_second_of_their_time() {
        let mut ids = HashSet::new();
        for (topic, partition) in [("a", 0), ("a", 1), ("b", 0)] {
            for offset in 0..1_000 {
                let id = place_id(topic, partition, offset, 1_709_247_599_000_000);
                assert!(is_time_uuid(&id));
                assert_eq!(event_time_us(&id).div_euclid(1_000_000), 1_709_247_599);
                assert!(ids.insert(id));
            }
        }
        assert_eq!(place_id("a", 1, 5, 0), place_id("a", 1, 5, 0));
    }

    #[test]
    fn times_outside_what_an_id_can_tell_are_taken_as_far_as_it_goes() {
        for ts_us in [i64::MIN, i64::MAX] {
            assert!(is_time_uuid(&place_id("a", 0, 0, ts_us)));
        }
    }
}
