//! Hand-made messages.

use headrace_transforms::civil;

use super::Fate::{self, Counted, Dead, Duplicate, Ignored, Unattributed};
use super::{Message, SOUND_JOB, id, time_us};

/// A click with everything a click has.
pub fn sound(number: u64) -> Message {
    let value = format!(
        r#"{{{},"job_id":{SOUND_JOB},"custom_track":"click","bid":1.5,"campaign_id":4,"group_id":null,"publisher_id":1}}"#,
        event(number)
    );
    (Some(SOUND_JOB.to_string().into_bytes()), Some(value.into_bytes()))
}

fn ts(number: u64) -> String {
    format!(r#""ts":"{}""#, civil::timestamp_text(time_us(number)))
}

fn event(number: u64) -> String {
    format!(r#""event_id":"{}",{}"#, id(number), ts(number))
}

/// Texts of messages. `EVENT` stands for an event id and its time, `TS` for the time alone, `CLICK` for a click of a job.
const VALUES: &[(&str, &str, Fate)] = &[
    // What is no message.
    ("nothing", "", Dead("empty_message")),
    ("a blank", " ", Dead("bad_json")),
    ("a word", "click", Dead("bad_json")),
    ("a zero byte", "\0", Dead("bad_json")),
    ("a byte order mark", "\u{feff}{}", Dead("bad_json")),
    ("null", "null", Dead("bad_json")),
    ("a number", "7", Dead("bad_json")),
    ("NaN", "NaN", Dead("bad_json")),
    ("a string", "\"click\"", Dead("bad_json")),
    ("an array", "[]", Dead("bad_json")),
    ("an array of the fields", r#"["x","2024-03-01 00:00:00",10,"click",1,1,1,1]"#, Dead("bad_json")),
    ("an object in an array", "[{EVENT,CLICK}]", Dead("bad_json")),
    ("half an object", "{EVENT", Dead("bad_json")),
    ("two objects", "{EVENT,CLICK}{EVENT,CLICK}", Dead("bad_json")),
    ("an object and a line of another", "{EVENT,CLICK}\n{", Dead("bad_json")),
    ("a comma at the end", "{EVENT,CLICK,}", Dead("bad_json")),
    ("a comment", "{EVENT,CLICK}//", Dead("bad_json")),
    ("single quotes", "{'ts':'2024-03-01 00:00:00'}", Dead("bad_json")),
    ("names without quotes", "{ts:1}", Dead("bad_json")),
    ("a field twice", "{EVENT,CLICK,\"job_id\":11}", Dead("bad_json")),
    ("a field twice in another spelling", "{EVENT,CLICK,\"job\\u005fid\":11}", Dead("bad_json")),
    ("a string with a line break", "{EVENT,\"custom_track\":\"a\nb\"}", Dead("bad_json")),
    ("a string with half an escape", "{EVENT,\"custom_track\":\"\\u00\"}", Dead("bad_json")),
    ("a string with an unknown escape", "{EVENT,\"custom_track\":\"\\x41\"}", Dead("bad_json")),
    ("a lone surrogate", "{EVENT,\"custom_track\":\"\\ud800\"}", Dead("bad_json")),
    ("a pair of wrong surrogates", "{EVENT,\"custom_track\":\"\\udc00\\ud800\"}", Dead("bad_json")),
    ("infinity as a number", "{EVENT,CLICK,\"x\":Infinity}", Dead("bad_json")),
    ("a number with a leading zero", "{EVENT,\"bid\":01}", Dead("bad_json")),
    ("a number with a plus", "{EVENT,\"bid\":+1}", Dead("bad_json")),
    ("a number with a bare point", "{EVENT,\"bid\":1.}", Dead("bad_json")),
    ("a hexadecimal number", "{EVENT,\"bid\":0x1}", Dead("bad_json")),
    ("an event of XML", "<event/>", Dead("bad_json")),
    ("an event name that is a number", "{EVENT,\"custom_track\":1}", Dead("bad_json")),
    ("an event name that is an object", "{EVENT,\"custom_track\":{}}", Dead("bad_json")),
    // Times.
    ("an empty object", "{}", Dead("missing_ts")),
    ("no time", "{\"job_id\":10,\"custom_track\":\"click\"}", Dead("missing_ts")),
    ("a time that is null", "{\"ts\":null}", Dead("missing_ts")),
    ("a time in capitals", "{\"Ts\":\"2024-03-01 00:00:00\"}", Dead("missing_ts")),
    ("a time that is a number", "{\"ts\":1709251200}", Dead("bad_ts")),
    ("an empty time", "{\"ts\":\"\"}", Dead("bad_ts")),
    ("a time with a T", "{\"ts\":\"2024-03-01T00:00:00\"}", Dead("bad_ts")),
    ("a time with a zone", "{\"ts\":\"2024-03-01 00:00:00Z\"}", Dead("bad_ts")),
    ("a time with milliseconds", "{\"ts\":\"2024-03-01 00:00:00.000\"}", Dead("bad_ts")),
    ("the hour 24", "{\"ts\":\"2024-03-01 24:00:00\"}", Dead("bad_ts")),
    ("a leap second", "{\"ts\":\"2016-12-31 23:59:60\"}", Dead("bad_ts")),
    ("the 30th of February", "{\"ts\":\"2024-02-30 00:00:00\"}", Dead("bad_ts")),
    ("a leap day of a common year", "{\"ts\":\"2023-02-29 00:00:00\"}", Dead("bad_ts")),
    ("the month 0", "{\"ts\":\"2024-00-10 00:00:00\"}", Dead("bad_ts")),
    ("the year 0", "{\"ts\":\"0000-01-01 00:00:00\"}", Dead("bad_ts")),
    ("the year 1", "{\"ts\":\"0001-01-01 00:00:00\"}", Dead("bad_ts")),
    ("the last second before times can be told", "{\"ts\":\"1582-10-14 23:59:59\",CLICK}", Dead("bad_ts")),
    ("the first second that can be told", "{\"ts\":\"1582-10-15 00:00:00\",CLICK}", Counted),
    ("the year 9999", "{\"ts\":\"9999-12-31 23:59:59\",CLICK}", Counted),
    ("the year 10000", "{\"ts\":\"10000-01-01 00:00:00\"}", Dead("bad_ts")),
    ("a negative year", "{\"ts\":\"-001-01-01 00:00:00\"}", Dead("bad_ts")),
    ("full width digits", "{\"ts\":\"２０24-01 00:00:00\"}", Dead("bad_ts")),
    // Event ids.
    ("no event id", "{TS,CLICK}", Counted),
    ("an event id that is null", "{\"event_id\":null,TS,CLICK}", Counted),
    ("an empty event id", "{\"event_id\":\"\",TS,CLICK}", Dead("bad_event_id")),
    ("an event id that is a number", "{\"event_id\":1,TS,CLICK}", Dead("bad_event_id")),
    ("an event id that is a list", "{\"event_id\":[],TS,CLICK}", Dead("bad_event_id")),
    ("an event id that is a word", "{\"event_id\":\"users_created-0-1\",TS,CLICK}", Dead("bad_event_id")),
    ("a random event id", "{\"event_id\":\"7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11\",TS}", Dead("not_time_uuid")),
    (
        "an event id of another time",
        "{\"event_id\":\"43d11800-d756-11ee-8000-000000000003\",TS}",
        Dead("time_mismatch"),
    ),
    (
        "the last event id, and the year 9999",
        "{\"event_id\":\"ffffffff-ffff-1fff-bfff-ffffffffffff\",\"ts\":\"9999-12-31 23:59:59\"}",
        Dead("time_mismatch"),
    ),
    (
        "an event id with escapes",
        "{\"event_id\":\"\\u0034\\u0033d11800-d756-11ee-8000-000000000009\",\"ts\":\"2024-02-29 23:00:00\",CLICK}",
        Counted,
    ),
    // Numbers.
    ("a bid that is a string", "{EVENT,\"bid\":\"1.5\"}", Dead("bad_number")),
    ("a bid that is NaN", "{EVENT,\"bid\":\"NaN\"}", Dead("bad_number")),
    ("a bid that is true", "{EVENT,\"bid\":true}", Dead("bad_number")),
    ("a bid that is an object", "{EVENT,\"bid\":{\"amount\":1}}", Dead("bad_number")),
    ("a bid beyond all bounds", "{EVENT,\"bid\":1e400}", Dead("bad_number")),
    ("a bid above the highest", "{EVENT,\"bid\":1000000000.000001}", Dead("bad_number")),
    ("a negative bid", "{EVENT,\"bid\":-1}", Dead("negative_bid")),
    ("a bid just below zero", "{EVENT,\"bid\":-1e-300}", Dead("negative_bid")),
    ("a bid of minus zero", "{EVENT,\"job_id\":10,\"custom_track\":\"click\",\"bid\":-0}", Counted),
    (
        "a bid of many digits",
        "{EVENT,\"job_id\":10,\"custom_track\":\"click\",\"bid\":0.00000000000000000000000000000000000001}",
        Counted,
    ),
    ("a job that is a string", "{EVENT,\"job_id\":\"10\"}", Dead("bad_identifier")),
    ("a job that is false", "{EVENT,\"job_id\":false}", Dead("bad_identifier")),
    ("a negative job", "{EVENT,\"job_id\":-1}", Dead("bad_identifier")),
    ("half a job", "{EVENT,\"job_id\":0.5}", Dead("bad_identifier")),
    ("a job of 2^53 + 1", "{EVENT,\"job_id\":9007199254740993}", Dead("bad_identifier")),
    ("a job with an endless exponent", "{EVENT,\"job_id\":1e99999999999999999999}", Dead("bad_identifier")),
    ("a job with a point", "{EVENT,\"job_id\":188.0,\"custom_track\":\"click\"}", Counted),
    ("a campaign that is a list", "{EVENT,\"campaign_id\":[1]}", Dead("bad_identifier")),
    ("a negative group", "{EVENT,\"group_id\":-1}", Dead("bad_identifier")),
    ("a publisher of 64 bits", "{EVENT,\"publisher_id\":18446744073709551616}", Dead("bad_identifier")),
    // What is unusual and sound.
    ("a time alone", "{TS}", Ignored),
    ("no job", "{EVENT,\"custom_track\":\"click\",\"bid\":2}", Unattributed),
    ("a job that is null", "{EVENT,\"custom_track\":\"qualified\",\"job_id\":null}", Unattributed),
    ("an event name in capitals", "{EVENT,\"job_id\":10,\"custom_track\":\"Click\"}", Ignored),
    ("an event name with a zero byte", "{EVENT,\"job_id\":10,\"custom_track\":\"click\\u0000\"}", Ignored),
    ("an event name with escapes", "{EVENT,\"job_id\":10,\"custom_track\":\"\\u0063lick\"}", Counted),
    ("blanks everywhere", " \t\r\n{ EVENT , CLICK }\n ", Counted),
    ("unknown fields", "{EVENT,CLICK,\"x\":{\"ts\":[1,{\"job_id\":\"no\"}]},\"\":null,\"y\":1e999}", Counted),
    ("a name of controls", "{EVENT,CLICK,\"\\u0000\\u001b\":1}", Counted),
];

type Make = fn(u64, usize) -> Message;

fn valued(value: impl Into<Vec<u8>>) -> Message {
    (None, Some(value.into()))
}

fn click(number: u64) -> String {
    format!(r#"{{{},"job_id":10,"custom_track":"click","bid":1}}"#, event(number))
}

/// Messages that are more than a short text: made from a number of their own and the size of what is large.
const WHOLE: &[(&str, Make, Fate)] = &[
    ("a tombstone", |_, _| (Some(b"10".to_vec()), None), Dead("empty_message")),
    ("a tombstone without a key", |_, _| (None, None), Dead("empty_message")),
    ("a sound message without a key", |number, _| valued(click(number)), Counted),
    ("an empty key", |number, _| (Some(Vec::new()), Some(click(number).into())), Counted),
    ("a key that is no UTF-8", |number, _| (Some(b"\xff\0\xfe".to_vec()), Some(click(number).into())), Counted),
    ("the key of another job", |number, _| (Some(b"11".to_vec()), Some(click(number).into())), Counted),
    ("a long key", |number, size| (Some(vec![b'k'; size]), Some(click(number).into())), Counted),
    ("a long key before no JSON", |_, size| (Some(vec![b'k'; size]), Some(b"{".to_vec())), Dead("bad_json")),
    ("a long key before a tombstone", |_, size| (Some(vec![b'k'; size]), None), Dead("empty_message")),
    (
        "a long key before long controls",
        |_, size| (Some(vec![b'k'; size / 2]), Some(vec![1; size / 2])),
        Dead("bad_json"),
    ),
    ("a byte that is no UTF-8", |_, _| valued(*b"{\"ts\":\"\xff\"}"), Dead("not_utf8")),
    ("Latin-1", |_, _| valued(*b"{\"custom_track\":\"caf\xe9\"}"), Dead("not_utf8")),
    (
        "UTF-16",
        |number, _| valued(click(number).bytes().flat_map(|byte| [byte, 0]).collect::<Vec<u8>>()),
        Dead("bad_json"),
    ),
    ("Avro", |_, _| valued(*b"\0\0\0\0\x01\x02\x06foo"), Dead("bad_json")),
    ("Protocol Buffers", |_, _| valued(*b"\x08\x96\x01\x12\x07testing"), Dead("not_utf8")),
    ("noise", |_, size| valued((0..size).map(|at| (at * 7 + at / 251) as u8).collect::<Vec<u8>>()), Dead("not_utf8")),
    ("long blanks", |_, size| valued(" ".repeat(size)), Dead("bad_json")),
    (
        "a long unknown field",
        |number, size| valued(click(number).replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(size)), 1)),
        Counted,
    ),
    (
        "a long event name",
        |number, size| valued(format!(r#"{{{},"custom_track":"{}"}}"#, event(number), "y".repeat(size))),
        Ignored,
    ),
    (
        "a long number",
        |number, size| valued(format!(r#"{{{},"bid":{}}}"#, event(number), "9".repeat(size))),
        Dead("bad_number"),
    ),
    (
        "a long fraction",
        |number, size| valued(format!(r#"{{{},"job_id":1.{}1}}"#, event(number), "0".repeat(size))),
        Dead("bad_identifier"),
    ),
    ("a long time", |_, size| valued(format!(r#"{{"ts":"{}"}}"#, "2".repeat(size))), Dead("bad_ts")),
    ("long control characters", |_, size| valued(vec![1; size]), Dead("bad_json")),
    ("long zero bytes in no UTF-8", |_, size| valued([vec![0; size], vec![0xFF]].concat()), Dead("not_utf8")),
    (
        "deep lists in an unknown field",
        |number, size| {
            valued(click(number).replacen(
                '{',
                &format!("{{\"x\":{}{},", "[".repeat(size / 2), "]".repeat(size / 2)),
                1,
            ))
        },
        Counted,
    ),
    ("deep objects", |_, size| valued("{\"ts\":".repeat(size / 8)), Dead("bad_json")),
    (
        "a job of deep lists",
        |number, size| {
            valued(format!(r#"{{{},"job_id":{}{}}}"#, event(number), "[".repeat(size / 2), "]".repeat(size / 2)))
        },
        Dead("bad_identifier"),
    ),
    (
        "a hundred thousand fields",
        |number, size| {
            valued(format!(
                "{{{}\"last\":{{}},{}",
                (0..size / 16).map(|n| format!("\"f{n}\":{n},")).collect::<String>(),
                &click(number)[1..]
            ))
        },
        Counted,
    ),
    ("a copy", |_, _| sound(1), Duplicate),
    ("a copy with another key", |_, _| (Some(b"x".to_vec()), sound(1).1), Duplicate),
    (
        "a copy that says something else",
        |_, _| valued(format!(r#"{{{},"job_id":99,"custom_track":"click"}}"#, event(1))),
        Duplicate,
    ),
];

/// A named message and what must become of it.
pub struct Case {
    pub name: &'static str,
    pub message: Message,
    pub fate: Fate,
}

/// All cases, each with an event id of its own unless it says otherwise.
pub fn cases(large: usize) -> Vec<Case> {
    let short = VALUES.iter().zip(20_000..).map(|((name, text, fate), number)| {
        let click = r#""job_id":10,"custom_track":"click","bid":1"#;
        let text = text.replace("EVENT", &event(number)).replace("TS", &ts(number)).replace("CLICK", click);
        Case { name, message: (Some(b"10".to_vec()), Some(text.into_bytes())), fate: *fate }
    });
    let whole = WHOLE.iter().zip(30_000..).map(|((name, make, fate), number)| Case {
        name,
        message: make(number, large),
        fate: *fate,
    });
    short.chain(whole).collect()
}
