//! The laws of the results through a real Cassandra, a real Kafka and a real MariaDB (and MySQL 9): copies, shuffles, kills,
//! stops, failures and several workers at once change nothing.

use std::time::Duration;

use headrace_core::{Control, clock};
use headrace_pipelines::recruitment::steps::{Clean, Load, Replay};
use serde_json::json;

use super::faulty::Faults;
use super::messages::{Message, keyed, produce, sorted_lines};
use super::random::Random;
use super::server_places::{everywhere, places};
use super::zombies::assert_zombies_are_refused;
use super::{
    Files, Place, assert_classes, done, dropped, faulty_steps, golden, is_complete, killed, simulate, stopped,
};

fn random() -> Random {
    let seed = clock::environment("HEADRACE_TEST_SEED").map_or_else(clock::now_us, |seed| seed.parse().unwrap());
    eprintln!("HEADRACE_TEST_SEED={seed}");
    Random::new(seed as u64)
}

async fn assert_truth(place: &Place, files: &Files) {
    assert_eq!(place.results().await, (files.expected.hourly_csv(), files.expected.unattributed_csv()));
    let clean = place.counters("clean").await;
    assert_classes(&files.simulated, &clean, &["counted", "unattributed", "ignored"]);
}

async fn assert_loaded(place: &Place, files: &Files) {
    let loaded = place.counters("load").await;
    assert_classes(&files.simulated, &loaded, &[""]);
    let found = [loaded.read, loaded.written, loaded.duplicate, loaded.dead_lettered];
    assert_eq!(found, ["read", "stored", "duplicate", "dead_letter"].map(|class| files.simulated.count(class)));
    let letters = place.letters("load", json!({ "limit": 100_000 })).await;
    assert_eq!(letters.len() as u64, files.simulated.count("dead_letter"));
}

/// Copies under other keys, any order, two workers at once of which one is killed.
#[tokio::test(flavor = "multi_thread")]
async fn copies_shuffles_and_a_killed_consumer() {
    everywhere("laws", async |place| {
        let mut random = random();
        let files = simulate(place, random.next(), 2_000, 0.005);
        place.load(&files.tracking).await;
        place.jobs(&files.jobs).await;
        let messages = keyed(&place.export("messages").await);
        let mut all: Vec<Message> = messages.clone();
        for (key, value) in messages.iter().step_by(2) {
            all.push((key.clone().filter(|_| random.one_in(2)), value.clone()));
        }
        random.shuffle(&mut all);
        produce(&place.log, 4, &all).await;
        let values = place.clean_values(json!({ "batch_rows": 40 }));
        let survivor = tokio::spawn(done::<Clean>(values.clone()));
        dropped::<Clean>(&values, random.millis(200, 2_500)).await;
        survivor.await.unwrap();
        assert!(is_complete(&place.clean().await));
        assert_truth(place, &files).await;
        assert_eq!(place.counters("clean").await.duplicate, (all.len() - messages.len()) as u64);
    })
    .await;
}

/// Every step stopped or killed at random moments, with other batches each time: the same as one straight run.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_killed_and_gone_on() {
    everywhere("stop", async |place| {
        let mut random = random();
        let files = simulate(place, random.next(), 3_000, 0.005);
        place.jobs(&files.jobs).await;
        for _ in 0..3 {
            let values = place.load_values(&files.tracking, json!({ "batch_rows": random.between(50, 400) }));
            stopped::<Load>(&values, random.millis(300, 1_500)).await;
            dropped::<Load>(&values, random.millis(300, 1_500)).await;
        }
        place.load(&files.tracking).await;
        assert_loaded(place, &files).await;
        for _ in 0..3 {
            let values = place.replay_values(json!({ "batch_rows": random.between(20, 300) }));
            stopped::<Replay>(&values, random.millis(200, 1_000)).await;
        }
        place.replay().await;
        // Stopped at batch boundaries, every row is in the topic once; a kill may send a batch again.
        assert_eq!(sorted_lines(&place.log).await, place.export("messages").await);
        let again = place.replay_values(json!({ "again": true, "batch_rows": 100 }));
        dropped::<Replay>(&again, random.millis(200, 1_000)).await;
        place.replay().await;
        for _ in 0..2 {
            let values = place.clean_values(json!({ "batch_rows": random.between(50, 400) }));
            stopped::<Clean>(&values, random.millis(200, 4_000)).await;
            dropped::<Clean>(&values, random.millis(200, 4_000)).await;
        }
        place.clean().await;
        assert_truth(place, &files).await;
        assert!(is_complete(&place.verify().await));
    })
    .await;
}

