//! Time-based (version 1) UUIDs as event ids: text form, event time, and an order-preserving key.
//!
//! Layout and epoch are those of RFC 4122, sections 4.1.2 to 4.1.4: a 60-bit count of
//! 100 ns ticks since 1582-10-15T00:00:00Z, split over three fields, then clock sequence and node.

/// Ticks of 100 ns between 1582-10-15 and 1970-01-01, both at midnight UTC.
pub const UNIX_EPOCH_TICKS: u64 = 0x01B2_1DD2_1381_4000;

const TICKS_PER_MICROSECOND: i64 = 10;
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const DIGITS: &[u8; 16] = b"0123456789abcdef";
const NOT_HEX: u8 = 0xFF;

/// Value of each hexadecimal digit, or [`NOT_HEX`].
const HEX: [u8; 256] = {
    let mut table = [NOT_HEX; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value] as usize] = value as u8;
        table[DIGITS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    table
};

/// Parses the 8-4-4-4-12 text of a UUID of any version, upper or lower case; nothing else is accepted.
pub fn parse(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || HYPHENS.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut id = [0; 16];
    let mut at = 0;
    let mut seen = 0;
    for byte in &mut id {
        if HYPHENS.contains(&at) {
            at += 1;
        }
        let (high, low) = (HEX[text[at] as usize], HEX[text[at + 1] as usize]);
        seen |= high | low;
        *byte = high << 4 | (low & 0x0F);
        at += 2;
    }
    (seen != NOT_HEX).then_some(id)
}

/// Gives the lower-case text of an id, as ASCII.
pub fn format(id: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in id {
        if HYPHENS.contains(&at) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0x0F)];
        at += 2;
    }
    text
}

/// Gives the lower-case text of an id as a `String`.
pub fn to_text(id: &[u8; 16]) -> String {
    format(id).iter().map(|&byte| char::from(byte)).collect()
}

/// Gives the version number of an id: 1 for time-based, 4 for random ids.
pub fn version(id: &[u8; 16]) -> u8 {
    id[6] >> 4
}

/// Says whether the variant bits are those of RFC 4122, for which the version has a meaning.
pub fn is_rfc4122(id: &[u8; 16]) -> bool {
    id[8] >> 6 == 0b10
}

/// Says whether the id is an RFC 4122 id of version 1, that is, carries an event time.
pub fn is_time_uuid(id: &[u8; 16]) -> bool {
    version(id) == 1 && is_rfc4122(id)
}

/// Gives the 60-bit count of 100 ns ticks since 1582-10-15T00:00:00Z.
pub fn ticks(id: &[u8; 16]) -> u64 {
    let head = u64::from_be_bytes([id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]]);
    (head & 0x0FFF) << 48 | (head >> 16 & 0xFFFF) << 32 | head >> 32
}

/// Gives the event time in microseconds since 1970-01-01T00:00:00Z, rounded down (also before 1970).
pub fn event_time_us(id: &[u8; 16]) -> i64 {
    // Both are below 2^60, so neither the casts nor the difference can overflow.
    (ticks(id) as i64 - UNIX_EPOCH_TICKS as i64).div_euclid(TICKS_PER_MICROSECOND)
}

/// Gives 16 bytes whose byte order is time order: ticks, then variant, clock sequence and node, then version.
pub fn time_key(id: &[u8; 16]) -> [u8; 16] {
    let tail = u128::from_be_bytes(*id) as u64;
    (u128::from(ticks(id)) << 68 | u128::from(tail) << 4 | u128::from(version(id))).to_be_bytes()
}

/// Gives back the id from which [`time_key`] made the key.
pub fn from_time_key(key: &[u8; 16]) -> [u8; 16] {
    let bits = u128::from_be_bytes(*key);
    let ticks = (bits >> 68) as u64;
    with_ticks(ticks, (bits & 0x0F) as u8, (bits >> 4) as u64)
}

/// Puts an id together from its ticks (60 bits), version (4 bits) and last eight bytes.
pub fn with_ticks(ticks: u64, version: u8, tail: u64) -> [u8; 16] {
    let head = (ticks & 0xFFFF_FFFF) << 32
        | (ticks >> 32 & 0xFFFF) << 16
        | u64::from(version & 0x0F) << 12
        | (ticks >> 48 & 0x0FFF);
    (u128::from(head) << 64 | u128::from(tail)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> [u8; 16] {
        parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a UUID"))
    }

    #[test]
    fn reads_the_event_time_of_a_known_id() {
        let known = id("5af328a0-0d60-11ed-90e9-7cd44fe229db");
        assert!(is_time_uuid(&known));
        assert_eq!(event_time_us(&known), 1_658_894_301_226_000);
    }

    #[test]
    fn rounds_down_on_both_sides_of_1970() {
        let at = |ticks| event_time_us(&with_ticks(ticks, 1, 1 << 63));
        assert_eq!(at(UNIX_EPOCH_TICKS), 0);
        assert_eq!(at(UNIX_EPOCH_TICKS + 19), 1);
        assert_eq!(at(UNIX_EPOCH_TICKS - 1), -1);
        assert_eq!(at(UNIX_EPOCH_TICKS - 10), -1);
        assert_eq!(at(UNIX_EPOCH_TICKS - 11), -2);
        assert_eq!(at(0), -12_219_292_800_000_000);
    }

    #[test]
    fn tells_versions_and_variants_apart() {
        assert!(!is_time_uuid(&id("7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11")));
        assert!(!is_time_uuid(&id("5af328a0-0d60-11ed-c0e9-7cd44fe229db")));
        assert!(!is_time_uuid(&id("5af328a0-0d60-11ed-70e9-7cd44fe229db")));
        assert!(is_time_uuid(&id("5AF328A0-0D60-11ED-B0E9-7CD44FE229DB")));
    }

    #[test]
    fn accepts_one_shape_only() {
        for text in [
            "",
            "5af328a00d6011ed90e97cd44fe229db",
            "{5af328a0-0d60-11ed-90e9-7cd44fe229db}",
            "5af328a0-0d60-11ed-90e9-7cd44fe229d",
            "5af328a0-0d60-11ed-90e9-7cd44fe229db ",
            "5af328a0-0d60-11ed-90e9-7cd44fe229dg",
            "5af328a00-d60-11ed-90e9-7cd44fe229db",
            "5af328a0-0d60-11ed-90e9+7cd44fe229db",
            "5af328a0-0d60-11ed-90e9-7cd44fe22\u{e9}b",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(id: [u8; 16]) {
            let text = to_text(&id);
            prop_assert_eq!(parse(text.as_bytes()), Some(id));
            prop_assert_eq!(parse(text.to_uppercase().as_bytes()), Some(id));
        }

        #[test]
        fn key_and_back(id: [u8; 16]) {
            prop_assert_eq!(from_time_key(&time_key(&id)), id);
        }

        #[test]
        fn keys_are_in_time_order(a: [u8; 16], b: [u8; 16]) {
            if ticks(&a) != ticks(&b) {
                prop_assert_eq!(time_key(&a).cmp(&time_key(&b)), ticks(&a).cmp(&ticks(&b)));
            }
        }
    }
}
