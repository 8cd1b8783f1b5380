//! Each reason, and that what is encoded decodes to the same event.

use headrace_core::batch::message_columns::{KEY, OFFSET, PARTITION, VALUE};
use headrace_transforms::{civil, time_uuid};
use polars::prelude::{DataFrame, df};
use proptest::prelude::*;

use super::*;
use crate::recruitment::classes::Class;
use crate::recruitment::event;
use crate::recruitment::reason::Reason;

fn decode_all(values: &[Option<&[u8]>]) -> Decoded {
    let offsets: Vec<i64> = (0..values.len() as i64).collect();
    let (keys, partitions) = (vec![Some(&b"10"[..]); values.len()], vec![2i32; values.len()]);
    decode(&df!(KEY => keys, VALUE => values, PARTITION => partitions, OFFSET => offsets).unwrap()).unwrap()
}

fn refused(value: &str) -> (&'static str, String) {
    let rejected = decode_all(&[Some(value.as_bytes())]).rejected.pop();
    rejected.map(|rejected| (rejected.reason.as_str(), rejected.detail)).unwrap_or_else(|| panic!("{value}"))
}

fn integers(frame: &DataFrame, name: &str) -> Vec<Option<i64>> {
    frame.column(name).unwrap().i64().unwrap().iter().collect()
}

const TS: &str = r#""ts":"2024-03-01 00:00:00""#;

#[test]
fn refuses_what_is_not_a_message() {
    let rejected = |value| decode_all(&[value]).rejected.remove(0);
    let tombstone = rejected(None);
    assert_eq!((tombstone.reason, tombstone.raw), (Reason::EmptyMessage, None));
    assert_eq!(tombstone.key.as_deref(), Some(&b"10"[..]));
    assert_eq!((tombstone.partition, tombstone.offset), (2, 0));
    let empty = rejected(Some(b""));
    assert_eq!((empty.reason, empty.raw), (Reason::EmptyMessage, Some(Vec::new())));
    let broken = rejected(Some(b"{\"\xFF\":1}"));
    assert_eq!((broken.reason, broken.detail.as_str()), (Reason::NotUtf8, "byte 2"));
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    for value in
        ["x", "[]", "[1,2,3,4,5,6,7,8]", "null", "\"\"", "{", "{}{}", "{\"ts\":1,\"ts\":2}", "{'ts':1}", &deep[..99]]
    {
        assert_eq!(refused(value).0, "bad_json", "{value}");
    }
    assert_eq!(refused(&deep).0, "missing_ts");
}

