//! What every store must do with values: every kind comes back as it was written, keys are compared exactly.

use headrace_core::ErrorKind;
use headrace_core::store::{Select, Store};
use headrace_core::table::{Kind, Table, Value};
use polars::prelude::DataFrame;

use super::{assert_same, bytes, doubles, frame, ident, ints, read_all, read_equal, texts, write};

/// The last microsecond of the year 9999 and the first of the year 1000, as MySQL's DATETIME goes.
const MOMENTS_US: [i64; 2] = [253_402_300_799_999_999, -30_610_224_000_000_000];

fn all_kinds(unique: &str) -> Table {
    Table::new(ident(unique, "kinds"))
        .key("id", Kind::Int)
        .unwrap()
        .value("whole", Kind::Int)
        .unwrap()
        .value("small", Kind::Small)
        .unwrap()
        .value("real", Kind::Double)
        .unwrap()
        .value("body", Kind::Text)
        .unwrap()
        .value("title", Kind::Name(100))
        .unwrap()
        .value("raw", Kind::Bytes)
        .unwrap()
        .value("money", Kind::Decimal { scale: 6 })
        .unwrap()
        .value("moment", Kind::DateTime)
        .unwrap()
        .value("day", Kind::Date)
        .unwrap()
        .value("event", Kind::TimeUuid)
        .unwrap()
}

fn uuid(time: u8, low: u8) -> [u8; 16] {
    // Version 1, RFC 4122 variant; the high bits of the time are in bytes 6 and 7.
    [low, 2, 3, 4, 5, 6, 0x10, time, 0x80, 9, 10, 11, 12, 13, 14, 15]
}

fn all_rows(transactional: bool) -> DataFrame {
    // Cassandra's timestamps count milliseconds.
    let fine = |moment: i64| if transactional { moment } else { moment.div_euclid(1_000) * 1_000 };
    let everything: Vec<u8> = (0..=255).collect();
    let uuids = [uuid(1, 0), uuid(200, 255)];
    frame(vec![
        ints("id", [i64::MIN, -1, 0, 1, i64::MAX]),
        ints("whole", [Some(i64::MIN), Some(i64::MAX), Some(0), None, Some(-1)]),
        ints("small", [Some(0), Some(127), Some(23), None, Some(-1)]),
        doubles("real", [Some(f64::MAX), Some(f64::MIN_POSITIVE), Some(0.1), None, Some(-1.0 / 3.0)]),
        texts(
            "body",
            [
                Some(""),
                Some("naïve 日本 \u{1F980} e\u{301}"),
                Some("a\tb\nc\r\n\\\"'`%_;--"),
                None,
                Some("\u{10FFFF} "),
            ],
        ),
        texts("title", [Some("trailing  "), Some(""), Some("ÄÖÜ \u{1F980}"), None, Some("O'Hara \\ \"x\"")]),
        bytes("raw", [Some(&b""[..]), Some(&everything), Some(b"\0"), None, Some(b"\xff\xfe")]),
        ints("money", [Some(999_999_999_999_999_999), Some(-999_999_999_999_999_999), Some(0), None, Some(-1)]),
        ints(
            "moment",
            [Some(fine(MOMENTS_US[0])), Some(fine(MOMENTS_US[1])), Some(0), None, Some(fine(1_658_894_301_226_123))],
        ),
        ints("day", [Some(2_932_896), Some(-354_285), Some(0), None, Some(-1)]),
        bytes("event", [Some(&uuids[0][..]), Some(&uuids[1]), Some(&uuids[0]), None, Some(&uuids[1])]),
    ])
}

/// Every kind comes back as it was written: nulls, empty values, Unicode and extremes.
pub async fn all_kinds_round_trip(store: &dyn Store, unique: &str) {
    let table = all_kinds(unique);
    store.create(&[&table]).await.unwrap();
    let rows = all_rows(store.is_transactional());
    write(store, &format!("{unique} kinds"), 1, &table, &rows).await;
    let selected = read_all(store, &table).await;
    for (got, wanted) in selected.columns().iter().zip(rows.columns()) {
        assert!(got.equals_missing(wanted), "got {got:?} wanted {wanted:?}");
    }
    assert_same(&selected, &rows, "select");
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut scan = store.scan(&table, &columns, 1, &[]).await.unwrap();
    let given = super::drain(&mut *scan, &Default::default(), usize::MAX).await;
    let scanned = given.frames.iter().skip(1).fold(given.frames[0].clone(), |all, next| all.vstack(next).unwrap());
    let scanned = scanned.sort(["id"], Default::default()).unwrap();
    assert_same(&scanned, &rows, "scan");
    let none = read_equal(store, &table, vec![("id", Value::Int(i64::MAX))]).await;
    assert_same(&none, &rows.slice(4, 1), "condition on an extreme");
}

