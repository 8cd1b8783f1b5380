//! The ids of one batch, sorted once, and what is found out about each of them.

use xxhash_rust::xxh3::xxh3_128;

use super::filter;

/// Hashes an id of any kind to a key.
pub fn hash_key(id: &[u8]) -> u128 {
    xxh3_128(id)
}

/// What is kept of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A hash of the id ([`hash_key`]), or the id itself where it fits; equal keys are the same id.
    pub key: u128,
    /// A hash of the content, say, which tells a duplicate from a conflict.
    pub payload: u64,
    /// Event time in whole seconds, which decides when the id may be forgotten.
    pub time: i64,
}

/// What is known about an id of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The id is not known; it will be stored with the batch's payload.
    ///
    /// A caller may set this for an id that was seen, to have the batch's entry take the place of the stored one. Its
    /// time should not be before that of the stored one, which would show again once the new one has expired.
    New,
    /// The id is not known, but an earlier row of the batch, given here, has it too.
    Repeat(usize),
    /// The id was stored before, with this payload.
    Seen(u64),
}

/// One of the ids of a batch, which one or more of its rows have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) key: u128,
    /// What filters ask for.
    pub(super) hash: u64,
    /// Where its rows begin.
    rows: u32,
}

/// The entries of a batch, in batch order, ready to be looked up in key order.
#[derive(Clone, Debug)]
pub struct Batch {
    entries: Vec<Entry>,
    probes: Vec<Probe>,
    /// Rows in order of keys, those of one key ascending.
    rows: Vec<u32>,
}

impl Batch {
    /// Sorts the ids of a batch.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut slots: Vec<(u128, u32)> = (0..).zip(&entries).map(|(row, entry)| (entry.key, row)).collect();
        slots.sort_unstable();
        let mut probes: Vec<Probe> = Vec::with_capacity(slots.len());
        for (rows, (key, _)) in (0..).zip(&slots) {
            if probes.last().is_none_or(|probe| probe.key != *key) {
                probes.push(Probe { key: *key, hash: filter::hash(*key), rows });
            }
        }
        Self { entries, probes, rows: slots.into_iter().map(|(_, row)| row).collect() }
    }

    /// Gives the number of rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives the payload of a row, to compare a repeat with the row it repeats.
    pub fn payload(&self, row: usize) -> u64 {
        self.entries[row].payload
    }

    /// The different ids, ascending.
    pub(super) fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// Turns what was found for each of the ids, payload and time, into verdicts of the rows.
    pub(super) fn verdicts(&self, found: &[Option<(u64, i64)>]) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::New; self.len()];
        for (number, found) in found.iter().enumerate() {
            let rows = self.rows_of(number);
            let first = rows[0] as usize;
            for &row in rows {
                let row = row as usize;
                match found {
                    Some((payload, _)) => verdicts[row] = Verdict::Seen(*payload),
                    None if row != first => verdicts[row] = Verdict::Repeat(first),
                    None => {}
                }
            }
        }
        verdicts
    }

    /// Gives the entries to be stored, in order of keys: of each id the first row that is new.
    pub(super) fn new_entries(&self, verdicts: &[Verdict]) -> impl Iterator<Item = Entry> {
        (0..self.probes.len()).filter_map(|number| {
            let row = self.rows_of(number).iter().find(|row| verdicts[**row as usize] == Verdict::New)?;
            Some(self.entries[*row as usize])
        })
    }

    fn rows_of(&self, probe: usize) -> &[u32] {
        let end = self.probes.get(probe + 1).map_or(self.rows.len(), |next| next.rows as usize);
        &self.rows[self.probes[probe].rows as usize..end]
    }
}
