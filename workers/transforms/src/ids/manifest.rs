//! The list of runs, oldest first, with the merges under way: what one commit leaves for the next.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Which runs there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Entries with an earlier time are forgotten.
    pub(super) cutoff: i64,
    /// The number of the next run whose blocks are stored apart.
    pub(super) next: i64,
    /// Oldest first; levels never rise towards the newest.
    pub(super) runs: Vec<RunInfo>,
    /// One for each level at most.
    pub(super) merges: Vec<MergeInfo>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunInfo {
    /// Above zero where blocks are stored apart; below, the run is in the journal entry of the commit with the opposite
    /// number.
    pub(super) number: i64,
    /// How often its entries were merged.
    pub(super) level: u8,
    pub(super) entries: u64,
    /// The time of the youngest entry.
    pub(super) newest: i64,
    /// The commits that wrote it.
    pub(super) parts: Vec<Part>,
}

/// Sections of a run that one commit wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) sequence: i64,
    pub(super) sections: u32,
}

/// A merge that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MergeInfo {
    /// The numbers of the runs, oldest first; they are neighbours in the list, and of one level.
    pub(super) inputs: Vec<i64>,
    /// The run they become, as far as it is written.
    pub(super) output: RunInfo,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { cutoff: i64::MIN, next: 1, runs: Vec::new(), merges: Vec::new() }
    }
}

impl Manifest {
    /// Takes the number of the next run.
    pub(super) fn take_number(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    /// All runs, also those that merges write.
    pub(super) fn all_runs(&self) -> impl Iterator<Item = &RunInfo> {
        self.runs.iter().chain(self.merges.iter().map(|merge| &merge.output))
    }

    /// The numbers of all runs.
    pub(super) fn numbers(&self) -> BTreeSet<i64> {
        self.all_runs().map(|run| run.number).collect()
    }
}

impl RunInfo {
    /// A run without entries.
    pub(super) fn empty(number: i64, level: u8) -> Self {
        Self { number, level, entries: 0, newest: i64::MIN, parts: Vec::new() }
    }

    /// Says whether the run, with its entries, is in the journal.
    pub(super) fn is_in_journal(&self) -> bool {
        self.number < 0
    }

    /// Gives the number of sections.
    pub(super) fn sections(&self) -> usize {
        self.parts.iter().map(|part| part.sections as usize).sum()
    }

    /// Gives the commit that wrote a section and its blocks.
    pub(super) fn sequence_of(&self, section: usize) -> i64 {
        let mut end = 0;
        let part = self.parts.iter().find(|part| {
            end += part.sections as usize;
            section < end
        });
        part.map_or(0, |part| part.sequence)
    }

    /// Counts a section that a commit writes.
    pub(super) fn add_section(&mut self, sequence: i64, entries: usize, newest: i64) {
        self.entries += entries as u64;
        self.newest = self.newest.max(newest);
        match self.parts.last_mut().filter(|part| part.sequence == sequence) {
            Some(part) => part.sections += 1,
            None => self.parts.push(Part { sequence, sections: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_belong_to_commits() {
        let mut run = RunInfo::empty(3, 1);
        for (sequence, newest) in [(7, 5), (7, 9), (8, 1), (12, 2)] {
            run.add_section(sequence, 10, newest);
        }
        assert_eq!((run.sections(), run.entries, run.newest), (4, 40, 9));
        assert_eq!([0, 1, 2, 3].map(|section| run.sequence_of(section)), [7, 7, 8, 12]);
        assert_eq!(run.parts.len(), 3);
    }
}
