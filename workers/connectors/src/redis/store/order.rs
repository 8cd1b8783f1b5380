//! Keys of rows as bytes whose order is the order of the keys, and which can be read back.
//!
//! Numbers have 8 bytes, greatest first, with the sign turned; texts and bytes end with two zero bytes, and a zero byte in them
//! is followed by 255; UUIDs are turned so that their time comes first. So no key is the beginning of another.

use headrace_core::table::{Column, Kind, Value, time_uuid_from_sortable, time_uuid_to_sortable};

const SIGN: u64 = 1 << 63;

/// The bytes of a key, or of the first values of one.
pub(super) fn encode<'a>(values: impl IntoIterator<Item = &'a Value>, columns: &[&Column]) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, column) in values.into_iter().zip(columns) {
        match value {
            Value::Int(number) => out.extend((number.cast_unsigned() ^ SIGN).to_be_bytes()),
            Value::Double(number) => {
                // Minus zero is zero.
                let bits = (number + 0.0).to_bits();
                let turned = if bits & SIGN == 0 { bits ^ SIGN } else { !bits };
                out.extend(turned.to_be_bytes());
            }
            Value::Text(text) => escape(&mut out, text.as_bytes()),
            Value::Bytes(bytes) => match <[u8; 16]>::try_from(bytes.as_slice()) {
                Ok(uuid) if column.kind == Kind::TimeUuid => out.extend(time_uuid_to_sortable(uuid)),
                _ => escape(&mut out, bytes),
            },
            // A key has no nulls.
            Value::Null => {}
        }
    }
    out
}

/// The values of a key's bytes; none when they are no such key.
pub(super) fn decode(mut key: &[u8], columns: &[&Column]) -> Option<Vec<Value>> {
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        values.push(match column.kind {
            Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
                Value::Int((eight(&mut key)? ^ SIGN).cast_signed())
            }
            Kind::Double | Kind::Single => {
                let turned = eight(&mut key)?;
                Value::Double(f64::from_bits(if turned & SIGN == 0 { !turned } else { turned ^ SIGN }))
            }
            Kind::Text | Kind::Name(_) => Value::Text(String::from_utf8(unescape(&mut key)?).ok()?),
            Kind::Bytes => Value::Bytes(unescape(&mut key)?),
            Kind::TimeUuid => {
                let (uuid, rest) = key.split_first_chunk::<16>()?;
                key = rest;
                Value::Bytes(time_uuid_from_sortable(*uuid).to_vec())
            }
        });
    }
    key.is_empty().then_some(values)
}

/// The least bytes behind all that begin with some; none where there are no such.
pub(super) fn behind(beginning: &[u8]) -> Option<Vec<u8>> {
    let last = beginning.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = beginning[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

fn eight(key: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = key.split_first_chunk::<8>()?;
    *key = rest;
    Some(u64::from_be_bytes(*bytes))
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(u8::MAX);
        }
    }
    out.extend([0, 0]);
}

fn unescape(key: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let zero = key.iter().position(|byte| *byte == 0)?;
        bytes.extend(&key[..zero]);
        let mark = *key.get(zero + 1)?;
        *key = &key[zero + 2..];
        match mark {
            0 => return Some(bytes),
            u8::MAX => bytes.push(0),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use headrace_core::Ident;
    use headrace_core::table::{Column, Kind, Table, Value};
    use proptest::prelude::*;

    use super::{behind, decode, encode};

    fn table() -> Table {
        let table = Table::new(Ident::new("t").unwrap()).key("a", Kind::Text).unwrap().key("b", Kind::Int).unwrap();
        table.key("c", Kind::Bytes).unwrap().key("d", Kind::Double).unwrap()
    }

    type Key = (String, i64, Vec<u8>, f64);

    fn values(key: &Key) -> [Value; 4] {
        [Value::Text(key.0.clone()), Value::Int(key.1), Value::Bytes(key.2.clone()), Value::Double(key.3)]
    }

    fn compare(one: &Key, other: &Key) -> Ordering {
        let rest = one.3.partial_cmp(&other.3).unwrap();
        one.0.cmp(&other.0).then(one.1.cmp(&other.1)).then(one.2.cmp(&other.2)).then(rest)
    }

    fn keys() -> impl Strategy<Value = Key> {
        let bytes = prop::collection::vec(prop_oneof![Just(0), Just(1), Just(254), Just(255), any::<u8>()], 0..6);
        let text = prop_oneof!["[\0\u{1}a-c:]{0,4}", any::<String>()];
        let double = prop_oneof![Just(0.0), any::<f64>().prop_filter("no NaN", |number| !number.is_nan())];
        (text, prop_oneof![-2_i64..3, any::<i64>()], bytes, double)
    }

    proptest! {
        #[test]
        fn bytes_are_in_the_order_of_keys_and_read_back(one in keys(), other in keys()) {
            let table = table();
            let columns: Vec<&Column> = table.keys().collect();
            let (first, second) = (encode(&values(&one), &columns), encode(&values(&other), &columns));
            prop_assert_eq!(decode(&first, &columns).unwrap(), values(&one));
            prop_assert_eq!(first.cmp(&second), compare(&one, &other));
            prop_assert!(decode(&first[..first.len() - 1], &columns).is_none());
        }

        #[test]
        fn what_begins_with_a_part_is_before_what_is_behind_it(one in keys(), other in keys(), parts in 1_usize..4) {
            let table = table();
            let columns: Vec<&Column> = table.keys().collect();
            let (beginning, key) = (encode(&values(&one)[..parts], &columns), encode(&values(&other), &columns));
            let is_within = key >= beginning && behind(&beginning).is_none_or(|behind| key < behind);
            prop_assert_eq!(is_within, values(&one)[..parts] == values(&other)[..parts]);
        }
    }

    #[test]
    fn nothing_is_behind_the_last() {
        assert_eq!(behind(&[1, 255]), Some(vec![2]));
        assert_eq!(behind(&[255, 255]), None);
    }
}
