//! The replay step on the embedded store: every row once, whatever is loaded, stopped, limited or repeated in between.

use std::time::{Duration, Instant};

use headrace_core::{ErrorKind, StoreUrl};
use headrace_pipelines::recruitment::steps::{Clean, Load, Replay};
use headrace_pipelines::stores::open_log;
use serde_json::{Value, json};

use super::messages::{sorted_lines, stored};
use super::random::cases;
use super::{Place, done, dropped, fates, golden, golden_text, is_complete, simulate, stopped};

async fn assert_each_row_once(place: &Place) {
    assert_eq!(sorted_lines(&place.log).await, place.export("messages").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_sent_once_with_its_job_as_key() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    assert_eq!(fates(&place.replay().await), [18, 18, 0, 0, 0]);
    let again = place.replay().await;
    assert_eq!(fates(&again), [0; 5]);
    assert!(again.notes.iter().any(|note| note.contains("--again")), "{:?}", again.notes);
    let messages = stored(&place.log).await;
    assert_eq!(sorted_lines(&place.log).await, golden_text("edge_expected_messages.jsonl"));
    for message in &messages {
        let value: Value = serde_json::from_slice(message.value.as_ref().unwrap()).unwrap();
        let key = value["job_id"].as_i64().map(|job| job.to_string().into_bytes());
        assert_eq!(message.key, key);
        // One partition owns all events of a job.
        let same = messages.iter().filter(|other| key.is_some() && other.key == key);
        assert!(same.into_iter().all(|other| other.partition == message.partition));
    }
}

/// New rows are sent alone, also those of hours that were sent before.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_later_loads_are_sent_alone() {
    cases(5, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 400, 0.01);
        let text = std::fs::read(&files.tracking).unwrap();
        let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut written = 0;
        for part in 0..random.between(2, 4) {
            // Records are dealt to the parts at random, so that the same hours come again and again.
            let mut seen = text[..header].to_vec();
            for record in text[header..].split_inclusive(|byte| *byte == b'\n') {
                if random.one_in(3) || part == 3 {
                    seen.extend_from_slice(record);
                }
            }
            let file = place.write(&format!("part{part}.csv"), seen);
            let loaded = place.load(&file).await.counts.written;
            let rows = random.between(1, 100);
            let sent = done::<Replay>(place.replay_values(json!({ "batch_rows": rows }))).await;
            assert_eq!(fates(&sent)[1], loaded);
            written += loaded;
        }
        assert_eq!(stored(&place.log).await.len() as u64, written);
        assert_each_row_once(&place).await;
    })
    .await;
}

