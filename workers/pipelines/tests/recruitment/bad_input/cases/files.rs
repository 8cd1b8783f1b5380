//! Whole files: how they begin and end, how their lines end, and files that are something else.

use headrace_core::ErrorKind;
use headrace_pipelines::recruitment::columns::TRACKING;

use super::records::Row;

/// The header of the log.
pub fn header() -> String {
    TRACKING.map(|column| column.name).join(",")
}

/// What must become of a file.
#[derive(Clone, Debug)]
pub enum End {
    /// It is loaded: records stored, and refused ones by record number and reason.
    Loaded(u64, &'static [(i64, &'static str)]),
    /// It is refused, with this kind of error and these words.
    Refused(ErrorKind, &'static [&'static str]),
}

/// A named file and what must become of it.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub end: End,
}

/// The header and so many sound records, joined and ended by some text.
fn lines(records: u64, between: &str, at_end: &str) -> Vec<u8> {
    let lines: Vec<String> = [header()].into_iter().chain((1..=records).map(|n| Row::sound(n).text())).collect();
    (lines.join(between) + at_end).into_bytes()
}

fn after(prefix: &[u8], rest: Vec<u8>) -> Vec<u8> {
    [prefix, &rest].concat()
}

fn utf16(text: &[u8]) -> Vec<u8> {
    [&[0xFF, 0xFE][..], &text.iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>()].concat()
}

/// A record that opens a quote and has none after it.
fn open_record() -> String {
    Row::sound(50).with("dl", "").with("ed", "").text().replacen("1.5,", "\"1.5,", 1)
}

/// Sound records without any quote in them, as lines.
fn unquoted(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(|number| Row::sound(number).with("dl", "").with("ed", "").text() + "\n").collect()
}

/// All cases.
pub fn cases() -> Vec<Case> {
    use End::{Loaded, Refused};
    use ErrorKind::Data;
    let case = |name, bytes, end| Case { name, bytes, end };
    let quoted_header = format!("\"{}\"\n", header().replace(',', "\",\""));
    let records = || lines(2, "\n", "\n")[header().len() + 1..].to_vec();
    let swallowed = format!("{}\n{}\n{}", header(), open_record(), unquoted(1..=3));
    let swallowed_and_closed = format!("{swallowed}\"\n{}", unquoted(4..=6));
    let too_long = format!("{}\n{}{}\n{}", header(), unquoted(1..=2), "x".repeat(13 << 20), unquoted(3..=4));
    vec![
        case("a byte order mark", after(b"\xef\xbb\xbf", lines(3, "\n", "\n")), Loaded(3, &[])),
        case("two byte order marks", after(b"\xef\xbb\xbf\xef\xbb\xbf", lines(3, "\n", "\n")), Loaded(3, &[])),
        case("lines that end in CRLF", lines(3, "\r\n", "\r\n"), Loaded(3, &[])),
        case("lines that end in CR", lines(3, "\r", "\r"), Loaded(3, &[])),
        case("lines that end in LF and CR", lines(3, "\n\r", "\n\r"), Loaded(3, &[])),
        case("no line end at the end", lines(3, "\n", ""), Loaded(3, &[])),
        case("empty lines", after(b"\n\r\n", lines(3, "\n\n\r\n\r", "\n\n\n")), Loaded(3, &[])),
        case(
            "lines of blanks",
            lines(2, "\n \n", "\n\t\n"),
            Loaded(2, &[(1, "column_count"), (3, "column_count"), (5, "column_count")]),
        ),
        case("a header and nothing else", lines(0, "\n", "\n"), Loaded(0, &[])),
        case("a header without its line end", lines(0, "", ""), Loaded(0, &[])),
        case("a header in quotes", after(quoted_header.as_bytes(), records()), Loaded(2, &[])),
        case("zero bytes at the end", lines(2, "\n", "\n\0\0\0\0"), Loaded(2, &[(3, "column_count")])),
        case("an end of file from long ago", lines(2, "\n", "\n\u{1a}"), Loaded(2, &[(3, "column_count")])),
        case(
            "the header once more",
            [lines(2, "\n", "\n"), lines(0, "\n", "\n")].concat(),
            Loaded(2, &[(3, "bad_create_time")]),
        ),
        case(
            "a last record cut in the middle",
            lines(3, "\n", "\n")[..lines(2, "\n", "\n").len() + 99].to_vec(),
            Loaded(2, &[(3, "column_count")]),
        ),
        // Without another quote the field really goes on to the end: all of it is one dead letter, and nothing is gone.
        case("a quote that is never closed", swallowed.into_bytes(), Loaded(0, &[(1, "column_count")])),
        case("a quote that is closed much later", swallowed_and_closed.into_bytes(), Loaded(3, &[(1, "column_count")])),
        case(
            "a record longer than any store takes",
            too_long.into_bytes(),
            Refused(Data, &["record 3", "longer than", "quote"]),
        ),
        case("nothing", Vec::new(), Refused(Data, &["is empty"])),
        case("line ends", b"\n\r\n\n".to_vec(), Refused(Data, &["is empty"])),
        case("UTF-16", utf16(&lines(2, "\n", "\n")), Refused(Data, &["the header is not UTF-8"])),
        case(
            "a packed file",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9".to_vec(),
            Refused(Data, &["header"]),
        ),
        case("an archive", b"PK\x03\x04\x14\x00\x00\x00\x08\x00".to_vec(), Refused(Data, &["wrong header"])),
        case("Parquet", b"PAR1\x15\x04\x15\x10\x15\x14L\x15\x02".to_vec(), Refused(Data, &["wrong header"])),
        case("JSON", b"[{\"create_time\":1}]\n".to_vec(), Refused(Data, &["wrong header"])),
        case(
            "a header in capitals",
            lines(2, "\n", "\n").to_ascii_uppercase(),
            Refused(Data, &["expected `create_time`, found `CREATE_TIME`"]),
        ),
        case("a header that commands a terminal", b"\x1b]0;owned\x07,b\n".to_vec(), Refused(Data, &["wrong header"])),
        case("an endless header", vec![b'h'; 13 << 20], Refused(Data, &["longer than", "quote"])),
    ]
}
