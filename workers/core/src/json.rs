//! One pass over plain JSON, as nearly all senders write it: no escapes in strings, not nested deeply.
//!
//! On anything else every function gives up, and the reader of all JSON ([`serde_json`]) decides. What is found is what that one finds.
//! Nothing is copied.

use std::borrow::Cow;

use serde::Deserialize;

/// A member's name, for readers of all JSON: borrowed where it was written without escapes; a bare `Cow` would always be copied.
#[derive(Debug, Deserialize)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Objects and arrays within each other that are still plain.
pub const DEPTH: usize = 8;
const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Walks over a text that is one object with white space around; none when it is anything else, or not plain.
pub fn object<'a>(text: &'a str, visit: Visit<'_, 'a>) -> Option<()> {
    let mut at = Cursor { text, bytes: text.as_bytes(), place: 0 };
    at.space();
    at.object(visit)?;
    at.space();
    (at.place == text.len()).then_some(())
}

/// A place in a text.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    place: usize,
}

/// What is done at a member of a name: it has to go behind the member's value.
pub type Visit<'v, 'a> = &'v mut dyn FnMut(&mut Cursor<'a>, &'a str) -> Option<()>;

impl<'a> Cursor<'a> {
    /// The byte here.
    pub fn byte(&self) -> Option<u8> {
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
    pub fn string(&mut self) -> Option<&'a str> {
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

    /// Any value, as it is written.
    pub fn written(&mut self) -> Option<&'a str> {
        let from = self.place;
        self.skip(DEPTH)?;
        self.text.get(from..self.place)
    }

    /// A number, as it is written.
    pub fn written_number(&mut self) -> Option<&'a str> {
        let from = self.place;
        self.number()?;
        self.text.get(from..self.place)
    }

    /// An object.
    pub fn object(&mut self, visit: Visit<'_, 'a>) -> Option<()> {
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

    /// Any value.
    pub fn skip(&mut self, depth: usize) -> Option<()> {
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

    /// A word that is no string.
    pub fn word(&mut self, word: &str) -> Option<()> {
        self.bytes.get(self.place..)?.starts_with(word.as_bytes()).then(|| self.place += word.len())
    }

    /// A number.
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
