//! The verify step on the embedded store: quiet about a right result, exact about a wrong one.

use headrace_core::Report;
use headrace_core::report::Outcome;
use headrace_pipelines::recruitment::steps::Verify;
use serde_json::json;

use super::messages::{keyed, produce};
use super::{Place, done, golden, golden_text};

const DIFFERENCES: [&str; 6] = [
    "topic missing",
    "topic unexpected",
    "topic different",
    "result rows missing",
    "result rows unexpected",
    "result rows different",
];

/// Asserts that exactly these differences were found, and that one of the notes names each.
fn assert_found(report: &Report, found: &[(&str, u64)], examples: &[&str]) {
    for name in DIFFERENCES {
        let expected = found.iter().find(|(wanted, _)| *wanted == name).map_or(0, |(_, count)| *count);
        assert_eq!(report.facts[name], expected, "{name}: {:?}", report.facts);
    }
    for example in examples {
        assert!(report.notes.iter().any(|note| note.contains(example)), "{example:?} not in {:?}", report.notes);
    }
}

async fn edge_place() -> Place {
    let place = Place::embedded();
    place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    place
}

/// Changes a store behind the steps' back.
fn tamper(place: &Place, sql: &str) {
    let connection = rusqlite::Connection::open(place.file("store").join("headrace.sqlite")).unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_result_is_right() {
    let report = edge_place().await.verify().await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_found(&report, &[], &["Right"]);
    for (name, count) in
        [("raw rows", 18), ("topic messages", 18), ("topic events", 18), ("result rows", 5), ("topic doubled", 0)]
    {
        assert_eq!(report.facts[name], count, "{name}");
    }
    assert_eq!(report.counts.classes["counted:click"], 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_found_and_named() {
    let row = "WHERE job_id = 999999";
    for (sql, found, example) in [
        (format!("DELETE FROM result {row}"), "result rows missing", "job 999999, 2024-02-29"),
        (format!("UPDATE result SET clicks = clicks * 2 {row}"), "result rows different", "found clicks=2"),
        (
            format!("UPDATE result SET clicks = NULL, conversion = 1 {row}"),
            "result rows different",
            "found spend_hour=1.00 conversion=1",
        ),
        (
            format!("UPDATE result SET spend_hour = spend_hour + 10000 {row}"),
            "result rows different",
            "spend_hour=1.01",
        ),
        (
            format!("UPDATE result SET qualified_application = 1 {row}"),
            "result rows different",
            "qualified_application=1",
        ),
        (
            "INSERT INTO result (job_id, ts, dates, hours, publisher_id, campaign_id, group_id, conversion, sources)
             VALUES (5, 0, 0, 0, 1, 2, 3, 4, 'Cassandra')"
                .to_owned(),
            "result rows unexpected",
            "job 5, 1970-01-01 00:00:00, 1/2/3: unexpected row conversion=4",
        ),
    ] {
        let place = edge_place().await;
        tamper(&place, &sql);
        let report = place.verify().await;
        assert_eq!(report.outcome, Outcome::Different);
        assert_found(&report, &[(found, 1)], &[example, "headrace recruitment clean"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_companies_and_unattributed_events_are_found() {
    for (sql, fact) in [
        ("UPDATE result SET company_id = 5 WHERE job_id = 999999", "companies wrong"),
        ("UPDATE job SET company_id = 5 WHERE id = 11", "companies wrong"),
        ("UPDATE result_unattributed SET events = events + 1", "unattributed rows wrong"),
        ("DELETE FROM result_unattributed", "unattributed rows wrong"),
    ] {
        let place = edge_place().await;
        assert_eq!((&place.verify().await.facts[fact], place.verify().await.outcome), (&json!(0), Outcome::Complete));
        tamper(&place, sql);
        let report = place.verify().await;
        assert_eq!((report.outcome, &report.facts[fact]), (Outcome::Different, &json!(1)), "{sql}");
        assert_found(&report, &[], &[]);
        if fact == "companies wrong" {
            place.clean().await;
            assert_eq!(place.verify().await.outcome, Outcome::Complete);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_messages_that_are_left_are_found() {
    let place = edge_place().await;
    let (header, _) =
        golden_text("edge_tracking.csv").split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let one = golden_text("edge_tracking.csv").lines().nth(1).unwrap().replace("-000000000001,", "-0000000000aa,");
    place.load(&place.write("one.csv", format!("{header}\n{one}\n"))).await;
    // A raw row that was not replayed.
    let report = place.verify().await;
    assert_eq!(report.outcome, Outcome::Different);
    let event = "missing event a5957ff6-d75e-11ee-8000-0000000000aa";
    assert_found(&report, &[("topic missing", 1)], &[event, "headrace recruitment replay"]);
    // A message that was not cleaned.
    place.replay().await;
    let report = place.verify().await;
    assert_eq!(report.outcome, Outcome::Different);
    assert_found(&report, &[("result rows different", 1)], &["headrace recruitment clean"]);
    place.clean().await;
    assert_eq!(place.verify().await.outcome, Outcome::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_lost_changed_strange_or_doubled_are_found() {
    let raw = Place::embedded();
    raw.load(&golden("edge_tracking.csv")).await;
    let messages = keyed(&golden_text("edge_expected_messages.jsonl"));
    let click = messages.iter().position(|(_, value)| String::from_utf8_lossy(value).contains("\"bid\":2.0")).unwrap();
    let changed = |from: &str, to: &str| {
        let (key, value) = messages[click].clone();
        let text = String::from_utf8(value).unwrap();
        assert!(text.contains(from), "{text}");
        (key, text.replace(from, to).into_bytes())
    };
    let id = serde_json::from_slice::<serde_json::Value>(&messages[click].1).unwrap()["event_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let other_id = format!("{}ff", &id[..34]);
    for (name, found, outcome, example) in [
        ("lost", vec![("topic missing", 1)], Outcome::Different, format!("missing event {id}")),
        ("changed", vec![("topic different", 1)], Outcome::Different, format!("different event {id}")),
        ("publisher", vec![("topic different", 1)], Outcome::Different, format!("different event {id}")),
        ("strange", vec![("topic unexpected", 1)], Outcome::Complete, String::new()),
        ("doubled", vec![], Outcome::Complete, "1 events are in the topic more than once".to_owned()),
        // Another place, written differently: the same event.
        ("rewritten", vec![], Outcome::Complete, "Right".to_owned()),
    ] {
        let place = raw.beside(name);
        let mut messages = messages.clone();
        match name {
            "lost" => drop(messages.remove(click)),
            "changed" => messages[click] = changed("\"bid\":2.0", "\"bid\":2.1"),
            "publisher" => messages[click] = changed("\"publisher_id\":1", "\"publisher_id\":2"),
            "strange" => messages.push(changed(&id, &other_id)),
            "doubled" => messages.push(messages[click].clone()),
            _ => messages[click] = changed("\"bid\":2.0", "\"unknown\":[1],\"bid\":2.000"),
        }
        produce(&place.log, 2, &messages).await;
        place.clean().await;
        let report = place.verify().await;
        assert_eq!(report.outcome, outcome, "{name}: {:?}", report.notes);
        assert_found(&report, &found, &[&example]);
    }
}

/// Nothing at all is a right result of nothing; what is not there is told.
#[tokio::test(flavor = "multi_thread")]
async fn empty_places_are_right_or_missing() {
    let place = Place::embedded();
    let header = golden_text("edge_tracking.csv").lines().next().unwrap().to_owned() + "\n";
    place.load(&place.write("empty.csv", header)).await;
    place.replay().await;
    place.clean().await;
    assert_eq!(place.verify().await.outcome, Outcome::Complete);
    let values = json!({ "raw": place.raw, "log": place.log, "result": format!("{}&table=nowhere", place.result) });
    let error = super::refused::<Verify>(values.clone()).await.to_string();
    assert!(error.contains("`nowhere` does not exist") && error.contains("clean"), "{error}");
    let again = done::<Verify>(super::with(values, json!({ "result": place.result })));
    assert_eq!(again.await.counts.read, 0);
}
