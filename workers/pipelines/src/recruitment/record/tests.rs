//! Each reason, its precedence, and what a row looks like.

use super::*;
use polars::prelude::df;
use proptest::prelude::*;

const ID: &str = "a5958000-d75e-11ee-8000-000000000002";

/// Replaced fields, and the reason and detail they lead to.
type Case<'a> = (&'a [(&'a str, &'a str)], Reason, &'a str);

/// A valid record with some fields replaced, by column name.
fn record(changes: &[(&str, &str)]) -> String {
    let base = [("create_time", ID), ("bid", "1.0"), ("custom_track", "click"), ("job_id", "10.0")];
    let fields = TRACKING.iter().map(|column| {
        let found = changes.iter().chain(&base).find(|(name, _)| *name == column.name);
        found.map_or("", |(_, value)| value).to_owned()
    });
    fields.collect::<Vec<_>>().join(",")
}

fn parse_bytes(records: &[&[u8]]) -> ParsedRecords {
    let numbers: Vec<i64> = (1..=records.len() as i64).collect();
    let positions: Vec<i64> = numbers.iter().map(|number| number * 1000).collect();
    let frame = df!(VALUE => records, RECORD => numbers, POSITION => positions).unwrap();
    let parsed = parse(&frame).unwrap();
    assert_eq!(parsed.rows.height() + parsed.rejected.len(), records.len());
    assert_eq!(parsed.rows.height(), parsed.ids.len());
    parsed
}

fn parse_all(records: &[String]) -> ParsedRecords {
    parse_bytes(&records.iter().map(String::as_bytes).collect::<Vec<_>>())
}

fn refused(changes: &[(&str, &str)]) -> (Reason, String) {
    let rejected = parse_all(&[record(changes)]).rejected.pop();
    rejected.map(|rejected| (rejected.reason, rejected.detail)).unwrap()
}

#[test]
fn a_valid_record_becomes_a_typed_row() {
    let ed = "\"{\"\"jobId\"\":1,\n\"\"x\"\":2}\"";
    let text = record(&[("ed", ed), ("group_id", " 34 "), ("tz", "-420.0"), ("vp", "1x1"), ("bid", "2.5e-1")]);
    let parsed = parse_bytes(&[text.as_bytes(), format!("{text}\r").as_bytes()]);
    assert!(parsed.rejected.is_empty());
    assert_eq!(parsed.hashes[0], parsed.hashes[1]);
    let names: Vec<_> = parsed.rows.get_column_names().iter().map(|name| name.to_string()).collect();
    assert_eq!(names, TRACKING[1..].iter().map(|column| column.name).collect::<Vec<_>>());
    let double = |name: &str| parsed.rows.column(name).unwrap().f64().unwrap().get(1);
    let string = |name: &str| parsed.rows.column(name).unwrap().str().unwrap().get(1).map(str::to_owned);
    assert_eq!(double("bid"), Some(0.25));
    assert_eq!(double("group_id"), Some(34.0));
    assert_eq!(double("tz"), Some(-420.0));
    assert_eq!(double("campaign_id"), None);
    assert_eq!(string("ed").as_deref(), Some("{\"jobId\":1,\n\"x\":2}"));
    assert_eq!(string("vp").as_deref(), Some("1x1"));
    assert_eq!(string("bn"), None);
    let ids = parsed.rows.column("create_time").unwrap().binary().unwrap().clone();
    assert_eq!(ids.get(0), time_uuid::parse(ID.as_bytes()).as_ref().map(|id| &id[..]));
}

#[test]
fn every_reason_has_its_detail() {
    use Reason::*;
    let cases: [Case; 17] = [
        (&[("create_time", "")], MissingCreateTime, ""),
        (&[("create_time", "not-a-uuid")], BadCreateTime, "not-a-uuid"),
        (&[("create_time", " ")], BadCreateTime, " "),
        (
            &[("create_time", "7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11")],
            NotTimeUuid,
            "7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11",
        ),
        (&[("bid", "abc")], BadNumber, "bid=abc"),
        (&[("bid", "NaN")], BadNumber, "bid=NaN"),
        (&[("v", " ")], BadNumber, "v= "),
        (&[("tz", "1_000")], BadNumber, "tz=1_000"),
        (&[("job_id", "1e400")], BadNumber, "job_id=1e400"),
        (&[("bid", "1e12")], BadNumber, "bid=1e12"),
        (&[("bid", "-1.0")], NegativeBid, "bid=-1.0"),
        (&[("job_id", "10.5")], BadIdentifier, "job_id=10.5"),
        (&[("group_id", "-1")], BadIdentifier, "group_id=-1"),
        (&[("publisher_id", "9007199254740993")], BadIdentifier, "publisher_id=9007199254740993"),
        // The first reason of the order wins.
        (&[("create_time", ""), ("bid", "x")], MissingCreateTime, ""),
        (&[("bid", "-1"), ("campaign_id", "-2"), ("v", "x")], BadNumber, "v=x"),
        (&[("bid", "-1"), ("job_id", "-3"), ("campaign_id", "-2")], BadIdentifier, "campaign_id=-2"),
    ];
    for (changes, reason, detail) in cases {
        assert_eq!(refused(changes), (reason, detail.to_owned()), "{changes:?}");
    }
    assert!(parse_all(&[record(&[("bid", "-0.0")])]).rejected.is_empty());
}

