//! What a replay of refused events must leave alone: the texts they came with, and the archive that the stream writes.

use std::collections::BTreeMap;
use std::path::Path;

use headrace_core::ErrorKind;
use headrace_core::report::Outcome;
use serde_json::{Value, json};

use super::place::Place;
use super::run;

/// A place with events of a simulation, a tenth of them broken.
async fn streamed() -> Place {
    let place = Place::new();
    let events = json!({ "to": place.store, "events": 2_000, "malformed": 0.1, "start": "2025-03-10 12:00:00" });
    run("simulate", events).await.unwrap();
    let stream = json!({ "from": place.store, "store": place.store, "archive": place.archive });
    assert_eq!(run("stream", stream).await.unwrap().outcome, Outcome::Complete);
    place
}

/// The open letters by source and position, as a list writes them.
async fn letters(place: &Place) -> BTreeMap<(String, String), Value> {
    let out = place.folder.path().join("letters.jsonl");
    run("dead-letters list", json!({ "store": place.store, "limit": 100_000, "out": out })).await.unwrap();
    let text = std::fs::read_to_string(&out).unwrap();
    let letters = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let word = |letter: &Value, name: &str| letter[name].as_str().unwrap().to_owned();
    letters.map(|letter| ((word(&letter, "source"), word(&letter, "position")), letter)).collect()
}

/// Parquet files in a folder and those in it.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| usize::from(path.extension().is_some_and(|end| end == "parquet")) + files(&path)).sum()
}

#[tokio::test]
async fn a_correction_that_is_none_leaves_the_text_that_came() {
    let place = streamed().await;
    let came = letters(&place).await;
    let tombstones = came.values().filter(|letter| letter["raw"].is_null()).count();
    assert!(came.len() > 100 && tombstones > 0);
    let fixed = place.folder.path().join("fixed.jsonl");
    // As they were written, letters without value among them; then with nonsense.
    for (nonsense, replayed) in [(None, came.len() - tombstones), (Some("nonsense"), came.len())] {
        let line = |letter: &Value| {
            let mut letter = letter.clone();
            if let Some(text) = nonsense {
                letter["raw"] = text.into();
            }
            format!("{letter}\n")
        };
        std::fs::write(&fixed, came.values().map(line).collect::<String>()).unwrap();
        let replay = json!({ "store": place.store, "archive": place.archive, "fixed": fixed });
        let report = run("dead-letters replay", replay).await.unwrap();
        assert_eq!((report.counts.read, report.counts.dead_lettered), (replayed as u64, replayed as u64));
        let now = letters(&place).await;
        assert!(now.keys().eq(came.keys()));
        assert!(now.iter().all(|(key, letter)| letter["raw"] == came[key]["raw"]));
    }
}

#[tokio::test]
async fn rows_go_to_no_other_lake_than_the_streams() {
    let place = streamed().await;
    let before = letters(&place).await;
    let folder = place.folder.path().join("elsewhere");
    let other = format!("file:{}", folder.display());
    for (step, archive) in
        [("dead-letters replay", other.as_str()), ("dead-letters replay", "none"), ("compact", other.as_str())]
    {
        let error = run(step, json!({ "store": place.store, "archive": archive })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(&format!("give --archive {}", place.archive)), "{error}");
    }
    assert_eq!(files(&folder), 0);
    assert_eq!(letters(&place).await, before);
    // All is written: from here on the stream may write elsewhere.
    let stream = json!({ "from": place.store, "store": place.store, "archive": other, "group": "elsewhere" });
    run("simulate", json!({ "to": place.store, "events": 500, "seed": 2, "start": "2025-03-10 12:30:00" }))
        .await
        .unwrap();
    run("stream", stream).await.unwrap();
    assert!(files(&folder) > 0);
}
