//! Hand-made records of the tracking log.

use headrace_pipelines::recruitment::columns::TRACKING;
use headrace_transforms::civil;

use super::Fate::{self, Counted, Dead, Duplicate, Ignored, Unattributed};
use super::{SOUND_JOB, id, time_us};

/// A record, field by field.
#[derive(Clone)]
pub struct Row(Vec<String>);

impl Row {
    /// A click with everything a click has.
    pub fn sound(number: u64) -> Self {
        let ts = civil::timestamp_text(time_us(number)) + ".123";
        Self(vec![String::new(); TRACKING.len()])
            .with("", &number.to_string())
            .with("create_time", &id(number))
            .with("bid", "1.5")
            .with("bn", "Chrome 103")
            .with("campaign_id", "4.0")
            .with("cd", "24.0")
            .with("custom_track", "click")
            .with("dl", "https://jobs.example/portal?a=1,2")
            .with("ed", r#"{"customEvent":"click","jobId":10}"#)
            .with("ev", "2.0")
            .with("job_id", &format!("{SOUND_JOB}.0"))
            .with("publisher_id", "1.0")
            .with("ts", &ts)
            .with("tz", "-420.0")
            .with("v", "1.0")
    }

    pub fn with(mut self, column: &str, text: &str) -> Self {
        let at = TRACKING.iter().position(|known| known.name == column).unwrap();
        self.0[at] = text.to_owned();
        self
    }

    /// The record, quoted where that is needed.
    pub fn text(&self) -> String {
        let quoted = |field: &String| match field.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", field.replace('"', "\"\"")),
            false => field.clone(),
        };
        self.0.iter().map(quoted).collect::<Vec<_>>().join(",")
    }

    /// The record with quotes around every field.
    fn quoted(&self) -> String {
        let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
        self.0.iter().map(quoted).collect::<Vec<_>>().join(",")
    }

    fn bytes(&self) -> Vec<u8> {
        self.text().into_bytes()
    }

    /// The record with some of its text replaced.
    fn but(&self, from: &str, to: &[u8]) -> Vec<u8> {
        let text = self.text();
        let at = text.find(from).unwrap();
        [&text.as_bytes()[..at], to, &text.as_bytes()[at + from.len()..]].concat()
    }
}

