//! Refused events: listed, shown, and put through the stream once more as they are or corrected, each at most once. Corrected ones
//! leave what they would have left if they had been right in the first place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headrace_connectors::lake::{Lake, LakePath};
use headrace_core::report::Outcome;
use headrace_core::{ErrorKind, Report, StoreUrl, clock};
use headrace_pipelines::commerce::alerts::time_text;
use headrace_pipelines::commerce::archive::raw_schema;
use headrace_pipelines::commerce::file_source::Line;
use headrace_pipelines::commerce::simulate::Simulation;
use headrace_pipelines::commerce::tables::{Choice, Tables};
use polars::prelude::DataFrame;
use serde_json::{Value, json};

use super::place::{Place, quality, tables};
use super::{TABLES, exported, run, write_lines};
use crate::process::{Ended, Worker};

/// 2025-03-10 12:05.
const START_US: i64 = 1_741_608_300_000_000;

/// Sound events, so many of them apart by so many milliseconds.
fn sound(events: u64, apart_ms: i64) -> Vec<Line> {
    let simulation = Simulation { seed: 11, users: 12, products: 6, late: 0.0, repeated: 0.0, broken: 0.0 };
    let arrival_us = |number: u64| START_US + number as i64 * apart_ms * 1_000;
    let mut offsets: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    let line = |number: u64| {
        let message = simulation.message(number, arrival_us);
        let (topic, partition) = (message.kind.topic(), (number % 3) as i32);
        let offset = offsets.entry((topic, partition)).or_default();
        *offset += 1;
        Line {
            line: number + 1,
            arrival: time_text(arrival_us(number)),
            topic: topic.to_owned(),
            partition,
            offset: *offset - 1,
            key: Some(message.key),
            value: message.value.map(|value| String::from_utf8(value).unwrap()),
            value_base64: None,
        }
    };
    (0..events).map(line).collect()
}

/// The same events, one of five broken in one way or another.
fn broken(sound: &[Line]) -> Vec<Line> {
    let mut lines = sound.to_vec();
    for (number, line) in lines.iter_mut().enumerate().filter(|(number, _)| number % 5 == 2) {
        let text = line.value.take().unwrap();
        line.value = match number / 5 % 5 {
            0 => Some(text[..text.len() - 7].to_owned()),
            1 => Some(text.replace("\"user_id\":", "\"user\":")),
            2 => Some(text.replace("\"price\":", "\"price\":-")),
            3 => Some(text.replace("T12:", "T99:")),
            _ => None,
        };
    }
    lines
}

/// Streams events to a place of their own.
async fn streamed(lines: &[Line]) -> Place {
    let place = Place::new();
    let file = place.folder.path().join("events.jsonl");
    write_lines(&file, lines);
    place.stream(&file, 97).await;
    place
}

async fn listed(place: &Place, more: Value) -> Vec<Vec<String>> {
    let mut values = json!({ "store": place.store, "limit": 100_000 });
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run("dead-letters list", values).await.unwrap().table.unwrap().rows
}

fn replaying(place: &Place, fixed: Option<&Path>) -> Value {
    json!({ "store": place.store, "archive": place.archive, "fixed": fixed })
}

async fn replayed(place: &Place, fixed: Option<&Path>) -> Report {
    run("dead-letters replay", replaying(place, fixed)).await.unwrap()
}

/// The listed letters with other texts, in a file.
async fn corrected(place: &Place, text: impl Fn(&str, &str) -> Option<String>) -> PathBuf {
    let out = place.folder.path().join("letters.jsonl");
    listed(place, json!({ "out": out })).await;
    let mut fixed = String::new();
    for line in std::fs::read_to_string(&out).unwrap().lines() {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        if let Some(text) = text(letter["source"].as_str().unwrap(), letter["position"].as_str().unwrap()) {
            letter["raw"] = text.into();
            fixed.push_str(&format!("{letter}\n"));
        }
    }
    let path = place.folder.path().join("fixed.jsonl");
    std::fs::write(&path, fixed).unwrap();
    path
}

