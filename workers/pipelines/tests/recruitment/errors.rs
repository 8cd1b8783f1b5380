//! What can be wrong with a set-up or an input: each is told in one line that says what to do, as the right kind of error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use headrace_connectors::csv::{CsvOptions, CsvSource};
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::retry::Backoff;
use headrace_core::run::{Pipeline, run};
use headrace_core::step::Parameters;
use headrace_core::{Control, ErrorKind, StoreUrl};
use headrace_pipelines::recruitment::load_sink::LoadWork;
use headrace_pipelines::recruitment::record;
use headrace_pipelines::recruitment::schema::RawSchema;
use headrace_pipelines::recruitment::steps::{Clean, Demo, Export, Jobs, List, Load, Replay, Simulate, Verify};
use headrace_pipelines::stores::open_raw;
use serde_json::{Value, json};

use super::{Place, done, fates, golden, golden_text, refused, simulate};

/// Asserts that a step fails with an error of a kind, told in one line with all the given words.
async fn assert_refused<P: Parameters>(values: Value, kind: ErrorKind, words: &[&str]) {
    let error = refused::<P>(values).await;
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(!text.contains('\n') && text.len() < 500, "not one line: {text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_the_wrong_kind() {
    use ErrorKind::Configuration as Wrong;
    let (file, store) = (golden("edge_tracking.csv"), Place::embedded());
    let (mysql, kafka, cassandra) = ("mysql://u@h/d", "kafka://h/t", "cassandra://h/k");
    assert_refused::<Load>(json!({ "file": file, "to": mysql }), Wrong, &["mysql", "cassandra://", "embedded:"]).await;
    assert_refused::<Load>(json!({ "file": file, "to": "redis://h" }), Wrong, &["redis", "cassandra://"]).await;
    assert_refused::<Jobs>(json!({ "file": golden("edge_job.csv"), "to": kafka }), Wrong, &["kafka", "mysql://"]).await;
    assert_refused::<Replay>(json!({ "from": kafka, "to": kafka }), Wrong, &["kafka", "cassandra://"]).await;
    store.load(&file).await;
    assert_refused::<Replay>(json!({ "from": store.raw, "to": mysql }), Wrong, &["mysql", "kafka://"]).await;
    assert_refused::<Clean>(json!({ "from": cassandra, "to": store.result }), Wrong, &["cassandra", "kafka://"]).await;
    store.replay().await;
    assert_refused::<Clean>(json!({ "from": store.log, "to": cassandra }), Wrong, &["cassandra", "mysql://"]).await;
    let out = store.file("out.csv");
    assert_refused::<Export>(json!({ "from": kafka, "out": out }), Wrong, &["kafka", "mysql://"]).await;
    let messages = json!({ "from": mysql, "out": out, "what": "messages" });
    assert_refused::<Export>(messages, Wrong, &["mysql", "cassandra://"]).await;
    assert_refused::<Verify>(json!({ "raw": mysql }), Wrong, &["mysql", "cassandra://"]).await;
    assert_refused::<List>(json!({ "from": kafka }), Wrong, &["kafka"]).await;
    assert!(!out.exists() && !store.file("out.csv.partial").exists(), "a failed export leaves no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_are_none() {
    use ErrorKind::Configuration as Wrong;
    let file = golden("edge_tracking.csv");
    for (url, words) in [
        ("nonsense", &["\"nonsense\"", "cassandra://HOST"][..]),
        ("cassandra:/h/k", &["needs // after the scheme"]),
        ("cassandra://", &["names no host"]),
        ("cassandra://h:port/k", &["port"]),
        ("embedded:", &["needs a directory"]),
        ("", &["\"\""]),
        ("cassandra://u:canary@h:x/k", &["port"]),
    ] {
        assert_refused::<Load>(json!({ "file": file, "to": url }), Wrong, words).await;
        let text = refused::<Load>(json!({ "file": file, "to": url })).await.to_string();
        assert!(!text.contains("canary"), "{text}");
    }
    let place = Place::embedded();
    let odd = format!("{}&speed=9", place.raw);
    assert_refused::<Load>(json!({ "file": file, "to": odd }), Wrong, &["unknown option speed", "known are"]).await;
    let table = format!("{}&table=drop table", place.raw);
    assert_refused::<Load>(json!({ "file": file, "to": table }), Wrong, &["drop table"]).await;
    let values = json!({ "from": place.raw, "to": place.log, "since": "yesterday" });
    assert_refused::<Replay>(values, Wrong, &["yesterday", "YYYY-MM-DD"]).await;
    assert_refused::<Load>(json!({ "file": file, "too": "x" }), Wrong, &["has no parameter too"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_topics_that_are_missing() {
    use ErrorKind::Configuration as Wrong;
    let place = Place::embedded();
    let (from, out) = (&place.raw, place.file("out.csv"));
    let first = "headrace recruitment load` first";
    assert_refused::<Replay>(place.replay_values(json!({})), Wrong, &["`tracking` does not exist", first]).await;
    let topic = ["topic users_created does not exist", "headrace recruitment replay` first"];
    assert_refused::<Clean>(place.clean_values(json!({})), Wrong, &topic).await;
    let result = ["`result` does not exist", "headrace recruitment clean` first"];
    assert_refused::<Export>(json!({ "from": from, "out": out }), Wrong, &result).await;
    let letters = json!({ "from": from, "out": out, "what": "dead-letters" });
    assert_refused::<Export>(letters, Wrong, &["`tracking_dead_letter` does not exist", first]).await;
    assert_refused::<Verify>(json!({ "raw": from, "log": from, "result": from }), Wrong, &[first]).await;
    assert_refused::<List>(json!({ "from": from }), Wrong, &["`tracking_dead_letter` does not exist", first]).await;
    assert_refused::<List>(json!({ "from": from, "step": "clean" }), Wrong, &["`result_dead_letter` does not exist"])
        .await;
    place.load(&golden("edge_tracking.csv")).await;
    place.replay().await;
    // A dimension in another store must be there; beside the result it is made.
    let elsewhere = Place::embedded();
    let values = place.clean_values(json!({ "jobs": elsewhere.jobs }));
    assert_refused::<Clean>(values, Wrong, &["`job` does not exist", "headrace recruitment jobs` first"]).await;
    assert!(!out.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_missing_or_of_another_kind() {
    use ErrorKind::{Configuration as Wrong, Data};
    let place = Place::embedded();
    let directory = place.directory.path();
    let load = |file: &Path| json!({ "file": file, "to": place.raw });
    assert_refused::<Load>(load(&place.file("none.csv")), Wrong, &["none.csv", "No such file"]).await;
    assert_refused::<Load>(load(directory), Wrong, &["no regular file"]).await;
    assert_refused::<Load>(load(&place.write("empty.csv", "")), Data, &["empty.csv", "header"]).await;
    let header = golden_text("edge_tracking.csv").lines().next().unwrap().to_owned();
    for (name, header, words) in [
        ("other", "a,b,c\n".to_owned(), &["wrong header", "column 1: expected ``, found `a`"][..]),
        ("swapped", header.replace("bid,bn", "bn,bid") + "\n", &["column 3: expected `bid`, found `bn`"]),
        ("short", header.rsplit_once(',').unwrap().0.to_owned() + "\n", &["expected 30 columns, found 29"]),
        ("long", header.clone() + ",more\n", &["expected 30 columns, found 31"]),
        ("semicolons", header.replace(',', ";") + "\n", &["wrong header"]),
        ("jobs", golden_text("edge_job.csv"), &["wrong header", "column 1"]),
    ] {
        let file = place.write(name, header);
        assert_refused::<Load>(load(&file), Data, &[&[name], words].concat()).await;
    }
    let jobs = |file: &Path| json!({ "file": file, "to": place.jobs });
    assert_refused::<Jobs>(jobs(&place.file("none.csv")), Wrong, &["none.csv"]).await;
    assert_refused::<Jobs>(jobs(&golden("edge_tracking.csv")), Data, &["edge_tracking.csv", "company_id"]).await;
    assert!(!place.file("store").exists(), "nothing may be made for a file that cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_be_written() {
    use ErrorKind::Configuration as Wrong;
    let place = Place::embedded();
    let under = place.write("plain", "a file, no directory").join("store");
    let file = golden("edge_tracking.csv");
    let url = format!("embedded:{}", under.display());
    assert_refused::<Load>(json!({ "file": file, "to": url }), Wrong, &["plain/store", "directory"]).await;
    assert_refused::<Simulate>(json!({ "directory": under, "rows": 10 }), Wrong, &["plain/store"]).await;
    assert_refused::<Demo>(json!({ "dir": under, "rows": 10 }), Wrong, &["plain/store"]).await;
    place.whole(&file, &golden("edge_job.csv")).await;
    let export = |out: PathBuf| json!({ "from": place.result, "out": out });
    assert_refused::<Export>(export(under.join("out.csv")), Wrong, &["out.csv"]).await;
    assert_refused::<Export>(export(place.file("no/such/out.csv")), Wrong, &["out.csv", "No such file"]).await;
    assert_refused::<Export>(export(place.directory.path().to_owned()), Wrong, &["directory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_no_store_or_a_newer_one() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    let path = place.file("store").join("headrace.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let values = place.load_values(&golden("edge_tracking.csv"), json!({}));
    assert_refused::<Load>(values, ErrorKind::Configuration, &["newer headrace (format 99", "another directory"]).await;

    let other = Place::embedded();
    std::fs::create_dir_all(other.file("store")).unwrap();
    std::fs::write(
        other.file("store").join("headrace.sqlite"),
        "this is a text of some length, and no database at all".repeat(200),
    )
    .unwrap();
    let values = other.load_values(&golden("edge_tracking.csv"), json!({}));
    assert_refused::<Load>(values, ErrorKind::Configuration, &["no SQLite database"]).await;
}

/// A small file system in memory, where this is allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self(directory);
        let mounted = disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={kib}k"), "headrace-test"]);
        if !mounted {
            eprintln!("SKIP: a small file system cannot be mounted here");
        }
        mounted.then_some(disk)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).args(arguments).arg(self.0.path()).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_a_load_which_then_goes_on() {
    let Some(disk) = SmallDisk::mount(1_500) else { return };
    let place = Place::embedded();
    let files = simulate(&place, 5, 4_000, 0.005);
    let raw = format!("embedded:{}", disk.0.path().join("store").display());
    let url = StoreUrl::parse(&raw).unwrap();
    let schema = RawSchema::of(&url).unwrap();
    let store = open_raw(&url).await.unwrap();
    store.create(&schema.tables()).await.unwrap();
    let source = CsvSource::open(&files.tracking, CsvOptions { batch_rows: 200, ..CsvOptions::default() }).unwrap();
    let work = LoadWork::new(schema, &source);
    let backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(1), retries: 2 };
    let pipeline = Pipeline {
        source: Box::new(source),
        transform: Arc::new(|batch| record::parse(&batch.frame)),
        sink: Box::new(LedgerSink::new(store, work)),
        parallel: 2,
        backoff,
    };
    let error = run(pipeline, &Control::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    let text = error.to_string();
    assert!(text.contains("disk") && text.contains("full") && !text.contains('\n'), "{text}");

    assert!(disk.run("mount", &["-o", "remount,size=65536k"]));
    let place = Place { raw: raw.clone(), log: raw.clone(), jobs: raw.clone(), result: raw, ..place };
    let report = place.load(&files.tracking).await;
    assert!(fates(&report)[0] < 4_000, "what was committed before is not read again");
    let loaded = place.counters("load").await;
    assert_eq!((loaded.read, loaded.written), (4_000, files.simulated.count("stored")));
    place.jobs(&files.jobs).await;
    place.replay().await;
    place.clean().await;
    assert_eq!(place.hourly().await, files.expected.hourly_csv());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_no_half_export() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let place = Place::embedded();
    let files = simulate(&place, 5, 4_000, 0.0);
    place.load(&files.tracking).await;
    let out = disk.0.path().join("messages.jsonl");
    let values = json!({ "from": place.raw, "out": out, "what": "messages" });
    assert_refused::<Export>(values, ErrorKind::External, &["messages.jsonl", "No space left"]).await;
    assert_eq!(std::fs::read_dir(disk.0.path()).unwrap().count(), 0);
    let url = format!("embedded:{}", disk.0.path().join("store").display());
    assert_refused::<Load>(json!({ "file": files.tracking, "to": url }), ErrorKind::External, &["full"]).await;
    done::<Export>(json!({ "from": place.raw, "out": place.file("messages.jsonl"), "what": "messages" })).await;
}
