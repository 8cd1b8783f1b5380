//! One file loaded by several workers at once: whatever the parts, their order, interleaving, stops, kills and failures, the store
//! holds what one straight load of the whole file leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::position::{Partition, Position};
use headrace_core::source::{Event, Source};
use headrace_core::store::Store;
use headrace_core::{Claim, Counts, StoreUrl, clock};
use headrace_pipelines::recruitment::load_sink::LoadWork;
use headrace_pipelines::recruitment::schema::RawSchema;
use headrace_pipelines::recruitment::steps::Load;
use headrace_pipelines::recruitment::{record, steps::Replay};
use headrace_pipelines::stores::open_raw;
use serde_json::{Value, json};

use super::faulty::{Faults, FaultyStore};
use super::parallel::{Loaded, crowded, interleave};
use super::random::{Random, cases};
use super::server_places::places;
use super::{Place, done, dropped, fates, is_complete, killed, simulate, stopped, with};
use crate::process::Worker;

fn part_values(place: &Place, file: &Path, part: usize, of: usize, batch_rows: u64) -> Value {
    place.load_values(file, json!({ "split": format!("{part}/{of}"), "batch_rows": batch_rows }))
}

/// What one straight load of a file leaves, in a store of its own.
async fn straight(file: &Path) -> (Place, Loaded) {
    let place = Place::embedded();
    place.load(file).await;
    let loaded = Loaded::of(&place).await;
    (place, loaded)
}

async fn open(place: &Place) -> (Arc<dyn Store>, RawSchema) {
    let url = StoreUrl::parse(&place.raw).unwrap();
    let (store, schema) = (open_raw(&url).await.unwrap(), RawSchema::of(&url).unwrap());
    store.create(&schema.tables()).await.unwrap();
    (store, schema)
}

/// A place on a real Cassandra, whose workers may be silent for a second only; none, visibly, where there is no server.
fn cassandra(test: &str) -> Option<Place> {
    let place = places(test).into_iter().next()?;
    let raw = format!("{}?lease=1s", place.raw);
    Some(Place { raw, ..place })
}

async fn drop_place(place: &Place) {
    place.servers.as_ref().unwrap().drop().await;
}

