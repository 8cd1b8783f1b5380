//! Splits the text of one CSV record (RFC 4180, already cut from its file) into unescaped fields.
//!
//! The buffers are kept from record to record, so splitting allocates nothing once warm.
//! A record is all of its text: a line break outside quotes, which only a record with a stray
//! quote can hold, is data of its field. As in common readers, a quote inside an unquoted field
//! is a plain character, and what follows a closing quote belongs to the field.

/// Splits records into fields, one at a time.
#[derive(Debug, Default)]
pub struct RecordSplitter {
    /// The unescaped fields, one after another.
    text: String,
    /// Where each field starts in `text`, and where the last one ends.
    bounds: Vec<usize>,
}

impl RecordSplitter {
    /// Makes a splitter with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Splits a record, given without its line end, and gives the number of its fields (0 for an empty record).
    pub fn split(&mut self, record: &str) -> usize {
        self.text.clear();
        self.bounds.clear();
        if record.is_empty() {
            return 0;
        }
        self.bounds.push(0);
        let mut rest = record;
        loop {
            let unquoted = match rest.strip_prefix('"') {
                Some(quoted) => self.take_quoted(quoted),
                None => rest,
            };
            let end = position(unquoted, b',').unwrap_or(unquoted.len());
            self.text.push_str(&unquoted[..end]);
            self.bounds.push(self.text.len());
            if end == unquoted.len() {
                return self.bounds.len() - 1;
            }
            rest = &unquoted[end + 1..];
        }
    }

    /// Copies a quoted part up to its closing quote and gives what follows it.
    fn take_quoted<'a>(&mut self, mut rest: &'a str) -> &'a str {
        while let Some(end) = position(rest, b'"') {
            self.text.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(after) => {
                    self.text.push('"');
                    rest = after;
                }
                None => return rest,
            }
        }
        self.text.push_str(rest); // the closing quote is missing
        ""
    }

    /// Gives a field of the record split last, counted from 0; empty if there is no such field.
    pub fn field(&self, index: usize) -> &str {
        &self.text[self.start(index)..self.start(index + 1)]
    }

    /// Gives the fields of the record split last, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.bounds.windows(2).map(|bounds| &self.text[bounds[0]..bounds[1]])
    }

    /// Gives the text of a field and of all after it, without anything between them.
    pub fn text_from(&self, index: usize) -> &str {
        &self.text[self.start(index)..]
    }

    fn start(&self, index: usize) -> usize {
        self.bounds.get(index).copied().unwrap_or(self.text.len())
    }
}

fn position(text: &str, wanted: u8) -> Option<usize> {
    text.bytes().position(|byte| byte == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(record: &str) -> Vec<String> {
        let mut splitter = RecordSplitter::new();
        let count = splitter.split(record);
        let fields: Vec<_> = splitter.fields().map(str::to_owned).collect();
        assert_eq!(fields.len(), count);
        assert_eq!(splitter.text_from(0), fields.concat());
        assert_eq!(splitter.text_from(1), fields.iter().skip(1).map(String::as_str).collect::<String>());
        assert_eq!(splitter.text_from(count), "");
        assert_eq!(splitter.field(count), "");
        fields
    }

    #[test]
    fn splits_plain_quoted_and_empty_fields() {
        assert_eq!(split("a,b,c"), ["a", "b", "c"]);
        assert_eq!(split(",,"), ["", "", ""]);
        assert_eq!(split("\"a,\"\"b\"\"\",\"\",\"x\ny\""), ["a,\"b\"", "", "x\ny"]);
        assert_eq!(split("\"\"\"\""), ["\""]);
        assert_eq!(split("a"), ["a"]);
        assert!(split("").is_empty());
    }

    #[test]
    fn bends_rules_like_other_readers() {
        assert_eq!(split("a\"b\",c"), ["a\"b\"", "c"]);
        assert_eq!(split("\"a\"b\"c\",d"), ["ab\"c\"", "d"]);
        assert_eq!(split("\"a,b"), ["a,b"]);
        assert_eq!(split("a\nb,c\r"), ["a\nb", "c\r"]);
    }

    proptest! {
        #[test]
        fn gives_back_what_was_quoted(fields in prop::collection::vec("[a\",\n\r\u{e9} ]{0,6}", 2..8)) {
            let record: Vec<_> = fields
                .iter()
                .map(|field| format!("\"{}\"", field.replace('"', "\"\"")))
                .collect();
            prop_assert_eq!(split(&record.join(",")), fields);
        }

        #[test]
        fn agrees_with_csv_core(record in "[a\", ]{1,24}") {
            let mut reader = csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(0)).build();
            let (mut text, mut ends) = ([0; 64], [0; 64]);
            let (_, _, wrote, mut count) = reader.read_record(record.as_bytes(), &mut text, &mut ends);
            let (_, _, _, last) = reader.read_record(&[], &mut text[wrote..], &mut ends[count..]);
            count += last;
            let mut start = 0;
            let expected: Vec<_> = ends[..count].iter().map(|&end| {
                let field = String::from_utf8_lossy(&text[start..end]).into_owned();
                start = end;
                field
            }).collect();
            prop_assert_eq!(split(&record), expected);
        }
    }
}
