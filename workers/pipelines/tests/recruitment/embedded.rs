//! The recruitment steps on the embedded store: golden files, loading twice, replaying, stopping and going on.

use std::time::Duration;

use headrace_core::{Control, ErrorKind};
use headrace_pipelines::recruitment::steps::{Clean, Demo, Lag, Load, Replay};
use serde_json::json;

use super::{Place, done, fates, golden, golden_text, is_complete, messages, random::cases, simulate, stopped};

/// The five files of the edge set, from one place.
async fn assert_edge_files(place: &Place) {
    assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
    assert_eq!(place.export("unattributed").await, golden_text("edge_expected_unattributed_hourly.csv"));
    assert_eq!(place.export("dead-letters").await, golden_text("edge_expected_dead_letter.csv"));
    assert_eq!(place.export("messages").await, golden_text("edge_expected_messages.jsonl"));
    assert_eq!(messages::sorted_lines(&place.log).await, golden_text("edge_expected_messages.jsonl"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_set_gives_its_expected_files() {
    let place = Place::embedded();
    let cleaned = place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    assert_eq!(fates(&cleaned), [18, 14, 0, 0, 4]);
    assert_edge_files(&place).await;
    assert!(is_complete(&place.verify().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_gives_the_same_files_and_the_counters() {
    let place = Place::embedded();
    let (directory, out) = (place.file("demo"), place.file("out.csv"));
    let (tracking, jobs) = (golden("edge_tracking.csv"), golden("edge_job.csv"));
    let values = json!({ "tracking": tracking, "jobs": jobs, "dir": directory, "export": out });
    for _ in 0..2 {
        assert!(is_complete(&done::<Demo>(values.clone()).await));
        for (name, expected) in [
            ("messages.jsonl", "edge_expected_messages.jsonl"),
            ("dead_letter.csv", "edge_expected_dead_letter.csv"),
            ("unattributed_hourly.csv", "edge_expected_unattributed_hourly.csv"),
            ("quality.json", "edge_expected_quality.json"),
        ] {
            assert_eq!(std::fs::read_to_string(directory.join(name)).unwrap(), golden_text(expected), "{name}");
        }
        assert_eq!(std::fs::read_to_string(&out).unwrap(), golden_text("edge_expected_hourly.csv"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supplied_files_give_the_stated_numbers() {
    let Some(directory) = super::supplied() else { return };
    let place = Place::embedded();
    let cleaned = place.whole(&directory.join("tracking.csv"), &directory.join("job.csv")).await;
    assert_eq!(fates(&cleaned), [6_766, 1_024, 0, 0, 5_742]);
    super::assert_supplied(&place, &directory).await;
    assert_eq!(fates(&place.load(&directory.join("tracking.csv")).await), [0; 5]);
    assert!(is_complete(&place.verify().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_again_adds_nothing() {
    let place = Place::embedded();
    let tracking = golden("edge_tracking.csv");
    assert_eq!(fates(&place.load(&tracking).await), [28, 18, 1, 9, 0]);
    let rows = place.export("messages").await;
    let again = place.load(&tracking).await;
    assert_eq!(fates(&again), [0; 5]);
    assert!(again.notes.iter().any(|note| note.contains("already loaded")), "{:?}", again.notes);
    let restarted = done::<Load>(place.load_values(&tracking, json!({ "restart": true }))).await;
    assert_eq!(fates(&restarted), [28, 0, 19, 9, 0]);
    let copy = place.write("copy.csv", std::fs::read(&tracking).unwrap());
    assert_eq!(fates(&place.load(&copy).await), [28, 0, 19, 9, 0]);
    assert_eq!(place.export("messages").await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_is_loaded_from_where_it_ended() {
    cases(3, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 300, 0.01);
        let whole = std::fs::read(&files.tracking).unwrap();
        let mut is_quoted = false;
        let ends: Vec<usize> = (1..=whole.len())
            .filter(|end| {
                is_quoted ^= whole[end - 1] == b'"';
                whole[end - 1] == b'\n' && !is_quoted
            })
            .collect();
        let cut = ends[random.between(1, ends.len() as u64 - 1) as usize];
        let growing = place.write("growing.csv", &whole[..cut]);
        let first = place.load(&growing).await;
        std::fs::write(&growing, &whole).unwrap();
        let second = place.load(&growing).await;
        assert_eq!(first.counts.read + second.counts.read, 300);
        assert_eq!(first.counts.read, ends.iter().position(|end| *end == cut).unwrap() as u64);
        super::assert_classes(&files.simulated, &place.counters("load").await, &[""]);
        assert_eq!(first.counts.written + second.counts.written, files.simulated.count("stored"));
    })
    .await;
}

/// Whatever is stopped, however the batches are cut: the same as one straight run.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_and_gone_on_is_one_straight_run() {
    cases(6, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 1_500, 0.01);
        place.jobs(&files.jobs).await;
        let mut read = 0;
        loop {
            let rows = random.between(20, 400);
            let values = place.load_values(&files.tracking, json!({ "batch_rows": rows }));
            let report = stopped::<Load>(&values, random.millis(1, 40)).await;
            read += fates(&report)[0];
            if is_complete(&report) {
                break;
            }
        }
        assert_eq!(read, files.simulated.rows);
        let loaded = place.counters("load").await;
        super::assert_classes(&files.simulated, &loaded, &[""]);
        assert_eq!(loaded.written, files.simulated.count("stored"));
        let letters = place.letters("load", json!({ "limit": 10_000 })).await;
        assert_eq!(letters.len() as u64, files.simulated.count("dead_letter"));

        let mut sent = 0;
        loop {
            let values = place.replay_values(json!({ "batch_rows": random.between(1, 300) }));
            let report = stopped::<Replay>(&values, random.millis(1, 40)).await;
            sent += fates(&report)[1];
            if is_complete(&report) {
                break;
            }
        }
        assert_eq!(sent, files.simulated.count("stored"));
        assert_eq!(messages::sorted_lines(&place.log).await, place.export("messages").await);

        let mut counted = 0;
        loop {
            let values = place.clean_values(json!({ "batch_rows": random.between(20, 400) }));
            let report = stopped::<Clean>(&values, random.millis(1, 60)).await;
            counted += fates(&report)[1];
            if is_complete(&report) {
                break;
            }
        }
        assert_eq!(counted, files.simulated.count("counted"));
        assert_eq!(place.results().await, (files.expected.hourly_csv(), files.expected.unattributed_csv()));
        super::assert_classes(
            &files.simulated,
            &place.counters("clean").await,
            &["counted", "unattributed", "ignored"],
        );
        assert!(is_complete(&place.verify().await));
    })
    .await;
}

/// The same file loaded twice at once: the younger load takes over, the older one says so, and nothing is doubled.
#[tokio::test(flavor = "multi_thread")]
async fn two_loads_of_one_file_at_once() {
    cases(4, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 1_000, 0.01);
        let load = |rows: u64| {
            let values = place.load_values(&files.tracking, json!({ "batch_rows": rows }));
            tokio::spawn(async move { super::run::<Load>(&values, &Control::default()).await })
        };
        let first = load(20);
        tokio::time::sleep(random.millis(0, 60)).await;
        let second = load(30);
        for ended in [first.await.unwrap(), second.await.unwrap()] {
            if let Err(error) = ended {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            }
        }
        place.load(&files.tracking).await;
        let loaded = place.counters("load").await;
        super::assert_classes(&files.simulated, &loaded, &[""]);
        assert_eq!((loaded.read, loaded.written), (1_000, files.simulated.count("stored")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_start_does_nothing_and_harms_nothing() {
    let place = Place::embedded();
    let control = Control::default();
    control.stop();
    let values = place.load_values(&golden("edge_tracking.csv"), json!({}));
    let report = super::run::<Load>(&values, &control).await.unwrap();
    assert_eq!((fates(&report), is_complete(&report)), ([0; 5], false));
    place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    assert_edge_files(&place).await;
}

/// A step that follows ends soon after it is asked to, with everything it read committed.
#[tokio::test(flavor = "multi_thread")]
async fn following_takes_new_messages_and_stops_on_request() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    place.jobs(&golden("edge_job.csv")).await;
    let values = place.replay_values(json!({ "until": "2024-02-29" }));
    assert_eq!(fates(&done::<Replay>(values).await)[1], 0);
    let control = Control::default();
    let following = {
        let (values, control) = (place.clean_values(json!({ "follow": true, "interval": "50ms" })), control.clone());
        tokio::spawn(async move { super::run::<Clean>(&values, &control).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    place.replay().await;
    let expected = golden_text("edge_expected_hourly.csv");
    let asked = std::time::Instant::now();
    while place.hourly().await != expected {
        assert!(asked.elapsed() < Duration::from_secs(10), "new messages are not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = std::time::Instant::now();
    control.stop();
    let report = following.await.unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4));
    assert_eq!(fates(&report), [18, 14, 0, 0, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_told_rightly() {
    let place = Place::embedded();
    super::lag::is_told_rightly(&place).await;
    // Another result has not seen any of it.
    let values = json!({ "from": place.log, "to": place.beside("other").result });
    assert_eq!(done::<Lag>(values).await.facts["messages behind"], 36);
}
