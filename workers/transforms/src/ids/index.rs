//! The index: the runs of a scope, as far as they stay in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::cache::Cache;
use super::draft::Draft;
use super::fetch::{BlockOf, Place};
use super::manifest::{Manifest, RunInfo};
use super::section::Section;
use super::{Block, Error, Shape, journal};

/// The key under which commits leave their journal entries.
pub const JOURNAL_KEY: i64 = 0;

/// What stays in memory of a run.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) sections: Vec<Section>,
    /// The entries, while the run is in the journal.
    pub(super) block: Option<Arc<Block>>,
}

/// The ids of a scope.
///
/// Only one batch at a time may be between look-up and [`apply`](Self::apply): the next one would not know its ids.
#[derive(Debug)]
pub struct Index {
    pub(super) shape: Shape,
    pub(super) manifest: Manifest,
    /// Those of the manifest, by number.
    pub(super) runs: HashMap<i64, Run>,
    pub(super) cache: Cache,
    /// The commits whose journal entries are stored: those of runs in the journal, and the last.
    pub(super) journal: BTreeSet<i64>,
}

impl Index {
    /// Makes an empty index that keeps up to a number of bytes of blocks.
    pub fn new(shape: Shape, budget_bytes: usize) -> Self {
        let block_entries = shape.block_entries.clamp(1, 1 << 14);
        let most_blocks = (usize::from(u16::MAX) / block_entries).min(256);
        let section_blocks = shape.section_blocks.clamp(1, most_blocks);
        let shape = Shape { block_entries, section_blocks, fan: shape.fan.max(2), ..shape };
        Self {
            shape,
            manifest: Manifest::default(),
            runs: HashMap::new(),
            cache: Cache::new(budget_bytes),
            journal: BTreeSet::new(),
        }
    }

    /// Lets everything go, to be loaded anew.
    pub fn clear(&mut self) {
        self.manifest = Manifest::default();
        self.runs.clear();
        self.journal.clear();
        self.cache.retain(|_| false);
    }

    /// Gives the last commit whose journal entry is known, -1 if none is: those after it have to be loaded.
    pub fn journal_sequence(&self) -> i64 {
        self.journal.last().copied().unwrap_or(-1)
    }

    /// Takes the journal entries that were stored after the last one known, by commit.
    ///
    /// # Errors
    /// Refuses damaged entries, and a journal that lacks some.
    pub fn load_journal(&mut self, entries: impl IntoIterator<Item = (i64, Vec<u8>)>) -> Result<(), Error> {
        for (sequence, blob) in entries {
            let entry = journal::read(&blob)?;
            if let Some((section, block)) = entry.run {
                self.runs.insert(-sequence, Run { sections: vec![section], block: Some(block) });
            }
            self.journal.insert(sequence);
            self.manifest = entry.manifest;
        }
        self.keep_what_is_listed();
        let mut in_journal = self.manifest.runs.iter().filter(|run| run.is_in_journal());
        match in_journal.find(|run| !self.runs.contains_key(&run.number)) {
            Some(run) => Err(Error::Missing { what: "journal entry", run: run.number }),
            None => Ok(()),
        }
    }

    fn keep_what_is_listed(&mut self) {
        let numbers = self.manifest.numbers();
        self.runs.retain(|number, _| numbers.contains(number));
        self.cache.retain(|number| numbers.contains(&number));
        let last = self.journal_sequence();
        self.journal.retain(|sequence| *sequence == last || numbers.contains(&-sequence));
    }

    /// Gives the places of the sections that have to be loaded before anything is looked up.
    pub fn missing_sections(&self) -> Vec<Place> {
        let apart = self.manifest.all_runs().filter(|run| !run.is_in_journal());
        let missing = apart.flat_map(|run| {
            let loaded = self.runs.get(&run.number).map_or(0, |run| run.sections.len());
            (loaded..run.sections()).map(|section| section_place(run, section))
        });
        missing.collect()
    }

    /// Takes a section; those of a run must come in order of their keys.
    ///
    /// # Errors
    /// Refuses damaged sections.
    pub fn load_section(&mut self, key: i64, blob: &[u8]) -> Result<(), Error> {
        let BlockOf { run: number, block: (section, _) } = BlockOf::of_key(key);
        let run = self.runs.entry(number).or_default();
        if run.sections.len() != section as usize {
            return Err(Error::Missing { what: "a section", run: number });
        }
        run.sections.push(Section::from_blob(blob)?);
        Ok(())
    }

    /// Takes over a draft that was committed.
    pub fn apply(&mut self, draft: Draft) {
        let Some(changed) = draft.into_changed() else { return };
        self.manifest = changed.manifest;
        if let Some((section, block)) = changed.run {
            self.runs.insert(-changed.sequence, Run { sections: vec![section], block: Some(block) });
        }
        for (number, section) in changed.sections {
            self.runs.entry(number).or_default().sections.push(section);
        }
        self.journal.insert(changed.sequence);
        self.keep_what_is_listed();
    }

    /// Gives the memory in use, in bytes.
    pub fn used_bytes(&self) -> usize {
        let of_run = |run: &Run| {
            let sections: usize = run.sections.iter().map(Section::bytes).sum();
            sections + run.block.as_ref().map_or(0, |block| block.bytes())
        };
        self.runs.values().map(of_run).sum::<usize>() + self.cache.used_bytes()
    }

    /// Gives the number of runs that a look-up may have to ask.
    pub fn runs(&self) -> usize {
        self.manifest.runs.len()
    }

    /// Gives the number of stored entries, expired and replaced ones included.
    pub fn entries(&self) -> u64 {
        self.manifest.runs.iter().map(|run| run.entries).sum()
    }

    /// A block that is in memory.
    pub(super) fn block(&mut self, block: BlockOf) -> Option<Arc<Block>> {
        match self.runs.get(&block.run).and_then(|run| run.block.clone()) {
            Some(block) => Some(block),
            None => self.cache.get(block),
        }
    }

    /// Keeps a block that was read, within the budget.
    pub(super) fn keep(&mut self, number: BlockOf, block: Arc<Block>) {
        if number.run > 0 {
            self.cache.put(number, block);
        }
    }

    /// Where a block is stored.
    pub(super) fn place(&self, block: BlockOf) -> Place {
        let run = self.manifest.runs.iter().find(|run| run.number == block.run);
        Place { key: block.key(), sequence: run.map_or(0, |run| run.sequence_of(block.block.0 as usize)) }
    }

    /// The sections of a run.
    pub(super) fn sections(&self, number: i64) -> &[Section] {
        self.runs.get(&number).map_or(&[], |run| &run.sections)
    }
}

/// Where a section is stored.
pub(super) fn section_place(run: &RunInfo, section: usize) -> Place {
    let key = BlockOf { run: run.number, block: (section as u32, 0) }.key();
    Place { key, sequence: run.sequence_of(section) }
}
