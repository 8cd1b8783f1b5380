//! Reads the members of a registration in one pass over plain JSON, as nearly all senders write it.
//!
//! Plain are strings without escapes and whole numbers without sign, point or exponent where a member counts; what does not count is
//! only checked. On anything else this gives up, and the reader of all JSON decides. What is found is what that one finds.

use std::borrow::Cow;

use super::json::Field;
use super::registration::{Members, slot};

/// Objects and arrays within each other that are still plain.
const DEPTH: usize = 8;
/// A whole number of so many digits fits.
const DIGITS: usize = 18;
const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The payload's members; none when the text is not plain, or no envelope with an object as payload.
pub(super) fn payload(text: &str) -> Option<Members<'_>> {
    let mut at = Cursor { text, bytes: text.as_bytes(), place: 0 };
    let mut found = None;
    at.space();
    at.object(&mut |at, name| {
        if name != "payload" {
            return at.skip(DEPTH);
        }
        // The last one counts.
        let members = found.insert(Members::default());
        at.object(&mut |at, name| match slot(members, name) {
            Some(slot) => at.field().map(|field| *slot = field),
            None => at.skip(DEPTH),
        })
    })?;
    at.space();
    found.filter(|_| at.place == text.len())
}

struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    place: usize,
}

/// What is done at a member of a name.
type Visit<'v, 'a> = &'v mut dyn FnMut(&mut Cursor<'a>, &'a str) -> Option<()>;

impl<'a> Cursor<'a> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.place).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.place += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then(|| self.place += 1)
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let from = self.place;
        while let Some(&eight) = self.bytes.get(self.place..).and_then(<[u8]>::first_chunk::<8>) {
            let eight = u64::from_le_bytes(eight);
            // The high bit of each byte that is a quote, a backslash or a control character; what is behind the first one may be wrong.
            let is = |byte: u8| {
                let other = eight ^ (EACH * u64::from(byte));
                other.wrapping_sub(EACH) & !other
            };
            let control = eight.wrapping_sub(EACH * 0x20) & !eight;
            let ends = (is(b'"') | is(b'\\') | control) & HIGH;
            if ends != 0 {
                self.place += ends.trailing_zeros() as usize / 8;
                break;
            }
            self.place += 8;
        }
        let rest = self.bytes.get(self.place..)?;
        self.place += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
        let string = self.text.get(from..self.place)?;
        self.take(b'"')?;
        Some(string)
    }

    fn object(&mut self, visit: Visit<'_, 'a>) -> Option<()> {
        self.take(b'{')?;
        self.space();
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.space();
            self.take(b':')?;
            self.space();
            visit(self, name)?;
            self.space();
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
            self.space();
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        self.space();
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.skip(depth)?;
            self.space();
            if self.take(b',').is_none() {
                return self.take(b']');
            }
            self.space();
        }
    }

    /// A member that counts.
    fn field(&mut self) -> Option<Field<'a>> {
        match self.byte()? {
            b'"' => self.string().map(|text| Field::Text(Cow::Borrowed(text))),
            b'n' => self.word("null").map(|()| Field::Null),
            b't' => self.word("true").map(|()| Field::Other),
            b'f' => self.word("false").map(|()| Field::Other),
            b'0'..=b'9' => {
                let from = self.place;
                self.number()?;
                let digits = self.text.get(from..self.place).filter(|digits| digits.len() <= DIGITS)?;
                // Anything but digits does not parse.
                digits.parse().ok().map(Field::Whole)
            }
            _ => None,
        }
    }

    /// A value that does not count.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.byte()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                let within = depth.checked_sub(1)?;
                self.object(&mut |at, _| at.skip(within))
            }
            b'[' => self.array(depth.checked_sub(1)?),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.bytes.get(self.place..)?.starts_with(word.as_bytes()).then(|| self.place += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'-').or_else(|| self.take(b'+'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.place;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.place += 1;
        }
        (self.place > from).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::registration::{Envelope, Payload};
    use super::payload;
    use crate::scoring::simulate::Simulation;

    /// Whether the reader of all JSON finds the same wherever something is found.
    fn agrees(text: &str) -> bool {
        let Some(found) = payload(text) else { return true };
        let read: Envelope<'_> = serde_json::from_str(text).unwrap();
        matches!(read.payload, Payload::Object(members) if *members == found)
    }

    #[test]
    fn what_senders_write_is_plain() {
        let simulation = Simulation { seed: 1, varied: true, defects: 0.0, first_user: 1 };
        for number in 0..200 {
            let value = simulation.message(number, 1_737_000_000_000).value.unwrap();
            let text = String::from_utf8(value).unwrap();
            assert!(payload(&text).is_some() && agrees(&text), "{text}");
        }
        let spaced =
            "\n{ \"payload\" : {\t\"user_id\" : 7 , \"other\": [ { } , [ 1.5e3 ] ] } , \"schema\" : null }\r\n";
        assert!(payload(spaced).is_some() && agrees(spaced));
        for other in [
            "",
            "{}",
            "5",
            r#"{"payload":"{}"}"#,
            r#"{"payload":null}"#,
            r#"{"payload":{"id":-0}}"#,
            r#"{"payload":{"id":1.0}}"#,
            r#"{"payload":{"id":01}}"#,
            r#"{"payload":{"id":"\n"}}"#,
            r#"{"payload":{}}}"#,
            r#"{"payload":{},}"#,
            "{\"payload\":{\"a\":\"\t\"}}",
            r#"{"payload":{"id":1234567890123456789}}"#,
            r#"{"payload":{"id":{}}}"#,
            r#"{"payload":{"a":[[[[[[[[[1]]]]]]]]]}}"#,
        ] {
            assert!(payload(other).is_none(), "{other}");
        }
    }

    proptest! {
        /// Messages of the simulator, broken ones too, with some bytes cut out and others put in.
        #[test]
        fn what_is_found_is_there(
            seed in any::<u64>(),
            edits in prop::collection::vec((any::<Index>(), 0..4_usize, "[]\\[{}\",:0-9.eEtn \\\\\u{1}ü-]{0,3}"), 0..4),
        ) {
            let simulation = Simulation { seed, varied: true, defects: 0.3, first_user: 1 };
            let value = simulation.message(seed % 1_000, 1_737_000_000_000).value.unwrap_or_default();
            let Ok(mut text) = String::from_utf8(value) else { return Ok(()) };
            for (place, cut, put) in edits {
                let mut letters: Vec<char> = text.chars().collect();
                let from = place.index(letters.len() + 1);
                let to = (from + cut).min(letters.len());
                letters.splice(from..to, put.chars());
                text = letters.into_iter().collect();
            }
            prop_assert!(agrees(&text), "{text}");
        }

        #[test]
        fn what_is_found_in_small_objects_is_there(
            text in r#"\{("payload":\{("(id|age|platform)":("[a-z]{0,9}"|[0-9]{1,3}|-?[0-9.e]{1,4}|null|true|\[[0-9,]{0,3}\]),?){0,3}\},?|"[a-z]":[0-9{}\[\]"]{0,4},?){1,3}\}"#
        ) {
            prop_assert!(agrees(&text), "{text}");
        }
    }
}
