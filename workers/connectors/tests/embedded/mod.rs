//! The embedded store and log: conformance, and what only they promise (several processes, kills, the file's version).

mod dead_members;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_connectors::embedded::Embedded;
use headrace_core::batch::message_columns;
use headrace_core::log::{Consume, Log};
use headrace_core::position::{Claim, Partition, Reached};
use headrace_core::source::Event;
use headrace_core::store::{Store, claims_for};
use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Counts, ErrorKind, Ident, StoreUrl, clock};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::conformance::log::{Pair, messages};
use crate::conformance::{self, frame, ints, reached, texts};

fn open(directory: &Path) -> Embedded {
    Embedded::open(&StoreUrl::parse(&format!("embedded:{}?sync=normal", directory.display())).unwrap()).unwrap()
}

fn refused(text: &str) -> (ErrorKind, String) {
    let error = Embedded::open(&StoreUrl::parse(text).unwrap()).unwrap_err();
    (error.kind(), error.to_string())
}

fn counts_table() -> Table {
    let table = Table::new(Ident::new("counts").unwrap()).key("name", Kind::Name(20)).unwrap();
    table.column("n", Kind::Int, true, Merge::Add).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_store() {
    let directory = TempDir::new().unwrap();
    conformance::store::everything(&open(directory.path()), "t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_as_a_log() {
    let directory = TempDir::new().unwrap();
    conformance::log::everything(Arc::new(open(directory.path())), "t").await;
}

#[tokio::test]
async fn messages_appended_in_a_unit_share_its_fate() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    store.create_topic("t", 2).await.unwrap();
    let claims = store.claim("s", &[Partition::new("p")]).await.unwrap();
    let rows = messages(&[(Some(b"k"), Some(b"v")), (None, None)]);
    for (commits, wanted) in [(false, 0), (true, 2), (false, 2)] {
        let mut unit = store.begin("s", &claims).await.unwrap();
        assert!(unit.append("t", &rows).await.unwrap());
        if commits {
            unit.commit(&reached("p", 1), &Counts::default()).await.unwrap();
        } else {
            drop(unit);
        }
        let extents = store.extents("t").await.unwrap().unwrap();
        assert_eq!(extents.iter().map(|extent| extent.end).sum::<i64>(), wanted);
    }
    let mut unit = store.begin("s", &claims).await.unwrap();
    assert_eq!(unit.append("nowhere", &rows).await.unwrap_err().kind(), ErrorKind::Configuration);
    // After an error the unit is over: nothing half done can be committed.
    assert!(unit.commit(&reached("p", 2), &Counts::default()).await.is_err());
    assert_eq!(store.positions("s").await.unwrap(), reached("p", 1));
}

#[test]
fn unusable_places_are_refused_with_a_remedy() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let mut places = vec![format!("embedded:{}", file.display()), format!("embedded:{}/below", file.display())];
    if Path::new("/proc/self").exists() {
        // Not writable, for root neither.
        places.push("embedded:/proc/headrace".to_owned());
        places.push("embedded:/proc/self".to_owned());
    }
    for place in places {
        let (kind, text) = refused(&place);
        assert_eq!(kind, ErrorKind::Configuration, "{text}");
        assert!(text.contains(place.trim_start_matches("embedded:")) && text.contains("may be written"), "{text}");
    }
    let (kind, text) = refused(&format!("embedded:{}?tabel=x", directory.path().display()));
    assert!(kind == ErrorKind::Configuration && text.contains("tabel"), "{text}");
    let (kind, text) = refused(&format!("embedded:{}?sync=maybe", directory.path().display()));
    assert!(kind == ErrorKind::Configuration && text.contains("maybe"), "{text}");
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("headrace.sqlite");
    let url = format!("embedded:{}", directory.path().display());
    std::fs::write(&file, "this is a text of more than sixteen bytes\n".repeat(400)).unwrap();
    let (kind, text) = refused(&url);
    assert!(kind == ErrorKind::Configuration && text.contains("no SQLite database"), "{text}");
    std::fs::remove_file(&file).unwrap();
    drop(open(directory.path()));
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.pragma_update(None, "user_version", 1_000).unwrap();
    let (kind, text) = refused(&url);
    assert!(kind == ErrorKind::Configuration && text.contains("newer") && text.contains("1000"), "{text}");
    let version: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_another_writer_and_can_be_interrupted() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let raw = rusqlite::Connection::open(directory.path().join("headrace.sqlite")).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let partitions = [Partition::new("p")];
    let claim = tokio::time::timeout(Duration::from_millis(300), store.claim("s", &partitions)).await;
    assert!(claim.is_err(), "a claim cannot succeed while another connection writes");
    assert!(begun.elapsed() < Duration::from_secs(2), "waiting was not interrupted");
    // Reading does not wait.
    assert!(store.positions("s").await.unwrap().is_empty());
    let release = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        raw.execute_batch("ROLLBACK").unwrap();
    };
    let (claims, ()) = tokio::join!(store.claim("s", &partitions), release);
    assert_eq!(claims.unwrap()[0].epoch, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_unit_is_undone_and_lets_others_in() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let table = counts_table();
    store.create(&[&table]).await.unwrap();
    let claims = store.claim("s", &[Partition::new("p")]).await.unwrap();
    let names: Vec<String> = (0..20_000).map(|n| format!("n{n:06}")).collect();
    let rows = frame(vec![texts("name", names.iter().map(String::as_str)), ints("n", (0..20_000).map(|_| 1))]);
    for microseconds in [0, 10, 500, 3_000, 20_000] {
        let work = async {
            let mut unit = store.begin("s", &claims).await.unwrap();
            unit.upsert(&table, &rows).await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_micros(microseconds), work).await.is_err());
    }
    conformance::write(&store, "other", 1, &table, &rows.slice(0, 5)).await;
    let all = conformance::read_all(&store, &table).await;
    assert!(all.equals_missing(&rows.slice(0, 5)), "{all}");
}