/// One field replaced: the case, the column, the text, the fate.
const FIELDS: &[(&str, &str, &str, Fate)] = &[
    // Event ids.
    ("no event id", "create_time", "", Dead("missing_create_time")),
    ("a blank event id", "create_time", " ", Dead("bad_create_time")),
    ("a word as event id", "create_time", "null", Dead("bad_create_time")),
    ("a date as event id", "create_time", "9999-12-31 23:59:59.999", Dead("bad_create_time")),
    ("an event id in braces", "create_time", "{43d11800-d756-11ee-8000-000000000003}", Dead("bad_create_time")),
    ("an event id without hyphens", "create_time", "43d11800d75611ee8000000000000003", Dead("bad_create_time")),
    ("an event id cut short", "create_time", "43d11800-d756-11ee-8000-00000000000", Dead("bad_create_time")),
    ("an event id too long", "create_time", "43d11800-d756-11ee-8000-0000000000030", Dead("bad_create_time")),
    ("an event id with a blank", "create_time", "43d11800-d756-11ee-8000-000000000003 ", Dead("bad_create_time")),
    ("an event id with a letter g", "create_time", "43d11800-d756-11ee-8000-00000000000g", Dead("bad_create_time")),
    ("an event id with other hyphens", "create_time", "43d11800–d756–11ee–8000–000000000003", Dead("bad_create_time")),
    ("a random id", "create_time", "7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11", Dead("not_time_uuid")),
    ("an id of version 7", "create_time", "018df6ad-9c00-7000-8000-000000000001", Dead("not_time_uuid")),
    ("an id of version 6", "create_time", "1eed7564-3d11-6800-8000-000000000003", Dead("not_time_uuid")),
    ("the nil id", "create_time", "00000000-0000-0000-0000-000000000000", Dead("not_time_uuid")),
    ("the id of all ones", "create_time", "ffffffff-ffff-ffff-ffff-ffffffffffff", Dead("not_time_uuid")),
    ("an id of another variant", "create_time", "43d11800-d756-11ee-c000-000000000003", Dead("not_time_uuid")),
    ("an id in capitals", "create_time", "43D11800-D756-11EE-8000-00000000ABCD", Counted),
    ("the first time an id can tell: 1582", "create_time", "00000000-0000-1000-8000-000000000001", Counted),
    ("the last time an id can tell: 5236", "create_time", "ffffffff-ffff-1fff-bfff-ffffffffffff", Counted),
    // Bids.
    ("no bid", "bid", "", Counted),
    ("a bid that is NaN", "bid", "NaN", Dead("bad_number")),
    ("a bid that is nan", "bid", "nan", Dead("bad_number")),
    ("a bid that is Infinity", "bid", "Infinity", Dead("bad_number")),
    ("a bid that is -inf", "bid", "-inf", Dead("bad_number")),
    ("a bid that is a sign of infinity", "bid", "∞", Dead("bad_number")),
    ("a bid that is null", "bid", "null", Dead("bad_number")),
    ("a bid that is a blank", "bid", " ", Dead("bad_number")),
    ("a bid with a comma", "bid", "1,5", Dead("bad_number")),
    ("a bid with an underscore", "bid", "1_000", Dead("bad_number")),
    ("a bid with a currency", "bid", "$1.50", Dead("bad_number")),
    ("a bid in per cent", "bid", "50%", Dead("bad_number")),
    ("a bid in hexadecimal", "bid", "0x10", Dead("bad_number")),
    ("a bid of two numbers", "bid", "1 2", Dead("bad_number")),
    ("a bid of two points", "bid", "1.2.3", Dead("bad_number")),
    ("a bid of two signs", "bid", "--1", Dead("bad_number")),
    ("a bid of a sign", "bid", "-", Dead("bad_number")),
    ("a bid of a point", "bid", ".", Dead("bad_number")),
    ("a bid of an exponent", "bid", "e5", Dead("bad_number")),
    ("a bid with half an exponent", "bid", "1e", Dead("bad_number")),
    ("a bid with a broken exponent", "bid", "1e+", Dead("bad_number")),
    ("a bid in full width digits", "bid", "１２", Dead("bad_number")),
    ("a bid in Arabic digits", "bid", "٣", Dead("bad_number")),
    ("a bid behind a hard blank", "bid", "\u{a0}1", Dead("bad_number")),
    ("a bid that is a formula", "bid", "=1+1", Dead("bad_number")),
    ("a bid that no double holds", "bid", "1e309", Dead("bad_number")),
    ("a bid with an endless exponent", "bid", "1e99999999999999999999", Dead("bad_number")),
    ("a bid above the highest", "bid", "1000000000.01", Dead("bad_number")),
    ("the highest bid", "bid", "1000000000", Counted),
    ("a bid far below a millionth", "bid", "1e-300", Counted),
    ("a bid with a vanishing exponent", "bid", "1e-99999999999999999999", Counted),
    ("a bid of minus zero", "bid", "-0.0", Counted),
    ("a bid with a plus", "bid", "+1.", Counted),
    ("a bid without its zero", "bid", ".5", Counted),
    ("a bid between tabs", "bid", "\t1.5\t", Counted),
    ("a negative bid", "bid", "-1", Dead("negative_bid")),
    ("a bid just below zero", "bid", "-0.0000001", Dead("negative_bid")),
    ("a negative bid beyond all bounds", "bid", "-1e300", Dead("bad_number")),
    // Identifiers.
    ("no job", "job_id", "", Unattributed),
    ("a job that is a word", "job_id", "ten", Dead("bad_number")),
    ("a job that is true", "job_id", "true", Dead("bad_number")),
    ("a job that is an object", "job_id", "{}", Dead("bad_number")),
    ("a negative job", "job_id", "-10", Dead("bad_identifier")),
    ("half a job", "job_id", "10.5", Dead("bad_identifier")),
    ("a job just beside a whole number", "job_id", "10.0000000000000001", Dead("bad_identifier")),
    ("a job of 2^53 + 1", "job_id", "9007199254740993", Dead("bad_identifier")),
    ("a job of 64 bits", "job_id", "18446744073709551616", Dead("bad_identifier")),
    ("a job of 2^53", "job_id", "9007199254740992", Counted),
    ("a job with an exponent", "job_id", "1.88e2", Counted),
    ("the job zero", "job_id", "0", Counted),
    ("a negative campaign", "campaign_id", "-1", Dead("bad_identifier")),
    ("half a group", "group_id", "0.5", Dead("bad_identifier")),
    ("a publisher beyond 2^53", "publisher_id", "1e16", Dead("bad_identifier")),
    ("a publisher beyond all bounds", "publisher_id", "1e308", Dead("bad_identifier")),
    // Other numbers.
    ("a colour depth that is NaN", "cd", "NaN", Dead("bad_number")),
    ("a colour depth beyond doubles", "cd", "-1e309", Dead("bad_number")),
    ("a colour depth near the end of doubles", "cd", "1.7976931348623157e308", Counted),
    ("the smallest double", "v", "5e-324", Counted),
    ("a negative version", "v", "-1", Counted),
    ("an offset that is a word", "tz", "UTC+7", Dead("bad_number")),
    // Event names.
    ("no event name", "custom_track", "", Ignored),
    ("an event name in capitals", "custom_track", "CLICK", Ignored),
    ("an event name with a blank", "custom_track", "click ", Ignored),
    ("an event name with a zero byte", "custom_track", "click\0", Ignored),
    ("an event name of control characters", "custom_track", "\u{1}\u{1b}[2J\u{7f}", Ignored),
    ("an event name with a quote", "custom_track", "cli\"ck", Ignored),
    ("an event name of several lines", "custom_track", "click\r\nclick\n", Ignored),
    ("an event name that looks like the end of JSON", "custom_track", "\"}],{\"", Ignored),
    ("an event name with a joiner", "custom_track", "cl\u{200d}ick", Ignored),
    // Texts.
    ("a client time in the year 9999", "ts", "9999-12-31 23:59:59.999", Counted),
    ("a client time in the year 0", "ts", "0000-00-00 00:00:00", Counted),
    ("no client time", "ts", "", Counted),
    ("event data that is no JSON", "ed", "{\"jobId\":", Counted),
    ("event data with lone surrogates", "ed", r#"{"a":"\ud800"}"#, Counted),
    ("a title that commands a database", "dt", "'; DROP TABLE tracking; --", Counted),
    ("a title that commands a spreadsheet", "dt", "=cmd|' /C calc'!A0", Counted),
    ("a title that commands a browser", "dt", "<script>alert(1)</script>", Counted),
    ("a title that commands a terminal", "dt", "\u{1b}]0;owned\u{7}", Counted),
    ("a title with a zero byte", "dt", "a\0b", Counted),
    ("a title of controls", "dt", "\u{1}\u{2}\u{8}\u{b}\u{c}\u{7f}\u{85}", Counted),
    ("a title that turns the direction", "dt", "\u{202e}txt.exe", Counted),
    ("a title of all planes", "dt", "é漢🦀\u{10ffff}\u{feff}\u{fffe}", Counted),
    ("a title of several lines", "dt", "a\nb\r\nc\rd", Counted),
    ("a title of quotes", "dt", "\"\"\"", Counted),
    ("a title with a backslash", "dt", "\\N\\\"", Counted),
    ("a word as row index", "", "abc", Counted),
    ("no row index", "", "", Counted),
];

/// Makes a case out of a sound record and the size of what is large.
type Make = fn(&Row, usize) -> Vec<u8>;

/// Records that are more than one field away from a sound one.
const WHOLE: &[(&str, Make, Fate)] = &[
    ("a blank", |_, _| b" ".to_vec(), Dead("column_count")),
    ("two quotes", |_, _| b"\"\"".to_vec(), Dead("column_count")),
    ("a comma", |_, _| b",".to_vec(), Dead("column_count")),
    ("a zero byte", |_, _| b"\0".to_vec(), Dead("column_count")),
    ("commas only", |_, _| vec![b','; 29], Dead("missing_create_time")),
    ("a hundred thousand commas", |_, _| vec![b','; 100_000], Dead("column_count")),
    ("a field too few", |row, _| row.but("1.5,", b""), Dead("column_count")),
    ("a field too many", |row, _| row.but("1.5,", b"1.5,,"), Dead("column_count")),
    ("semicolons", |row, _| row.text().replace(',', ";").into_bytes(), Dead("column_count")),
    ("tabs", |row, _| row.text().replace(',', "\t").into_bytes(), Dead("column_count")),
    ("the header again", |_, _| super::files::header().into_bytes(), Dead("bad_create_time")),
    ("a JSON object", |_, _| br#"{"create_time":"x","bid":1}"#.to_vec(), Dead("column_count")),
    ("an SQL dump", |_, _| b"INSERT INTO tracking VALUES (1);".to_vec(), Dead("column_count")),
    ("quotes escaped by backslashes", |row, _| row.but("4.0", br#""{\"a\": 1, \"b\": 2}""#), Dead("column_count")),
    ("a quote that is closed by another field's", |row, _| row.but("1.5,", b"\"1.5,"), Dead("column_count")),
    ("a quote that is closed on the next line", unclosed, Dead("column_count")),
    ("a quote in the middle of a field", |row, _| row.but("Chrome 103", b"Chr\"ome"), Counted),
    ("text behind a closing quote", |row, _| row.but("Chrome 103", b"\"Chrome\" 103"), Counted),
    ("all fields in quotes", |row, _| row.quoted().into_bytes(), Counted),
    ("a byte that is no UTF-8", |row, _| row.but("Chrome", b"\xff"), Dead("not_utf8")),
    ("Latin-1", |row, _| row.but("Chrome", b"caf\xe9"), Dead("not_utf8")),
    ("a character cut in half", |row, _| row.but("Chrome", b"\xe6\xbc"), Dead("not_utf8")),
    ("an overlong slash", |row, _| row.but("Chrome", b"\xc0\xaf"), Dead("not_utf8")),
    ("a surrogate in UTF-8", |row, _| row.but("Chrome", b"\xed\xa0\x80"), Dead("not_utf8")),
    ("a character beyond Unicode", |row, _| row.but("Chrome", b"\xf4\x90\x80\x80"), Dead("not_utf8")),
    ("UTF-16", |row, _| row.text().bytes().flat_map(|byte| [byte, 0]).collect(), Dead("column_count")),
    ("a byte order mark before the record", |row, _| [b"\xef\xbb\xbf", row.bytes().as_slice()].concat(), Counted),
    ("a very long title", |row, size| row.clone().with("dt", &"x".repeat(size)).bytes(), Counted),
    ("a very long event name", |row, size| row.clone().with("custom_track", &"y".repeat(size)).bytes(), Ignored),
    ("a very long number", |row, size| row.clone().with("cd", &"9".repeat(size)).bytes(), Dead("bad_number")),
    ("a very long zero", |row, size| row.clone().with("cd", &"0".repeat(size)).bytes(), Counted),
    (
        "a very long fraction",
        |row, size| row.clone().with("job_id", &format!("7.{}1", "0".repeat(size))).bytes(),
        Dead("bad_identifier"),
    ),
    (
        "a very long bid that is no number",
        |row, size| row.clone().with("bid", &"b".repeat(size)).bytes(),
        Dead("bad_number"),
    ),
    (
        "a very long event id",
        |row, size| row.clone().with("create_time", &"a".repeat(size)).bytes(),
        Dead("bad_create_time"),
    ),
    ("deep JSON", |row, size| row.clone().with("ed", &("[".repeat(size / 2) + &"]".repeat(size / 2))).bytes(), Counted),
    ("a copy", |_, _| Row::sound(1).bytes(), Duplicate),
    ("a copy with another index", |_, _| Row::sound(1).with("", "9").bytes(), Duplicate),
    ("a copy in other quotes", |_, _| Row::sound(1).but("Chrome 103", b"\"Chrome 103\""), Duplicate),
    (
        "a copy with its id in capitals",
        |_, _| Row::sound(1).with("create_time", &id(1).to_uppercase()).bytes(),
        Duplicate,
    ),
    ("a copy with another bid", |_, _| Row::sound(1).with("bid", "2").bytes(), Dead("conflicting_duplicate")),
    (
        "a copy whose bid is spelled otherwise",
        |_, _| Row::sound(1).with("bid", "1.50").bytes(),
        Dead("conflicting_duplicate"),
    ),
];

fn unclosed(row: &Row, _: usize) -> Vec<u8> {
    let row = row.clone().with("dl", "").with("ed", "");
    [row.but("1.5,", b"\"1.5,"), b"\n1,2,3\"".to_vec()].concat()
}

/// A named record and what must become of it.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// All cases, each with an event id of its own unless it says otherwise.
pub fn cases(large: usize) -> Vec<Case> {
    let row = |number: usize| Row::sound(10_000 + number as u64).with("job_id", "10.0");
    let fields = FIELDS.iter().enumerate().map(|(number, (name, column, text, fate))| Case {
        name,
        bytes: row(number).with(column, text).bytes(),
        fate: *fate,
    });
    let whole = WHOLE.iter().enumerate().map(|(number, (name, make, fate))| Case {
        name,
        bytes: make(&row(5_000 + number), large),
        fate: *fate,
    });
    fields.chain(whole).collect()
}