#[test]
fn every_reason_has_its_detail() {
    let cases = [
        ("{}", "missing_ts", ""),
        (r#"{"ts":null}"#, "missing_ts", ""),
        (r#"{"ts":5}"#, "bad_ts", "5"),
        (r#"{"ts":"2024-03-01"}"#, "bad_ts", "2024-03-01"),
        (r#"{"ts":"2024-03-01 00:00:00.5"}"#, "bad_ts", "2024-03-01 00:00:00.5"),
        (r#"{TS,"event_id":"x"}"#, "bad_event_id", "x"),
        (r#"{TS,"event_id":7}"#, "bad_event_id", "7"),
        (
            r#"{TS,"event_id":"7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11"}"#,
            "not_time_uuid",
            "7f1a4c1e-8a52-4a41-9d3e-0a6f6f0f8f11",
        ),
        (r#"{TS,"bid":"1"}"#, "bad_number", "bid=\"1\""),
        (r#"{TS,"bid":1e12}"#, "bad_number", "bid=1e12"),
        (r#"{TS,"bid":1e400}"#, "bad_number", "bid=1e400"),
        (r#"{TS,"bid":{}}"#, "bad_number", "bid={}"),
        (r#"{TS,"job_id":"188"}"#, "bad_identifier", "job_id=\"188\""),
        (r#"{TS,"job_id":10.5,"group_id":-1}"#, "bad_identifier", "group_id=-1"),
        (r#"{TS,"publisher_id":9007199254740993}"#, "bad_identifier", "publisher_id=9007199254740993"),
        (r#"{TS,"bid":-0.1,"job_id":10.5}"#, "bad_identifier", "job_id=10.5"),
        (r#"{TS,"bid":-0.1}"#, "negative_bid", "bid=-0.1"),
        (r#"{TS,"custom_track":1}"#, "bad_json", "custom_track=1"),
        (r#"{TS,"custom_track":"\ud800"}"#, "bad_json", "custom_track=\"\\ud800\""),
        (
            r#"{TS,"event_id":"43d11800-d756-11ee-8000-000000000003"}"#,
            "time_mismatch",
            "event_id says 2024-02-29 23:00:00",
        ),
    ];
    for (value, reason, detail) in cases {
        assert_eq!(refused(&value.replace("TS", TS)), (reason, detail.to_owned()), "{value}");
    }
}

#[test]
fn reads_what_other_producers_write() {
    let values = [
        r#" {"extra":{"ts":[1]},"job_id":188.0,"ts":"2024-03-01 00:59:59","bid":0.005,"custom_track":"cl\u0069ck"}"#,
        r#"{"event_id":"A5958000-D75E-11EE-8000-000000000002","ts":"2024-03-01 00:00:00","group_id":1.88e2}"#,
        r#"{"event_id":"a5957ff6-d75e-11ee-8000-000000000001","ts":"2024-02-29 23:59:59","custom_track":"","bid":-0.0}"#,
        r#"{"\u0074s":"2024-03-01 00:00:00","custom_track":"click"}"#,
    ];
    let decoded = decode_all(&values.map(|value| Some(value.as_bytes())));
    assert_eq!(decoded.rejected, []);
    let id = |text: &str| time_uuid::parse(text.as_bytes());
    assert_eq!(
        decoded.ids,
        [None, id("a5958000-d75e-11ee-8000-000000000002"), id("a5957ff6-d75e-11ee-8000-000000000001"), None]
    );
    assert_eq!(integers(&decoded.events, "job_id"), [Some(188), None, None, None]);
    assert_eq!(integers(&decoded.events, "group_id"), [None, Some(188), None, None]);
    assert_eq!(integers(&decoded.events, event::BID_MICROS), [Some(5000), Some(0), Some(0), Some(0)]);
    let midnight = 1_709_251_200_000_000;
    assert_eq!(
        integers(&decoded.events, event::HOUR),
        [Some(midnight), Some(midnight), Some(midnight - civil::HOUR_US), Some(midnight)]
    );
    let classes: Vec<_> = decoded.events.column(event::CLASS).unwrap().i32().unwrap().iter().flatten().collect();
    let expected = [
        Class::of(Some("click"), true),
        Class::of(None, false),
        Class::of(None, false),
        Class::of(Some("click"), false),
    ];
    assert_eq!(classes, expected.map(Class::code));
}

fn raw_rows(rows: &[Row]) -> DataFrame {
    let double =
        |of: fn(&Row) -> Option<u64>| rows.iter().map(|row| of(row).map(|value| value as f64)).collect::<Vec<_>>();
    df!(
        "create_time" => rows.iter().map(|row| &row.id[..]).collect::<Vec<_>>(),
        "custom_track" => rows.iter().map(|row| row.track.as_deref()).collect::<Vec<_>>(),
        "bid" => rows.iter().map(|row| row.bid_micros.map(|bid| bid as f64 / 1e6)).collect::<Vec<_>>(),
        "job_id" => double(|row| row.job),
        "campaign_id" => double(|row| row.campaign),
        "group_id" => double(|row| row.group),
        "publisher_id" => double(|row| row.publisher),
    )
    .unwrap()
}

#[derive(Clone, Debug)]
struct Row {
    id: [u8; 16],
    track: Option<String>,
    bid_micros: Option<u64>,
    job: Option<u64>,
    campaign: Option<u64>,
    group: Option<u64>,
    publisher: Option<u64>,
}

prop_compose! {
    fn row()(
        // From 1582 to the year 5236; messages spell years with four digits.
        ticks in 0u64..1 << 60,
        tail: u64,
        track in prop::option::of(prop_oneof![Just("click".to_owned()), ".{0,8}"]),
        bid_micros in prop::option::of(0u64..1_000_000_000_000),
        ids in prop::array::uniform4(prop::option::of(0u64..=1 << 53)),
    ) -> Row {
        let [job, campaign, group, publisher] = ids;
        let id = time_uuid::with_ticks(ticks, 1, tail & !(1 << 62) | 1 << 63);
        Row { id, track, bid_micros, job, campaign, group, publisher }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(rows in prop::collection::vec(row(), 0..8)) {
        let encoded = encode(&raw_rows(&rows)).unwrap();
        let keys: Vec<_> = encoded.column(KEY).unwrap().binary().unwrap().iter().map(|key| key.map(<[u8]>::to_vec)).collect();
        prop_assert_eq!(keys, rows.iter().map(|row| row.job.map(|job| job.to_string().into_bytes())).collect::<Vec<_>>());
        let values = encoded.column(VALUE).unwrap().binary().unwrap().clone();
        let decoded = decode_all(&values.iter().collect::<Vec<_>>());
        prop_assert_eq!(&decoded.rejected, &[]);
        prop_assert_eq!(&decoded.ids, &rows.iter().map(|row| Some(row.id)).collect::<Vec<_>>());
        let column = |of: fn(&Row) -> Option<u64>| rows.iter().map(|row| of(row).map(|value| value as i64)).collect::<Vec<_>>();
        prop_assert_eq!(integers(&decoded.events, "job_id"), column(|row| row.job));
        prop_assert_eq!(integers(&decoded.events, "campaign_id"), column(|row| row.campaign));
        prop_assert_eq!(integers(&decoded.events, "group_id"), column(|row| row.group));
        prop_assert_eq!(integers(&decoded.events, "publisher_id"), column(|row| row.publisher));
        prop_assert_eq!(integers(&decoded.events, event::BID_MICROS), column(|row| Some(row.bid_micros.unwrap_or(0))));
        let hours = rows.iter().map(|row| Some(civil::hour_floor(time_uuid::event_time_us(&row.id)))).collect::<Vec<_>>();
        prop_assert_eq!(integers(&decoded.events, event::HOUR), hours);
        let codes: Vec<_> = decoded.events.column(event::CLASS).unwrap().i32().unwrap().iter().flatten().collect();
        let expected = rows.iter().map(|row| Class::of(row.track.as_deref(), row.job.is_some()).code()).collect::<Vec<_>>();
        prop_assert_eq!(codes, expected);
    }

    #[test]
    fn no_bytes_make_it_fail(value: Vec<u8>, json in "[{}\\[\\]\":,0-9a-z\\\\ ]{0,40}") {
        let decoded = decode_all(&[Some(&value), Some(json.as_bytes())]);
        prop_assert_eq!(decoded.ids.len() + decoded.rejected.len(), 2);
    }
}

#[test]
fn what_cannot_be_valid_is_sent_and_refused() {
    let id = time_uuid::parse(b"a5958000-d75e-11ee-8000-000000000002").unwrap();
    let rows = df!(
        "create_time" => [&id[..], &id, &id, &id],
        "custom_track" => ["click"; 4],
        "bid" => [1.0, f64::NAN, -1.5, 1.0],
        "job_id" => [10.5, 1.0, 1.0, 1e300],
        "campaign_id" => [0.0; 4],
        "group_id" => [0.0; 4],
        "publisher_id" => [0.0; 4],
    );
    let encoded = encode(&rows.unwrap()).unwrap();
    let values = encoded.column(VALUE).unwrap().binary().unwrap().clone();
    let decoded = decode_all(&values.iter().collect::<Vec<_>>());
    let reasons: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.reason).collect();
    assert_eq!(reasons, [Reason::BadIdentifier, Reason::BadNumber, Reason::NegativeBid, Reason::BadIdentifier]);
    let rows = df!("create_time" => [&id[..4]], "custom_track" => ["click"], "bid" => [1.0], "job_id" => [1.0],
        "campaign_id" => [1.0], "group_id" => [1.0], "publisher_id" => [1.0]);
    let error = encode(&rows.unwrap()).unwrap_err().to_string();
    assert_eq!(error, "raw row 0 of a batch has no 16-byte `create_time`");
}
