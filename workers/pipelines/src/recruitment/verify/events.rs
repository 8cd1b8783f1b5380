//! Sets of events by id with a hash of what counts, and what two such sets differ in. Memory: 24 bytes an event.

use headrace_core::Result;
use headrace_transforms::time_uuid;
use polars::prelude::DataFrame;
use xxhash_rust::xxh3::Xxh3;

use super::EXAMPLES;
use crate::recruitment::columns::{CAMPAIGN_ID, GROUP_ID, JOB_ID, PUBLISHER_ID};
use crate::recruitment::event::{BID_MICROS, CLASS, TS};
use crate::recruitment::message::Decoded;

/// The numbers of an event that must be the same everywhere.
const NUMBERS: [&str; 6] = [JOB_ID, PUBLISHER_ID, CAMPAIGN_ID, GROUP_ID, BID_MICROS, TS];

/// Events by id.
#[derive(Debug, Default)]
pub struct EventSet {
    events: Vec<([u8; 16], u64)>,
    /// Events without an id, known only by their place in the topic.
    pub without_id: u64,
    /// How many came more than once, and how often in all.
    pub doubled: (u64, u64),
}

/// What two sets differ in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Events only in the first.
    pub missing: u64,
    /// Events only in the second.
    pub unexpected: u64,
    /// Events in both, with other content.
    pub different: u64,
    /// A few of them, in words.
    pub examples: Vec<String>,
}

impl EventSet {
    /// Adds decoded events, and tells which of them are there for the first time only after [`close`](Self::close).
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn add(&mut self, decoded: &Decoded) -> Result<()> {
        let hashes = hashes(&decoded.events)?;
        for (id, hash) in decoded.ids.iter().zip(hashes) {
            match id {
                Some(id) => self.events.push((*id, hash)),
                None => self.without_id += 1,
            }
        }
        Ok(())
    }

    /// Sorts the set and counts what came more than once; the first content of an id stays.
    pub fn close(&mut self) {
        self.events.sort();
        let before = self.events.len();
        let mut doubled = 0;
        for group in self.events.chunk_by(|a, b| a.0 == b.0) {
            doubled += u64::from(group.len() > 1);
        }
        self.events.dedup_by_key(|(id, _)| *id);
        self.doubled = (doubled, (before - self.events.len()) as u64);
    }

    /// Tells whether an event is in this closed set.
    pub fn has(&self, id: &[u8; 16]) -> bool {
        self.events.binary_search_by_key(&id, |(known, _)| known).is_ok()
    }

    /// The number of distinct ids.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Tells whether there is no event with an id.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Compares this closed set, which is right, with another closed one.
    pub fn compare(&self, other: &Self) -> Differences {
        let mut differences = Differences::default();
        let (mut expected, mut found) = (self.events.iter().peekable(), other.events.iter().peekable());
        loop {
            let (kind, id) = match (expected.peek(), found.peek()) {
                (None, None) => return differences,
                (Some((id, _)), other) if other.is_none_or(|(other, _)| id < other) => {
                    expected.next();
                    differences.missing += 1;
                    ("missing", id)
                }
                (Some((id, hash)), Some((other, other_hash))) if id == other => {
                    let same = hash == other_hash;
                    expected.next();
                    found.next();
                    if same {
                        continue;
                    }
                    differences.different += 1;
                    ("different", id)
                }
                (_, Some((id, _))) => {
                    found.next();
                    differences.unexpected += 1;
                    ("unexpected", id)
                }
                (Some(_), None) => return differences,
            };
            if differences.examples.len() < EXAMPLES {
                differences.examples.push(format!("{kind} event {}", time_uuid::to_text(id)));
            }
        }
    }
}

/// Hashes what counts of each event.
fn hashes(events: &DataFrame) -> Result<Vec<u64>> {
    let mut hashers = vec![Xxh3::new(); events.height()];
    for name in NUMBERS {
        for (hasher, value) in hashers.iter_mut().zip(events.column(name)?.i64()?.iter()) {
            hasher.update(&value.map_or([0xff; 9], |value| {
                let mut bytes = [0; 9];
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                bytes
            }));
        }
    }
    for (hasher, class) in hashers.iter_mut().zip(events.column(CLASS)?.i32()?.iter()) {
        hasher.update(&class.unwrap_or(-1).to_le_bytes());
    }
    Ok(hashers.iter().map(Xxh3::digest).collect())
}

#[cfg(test)]
mod tests {
    use super::{Differences, EventSet};

    fn set(events: &[(u8, u64)]) -> EventSet {
        let events = events.iter().map(|(id, hash)| ([*id; 16], *hash)).collect();
        let mut set = EventSet { events, ..EventSet::default() };
        set.close();
        set
    }

    #[test]
    fn one_lost_one_doubled_and_one_changed_event_are_found() {
        let (right, wrong) = (set(&[(1, 1), (2, 2), (3, 3)]), set(&[(4, 4), (3, 9), (1, 1), (1, 1)]));
        assert_eq!(wrong.doubled, (1, 1));
        let found = right.compare(&wrong);
        assert_eq!((found.missing, found.unexpected, found.different), (1, 1, 1));
        assert_eq!(found.examples.len(), 3);
        assert_eq!(right.compare(&set(&[(3, 3), (2, 2), (1, 1)])), Differences::default());
    }
}