/// How a worker's batch ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Commit,
    CommitAndStop,
    CrashBeforeCommit,
}

/// A worker: counts messages by key into `counts`, as the run loop would. True when it came to the end.
async fn count_messages(store: &Embedded, options: &Consume, mut end: impl FnMut() -> End) -> bool {
    let mut source = store.consume("t", options).await.unwrap();
    let mut held: BTreeMap<Partition, Claim> = BTreeMap::new();
    loop {
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => {
                let claims = store.claim("count", &partitions).await.unwrap();
                source.start(&claims).await.unwrap();
                held.extend(claims.into_iter().map(|claim| (claim.partition.clone(), claim)));
            }
            Event::Revoked(partitions) => {
                partitions.iter().for_each(|partition| drop(held.remove(partition)));
                source.release(&partitions).await.unwrap();
            }
            Event::Batch(batch) => {
                let mut sums: BTreeMap<String, i64> = BTreeMap::new();
                for key in batch.frame.column(message_columns::KEY).unwrap().binary().unwrap().iter().flatten() {
                    *sums.entry(String::from_utf8(key.to_vec()).unwrap()).or_default() += 1;
                }
                let rows =
                    frame(vec![texts("name", sums.keys().map(String::as_str)), ints("n", sums.values().copied())]);
                let claims = claims_for(&held, &batch.reached).unwrap();
                let mut unit = match store.begin("count", &claims).await {
                    Ok(unit) => unit,
                    Err(error) => {
                        // Another worker took over: what was read goes to it, and the next look tells.
                        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
                        continue;
                    }
                };
                unit.upsert(&counts_table(), &rows).await.unwrap();
                let end = end();
                if end == End::CrashBeforeCommit {
                    return false;
                }
                let counts = Counts { read: batch.frame.height() as u64, ..Counts::default() };
                unit.commit(&batch.reached, &counts).await.unwrap();
                if end == End::CommitAndStop {
                    return false;
                }
            }
            Event::Idle => {}
            Event::End => return true,
        }
    }
}

fn consume(rows: usize) -> Consume {
    let interval = Duration::from_millis(50);
    Consume { group: "g".to_owned(), follow: false, batch_rows: rows, batch_bytes: 1 << 20, interval }
}

/// Produces so many messages over 13 keys and gives the counts they should lead to.
async fn produce(store: &Embedded, partitions: i32, count: usize) -> Vec<(String, i64)> {
    store.create(&[&counts_table()]).await.unwrap();
    store.create_topic("t", partitions).await.unwrap();
    let keys: Vec<String> = (0..count).map(|n| format!("k{:02}", n * n % 13)).collect();
    for keys in keys.chunks(333) {
        let rows: Vec<Pair<'_>> = keys.iter().map(|key| (Some(key.as_bytes()), None)).collect();
        store.produce("t", &messages(&rows)).await.unwrap();
    }
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    for key in keys {
        *wanted.entry(key).or_default() += 1;
    }
    wanted.into_iter().collect()
}