/// The letters with the texts that the events had before they were broken.
async fn mended(place: &Place, sound: &[Line]) -> PathBuf {
    let texts: BTreeMap<(String, String), String> = sound
        .iter()
        .map(|line| ((line.topic.clone(), format!("{}-{}", line.partition, line.offset)), line.value.clone().unwrap()))
        .collect();
    corrected(place, |topic, position| texts.get(&(topic.to_owned(), position.to_owned())).cloned()).await
}

/// Every file of an export, the rows of the archive, and those of tables that are not exported.
async fn everything(place: &Place) -> BTreeMap<String, String> {
    let export = place.export().await;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(&export).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        files.insert(name.clone(), exported(&export, &name));
    }
    files.insert("archive".to_owned(), archived(place).await.join("\n"));
    let tables = Tables::open(&place.store).await.unwrap();
    for name in ["quality_per_minute", "activity_per_minute", "views_by_product", "abandoned_carts"] {
        let mut rows = cells(&tables.read(name, &Choice::default()).await.unwrap());
        // Of a class that events have left, a row without any may stay.
        rows.retain(|row| name != "quality_per_minute" || !row.ends_with(" 0"));
        files.insert(name.to_owned(), rows.join("\n"));
    }
    files
}

/// The rows of a frame as texts.
fn cells(frame: &DataFrame) -> Vec<String> {
    let row = |row: usize| {
        let cells = frame.columns().iter().map(|column| column.get(row).unwrap().to_string());
        cells.collect::<Vec<_>>().join(" ")
    };
    (0..frame.height()).map(row).collect()
}

