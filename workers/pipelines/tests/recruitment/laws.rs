//! The laws of the results on the embedded store: whatever the order, copies, batches, workers, kills and failures,
//! the same export and the same counters.

use headrace_pipelines::recruitment::steps::{Clean, Jobs, Load, Replay};
use serde_json::json;

use super::messages::{Message, keyed, produce, text_message};
use super::random::{Random, cases};
use super::{Files, Place, assert_classes, done, dropped, fates, is_complete, simulate, stopped};

/// What the clean step counts, apart from copies.
const CLASSES: [&str; 3] = ["counted", "unattributed", "ignored"];

/// A place with a loaded log, and the messages of its rows.
async fn loaded(random: &mut Random, rows: u64) -> (Place, Files, Vec<Message>) {
    let place = Place::embedded();
    let files = simulate(&place, random.next(), rows, 0.005);
    place.load(&files.tracking).await;
    place.jobs(&files.jobs).await;
    let messages = keyed(&place.export("messages").await);
    (place, files, messages)
}

/// Each message one to three times, copies under any key, all in any order.
fn scattered(random: &mut Random, messages: &[Message]) -> Vec<Message> {
    let mut all = Vec::new();
    for (key, value) in messages {
        all.push((key.clone(), value.clone()));
        for _ in 0..random.below(3) {
            let key = match random.below(3) {
                0 => None,
                1 => key.clone(),
                _ => Some(random.next().to_string().into_bytes()),
            };
            all.push((key, value.clone()));
        }
    }
    random.shuffle(&mut all);
    all
}

/// Runs clean with random batches, stopping it or dropping it in the middle, until the topic is drained.
async fn clean_with_kills(place: &Place, random: &mut Random, most_kills: u64) {
    for _ in 0..random.below(most_kills + 1) {
        let values = place.clean_values(json!({ "batch_rows": random.between(1, 500) }));
        if random.one_in(2) {
            dropped::<Clean>(&values, random.millis(0, 60)).await;
        } else {
            stopped::<Clean>(&values, random.millis(0, 60)).await;
        }
    }
    let rows = random.between(1, 2_000);
    assert!(is_complete(&done::<Clean>(place.clean_values(json!({ "batch_rows": rows.max(50) }))).await));
}

async fn assert_truth(place: &Place, files: &Files) {
    let (hourly, unattributed) = place.results().await;
    assert_eq!(hourly, files.expected.hourly_csv());
    assert_eq!(unattributed, files.expected.unattributed_csv());
    assert_classes(&files.simulated, &place.counters("clean").await, &CLASSES);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_copies_batches_and_kills() {
    cases(12, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 600).await;
        let place = place.beside("any");
        place.jobs(&files.jobs).await;
        let all = scattered(&mut random, &messages);
        produce(&place.log, random.between(1, 5) as i32, &all).await;
        clean_with_kills(&place, &mut random, 6).await;
        assert_truth(&place, &files).await;
        let counters = place.counters("clean").await;
        assert_eq!(counters.duplicate, (all.len() - messages.len()) as u64);
        assert_eq!(fates(&place.clean().await), [0; 5]);
    })
    .await;
}

/// Copies may also come much later, after everything was counted.
#[tokio::test(flavor = "multi_thread")]
async fn late_copies_change_nothing() {
    cases(3, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 300).await;
        place.replay().await;
        place.clean().await;
        for _ in 0..3 {
            let copies: Vec<Message> = messages.iter().filter(|_| random.one_in(3)).cloned().collect();
            produce(&place.log, 3, &copies).await;
            assert_eq!(fates(&place.clean().await)[2], copies.len() as u64);
        }
        assert_truth(&place, &files).await;
    })
    .await;
}

/// Messages of old producers carry no id: their place is their id.
#[tokio::test(flavor = "multi_thread")]
async fn messages_without_id_count_once() {
    cases(4, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 400).await;
        let place = place.beside("old");
        place.jobs(&files.jobs).await;
        let mut all: Vec<Message> = Vec::new();
        for (key, value) in &messages {
            let mut value: serde_json::Value = serde_json::from_slice(value).unwrap();
            if random.one_in(2) {
                value.as_object_mut().unwrap().remove("event_id");
            }
            all.push((key.clone(), value.to_string().into_bytes()));
        }
        random.shuffle(&mut all);
        produce(&place.log, 3, &all).await;
        clean_with_kills(&place, &mut random, 6).await;
        assert_truth(&place, &files).await;
        // Read again from the beginning, nothing is counted again.
        let again = done::<Clean>(place.clean_values(json!({ "restart": true }))).await;
        assert_eq!(fates(&again), [all.len() as u64, 0, all.len() as u64, 0, 0]);
        assert_truth(&place, &files).await;
    })
    .await;
}

