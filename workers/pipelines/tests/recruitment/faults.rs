//! Steps over stores and logs that fail now and then, commits with lost answers among them: the result is that of one
//! straight run, and the run itself knows what it did.

use std::time::Duration;

use headrace_core::run::Finished;
use serde_json::json;

use super::faulty::Faults;
use super::faulty_steps::{assert_letters_come_back_once, clean, load, replay};
use super::random::cases;
use super::{Files, Place, assert_classes, messages, simulate};

async fn assert_loaded(place: &Place, files: &Files, finished: &Finished) {
    let loaded = place.counters("load").await;
    assert_classes(&files.simulated, &loaded, &[""]);
    assert_eq!(loaded.read, files.simulated.rows);
    let counts = &finished.counts;
    assert_eq!((counts.read, counts.written, &counts.classes), (loaded.read, loaded.written, &loaded.classes));
    let letters = place.letters("load", json!({ "limit": 100_000 })).await;
    assert_eq!(letters.len() as u64, files.simulated.count("dead_letter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_lost_answers_change_nothing() {
    cases(6, async |mut random| {
        let place = Place::apart();
        let files = simulate(&place, random.next(), 800, 0.01);
        place.jobs(&files.jobs).await;
        let loaded = load(&place, &files.tracking, &mut random).await;
        assert_loaded(&place, &files, &loaded).await;

        let stored = files.simulated.count("stored");
        let sent = replay(&place, &mut random).await;
        assert_eq!(sent.counts.written, stored);
        assert_eq!(place.counters("replay").await.written, stored);
        // Sent at least once: part of what a failed send stored is there again.
        let mut lines: Vec<String> = messages::sorted_lines(&place.log).await.lines().map(str::to_owned).collect();
        let copies = lines.len() as u64 - stored;
        lines.dedup();
        assert_eq!(lines.join("\n") + "\n", place.export("messages").await);
        assert_eq!(replay(&place, &mut random).await.counts.written, 0);

        let cleaned = clean(&place, Duration::from_secs(60), &mut random).await;
        assert_eq!((cleaned.counts.read, cleaned.counts.duplicate), (stored + copies, copies));
        assert_eq!(place.results().await, (files.expected.hourly_csv(), files.expected.unattributed_csv()));
        let counters = place.counters("clean").await;
        assert_classes(&files.simulated, &counters, &["counted", "unattributed", "ignored"]);
        assert_eq!((&cleaned.counts.classes, cleaned.counts.duplicate), (&counters.classes, counters.duplicate));
    })
    .await;
}

/// A changed dimension reaches every stored row, though the first tries to carry it over fail.
#[tokio::test(flavor = "multi_thread")]
async fn failures_do_not_lose_a_changed_company() {
    cases(20, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 100, 0.0);
        // Cleaned before any job is known.
        place.load(&files.tracking).await;
        place.replay().await;
        place.clean().await;
        assert_ne!(place.hourly().await, files.expected.hourly_csv());
        place.jobs(&files.jobs).await;
        clean(&place, Duration::from_secs(60), &mut random).await;
        assert_eq!(place.hourly().await, files.expected.hourly_csv());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_do_not_lose_a_corrected_record() {
    cases(10, async |mut random| {
        let faults = Faults::new(&mut random, 8);
        assert_letters_come_back_once(&Place::embedded(), "", &mut random, faults).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zombies_are_refused() {
    super::zombies::assert_zombies_are_refused(&Place::embedded()).await;
}
