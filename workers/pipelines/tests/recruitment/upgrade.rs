//! State that the first release wrote: a later one opens it, knows every id, and goes on from every position.
//!
//! `tests/upgrade/embedded_format_2.sql` is the database of an embedded store, as the first release left it behind after `load`, `jobs`,
//! `replay` and `clean` of the edge set's first 18 records, dumped by SQLite, with `@DIRECTORY@` for the place of store and files.
//! It is never written anew: a release with another format keeps it and adds its own.

use headrace_core::ErrorKind;
use headrace_pipelines::recruitment::steps::{Clean, Load, Replay};
use serde_json::json;

use super::messages::sorted_lines;
use super::{Place, done, fates, golden, golden_text, is_complete, refused};

const FIRST_RELEASE: &str = include_str!("../upgrade/embedded_format_2.sql");
/// Records the first release had loaded; their lines begin with their row index, counted from 0.
const LOADED: usize = 18;

/// The first release's store, and the file it had loaded.
fn first_release() -> Place {
    let place = Place::embedded();
    let directory = place.directory.path().canonicalize().unwrap();
    std::fs::create_dir(directory.join("store")).unwrap();
    let database = rusqlite::Connection::open(directory.join("store/headrace.sqlite")).unwrap();
    database.execute_batch(&FIRST_RELEASE.replace("@DIRECTORY@", directory.to_str().unwrap())).unwrap();
    place.write("tracking.csv", edge_records(LOADED));
    place
}

/// The edge set up to some record.
fn edge_records(count: usize) -> String {
    let text = golden_text("edge_tracking.csv");
    let end = text.find(&format!("\n{count},")).unwrap() + 1;
    text[..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_release_has_nothing_new_for_the_steps() {
    let place = first_release();
    let loaded = place.load(&place.file("tracking.csv")).await;
    assert_eq!(fates(&loaded), [0; 5], "its position is known: {:?}", loaded.notes);
    assert_eq!(fates(&place.replay().await), [0; 5]);
    assert_eq!(fates(&place.clean().await), [0; 5]);
    assert!(is_complete(&place.verify().await));
    // Its counters and letters are there, and its ids.
    let counters = place.counters("load").await;
    assert_eq!((counters.read, counters.written), (18, 14));
    assert_eq!(place.letters("load", json!({})).await.len(), 3);
    let again = place.load_values(&place.file("tracking.csv"), json!({ "restart": true }));
    assert_eq!(fates(&done::<Load>(again).await), [18, 0, 15, 3, 0]);
    assert_eq!(fates(&done::<Replay>(place.replay_values(json!({ "again": true }))).await)[1], 14);
    assert_eq!(fates(&place.clean().await), [14, 0, 14, 0, 0]);
    assert_eq!(fates(&done::<Clean>(place.clean_values(json!({ "restart": true }))).await), [28, 0, 28, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_release_is_gone_on_with() {
    let place = first_release();
    let file = place.write("tracking.csv", golden_text("edge_tracking.csv"));
    assert_eq!(fates(&place.load(&file).await)[0], 10, "only what the file has grown by");
    place.jobs(&golden("edge_job.csv")).await;
    assert_eq!(fates(&place.replay().await)[1], 4);
    assert_eq!(fates(&place.clean().await)[0], 4);
    assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
    assert_eq!(place.export("unattributed").await, golden_text("edge_expected_unattributed_hourly.csv"));
    assert_eq!(place.export("dead-letters").await, golden_text("edge_expected_dead_letter.csv"));
    assert_eq!(sorted_lines(&place.log).await, golden_text("edge_expected_messages.jsonl"));
    assert!(is_complete(&place.verify().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_store_is_refused_and_left_as_it_is() {
    let place = first_release();
    let path = place.file("store").join("headrace.sqlite");
    let version = || -> i64 {
        let database = rusqlite::Connection::open(&path).unwrap();
        database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", version() + 1_000).unwrap();
    let newer = version();
    for error in [
        refused::<Load>(place.load_values(&place.file("tracking.csv"), json!({}))).await,
        refused::<Replay>(place.replay_values(json!({}))).await,
        refused::<Clean>(place.clean_values(json!({}))).await,
    ] {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        let words = ["written by a newer headrace", &format!("format {newer}"), "another directory"];
        assert!(words.iter().all(|word| text.contains(word)) && !text.contains('\n'), "{text}");
    }
    assert_eq!(version(), newer);
}