/// Up to three workers at once, each coming and going as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn several_consumers_come_and_go() {
    cases(6, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 600).await;
        let place = place.beside("many");
        place.jobs(&files.jobs).await;
        let all = scattered(&mut random, &messages);
        produce(&place.log, 4, &all).await;
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..random.between(2, 3) {
            let mut random = Random::new(random.next());
            let values: Vec<_> = (0..random.between(1, 3))
                .map(|_| place.clean_values(json!({ "batch_rows": random.between(1, 200) })))
                .collect();
            workers.spawn(async move {
                for values in values {
                    tokio::time::sleep(random.millis(0, 50)).await;
                    match random.below(3) {
                        0 => drop(dropped::<Clean>(&values, random.millis(0, 400)).await),
                        1 => drop(stopped::<Clean>(&values, random.millis(0, 400)).await),
                        _ => drop(done::<Clean>(values).await),
                    }
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
        assert!(is_complete(&place.clean().await));
        assert_truth(&place, &files).await;
    })
    .await;
}

/// The dimension may come before, after or in between, and change: the next run has it in every row.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_may_come_and_change_at_any_time() {
    cases(5, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 400).await;
        let place = place.beside("jobs");
        let before = random.below(4);
        if before == 0 {
            place.jobs(&files.jobs).await;
        }
        let (first, second) = messages.split_at(random.below(messages.len() as u64) as usize);
        produce(&place.log, 3, first).await;
        place.clean().await;
        // Other companies first, among them none at all.
        let changed = place.write("changed.csv", changed_jobs(&files, &mut random));
        if before == 1 {
            place.jobs(&changed).await;
        }
        produce(&place.log, 3, second).await;
        if before == 2 {
            // In the middle of a run.
            let (clean, jobs) = (place.clean_values(json!({ "batch_rows": 7 })), place.jobs.clone());
            let loading = tokio::spawn(done::<Jobs>(json!({ "file": changed, "to": jobs })));
            done::<Clean>(clean).await;
            loading.await.unwrap();
        }
        place.jobs(&files.jobs).await;
        place.clean().await;
        assert_truth(&place, &files).await;
        place.jobs(&changed).await;
        place.clean().await;
        assert_eq!(
            place.hourly().await,
            with_companies(&files.expected.hourly_csv(), &std::fs::read_to_string(&changed).unwrap())
        );
    })
    .await;
}

/// Jobs of the same ids with other companies, some without.
fn changed_jobs(files: &Files, random: &mut Random) -> String {
    let mut reader = csv::Reader::from_path(&files.jobs).unwrap();
    let mut text = "company_id,title,id\n".to_owned();
    let id = reader.headers().unwrap().iter().position(|name| name == "id").unwrap();
    for record in reader.records() {
        let company = if random.one_in(4) { String::new() } else { random.between(1, 9).to_string() };
        text.push_str(&format!("{company},\"a, \"\"b\"\"\",{}\n", &record.unwrap()[id]));
    }
    text
}

/// Puts the companies of a job file into an export.
fn with_companies(export: &str, jobs: &str) -> String {
    let by_job: std::collections::HashMap<String, String> = csv::Reader::from_reader(jobs.as_bytes())
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record[2].to_owned(), record[0].to_owned()))
        .collect();
    let mut lines = export.lines();
    let mut out = format!("{}\n", lines.next().unwrap());
    for line in lines {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells[13] = by_job.get(cells[0]).map_or("", String::as_str);
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out
}

/// Refused messages are kept once each, in the table and in the dead-letter topic, and hold nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_are_kept_once() {
    cases(2, async |mut random| {
        let (place, files, messages) = loaded(&mut random, 200).await;
        let place = place.beside("bad");
        place.jobs(&files.jobs).await;
        let mut all = messages.clone();
        let refused = random.between(1, 40);
        all.extend((0..refused).map(|number| text_message(None, &format!("{{\"event_id\":\"{number}\"}}"))));
        random.shuffle(&mut all);
        produce(&place.log, 2, &all).await;
        clean_with_kills(&place, &mut random, 4).await;
        assert_truth(&place, &files).await;
        assert_eq!(place.letters("clean", json!({})).await.len() as u64, refused);
        assert_eq!(place.counters("clean").await.dead_lettered, refused);
    })
    .await;
}

/// Files with random defects: exports and counters are those the simulation computed by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_equals_the_simulations_truth() {
    cases(6, async |mut random| {
        let place = Place::embedded();
        let share = random.below(60) as f64 / 1_000.0;
        let rows = random.between(1, 3_000);
        let files = simulate(&place, random.next(), rows, share);
        let batch_rows = random.between(1, 1_000).max(rows / 30);
        done::<Load>(place.load_values(&files.tracking, json!({ "batch_rows": batch_rows }))).await;
        place.jobs(&files.jobs).await;
        done::<Replay>(place.replay_values(json!({ "batch_rows": batch_rows, "partitions": random.between(1, 4) })))
            .await;
        place.clean().await;
        assert_truth(&place, &files).await;
        let loaded = place.counters("load").await;
        assert_classes(&files.simulated, &loaded, &[""]);
        let found = [loaded.read, loaded.written, loaded.duplicate, loaded.dead_lettered];
        assert_eq!(found, ["read", "stored", "duplicate", "dead_letter"].map(|class| files.simulated.count(class)));
        assert!(is_complete(&place.verify().await));
    })
    .await;
}
