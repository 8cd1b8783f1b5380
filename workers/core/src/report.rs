//! What a run tells: counts while it goes, a report when it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of rows. `read = written + duplicate + dead_lettered + ignored` holds for every step that moves rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read from the source.
    pub read: u64,
    /// Rows stored, sent or counted into a result.
    pub written: u64,
    /// Rows that had been there before.
    pub duplicate: u64,
    /// Rows refused and kept as dead letters.
    pub dead_lettered: u64,
    /// Rows that a rule leaves out.
    pub ignored: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The same rows by class, such as `dead_letter:bad_number`.
    #[serde(default)]
    pub classes: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds other counts to these.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        self.written += other.written;
        self.duplicate += other.duplicate;
        self.dead_lettered += other.dead_lettered;
        self.ignored += other.ignored;
        self.bytes += other.bytes;
        for (class, count) in &other.classes {
            *self.classes.entry(class.clone()).or_default() += count;
        }
    }

    /// Takes other counts off these, as far as they go, and gives back the rest.
    #[must_use]
    pub fn take_off(&mut self, other: &Counts) -> Counts {
        fn take(from: &mut u64, count: u64) -> u64 {
            let rest = count.saturating_sub(*from);
            *from = from.saturating_sub(count);
            rest
        }
        let mut rest = Counts {
            read: take(&mut self.read, other.read),
            written: take(&mut self.written, other.written),
            duplicate: take(&mut self.duplicate, other.duplicate),
            dead_lettered: take(&mut self.dead_lettered, other.dead_lettered),
            ignored: take(&mut self.ignored, other.ignored),
            bytes: take(&mut self.bytes, other.bytes),
            classes: BTreeMap::new(),
        };
        for (class, count) in &other.classes {
            let left = self.classes.get_mut(class).map_or(*count, |from| take(from, *count));
            rest.class(class, left);
        }
        self.classes.retain(|_, count| *count > 0);
        rest
    }

    /// Adds to one class.
    pub fn class(&mut self, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.classes.entry(name.into()).or_default() += count;
        }
    }

    /// Tells whether every row read is accounted for.
    pub fn balances(&self) -> bool {
        self.read == self.written + self.duplicate + self.dead_lettered + self.ignored
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All there was is done.
    #[default]
    Complete,
    /// It was asked to stop; its position is committed and it goes on from there.
    Stopped,
    /// It compared and found differences.
    Different,
}

/// The report of a step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The step, such as `recruitment load`.
    pub step: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What happened to the rows.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
    /// Rows read per second.
    pub rows_per_second: f64,
    /// Where each partition stands.
    pub positions: BTreeMap<String, i64>,
    /// Where each partition stood before, none where nothing had been committed.
    #[serde(default)]
    pub begun: BTreeMap<String, Option<i64>>,
    /// Named facts beside the counts: files written, rows by table, warnings of a comparison.
    pub facts: BTreeMap<String, serde_json::Value>,
    /// Sentences for the reader.
    pub notes: Vec<String>,
    /// Rows to show: the top of a result, a list of dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TextTable>,
}

/// Rows of text under headings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTable {
    /// What the rows are.
    pub title: String,
    /// The headings.
    pub columns: Vec<String>,
    /// The rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// Starts a report of a step.
    pub fn new(step: impl Into<String>) -> Self {
        Self { step: step.into(), ..Self::default() }
    }

    /// Adds a named fact.
    pub fn fact(&mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) {
        self.facts.insert(name.into(), value.into());
    }

    /// Adds a sentence.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counts(read: u64, written: u64, class: u64) -> Counts {
        let mut counts = Counts { read, written, ..Counts::default() };
        counts.class("a", class);
        counts
    }

    #[test]
    fn what_cannot_be_taken_off_comes_back() {
        let mut total = counts(5, 3, 2);
        assert_eq!(total.take_off(&counts(2, 4, 2)), counts(0, 1, 0));
        assert_eq!(total, counts(3, 0, 0));
        let mut more = counts(0, 0, 1);
        more.class("b", 3);
        assert_eq!(total.take_off(&more), more);
    }
}