/// Loads the parts of a file, each stopped and dropped at times, until all are done: one after the other or side by side.
async fn load_in_parts(place: &Place, file: &Path, of: usize, random: &mut Random) {
    let mut parts: Vec<usize> = (1..=of).collect();
    random.shuffle(&mut parts);
    let side_by_side = random.one_in(2);
    let mut running = tokio::task::JoinSet::new();
    for part in parts {
        let mut random = Random::new(random.next());
        let values = move |rows| json!({ "split": format!("{part}/{of}"), "batch_rows": rows });
        let whole = place.load_values(file, json!({}));
        running.spawn(async move {
            for _ in 0..random.below(4) {
                let values = with(whole.clone(), values(random.between(1, 20)));
                if random.one_in(2) {
                    dropped::<Load>(&values, random.millis(0, 40)).await;
                } else {
                    stopped::<Load>(&values, random.millis(0, 40)).await;
                }
            }
            let report = done::<Load>(with(whole, values(random.between(1, 40)))).await;
            assert!(is_complete(&report));
        });
        if !side_by_side {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_in_any_order_with_stops_leave_what_one_load_leaves() {
    cases(8, async |mut random| {
        let place = Place::embedded();
        let records = random.between(0, 150) as usize;
        let file = crowded(&place, "crowded.csv", &mut random, records);
        let (alone, expected) = straight(&file).await;
        load_in_parts(&place, &file, random.between(1, 6) as usize, &mut random).await;
        assert_eq!(Loaded::of(&place).await, expected);
        // What follows is the same too.
        place.replay().await;
        place.clean().await;
        alone.replay().await;
        alone.clean().await;
        assert_eq!(place.export("messages").await, alone.export("messages").await);
        assert_eq!(place.results().await, alone.results().await);
        assert!(is_complete(&place.verify().await));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_parts_in_any_interleaving_with_failures() {
    cases(30, async |mut random| {
        let place = Place::embedded();
        let records = random.between(1, 60) as usize;
        let file = crowded(&place, "crowded.csv", &mut random, records);
        let (_, expected) = straight(&file).await;
        let (inner, schema) = open(&place).await;
        let store: Arc<dyn Store> = Arc::new(FaultyStore { inner, faults: Faults::new(&mut random, 12) });
        interleave(&store, &schema, &file, random.between(1, 6) as usize, &mut random).await;
        assert_eq!(Loaded::of(&place).await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_parts_lose_and_double_nothing() {
    cases(2, async |mut random| {
        let place = Place::embedded();
        let file = crowded(&place, "crowded.csv", &mut random, 400);
        let (_, expected) = straight(&file).await;
        let mut kills = 0;
        for _ in 0..4 {
            let parts: [_; 3] =
                std::array::from_fn(|part| part_values(&place, &file, part + 1, 3, random.between(5, 40)));
            let [one, two, three] = &parts;
            let [a, b, c] = std::array::from_fn(|_| random.millis(20, 150));
            let ended = tokio::join!(killed("load", one, a), killed("load", two, b), killed("load", three, c));
            kills += [ended.0, ended.1, ended.2].iter().filter(|ended| !**ended).count();
        }
        eprintln!("{kills} kills");
        for part in 1..=3 {
            done::<Load>(part_values(&place, &file, part, 3, 50)).await;
        }
        assert_eq!(Loaded::of(&place).await, expected);
    })
    .await;
}

/// A simulated file, whose truth is known, in parts that end in the wrong order; then again, cut otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_otherwise_is_read_again_as_duplicates() {
    let place = Place::embedded();
    let files = simulate(&place, 7, 2_000, 0.01);
    for part in (1..=4).rev() {
        let report = done::<Load>(part_values(&place, &files.tracking, part, 4, 100)).await;
        assert!(report.notes.is_empty(), "{:?}", report.notes);
    }
    let expected = straight(&files.tracking).await.1;
    let loaded = Loaded::of(&place).await;
    assert_eq!(loaded, expected);
    let again = done::<Load>(part_values(&place, &files.tracking, 2, 4, 100)).await;
    assert_eq!(fates(&again), [0; 5]);
    assert!(again.notes[0].starts_with("Nothing new: this part of the file"), "{:?}", again.notes);

    let dead = loaded.counters.dead_lettered;
    let whole = done::<Load>(place.load_values(&files.tracking, json!({ "batch_rows": 100 }))).await;
    assert_eq!(fates(&whole), [2_000, 0, 2_000 - dead, dead, 0]);
    assert!(whole.notes.iter().any(|note| note.contains("other parts before")), "{:?}", whole.notes);
    let restarted =
        done::<Load>(with(part_values(&place, &files.tracking, 1, 4, 100), json!({ "restart": true }))).await;
    assert_eq!((restarted.counts.written, restarted.counts.read > 400), (0, true));
    let after = Loaded::of(&place).await;
    assert_eq!((after.tracking, after.by_hour, after.letters), (loaded.tracking, loaded.by_hour, loaded.letters));
    // Sent once, however often it was read.
    assert_eq!(place.replay().await.counts.written, expected.counters.written);
}

/// Another file between the parts of the first: what is stored stays, and every record is accounted for.
#[tokio::test(flavor = "multi_thread")]
async fn two_files_at_once_are_both_accounted_for() {
    cases(3, async |mut random| {
        let place = Place::embedded();
        let files = [80, 60].map(|records| crowded(&place, &format!("{records}.csv"), &mut random, records));
        let mut randoms = [(); 2].map(|()| Random::new(random.next()));
        let [first, second] = &mut randoms;
        tokio::join!(load_in_parts(&place, &files[0], 3, first), load_in_parts(&place, &files[1], 2, second));
        let loaded = Loaded::of(&place).await;
        assert!(loaded.counters.balances(), "{:?}", loaded.counters);
        assert_eq!(loaded.counters.read, 140);
        assert_eq!(loaded.counters.written, loaded.tracking.len() as u64);
        assert_eq!(loaded.counters.dead_lettered, loaded.letters.len() as u64);
        // Every id of either file is stored.
        let both = Place::embedded();
        both.load(&files[0]).await;
        both.load(&files[1]).await;
        assert_eq!(Loaded::of(&both).await.tracking.len(), loaded.tracking.len());
    })
    .await;
}

/// Only what the file still holds is moved: an edited file never takes a stored row's place without leaving a trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_edited_away_is_not_displaced() {
    let place = Place::embedded();
    let files = simulate(&place, 3, 40, 0.0);
    let text = std::fs::read_to_string(&files.tracking).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 41, "no record spans lines");
    let id = |line: &str| line.split(',').nth(1).unwrap().to_owned();
    let copied = lines[2].replacen(&id(lines[2]), &id(lines[30]), 1);
    let mut edited = lines.clone();
    edited[2] = &copied;
    let file = place.write("edited.csv", edited.join("\n"));
    done::<Load>(part_values(&place, &file, 2, 2, 5)).await;
    let before = Loaded::of(&place).await.tracking;
    // The same length, so that every other record stays where it is.
    edited[30] = edited[31];
    let twin = lines[30].replacen("mozilla", "MOZILLA", 1).replacen("Mozilla", "MOZILLA", 1);
    assert_eq!(twin.len(), lines[30].len());
    assert_ne!(twin, lines[30]);
    edited[30] = &twin;
    std::fs::write(&file, edited.join("\n")).unwrap();
    let report = done::<Load>(part_values(&place, &file, 1, 2, 5)).await;
    assert_eq!(report.counts.dead_lettered, 1);
    let letters = place.letters("load", json!({})).await;
    assert_eq!((letters.len(), letters[0]["position"].as_str()), (1, Some("2")));
    let after = Loaded::of(&place).await.tracking;
    assert!(before.iter().all(|row| after.contains(row)));
}

#[tokio::test(flavor = "multi_thread")]
async fn cassandra_batches_of_parts_in_any_interleaving_with_failures() {
    let Some(place) = cassandra("parts") else { return };
    cases(3, async |mut random| {
        let name = format!("t{:x}", random.next() & 0xffff_ffff);
        let place = Place { raw: place.raw.replace("?lease", &format!("/{name}?lease")), ..Place::embedded() };
        let file = crowded(&place, "crowded.csv", &mut random, 60);
        let (_, expected) = straight(&file).await;
        let (inner, schema) = open(&place).await;
        let store: Arc<dyn Store> = Arc::new(FaultyStore { inner, faults: Faults::new(&mut random, 16) });
        interleave(&store, &schema, &file, random.between(2, 5) as usize, &mut random).await;
        assert_eq!(Loaded::of(&place).await, expected);
    })
    .await;
    drop_place(&place).await;
}

/// Three processes at once; killed, stood still and gone on with, and the same file in the end.
#[tokio::test(flavor = "multi_thread")]
async fn cassandra_parallel_processes_killed_and_paused() {
    let Some(place) = cassandra("procs") else { return };
    cases(1, async |mut random| {
        let file = crowded(&place, "crowded.csv", &mut random, 900);
        let (_, expected) = straight(&file).await;
        open(&place).await;
        let values = |part, rows| part_values(&place, &file, part, 3, rows);
        let (one, two) = (values(1, random.between(10, 40)), values(2, random.between(10, 40)));
        let paused = Worker::step("recruitment", "load", &values(3, random.between(10, 40)), "");
        tokio::time::sleep(random.millis(300, 1_200)).await;
        signal(paused.id(), "STOP");
        let (a, b) = (random.millis(300, 1_500), random.millis(300, 1_500));
        tokio::join!(killed("load", &one, a), killed("load", &two, b));
        // Another worker takes the paused one's part over; when that wakes up it can do no harm.
        let parts = [1, 2, 3].map(|part| tokio::spawn(done::<Load>(values(part, 60))));
        tokio::time::sleep(random.millis(100, 1_500)).await;
        signal(paused.id(), "CONT");
        for part in parts {
            assert!(is_complete(&part.await.unwrap()));
        }
        paused.end().await;
        assert_eq!(Loaded::of(&place).await, expected);
    })
    .await;
    drop_place(&place).await;
}

fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    // It may have ended before.
    eprintln!("{name}: {sent}");
}

/// Rows written by a unit that never commits: written again late, and of a record that is corrected in between.
#[tokio::test(flavor = "multi_thread")]
async fn cassandra_rows_of_a_failed_unit_leave_nothing_behind() {
    let Some(place) = cassandra("left") else { return };
    let files = simulate(&place, 11, 30, 0.0);
    let (store, schema) = open(&place).await;
    let (mut unit, rows) = unfinished(&*store, &schema, &files.tracking).await;
    // A worker takes over, when every record has lost all values but a few.
    let text = std::fs::read(&files.tracking).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..]);
    let mut corrected = csv::Writer::from_path(&files.tracking).unwrap();
    for (line, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let keep = |at: usize| line == 0 || at < 4;
        corrected.write_record(record.iter().enumerate().map(|(at, field)| if keep(at) { field } else { "" })).unwrap();
    }
    corrected.flush().unwrap();
    place.load(&files.tracking).await;
    let (_, expected) = straight(&files.tracking).await;
    assert_eq!(Loaded::of(&place).await, expected);
    // What the first worker sends late changes nothing either, nor can it commit.
    unit.upsert(&schema.tracking, &rows).await.unwrap();
    let reached = [(Partition::new("zombie"), Position::at(1))].into();
    assert!(unit.commit(&reached, &Counts::default()).await.is_err());
    assert_eq!(Loaded::of(&place).await, expected);
    assert_eq!(done::<Replay>(place.replay_values(json!({}))).await.counts.written, 30);
    drop_place(&place).await;
}

/// Writes a file's records in a unit that stays open.
async fn unfinished(
    store: &dyn Store,
    schema: &RawSchema,
    file: &Path,
) -> (Box<dyn headrace_core::store::Unit>, polars::prelude::DataFrame) {
    let source = CsvSource::open(file, CsvOptions::default()).unwrap();
    let mut whole = CsvSource::open(file, CsvOptions::default()).unwrap();
    let batch = loop {
        match whole.next().await.unwrap() {
            Event::Batch(batch) => break batch,
            Event::Assigned(names) => {
                let claim = |partition| Claim { partition, epoch: 0, position: None };
                whole.start(&names.into_iter().map(claim).collect::<Vec<_>>()).await.unwrap();
            }
            _ => {}
        }
    };
    let parsed = record::parse(&batch.frame).unwrap();
    let claims = store.claim(&schema.load_scope(), &[source.partition().clone()]).await.unwrap();
    let mut unit = store.begin_in_turn(&schema.load_scope(), &claims, &batch.reached).await.unwrap();
    LoadWork::new(schema.clone(), &source).apply(&mut *unit, &parsed).await.unwrap();
    (unit, parsed.rows)
}

/// A worker that waits for its turn hears a stop; one that holds its turn keeps it while it lives.
#[tokio::test(flavor = "multi_thread")]
async fn cassandra_waiting_for_a_turn_can_be_stopped() {
    let Some(place) = cassandra("turn") else { return };
    let files = simulate(&place, 5, 400, 0.0);
    let (store, schema) = open(&place).await;
    let claims = store.claim(&schema.load_scope(), &[Partition::new("other")]).await.unwrap();
    let reached = [(Partition::new("other"), Position::at(1))].into();
    let unit = store.begin_in_turn(&schema.load_scope(), &claims, &reached).await.unwrap();
    // Longer than a lease: the holder gives signs of life.
    let began = clock::now_ms();
    let report = stopped::<Load>(&place.load_values(&files.tracking, json!({})), Duration::from_millis(2_500)).await;
    assert_eq!((report.counts.read, is_complete(&report)), (0, false));
    assert!(clock::now_ms() - began < 2_500 + 4_000, "a stop was heard late");
    unit.commit(&reached, &Counts::default()).await.unwrap();
    assert_eq!(place.load(&files.tracking).await.counts.written, 400);
    drop_place(&place).await;
}