/// Failures between steps and servers, commits with lost answers among them.
#[tokio::test(flavor = "multi_thread")]
async fn failures_and_lost_answers_change_nothing() {
    everywhere("faults", async |place| {
        let mut random = random();
        let files = simulate(place, random.next(), 800, 0.005);
        place.jobs(&files.jobs).await;
        faulty_steps::load(place, &files.tracking, &mut random).await;
        assert_loaded(place, &files).await;
        let sent = faulty_steps::replay(place, &mut random).await;
        assert_eq!(sent.counts.written, files.simulated.count("stored"));
        let mut lines: Vec<String> = sorted_lines(&place.log).await.lines().map(str::to_owned).collect();
        lines.dedup();
        assert_eq!(lines.join("\n") + "\n", place.export("messages").await);
        faulty_steps::clean(place, Duration::from_secs(60), &mut random).await;
        assert_truth(place, &files).await;
    })
    .await;
}

/// A worker killed by the kernel while it counts: another one takes over and ends with the right result.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_taken_over() {
    everywhere("kill", async |place| {
        let mut random = random();
        let files = simulate(place, random.next(), 3_000, 0.0);
        let log = format!("{}?session_timeout=6s", place.log);
        for (step, values) in [
            ("load", place.load_values(&files.tracking, json!({ "batch_rows": 50 }))),
            ("replay", place.replay_values(json!({ "batch_rows": 50 }))),
            ("clean", place.clean_values(json!({ "batch_rows": 50, "from": log }))),
        ] {
            killed(step, &values, random.millis(100, 2_500)).await;
            match step {
                "load" => drop(place.load(&files.tracking).await),
                "replay" => drop(place.replay().await),
                _ => {
                    place.jobs(&files.jobs).await;
                    done::<Clean>(place.clean_values(json!({ "from": log }))).await;
                }
            }
        }
        assert_loaded(place, &files).await;
        assert_truth(place, &files).await;
        assert!(is_complete(&place.verify().await));
    })
    .await;
}

/// Corrections of refused records, with failures and lost answers in between: settled means stored and known.
#[tokio::test(flavor = "multi_thread")]
async fn failures_do_not_lose_a_corrected_record() {
    let Some(place) = places("fix").into_iter().next() else { return };
    let mut random = random();
    for name in ["1", "2", "3", "4", "5", "6"] {
        let faults = Faults::of_commits(&mut random);
        faulty_steps::assert_letters_come_back_once(&place, name, &mut random, faults).await;
    }
    place.servers.as_ref().unwrap().drop().await;
}

/// The same records under two names, loaded at once while they are replayed: the loads wait for each other, every row is there
/// once and was sent.
#[tokio::test(flavor = "multi_thread")]
async fn two_loads_and_a_replay_at_once() {
    let Some(place) = places("meet").into_iter().next() else { return };
    let mut random = random();
    let files = simulate(&place, random.next(), 1_000, 0.0);
    let copy = place.write("copy.csv", std::fs::read(&files.tracking).unwrap());
    place.load(&golden("edge_tracking.csv")).await;
    let load = |file: &std::path::Path| {
        let values = place.load_values(file, json!({ "batch_rows": 100 }));
        tokio::spawn(async move { super::run::<Load>(&values, &Control::default()).await })
    };
    let loads = [load(&files.tracking), load(&copy)];
    while !loads.iter().all(tokio::task::JoinHandle::is_finished) {
        place.replay().await;
    }
    for load in loads {
        assert!(is_complete(&load.await.unwrap().unwrap()));
    }
    let loaded = place.counters("load").await;
    assert_eq!((loaded.read, loaded.written), (28 + 2 * 1_000, 18 + files.simulated.count("stored")));
    place.replay().await;
    let mut lines: Vec<String> = sorted_lines(&place.log).await.lines().map(str::to_owned).collect();
    lines.dedup();
    assert_eq!(lines.join("\n") + "\n", place.export("messages").await);
    place.servers.as_ref().unwrap().drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zombies_are_refused() {
    everywhere("zombie", async |place| assert_zombies_are_refused(place).await).await;
}
