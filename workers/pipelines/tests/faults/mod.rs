//! Steps in processes of their own that are killed at named places, killed and joined at random, and frozen: every row counts
//! once all the same, and the results are those of one straight run.

#[cfg(debug_assertions)]
mod failpoints;
mod groups;

use serde_json::json;

use crate::recruitment::messages::sorted_lines;
use crate::recruitment::{Files, Place, assert_classes};

/// Checks raw store, dead letters and counters of a load that has been run to its end against the truth about its file.
async fn assert_loaded(place: &Place, files: &Files) {
    let loaded = place.counters("load").await;
    assert_classes(&files.simulated, &loaded, &[""]);
    assert!(loaded.balances(), "{loaded:?}");
    let found = [loaded.read, loaded.written, loaded.duplicate, loaded.dead_lettered];
    assert_eq!(found, ["read", "stored", "duplicate", "dead_letter"].map(|class| files.simulated.count(class)));
    assert_eq!(place.export("messages").await.lines().count() as u64, loaded.written);
    let letters = place.letters("load", json!({ "limit": 100_000 })).await;
    assert_eq!(letters.len() as u64, loaded.dead_lettered);
}

/// Checks what the topic holds: every raw row, and copies only where they may be.
async fn assert_sent(place: &Place, messages: &str) -> u64 {
    let mut lines: Vec<String> = sorted_lines(&place.log).await.lines().map(str::to_owned).collect();
    let all = lines.len();
    lines.dedup();
    assert_eq!(lines.concat(), messages.lines().collect::<String>());
    let copies = (all - lines.len()) as u64;
    assert_eq!(place.counters("replay").await.written, lines.len() as u64);
    assert!(place.raw != place.log || copies == 0, "{copies} copies, though messages and ledger are one transaction");
    copies
}

/// Checks everything the clean step makes against the truth, where the topic holds some copies and some refused messages beside.
async fn assert_cleaned(place: &Place, files: &Files, copies: u64, refused: u64) {
    assert_eq!(place.results().await, (files.expected.hourly_csv(), files.expected.unattributed_csv()));
    let cleaned = place.counters("clean").await;
    assert_classes(&files.simulated, &cleaned, &["counted", "unattributed", "ignored"]);
    assert!(cleaned.balances(), "{cleaned:?}");
    let read = files.simulated.count("stored") + copies + refused;
    assert_eq!((cleaned.read, cleaned.duplicate, cleaned.dead_lettered), (read, copies, refused));
    assert_eq!(place.letters("clean", json!({ "limit": 100_000 })).await.len() as u64, refused);
}
