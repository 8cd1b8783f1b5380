//! Finds a whole number in a JSON object of plain members, without reading the rest as values.
//!
//! Every document is looked at before it is written. Those of ours are plain: strings without escapes, numbers, words, and arrays of
//! them, without white space. What is found here is what a reader of all JSON finds; on anything else this gives up, and that reader decides.

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The whole number under a name; none where there is none, or the text is not plain.
pub(super) fn whole_number(text: &str, name: &str) -> Option<i64> {
    let mut at = Cursor { text, place: 0 };
    let mut found = None;
    at.take(b'{')?;
    loop {
        let member = at.string()?;
        at.take(b':')?;
        let value = at.value()?;
        if member == name {
            // The last one counts; one that is no whole number is for the other reader.
            found = Some(value.parse().ok().filter(|_| value != "-0")?);
        }
        if at.take(b',').is_none() {
            at.take(b'}')?;
            break;
        }
    }
    if at.place == text.len() { found } else { None }
}

struct Cursor<'a> {
    text: &'a str,
    place: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.place..]
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (*self.rest().first()? == byte).then(|| self.place += 1)
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let from = self.place;
        while let Some(eight) = self.rest().first_chunk::<8>() {
            let eight = u64::from_le_bytes(*eight);
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
        self.place += self.rest().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
        let string = self.text.get(from..self.place)?;
        self.take(b'"')?;
        Some(string)
    }

    /// The text of a value.
    fn value(&mut self) -> Option<&'a str> {
        let from = self.place;
        match self.rest().first()? {
            b'[' => {
                self.place += 1;
                if self.take(b']').is_none() {
                    self.single()?;
                    while self.take(b',').is_some() {
                        self.single()?;
                    }
                    self.take(b']')?;
                }
            }
            _ => self.single()?,
        }
        self.text.get(from..self.place)
    }

    fn single(&mut self) -> Option<()> {
        match self.rest().first()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.place += word.len())
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
        while self.rest().first().is_some_and(u8::is_ascii_digit) {
            self.place += 1;
        }
        (self.place > from).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::whole_number;

    #[test]
    fn plain_objects_are_found_and_others_left() {
        let found = |text| whole_number(text, "version");
        for (text, version) in [
            (r#"{"version":5}"#, 5),
            (r#"{"a":"ü","b":[],"c":["x",1.5e-3,true],"version":-7,"d":null}"#, -7),
            (r#"{"version":1,"version":9007199254740991}"#, 9_007_199_254_740_991),
        ] {
            assert_eq!(found(text), Some(version), "{text}");
        }
        let others = [
            "",
            "5",
            "{}",
            "[]",
            r#"{"version":5"#,
            r#"{"version":5}}"#,
            r#"{"version":5,}"#,
            r#"{"version":05}"#,
            r#"{"version":-0}"#,
            r#"{"version":5.0}"#,
            r#"{"version":"5"}"#,
            r#"{"version":5}x"#,
            r#"{"version":1e3}"#,
            r#"{"version":5,"a":"\n"}"#,
            r#"{"version":99999999999999999999}"#,
            r#"{"a":{"version":5}}"#,
            r#"{"version":5,"version":"6"}"#,
            r#"{"version":"x","version":6}"#,
            "{\"version\":5,\"a\":\"\u{1}\"}",
            r#"{"version":5,"a":[1,]}"#,
            r#"{'version':5}"#,
        ];
        for text in others {
            assert_eq!(found(text), None, "{text}");
        }
    }

    proptest! {
        /// Whatever the text, what is found is what a reader of all JSON finds.
        #[test]
        fn what_is_found_is_there(text in r#"\{("v":(5|-?[0-9]{1,3}|"x"|[0-9.e+-]{1,4}|\[?[0-9,tru]{0,5}\]?),?|"[a\\]{0,2}":[0-9a-z"\[\]]{0,4},?){1,4}\}"#) {
            if let Some(number) = whole_number(&text, "v") {
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read["v"].as_i64(), Some(number));
            }
        }
    }
}
