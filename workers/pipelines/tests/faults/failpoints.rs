//! `kill -9` at every failpoint of every step, once each; then everything is run to its end and counted.

use std::collections::HashSet;
use std::path::PathBuf;

use headrace_core::StoreUrl;
use headrace_core::failpoint::PLACES;
use headrace_pipelines::recruitment::simulate::{Simulation, write_files};
use headrace_pipelines::recruitment::steps::{Clean, Jobs, List, Load, Replay, ReplayDeadLetters};
use headrace_pipelines::stores::open_log;
use serde_json::{Value, json};

use super::{assert_cleaned, assert_loaded, assert_sent};
use crate::process::Worker;
use crate::recruitment::messages::{Message, produce, sorted_lines, stored_in};
use crate::recruitment::random::{Random, cases};
use crate::recruitment::{Files, Place, done, fates, is_complete, simulate};

/// What a step does not come by: messages are not refused when they are sent; dead letters are replayed without a sink.
const NOT_THERE: [(&str, &str); 2] = [("replay", "dead-letter"), ("dead-letters replay", "close")];

/// Kills a step at a place; it must come there if it comes by there at all.
async fn kill_at(place: &str, visit: u64, step: &str, values: &Value) {
    let failpoint = format!("{place}:{visit}:kill");
    let ended = Worker::step("recruitment", step, values, &failpoint).end().await;
    if NOT_THERE.iter().any(|(name, point)| *name == step && place.ends_with(point)) {
        assert!(ended.is_well && ended.reached().is_none(), "{step} at {place}: {}", ended.told);
    } else {
        ended.assert_killed_at(&failpoint);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_place_of_every_step() {
    cases(1, async |mut random| {
        for (number, place) in PLACES.into_iter().enumerate() {
            let at = if number % 2 == 0 { Place::embedded() } else { Place::apart() };
            main_steps(&at, place, &mut random).await;
            letters_of_load(&at, place, &mut random).await;
            letters_of_clean(&at, place).await;
        }
    })
    .await;
}

/// Jobs, load, replay and clean: the result is the truth about the files.
async fn main_steps(at: &Place, place: &str, random: &mut Random) {
    let files = simulate(at, random.next(), 400, 0.01);
    let visit = if place.ends_with("close") { 1 } else { random.between(1, 3) };
    let small = json!({ "batch_rows": 50 });

    let jobs = json!({ "file": with_a_bad_job(at, &files), "to": at.jobs });
    kill_at(place, 1, "jobs", &jobs).await;
    assert_eq!(fates(&done::<Jobs>(jobs).await), [41, 40, 0, 1, 0]);

    let load = at.load_values(&files.tracking, small.clone());
    kill_at(place, visit, "load", &load).await;
    done::<Load>(load).await;
    assert_loaded(at, &files).await;

    let replay = at.replay_values(small.clone());
    kill_at(place, visit, "replay", &replay).await;
    done::<Replay>(replay).await;
    let copies = assert_sent(at, &at.export("messages").await).await;

    // One message that is none, so that there is a dead letter here too.
    produce(&at.log, 3, &[(None, b"not json".to_vec())]).await;
    let clean = at.clean_values(small);
    kill_at(place, if place.ends_with("dead-letter") { 1 } else { visit }, "clean", &clean).await;
    done::<Clean>(clean).await;
    assert_cleaned(at, &files, copies, 1).await;
    let log = open_log(&StoreUrl::parse(&at.log).unwrap()).await.unwrap();
    let letters = stored_in(&*log, "users_created.dlq").await;
    // In another directory than the result it may be sent again by the next try.
    let most = if at.log == at.result { 1 } else { 2 };
    assert!((1..=most).contains(&letters.len()), "{letters:?}");
}

/// The job file with a record more that is none.
fn with_a_bad_job(at: &Place, files: &Files) -> PathBuf {
    let text = std::fs::read_to_string(&files.jobs).unwrap();
    at.write("jobs.csv", text + "not,a,job\n")
}

/// Sound records that each got a field too many, corrected by a replay: each is stored once, and known.
async fn letters_of_load(at: &Place, place: &str, random: &mut Random) {
    let simulation = Simulation { rows: 40, jobs: 40, seed: random.next(), days: 2, ..Simulation::default() };
    write_files(&at.file("more.csv"), &at.file("more_jobs.csv"), &simulation).unwrap();
    let text = std::fs::read_to_string(at.file("more.csv")).unwrap();
    let (header, records) = text.split_once('\n').unwrap();
    // One record a line, so that a line can be mended.
    let sound: Vec<&str> = records.lines().filter(|record| record.matches('"').count() % 2 == 0).collect();
    let broken: String = sound.iter().map(|record| format!("{record},more\n")).collect();
    let broken = at.write("broken.csv", format!("{header}\n{broken}"));
    assert_eq!(at.load(&broken).await.counts.dead_lettered, sound.len() as u64);

    let mend = |raw: &str| raw.strip_suffix(",more").map(str::to_owned);
    let values = at.letter_values("load", Some(&corrected(at, "load", mend).await));
    kill_at(place, 1, "dead-letters replay", &values).await;
    done::<ReplayDeadLetters>(values).await;
    let letters = at.letters("load", json!({ "limit": 100_000 })).await;
    assert!(!letters.iter().any(|letter| letter["source"].as_str().unwrap().contains("broken.csv")), "all are settled");
    let sound_file = at.write("sound.csv", format!("{header}\n{}\n", sound.join("\n")));
    let rows = sound.len() as u64;
    assert_eq!(fates(&at.load(&sound_file).await), [rows, 0, rows, 0, 0]);
}

/// Messages that begin with a letter too many, corrected by a replay before the sound ones come: each is counted once.
async fn letters_of_clean(at: &Place, place: &str) {
    let topic = sorted_lines(&at.log).await;
    let sent: HashSet<&str> = topic.lines().collect();
    let all = at.export("messages").await;
    let sound: Vec<&str> = all.lines().filter(|line| !sent.contains(line)).collect();
    let broken: Vec<Message> = sound.iter().map(|line| (None, format!("x{line}").into_bytes())).collect();
    produce(&at.log, 3, &broken).await;
    let count = sound.len() as u64;
    assert_eq!(fates(&at.clean().await), [count, 0, 0, count, 0]);

    let mend = |raw: &str| raw.strip_prefix('x').map(str::to_owned);
    let values = at.letter_values("clean", Some(&corrected(at, "clean", mend).await));
    kill_at(place, 1, "dead-letters replay", &values).await;
    done::<ReplayDeadLetters>(values).await;
    assert_eq!(at.letters("clean", json!({ "limit": 100_000 })).await.len(), 1, "all but one are settled");
    // What is settled is counted: the same events are copies when they come.
    assert_eq!(at.replay().await.counts.written, count);
    assert_eq!(fates(&at.clean().await), [count, 0, count, 0, 0]);
    assert!(is_complete(&at.verify().await));
}

/// Writes corrections of a step's letters, in the form in which they are listed.
async fn corrected(at: &Place, refuser: &str, mend: impl Fn(&str) -> Option<String>) -> PathBuf {
    let from = if refuser == "load" { &at.raw } else { &at.result };
    let out = at.file("letters.jsonl");
    done::<List>(json!({ "from": from, "step": refuser, "out": out, "limit": 100_000 })).await;
    let mut lines = String::new();
    for line in std::fs::read_to_string(&out).unwrap().lines() {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        if let Some(mended) = letter["raw"].as_str().and_then(&mend) {
            letter["raw"] = mended.into();
            lines.push_str(&format!("{letter}\n"));
        }
    }
    at.write(&format!("fixed_{refuser}.jsonl"), lines)
}