/// The rows of the archive as texts, with the file they are in.
async fn archived(place: &Place) -> Vec<String> {
    let lake = Lake::open(&StoreUrl::parse(&place.archive).unwrap()).await.unwrap();
    let mut rows = Vec::new();
    for dataset in ["views", "cart", "orders"] {
        for file in lake.list(&LakePath::new(dataset).unwrap()).await.unwrap() {
            let frame = lake.read(&file.path, &raw_schema().unwrap()).await.unwrap().unwrap();
            rows.extend(cells(&frame).into_iter().map(|row| format!("{} {row}", file.path)));
        }
    }
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_shown_and_refused_again_once() {
    let sound = sound(400, 100);
    let place = streamed(&broken(&sound)).await;
    let letters = listed(&place, json!({})).await;
    assert_eq!(letters.len(), 80);
    assert_eq!(listed(&place, json!({ "limit": 3 })).await.len(), 3);
    let priced = listed(&place, json!({ "reason": "bad_price" })).await;
    assert!(!priced.is_empty() && priced.iter().all(|row| row[1] == "bad_price"));
    let (store, position) = (&place.store, &priced[0][0]);
    let shown = run("dead-letters show", json!({ "store": store, "position": position, "reason": "bad_price" })).await;
    let shown = shown.unwrap().table.unwrap().rows;
    assert!(shown.iter().any(|row| row[0] == "raw" && row[1].contains("\"price\":-")), "{shown:?}");
    let error = run("dead-letters show", json!({ "store": store, "position": "9-9" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);

    let before = everything(&place).await;
    for replays in ["1", "2"] {
        let report = replayed(&place, None).await;
        assert_eq!((report.counts.read, report.counts.written, report.counts.dead_lettered), (80, 0, 80));
        assert_eq!(everything(&place).await, before);
        assert!(listed(&place, json!({})).await.iter().all(|row| row[4] == replays && row[5].is_empty()));
    }
    let empty = Place::new();
    let error = run("dead-letters list", json!({ "store": empty.store })).await.unwrap_err();
    assert!(error.to_string().contains("commerce stream"), "{error}");
}

/// All of it in one minute: nothing comes late, and everything is the same to the byte, counters and archive as well.
#[tokio::test(flavor = "multi_thread")]
async fn corrected_in_time_they_leave_what_sound_ones_leave() {
    let sound = sound(600, 100);
    let straight = everything(&streamed(&sound).await).await;
    let place = streamed(&broken(&sound)).await;
    let fixed = mended(&place, &sound).await;
    let report = replayed(&place, Some(&fixed)).await;
    assert_eq!((report.counts.read, report.counts.written, report.counts.dead_lettered), (120, 120, 0));
    assert_eq!(everything(&place).await, straight);
    assert!(listed(&place, json!({})).await.is_empty());
    assert_eq!(listed(&place, json!({ "all": true })).await.len(), 120);

    // A settled letter is passed over, with or without corrections.
    for fixed in [Some(&*fixed), None] {
        assert_eq!(replayed(&place, fixed).await.counts.read, 0);
        assert_eq!(everything(&place).await, straight);
    }
}

/// A quarter of an hour: what comes again is late for its minute, and counts as that.
#[tokio::test(flavor = "multi_thread")]
async fn corrected_late_they_count_in_the_late_columns() {
    let sound = sound(1_800, 500);
    let straight = streamed(&sound).await;
    let place = streamed(&broken(&sound)).await;
    let fixed = mended(&place, &sound).await;
    replayed(&place, Some(&fixed)).await;
    assert_eq!(archived(&place).await, archived(&straight).await);
    let (export, expected) = (place.export().await, straight.export().await);
    assert_eq!(tables(&export, &TABLES), tables(&expected, &TABLES));
    let (mut counters, mut expected) = (quality(&export), quality(&expected));
    assert!(counters.remove("late:sales").unwrap().as_u64() > Some(20) && expected.remove("late:sales").is_none());
    assert_eq!(counters, expected);
    let day = json!({ "store": place.store, "archive": place.archive, "date": "2025-03-10" });
    assert_eq!(run("recompute", day).await.unwrap().outcome, Outcome::Complete);
    // The stream goes on as if nothing had been: its watermarks are where they were.
    let mut more = sound.clone();
    more.extend(self::sound(2_000, 500).split_off(1_800));
    let file = place.folder.path().join("events.jsonl");
    write_lines(&file, &broken(&more));
    place.stream(&file, 97).await;
    place.export().await;
}

/// An event at a second after the start, arriving then, in a partition of its own.
fn order(id: &str, second: i64, price: &str) -> Line {
    let at = time_text(START_US + second * 1_000_000);
    let value = format!(
        r#"{{"event_id":"{id}","event_type":"purchase","user_id":1,"product_id":100,"price":{price},"timestamp":"{at}"}}"#
    );
    Line { arrival: at, topic: "orders".to_owned(), key: None, value: Some(value), ..Line::default() }
}

fn with_offsets(mut lines: Vec<Line>) -> Vec<Line> {
    lines.iter_mut().zip(0..).for_each(|(line, offset)| line.offset = offset);
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_are_duplicates_and_conflicts_like_any_event() {
    let lines = vec![order("a", 0, "10"), order("a", 1, "-1"), order("b", 2, "-1"), order("b", 3, "-1")];
    let lines = with_offsets([lines, vec![order("c", 4, "-1")]].concat());
    let place = streamed(&lines).await;
    let right = |id: &str, price: &str| order(id, 2, price).value.unwrap();
    let texts = BTreeMap::from([
        // The id of an accepted event, with another price and time.
        ("0-1", right("a", "11")),
        // The same event twice.
        ("0-2", right("b", "5")),
        ("0-3", right("b", "5")),
        // What was accepted already.
        ("0-4", lines[0].value.clone().unwrap()),
    ]);
    let fixed = corrected(&place, |_, position| texts.get(position).cloned()).await;
    let report = replayed(&place, Some(&fixed)).await;
    let counts = &report.counts;
    assert_eq!((counts.read, counts.written, counts.duplicate, counts.dead_lettered), (4, 1, 2, 1));
    let open = listed(&place, json!({})).await;
    assert_eq!((open.len(), &*open[0][0], &*open[0][1]), (1, "0-1", "conflicting_duplicate"));
    let export = place.export().await;
    assert_eq!(quality(&export)["read"], 5);
    assert_eq!(exported(&export, "dead_letter.csv").lines().nth(1), Some("orders,0,1,conflicting_duplicate"));
    assert!(exported(&export, "orders_avg_ticket.csv").ends_with("\n1,2,15.00,7.50\n"));
}

/// Behind the time whose ids are known, nobody can tell whether the event was counted in the meantime.
#[tokio::test(flavor = "multi_thread")]
async fn events_whose_ids_are_forgotten_are_refused() {
    let hours = 3_600;
    let lines = vec![order("old", 0, "-1"), order("new", 2 * hours, "-1"), order("last", 26 * hours, "10")];
    let place = streamed(&with_offsets(lines)).await;
    let texts = BTreeMap::from([("0-0", order("old", 0, "1")), ("0-1", order("new", 2 * hours, "1"))]);
    let text = |_: &str, position: &str| texts.get(position).and_then(|line| line.value.clone());
    let fixed = corrected(&place, text).await;
    let report = replayed(&place, Some(&fixed)).await;
    assert_eq!((report.counts.written, report.counts.dead_lettered), (1, 1));
    let open = listed(&place, json!({})).await;
    assert_eq!((open.len(), &*open[0][0], &*open[0][1]), (1, "0-0", "too_old"));
    assert_eq!(quality(&place.export().await)["accepted"], 2);
}

/// They take turns in one scope: whatever comes first, each event counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_and_a_stream_do_not_mix() {
    let place = Place::new();
    let simulate = |seed: u64| json!({ "to": place.store, "events": 1_500, "seed": seed, "malformed": 0.2 });
    let stream = json!({ "from": place.store, "store": place.store, "archive": place.archive, "batch_rows": 61 });
    run("simulate", simulate(1)).await.unwrap();
    run("stream", stream.clone()).await.unwrap();
    let before = quality(&place.export().await);
    let now = time_text(clock::now_us());
    let fixed = corrected(&place, |topic, position| {
        Some(format!(
            r#"{{"event_id":"{topic}-{position}","event_type":"purchase","user_id":7,"product_id":"x","price":1,"timestamp":"{now}"}}"#
        ))
    })
    .await;
    run("simulate", simulate(2)).await.unwrap();
    let (streamed, replayed) = tokio::join!(
        tokio::spawn(run("stream", stream.clone())),
        tokio::spawn(run("dead-letters replay", replaying(&place, Some(&fixed)))),
    );
    let (streamed, replayed) = (streamed.unwrap().unwrap(), replayed.unwrap().unwrap());
    assert_eq!((streamed.outcome, streamed.counts.read), (Outcome::Complete, 1_500));
    assert!(replayed.counts.read > 200 && replayed.counts.written == replayed.counts.read, "{:?}", replayed.counts);
    let export = place.export().await;
    let after = quality(&export);
    assert_eq!(after["read"], 3_000);
    let count = |counters: &BTreeMap<String, Value>, name: &str| counters[name].as_u64().unwrap();
    let accepted = count(&before, "accepted") + streamed.counts.written + replayed.counts.written;
    assert_eq!(count(&after, "accepted"), accepted);
    // Late or on time, each of them is one order of its product.
    let sales = exported(&export, "sales_by_product.csv");
    let orders = |line: &str| line.split(',').filter_map(|cell| cell.parse::<u64>().ok()).sum::<u64>();
    let sold: u64 = sales.lines().filter(|line| line.contains(",x,") || line.starts_with("x,")).map(orders).sum();
    assert_eq!(sold, replayed.counts.written, "{sales}");
}

/// Replays in a process under a failpoint, to its end.
async fn replay_in_process(values: &Value, failpoint: &str) -> Ended {
    Worker::step("commerce", "dead-letters replay", values, failpoint).end().await
}

/// A replay is one unit for each topic; behind the three, `after-write` is visited once more behind the files of the archive.
const PLACES: [&str; 14] = [
    "before-read:1:kill",
    "after-read:1:kill",
    "after-decode:2:kill",
    "before-write:1:kill",
    "after-write:1:kill",
    "after-write:3:kill",
    "after-write:4:kill",
    "before-dead-letter:1:kill",
    "after-dead-letter:2:kill",
    "before-commit:1:kill",
    "before-commit:3:kill",
    "after-commit:1:kill",
    "after-commit:3:kill",
    "after-acknowledge:2:kill",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_anywhere_changes_nothing() {
    let sound = sound(300, 100);
    let straight = everything(&streamed(&sound).await).await;
    for failpoint in PLACES {
        let place = streamed(&broken(&sound)).await;
        let fixed = mended(&place, &sound).await;
        let values = replaying(&place, Some(&fixed));
        replay_in_process(&values, failpoint).await.assert_killed_at(failpoint);
        assert!(replay_in_process(&values, "").await.is_well_or_killed(), "{failpoint}");
        assert_eq!(everything(&place).await, straight, "{failpoint}");
    }
}