/// Text keys that differ in case, accent, form or trailing space are different keys.
pub async fn keys_are_exact(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "exact")).key("name", Kind::Name(50)).unwrap();
    let table = table.value("n", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    // In byte order, which is the key order.
    let names = [" a", "A", "a", "a ", "a\u{308}", "ss", "ß", "ä", "\u{1F980}"];
    let rows = frame(vec![texts("name", names), ints("n", 0..9)]);
    write(store, &format!("{unique} exact"), 1, &table, &rows).await;
    assert_same(&read_all(store, &table).await, &rows, "exact keys");
    let one = read_equal(store, &table, vec![("name", Value::Text("a ".into()))]).await;
    assert_same(&one, &rows.slice(3, 1), "condition with a trailing space");
}

/// Version 1 UUIDs in a key are read in the order of their time, not of their bytes.
pub async fn time_uuids_order_by_time(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "events")).key("hour", Kind::Int).unwrap();
    let table = table.key("event", Kind::TimeUuid).unwrap().value("n", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let uuids = [uuid(1, 250), uuid(2, 100), uuid(3, 50), uuid(200, 1)];
    let rows = frame(vec![ints("hour", [7; 4]), bytes("event", uuids.iter().map(|uuid| &uuid[..])), ints("n", 0..4)]);
    write(store, &format!("{unique} events"), 1, &table, &rows.reverse()).await;
    let equal = vec![("hour", Value::Int(7))];
    assert_same(&read_equal(store, &table, equal.clone()).await, &rows, "time order");
    let after = vec![Value::Int(7), Value::Bytes(uuids[1].to_vec())];
    let select = Select { table: &table, columns: vec!["hour", "event", "n"], equal, after, limit: 1 };
    assert_same(&store.select(&select).await.unwrap(), &rows.slice(2, 1), "behind a UUID");
}

/// A text of ten megabytes is a value like others.
pub async fn ten_megabyte_text(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "large")).key("id", Kind::Int).unwrap().value("body", Kind::Text).unwrap();
    store.create(&[&table]).await.unwrap();
    let body = "0123456789".repeat(1_000_000);
    let rows = frame(vec![ints("id", [1, 2]), texts("body", [body.as_str(), "small"])]);
    write(store, &format!("{unique} large"), 1, &table, &rows).await;
    assert!(read_all(store, &table).await.equals_missing(&rows), "ten megabytes");
}

/// A name that is too long is refused where the store cuts or checks it, and never stored cut.
pub async fn refuses_what_does_not_fit(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "tight")).key("id", Kind::Int).unwrap().value("name", Kind::Name(5)).unwrap();
    store.create(&[&table]).await.unwrap();
    let scope = format!("{unique} tight");
    let long = frame(vec![ints("id", [1]), texts("name", ["123456"])]);
    let claims = store.claim(&scope, &[headrace_core::Partition::new("only")]).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    match unit.upsert(&table, &long).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert!(error.to_string().contains(table.name.as_str()), "{error}");
            drop(unit);
            assert_eq!(read_all(store, &table).await.height(), 0);
        }
        Ok(()) => {
            unit.commit(&super::reached("only", 1), &Default::default()).await.unwrap();
            assert_same(&read_all(store, &table).await, &long, "stored whole");
        }
    }
    // Five characters fit, however many bytes they have.
    let wide = frame(vec![ints("id", [2]), texts("name", ["\u{1F980}".repeat(5).as_str()])]);
    write(store, &scope, 2, &table, &wide).await;
    assert_same(&read_equal(store, &table, vec![("id", Value::Int(2))]).await, &wide, "five wide characters");
}
