//! Finds where CSV records begin and end; looks at no field and copies nothing.
//!
//! The rule is the `csv` crate's: records end at LF, CRLF or a lone CR outside quotes; lines with nothing in them
//! are skipped; a quote opens a quoted field only at the field's start, is doubled inside one, and is an ordinary
//! character anywhere else. Bytes are looked at once, however often a record has to wait for more of them.

use memchr::{memchr, memchr3};

/// What the bytes seen so far hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record.
    Record {
        /// Its first byte.
        start: usize,
        /// Behind its last byte.
        end: usize,
        /// Behind its line end.
        next: usize,
        /// Whether the input ended inside a quoted field.
        open: bool,
    },
    /// The record goes on behind these bytes.
    More,
    /// The input is over.
    End,
}

#[derive(Clone, Copy, Debug)]
enum State {
    BetweenRecords,
    OutsideQuotes,
    InsideQuotes,
}

/// The scan's state; offsets count from the start of the buffer it is shown.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    /// Where the unfinished record begins; bytes before it are no longer needed.
    begin: usize,
    /// Where looking goes on.
    scanned: usize,
}

impl Scanner {
    /// Starts at the start of a record.
    pub(super) fn new() -> Self {
        Self { state: State::BetweenRecords, begin: 0, scanned: 0 }
    }

    /// The first byte that is still needed.
    pub(super) fn needed_from(&self) -> usize {
        self.begin
    }

    /// Tells that bytes no longer needed were taken from the front of the buffer.
    pub(super) fn shift(&mut self, count: usize) {
        self.begin -= count;
        self.scanned -= count;
    }

    /// Looks for the end of the next record; `at_end` says that no byte follows the buffer.
    pub(super) fn next(&mut self, buffer: &[u8], at_end: bool) -> Found {
        if matches!(self.state, State::BetweenRecords) {
            let blank = buffer[self.scanned..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.begin = self.scanned + blank;
            self.scanned = self.begin;
            if self.begin == buffer.len() {
                return if at_end { Found::End } else { Found::More };
            }
            self.state = State::OutsideQuotes;
        }
        loop {
            let rest = &buffer[self.scanned..];
            match self.state {
                State::InsideQuotes => {
                    let Some(quote) = memchr(b'"', rest).map(|found| self.scanned + found) else {
                        return self.run_out(buffer, at_end, true);
                    };
                    match buffer.get(quote + 1) {
                        // Only the next byte tells whether this quote is doubled.
                        None if !at_end => {
                            self.scanned = quote;
                            return Found::More;
                        }
                        Some(b'"') => self.scanned = quote + 2,
                        _ => {
                            self.state = State::OutsideQuotes;
                            self.scanned = quote + 1;
                        }
                    }
                }
                State::OutsideQuotes | State::BetweenRecords => {
                    let Some(place) = memchr3(b'\n', b'\r', b'"', rest).map(|found| self.scanned + found) else {
                        return self.run_out(buffer, at_end, false);
                    };
                    match (buffer[place], buffer.get(place + 1)) {
                        (b'"', _) => {
                            if place == self.begin || buffer[place - 1] == b',' {
                                self.state = State::InsideQuotes;
                            }
                            self.scanned = place + 1;
                        }
                        // Only the next byte tells whether this line end has two bytes.
                        (b'\r', None) if !at_end => {
                            self.scanned = place;
                            return Found::More;
                        }
                        (b'\r', Some(b'\n')) => return self.finish(place, place + 2, false),
                        _ => return self.finish(place, place + 1, false),
                    }
                }
            }
        }
    }

    fn run_out(&mut self, buffer: &[u8], at_end: bool, open: bool) -> Found {
        self.scanned = buffer.len();
        if at_end { self.finish(buffer.len(), buffer.len(), open) } else { Found::More }
    }

    fn finish(&mut self, end: usize, next: usize, open: bool) -> Found {
        let start = self.begin;
        self.state = State::BetweenRecords;
        self.begin = next;
        self.scanned = next;
        Found::Record { start, end, next, open }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Scanner};

    fn records(text: &str) -> Vec<&str> {
        let mut scanner = Scanner::new();
        let mut all = Vec::new();
        while let Found::Record { start, end, .. } = scanner.next(text.as_bytes(), true) {
            all.push(&text[start..end]);
        }
        all
    }

    #[test]
    fn cuts_at_line_ends_outside_quotes() {
        assert_eq!(records("a,b\nc\r\nd\re"), ["a,b", "c", "d", "e"]);
        assert_eq!(records("a,\"b\n\r\n\"\"c\"\n\"x\"\n"), ["a,\"b\n\r\n\"\"c\"", "\"x\""]);
        assert_eq!(records("\n\r\n\r\ra\n\n\nb\n\n"), ["a", "b"]);
        assert_eq!(records("\"\"\n \n,\n"), ["\"\"", " ", ","]);
    }

    #[test]
    fn a_quote_inside_an_unquoted_field_is_ordinary() {
        assert_eq!(records("a\"b\nc \"d\n\"e\"f\"g\nh"), ["a\"b", "c \"d", "\"e\"f\"g", "h"]);
    }

    #[test]
    fn tells_when_the_input_ends_inside_quotes() {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.next(b"a,\"b\n", true), Found::Record { start: 0, end: 5, next: 5, open: true });
        assert_eq!(scanner.next(b"a,\"b\n", true), Found::End);
    }

    #[test]
    fn waits_for_the_byte_that_decides() {
        for undecided in [&b"a\r"[..], b"\"a\"", b"a", b"\n"] {
            assert_eq!(Scanner::new().next(undecided, false), Found::More, "{undecided:?}");
        }
    }
}
