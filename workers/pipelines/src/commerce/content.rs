//! The content of JSON text as a number: equal for texts that say the same, however members are ordered or values are spelt.
//!
//! Numbers count by their decimal value, texts by their characters, members in any order. What is nested deeper than
//! [`DEEPEST`] counts by its spelling.

use std::borrow::Cow;
use std::collections::BTreeMap;

use headrace_core::json;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Levels that are looked into.
const DEEPEST: u8 = 32;

/// Seeds that keep values of different kinds apart.
mod seed {
    pub(super) const LITERAL: u64 = 1;
    pub(super) const NUMBER: u64 = 2;
    pub(super) const TEXT: u64 = 3;
    pub(super) const ARRAY: u64 = 4;
    pub(super) const OBJECT: u64 = 5;
    pub(super) const SPELLING: u64 = 6;
}

/// The content of an object: members may be added in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members(u64);

impl Members {
    /// Adds a member by its name's hash.
    pub fn add(&mut self, name: u64, value: &str) {
        self.add_at(name, value, 0);
    }

    fn add_at(&mut self, name: u64, value: &str, depth: u8) {
        self.0 = self.0.wrapping_add(xxh3_64_with_seed(&content(value, depth).to_le_bytes(), name));
    }

    /// The number.
    pub fn finish(self) -> u64 {
        xxh3_64_with_seed(&self.0.to_le_bytes(), seed::OBJECT)
    }
}

/// The hash of a member's name.
pub fn name(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The content of valid JSON text.
fn content(json: &str, depth: u8) -> u64 {
    let spelling = || xxh3_64_with_seed(json.as_bytes(), seed::SPELLING);
    match json.as_bytes().first() {
        Some(b'"') if !json.as_bytes().contains(&b'\\') => {
            xxh3_64_with_seed(&json.as_bytes()[1..json.len() - 1], seed::TEXT)
        }
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => xxh3_64_with_seed(text.as_bytes(), seed::TEXT),
            Err(_) => spelling(),
        },
        Some(b'n' | b't' | b'f') => xxh3_64_with_seed(json.as_bytes(), seed::LITERAL),
        Some(b'{' | b'[') if depth >= DEEPEST => spelling(),
        Some(b'{') => plain(json, depth).unwrap_or_else(|| object(json, depth).unwrap_or_else(spelling)),
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(values) => {
                let mut hash = Xxh3::with_seed(seed::ARRAY);
                values.iter().for_each(|value| hash.update(&content(value.get(), depth + 1).to_le_bytes()));
                hash.digest()
            }
            Err(_) => spelling(),
        },
        _ => number(json),
    }
}

/// The content of a plain object with few members, each of another name.
fn plain(text: &str, depth: u8) -> Option<u64> {
    let (mut names, mut count, mut members) = ([""; 8], 0, Members::default());
    json::object(text, &mut |at, name| {
        let value = at.written()?;
        let (before, rest) = names.split_at_mut(count);
        if before.contains(&name) {
            return None;
        }
        *rest.first_mut()? = name;
        count += 1;
        members.add_at(self::name(name), value, depth + 1);
        Some(())
    })?;
    Some(members.finish())
}

/// The content of an object; of members of one name the last one's.
fn object(text: &str, depth: u8) -> Option<u64> {
    let object: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
    let mut members = Members::default();
    object.iter().for_each(|(key, value)| members.add_at(name(key), value.get(), depth + 1));
    Some(members.finish())
}

/// The content of a number: its sign, its digits without zeros around them, and the power of the last of them.
fn number(text: &str) -> u64 {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (mut few, mut many) = ([0; 32], Vec::new());
    let digits = if mantissa.len() <= few.len() {
        &mut few[..whole.len() + fraction.len()]
    } else {
        many.resize(whole.len() + fraction.len(), 0);
        &mut many[..]
    };
    let (before, behind) = digits.split_at_mut(whole.len());
    before.copy_from_slice(whole.as_bytes());
    behind.copy_from_slice(fraction.as_bytes());
    let Some(first) = digits.iter().position(|digit| *digit != b'0') else {
        return xxh3_64_with_seed(b"0", seed::NUMBER);
    };
    let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
    let Ok(exponent) = exponent.parse::<i64>() else { return xxh3_64_with_seed(text.as_bytes(), seed::SPELLING) };
    let power = exponent.saturating_add(whole.len() as i64 - 1 - last as i64);
    let significant = &mut digits[first..=last];
    if unsigned.len() < text.len() {
        // No digit: it only has to differ from the number without sign.
        significant[0] |= 0x80;
    }
    xxh3_64_with_seed(significant, seed::NUMBER.wrapping_add(power.cast_unsigned().wrapping_shl(8)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::content;

    const OBJECT: &str =
        r#"\{("[ab]{1,2}": ?("[a-z]{0,3}"|-?[0-9]{1,3}|null|\[1,[0-9]\]|\{"a":[01],?"b":1\}),?){0,10}\}"#;

    fn same(one: &str, other: &str) -> bool {
        content(one, 0) == content(other, 0)
    }

    #[test]
    fn spelling_and_order_do_not_count() {
        for (one, other) in [
            ("1.5", "1.50"),
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("1.5", "1.500000000000000000000000000000000000000"),
            ("-12.5e-1", "-1.25"),
            (r#""a\u0062""#, r#""ab""#),
            (r#"{"a": 1, "b": [1, {"c": null}]}"#, r#"{"b":[1.0,{"c":null}],"a":1}"#),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn plain_objects_have_the_content_of_all_objects(text in OBJECT) {
            if let Some(found) = super::plain(&text, 0) {
                prop_assert_eq!(super::object(&text, 0), Some(found), "{}", text);
            }
        }
    }

    #[test]
    fn everything_else_counts() {
        for (one, other) in [
            ("1.5", "1.51"),
            ("1", "10"),
            ("1", "-1"),
            ("1", r#""1""#),
            ("null", r#""null""#),
            ("[1,2]", "[2,1]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
            ("[]", "{}"),
            ("9007199254740993", "9007199254740992"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100), "]".repeat(100));
        assert!(same(&deep("1"), &deep("1")) && !same(&deep("1"), &deep("2")));
    }
}