#[test]
fn broken_records_keep_their_bytes_and_place() {
    let short = record(&[]).replacen(',', "", 1);
    let records: [&[u8]; 4] = [b"", short.as_bytes(), b"1,\xFF,", &[record(&[]).as_bytes(), b",x"].concat()];
    let parsed = parse_bytes(&records);
    let found: Vec<_> = parsed.rejected.iter().map(|rejected| (rejected.reason, rejected.detail.as_str())).collect();
    assert_eq!(
        found,
        [
            (Reason::ColumnCount, "0 fields"),
            (Reason::ColumnCount, "29 fields"),
            (Reason::NotUtf8, "byte 2"),
            (Reason::ColumnCount, "31 fields"),
        ]
    );
    for (index, rejected) in parsed.rejected.iter().enumerate() {
        assert_eq!(rejected.raw, records[index]);
        assert_eq!((rejected.record, rejected.position), (index as i64 + 1, index as i64 * 1000 + 1000));
    }
}

#[test]
fn a_conflict_is_told_with_the_record_as_it_came() {
    let parsed = parse_all(&["x".to_owned(), record(&[("", "7"), ("create_time", &ID.to_uppercase())])]);
    let conflict = parsed.conflict(0);
    assert_eq!((conflict.record, conflict.position, conflict.reason), (2, 2000, Reason::ConflictingDuplicate));
    assert_eq!(conflict.detail, ID);
    assert_eq!(conflict.raw, record(&[("", "7"), ("create_time", &ID.to_uppercase())]).as_bytes());
}

#[test]
fn a_wrong_header_is_named() {
    let names: Vec<_> = TRACKING.iter().map(|column| column.name).collect();
    let header = names.join(",");
    for line in [header.clone(), format!("\u{feff}{header}\r\n"), format!("\"\"{header}\n")] {
        assert_eq!(check_header(line.as_bytes()), Ok(()));
    }
    let text = |line: &str| check_header(line.as_bytes()).unwrap_err();
    assert_eq!(text(&header.replace("create_time", "time")), "column 2: expected `create_time`, found `time`");
    assert_eq!(text(&header.replace(",vp", "")), "expected 30 columns, found 29");
    assert_eq!(text(&format!("{header},more")), "expected 30 columns, found 31");
    assert_eq!(text(&header[1..]), "column 1: expected ``, found `create_time`");
    assert_eq!(text(""), "expected 30 columns, found 0");
    assert_eq!(check_header(b"\xFF").unwrap_err(), "the header is not UTF-8");
}

proptest! {
    #[test]
    fn content_is_what_the_fields_say(index in 0u32..9, texts: [String; 2], quoted: bool, other: String) {
        let field = |text: &str, quoted: bool| {
            if quoted || text.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let row = |index: u32, first: &str, second: &str, quoted| {
            let (first, second) = (field(first, quoted), field(second, quoted));
            record(&[("", &index.to_string()), ("dl", &first), ("dt", &second), ("vp", "x")])
        };
        let parsed = parse_all(&[
            row(0, &texts[0], &texts[1], false),
            row(index, &texts[0], &texts[1], quoted),
            row(0, &texts[0], &other, false),
            row(0, &format!("{}{}", texts[0], texts[1]), "", false),
        ]);
        prop_assert_eq!(parsed.rejected.len(), 0);
        prop_assert_eq!(parsed.hashes[0], parsed.hashes[1]);
        prop_assert_eq!(parsed.hashes[0] == parsed.hashes[2], texts[1] == other);
        prop_assert_eq!(parsed.hashes[0] == parsed.hashes[3], texts[1].is_empty());
    }
}