/// A run stopped or killed in the middle of an hour, then more rows for that hour: one further run sends all that is left.
#[tokio::test(flavor = "multi_thread")]
async fn rows_loaded_behind_a_half_sent_hour_are_not_forgotten() {
    cases(10, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 600, 0.0);
        let text = std::fs::read_to_string(&files.tracking).unwrap();
        let (header, records) = text.split_once('\n').unwrap();
        let (first, second): (Vec<_>, Vec<_>) = records.lines().enumerate().partition(|(at, _)| at % 2 == 0);
        for (name, records) in [("first.csv", first), ("second.csv", second)] {
            let lines: Vec<&str> = records.iter().map(|(_, record)| *record).collect();
            let file = place.write(name, format!("{header}\n{}\n", lines.join("\n")));
            place.load(&file).await;
            if name == "first.csv" {
                let values = place.replay_values(json!({ "batch_rows": random.between(1, 5) }));
                if random.one_in(2) {
                    stopped::<Replay>(&values, random.millis(5, 60)).await;
                } else {
                    dropped::<Replay>(&values, random.millis(5, 60)).await;
                }
            }
        }
        place.replay().await;
        assert_each_row_once(&place).await;
        assert_eq!(place.counters("replay").await.written, place.counters("load").await.written);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn date_ranges_in_any_order_add_up_to_the_whole() {
    cases(4, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 400, 0.0);
        place.load(&files.tracking).await;
        let mut borders =
            vec!["2022-07-01", "2022-07-01 07", "2022-07-01T18", "2022-07-02", "2022-07-02 13", "2022-07-03"];
        if random.one_in(2) {
            borders.remove(2);
        }
        let mut ranges: Vec<(&str, &str)> = borders.windows(2).map(|pair| (pair[0], pair[1])).collect();
        random.shuffle(&mut ranges);
        ranges.pop();
        super::messages::produce(&place.log, 3, &[]).await;
        for (since, until) in ranges {
            let before = stored(&place.log).await.len();
            done::<Replay>(place.replay_values(json!({ "since": since, "until": until }))).await;
            let time = |text: &str| {
                let hour = if text.len() > 10 { text.replace('T', " ") } else { format!("{text} 00") };
                format!("{hour}:00:00")
            };
            let inside = sorted_lines(&place.log).await;
            let ts = |line: &str| serde_json::from_str::<Value>(line).unwrap()["ts"].as_str().unwrap().to_owned();
            let expected = place.export("messages").await;
            let in_range = |line: &&str| ts(line) >= time(since) && ts(line) < time(until);
            let count = |text: &str| text.lines().filter(in_range).count();
            assert_eq!((count(&inside), inside.lines().count()), (count(&expected), before + count(&expected)));
        }
        place.replay().await;
        assert_each_row_once(&place).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn again_sends_again_and_clean_absorbs_it() {
    let place = Place::embedded();
    place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    assert_eq!(fates(&done::<Replay>(place.replay_values(json!({ "again": true }))).await)[1], 18);
    assert_eq!(fates(&place.clean().await), [18, 0, 18, 0, 0]);
    assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
    let report = place.verify().await;
    assert!(is_complete(&report));
    assert_eq!(report.facts["topic doubled"], 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_order_sends_every_row_once_also_in_splits() {
    let place = Place::embedded();
    let files = simulate(&place, 7, 500, 0.01);
    place.load(&files.tracking).await;
    let splits = [json!("2/3"), json!("1/3"), json!("2/3"), json!("3/3")];
    let mut sent = 0;
    for split in splits {
        let values = place.replay_values(json!({ "order": "token", "split": split, "batch_rows": 17 }));
        sent += fates(&done::<Replay>(values).await)[1];
    }
    assert_eq!(sent, files.simulated.count("stored"));
    assert_each_row_once(&place).await;
    for values in [json!({ "split": "1/2" }), json!({ "order": "token", "speed": "2x" })] {
        let error = super::refused::<Replay>(place.replay_values(values)).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
}

/// With a speed, rows come in time order and at their distances.
#[tokio::test(flavor = "multi_thread")]
async fn a_speed_keeps_order_and_distances() {
    let place = Place::embedded();
    let files = simulate(&place, 3, 60, 0.0);
    place.load(&files.tracking).await;
    // Two days in about 1.7 seconds.
    let speed = 100_000.0;
    let values = place.replay_values(json!({ "speed": format!("{speed}x"), "partitions": 1, "batch_rows": 7 }));
    let began = Instant::now();
    assert_eq!(fates(&done::<Replay>(values).await)[1], 60);
    let took = began.elapsed();
    let mut sent = Vec::new();
    let log = open_log(&StoreUrl::parse(&place.log).unwrap()).await.unwrap();
    for (message, at_ms) in super::messages::stored_with_times(&*log, "users_created").await {
        let value: Value = serde_json::from_slice(message.value.as_ref().unwrap()).unwrap();
        let id = headrace_transforms::time_uuid::parse(value["event_id"].as_str().unwrap().as_bytes()).unwrap();
        sent.push((headrace_transforms::time_uuid::event_time_us(&id), at_ms));
    }
    assert!(sent.is_sorted_by_key(|(event_us, _)| *event_us));
    let (first_us, first_ms) = sent[0];
    for (event_us, at_ms) in &sent {
        let due_ms = (event_us - first_us) as f64 / speed / 1_000.0;
        let late_ms = (at_ms - first_ms) as f64 - due_ms;
        assert!((-30.0..600.0).contains(&late_ms), "due after {due_ms} ms, {late_ms} ms late");
    }
    let span_us = sent.last().unwrap().0 - first_us;
    assert!(took >= Duration::from_secs_f64(span_us as f64 / 1e6 / speed));
    assert_each_row_once(&place).await;
}

/// Rows that are being loaded meanwhile are sent once, by whichever run comes behind their commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_may_run_beside_a_replay() {
    cases(3, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 1_500, 0.01);
        let half = place.write("half.csv", std::fs::read(&files.tracking).unwrap());
        let values = place.load_values(&files.tracking, json!({ "batch_rows": 25 }));
        let copies = place.load_values(&half, json!({ "batch_rows": 40 }));
        // Two loads of the same records under two names, so that they meet.
        let loading = [tokio::spawn(done::<Load>(values)), tokio::spawn(done::<Load>(copies))];
        let mut sent = 0;
        while !loading.iter().all(tokio::task::JoinHandle::is_finished) {
            let values = place.replay_values(json!({ "batch_rows": random.between(1, 200) }));
            match super::run::<Replay>(&values, &headrace_core::Control::default()).await {
                Ok(report) => sent += report.counts.written,
                // Before the first load has made its tables.
                Err(error) => assert!(error.to_string().contains("does not exist"), "{error}"),
            }
        }
        let mut written = 0;
        for load in loading {
            written += load.await.unwrap().counts.written;
        }
        assert_eq!(written, files.simulated.count("stored"));
        sent += place.replay().await.counts.written;
        assert_eq!(sent, written);
        assert_each_row_once(&place).await;
    })
    .await;
}

/// Two at once on the same rows: one of them is told that the other has taken over, and nothing is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_replays_at_once_send_every_row_once() {
    cases(4, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 800, 0.0);
        place.load(&files.tracking).await;
        let replay = |rows| {
            let values = place.replay_values(json!({ "batch_rows": rows }));
            tokio::spawn(async move { super::run::<Replay>(&values, &headrace_core::Control::default()).await })
        };
        let first = replay(5);
        tokio::time::sleep(random.millis(0, 60)).await;
        let second = replay(6);
        for ended in [first.await.unwrap(), second.await.unwrap()] {
            if let Err(error) = ended {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            }
        }
        place.replay().await;
        assert_each_row_once(&place).await;
        place.jobs(&files.jobs).await;
        done::<Clean>(place.clean_values(json!({}))).await;
        assert_eq!(place.hourly().await, files.expected.hourly_csv());
    })
    .await;
}