async fn counted(store: &Embedded) -> Vec<(String, i64)> {
    let table = conformance::read_all(store, &counts_table()).await;
    let (names, numbers) = (table.column("name").unwrap().str().unwrap(), table.column("n").unwrap().i64().unwrap());
    (0..table.height()).map(|row| (names.get(row).unwrap().to_owned(), numbers.get(row).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Stops, crashes and other batch sizes change nothing: the counts are those of one straight run.
    #[test]
    fn stopped_and_resumed_is_one_straight_run(
        partitions in 1_i32..4,
        count in 1_usize..1_500,
        rounds in proptest::collection::vec((1_usize..400, prop_oneof![
            5 => Just(End::Commit), 1 => Just(End::CommitAndStop), 1 => Just(End::CrashBeforeCommit)]), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = TempDir::new().unwrap();
            let store = open(directory.path());
            let wanted = produce(&store, partitions, count).await;
            let mut rounds = rounds.into_iter();
            let mut finished = false;
            while !finished {
                let rows = rounds.as_slice().first().map_or(500, |round| round.0);
                finished = count_messages(&store, &consume(rows), || rounds.next().map_or(End::Commit, |round| round.1)).await;
            }
            assert_eq!(counted(&store).await, wanted);
            assert_eq!(store.counters("count").await.unwrap().read, count as u64);
        });
    }
}

/// Starts this test binary again as another process that runs one of the ignored tests here.
fn spawn(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("embedded::{test}"), "--exact", "--ignored", "--quiet"])
        .env("HEADRACE_TEST_DIRECTORY", directory)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn directory_of_parent() -> Option<std::path::PathBuf> {
    clock::environment("HEADRACE_TEST_DIRECTORY").map(Into::into)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test as a process of its own"]
async fn process_that_adds() {
    let Some(directory) = directory_of_parent() else { return };
    add(&open(&directory), &clock::worker_name()).await;
}

/// Adds 1 to one row, 50 times, each in a unit.
async fn add(store: &Embedded, name: &str) {
    let claims = store.claim("add", &[Partition::new(name)]).await.unwrap();
    for at in 1..=50 {
        let mut unit = store.begin("add", &claims).await.unwrap();
        unit.upsert(&counts_table(), &frame(vec![texts("name", ["all"]), ints("n", [1])])).await.unwrap();
        let counts = Counts { written: 1, ..Counts::default() };
        unit.commit(&reached(name, at), &counts).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_and_threads_write_at_once() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    store.create(&[&counts_table()]).await.unwrap();
    let children: Vec<Child> = (0..3).map(|_| spawn("process_that_adds", directory.path())).collect();
    let (clone, apart) = (store.clone(), open(directory.path()));
    tokio::join!(add(&store, "a"), add(&clone, "b"), add(&apart, "c"));
    for mut child in children {
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(status.success());
    }
    assert_eq!(counted(&store).await, [("all".to_owned(), 300)]);
    assert_eq!(store.counters("add").await.unwrap().written, 300);
    assert_eq!(store.positions("add").await.unwrap().values().map(|position| position.at).collect::<Vec<_>>(), [50; 6]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test as a process of its own"]
async fn process_that_counts() {
    let Some(directory) = directory_of_parent() else { return };
    let store = open(&directory);
    let slowly = || {
        std::thread::sleep(Duration::from_millis(3));
        End::Commit
    };
    while !count_messages(&store, &consume(20), slowly).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_are_taken_over_and_nothing_is_lost_or_doubled() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let wanted = produce(&store, 3, 9_000).await;
    let committed =
        async || -> i64 { store.positions("count").await.unwrap().values().map(|position| position.at).sum() };
    let begun = Instant::now();
    for kill in 1..=3 {
        let mut children =
            [spawn("process_that_counts", directory.path()), spawn("process_that_counts", directory.path())];
        let goal = kill * 1_500;
        while committed().await < goal {
            assert!(begun.elapsed() < conformance::PATIENCE, "the workers do not get on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert!(committed().await < 9_000, "the workers were done before they were killed");
    let finishing = Instant::now();
    while !count_messages(&store, &consume(500), || End::Commit).await {}
    // The killed members are known to be gone; nobody waits for their last heartbeat to age.
    assert!(finishing.elapsed() < Duration::from_secs(8), "taking over took {:?}", finishing.elapsed());
    assert_eq!(counted(&store).await, wanted);
    let ends: Reached = store.positions("count").await.unwrap();
    assert_eq!(ends.values().map(|position| position.at).sum::<i64>(), 9_000);
    assert_eq!(store.counters("count").await.unwrap().read, 9_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_topic_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    produce(&store, 1, 10).await;
    let mut source = store.consume("t", &consume(10)).await.unwrap();
    let Event::Assigned(partitions) = source.next().await.unwrap() else { panic!("not assigned") };
    let position = Some(headrace_core::Position::at(11));
    let claim = Claim { partition: partitions[0].clone(), epoch: 1, position };
    let error = source.start(&[claim]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.to_string().contains("goes on at 11"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_beating_is_dropped_and_hears_of_it() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    produce(&store, 2, 10).await;
    let follow = Consume { follow: true, ..consume(10) };
    let mut paused = store.consume("t", &follow).await.unwrap();
    let Event::Assigned(held) = paused.next().await.unwrap() else { panic!("not assigned") };
    assert_eq!(held.len(), 2);
    let mut other = store.consume("t", &follow).await.unwrap();
    let raw = rusqlite::Connection::open(directory.path().join("groups.sqlite")).unwrap();
    assert_eq!(raw.execute("UPDATE members SET heartbeat = heartbeat - 10001", []).unwrap(), 1);
    let Event::Assigned(taken) = other.next().await.unwrap() else { panic!("the other member got nothing") };
    assert_eq!(taken, held);
    let begun = Instant::now();
    let revoked = loop {
        assert!(begun.elapsed() < conformance::PATIENCE, "the dropped member hears nothing");
        if let Event::Revoked(partitions) = paused.next().await.unwrap() {
            break partitions;
        }
    };
    assert_eq!(revoked, held);
}
