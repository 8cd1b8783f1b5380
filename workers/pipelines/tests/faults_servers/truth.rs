//! What must come out, whatever was struck: the rows of a straight run, each once.

use std::collections::BTreeMap;

use crate::recruitment::messages::sorted_lines;
use crate::recruitment::{Files, Place, assert_classes, is_complete, simulate};

/// One record in so many has each of the defects.
const DEFECTS: f64 = 0.002;

/// Simulated files, and what a straight run makes of them.
pub(crate) struct Truth {
    pub(crate) files: Files,
    /// The raw rows, as the messages they are sent as.
    pub(crate) messages: String,
    letters: String,
    hourly: String,
    unattributed: String,
}

/// How a text's lines differ from those it should have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    lost: usize,
    doubled: usize,
    phantom: usize,
}

impl Differences {
    fn of(found: &str, right: &str) -> Self {
        let mut lines: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        found.lines().for_each(|line| lines.entry(line).or_default().0 += 1);
        right.lines().for_each(|line| lines.entry(line).or_default().1 += 1);
        let mut differences = Self::default();
        for (found, right) in lines.into_values() {
            differences.lost += right.saturating_sub(found);
            let too_many = found.saturating_sub(right);
            if right == 0 { differences.phantom += too_many } else { differences.doubled += too_many }
        }
        differences
    }
}

fn assert_same(what: &str, found: &str, right: &str) {
    assert_eq!(Differences::of(found, right), Differences::default(), "{what}");
    assert_eq!(found, right, "{what}: the same lines in another order");
}

impl Truth {
    /// Simulates files in the place's directory and runs them straight through the embedded store.
    pub(crate) async fn of(place: &Place, seed: u64, rows: u64) -> Self {
        let files = simulate(place, seed, rows, DEFECTS);
        let straight = Place::embedded();
        straight.whole(&files.tracking, &files.jobs).await;
        assert!(is_complete(&straight.verify().await));
        let (hourly, unattributed) = straight.results().await;
        // The simulator knows it without having run anything.
        assert_eq!((&hourly, &unattributed), (&files.expected.hourly_csv(), &files.expected.unattributed_csv()));
        let (messages, letters) = (straight.export("messages").await, straight.export("dead-letters").await);
        Self { files, messages, letters, hourly, unattributed }
    }

    /// How many rows are sent.
    pub(crate) fn sent(&self) -> u64 {
        self.messages.lines().count() as u64
    }

    /// Checks everything a place holds, line by line.
    pub(crate) async fn assert_exact(&self, place: &Place) {
        let loaded = place.counters("load").await;
        assert_eq!(loaded.read, loaded.written + loaded.duplicate + loaded.dead_lettered);
        let found = [loaded.read, loaded.written, loaded.duplicate, loaded.dead_lettered];
        let right = ["read", "stored", "duplicate", "dead_letter"].map(|class| self.files.simulated.count(class));
        assert_eq!(found, right, "read, stored, duplicate, dead letters");
        assert_same("raw rows", &place.export("messages").await, &self.messages);
        assert_same("dead letters", &place.export("dead-letters").await, &self.letters);

        // The topic is written at least once: copies may be there, each of them counted once.
        let topic = Differences::of(&sorted_lines(&place.log).await, &self.messages);
        assert_eq!((topic.lost, topic.phantom), (0, 0), "topic");
        let cleaned = place.counters("clean").await;
        assert_eq!(cleaned.read, self.sent() + topic.doubled as u64);
        assert_eq!(cleaned.duplicate, topic.doubled as u64);
        assert_classes(&self.files.simulated, &cleaned, &["counted", "unattributed", "ignored"]);

        assert_same("hourly table", &place.hourly().await, &self.hourly);
        assert_same("unattributed events", &place.export("unattributed").await, &self.unattributed);
        let verified = place.verify().await;
        assert!(is_complete(&verified), "{verified:?}");
        let [read, stored, duplicate, dead] = found;
        eprintln!(
            "exact: read {read} = stored {stored} + duplicate {duplicate} + dead letters {dead}; {} result rows; lost 0, doubled 0, \
             phantom 0; sent twice and counted once {}",
            self.hourly.lines().count() - 1,
            topic.doubled
        );
    }
}
