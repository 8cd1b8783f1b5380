//! A draft: what one batch changes, and the blobs that say so. Nothing changes in memory before it is committed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::fetch::{BlockOf, Fetch};
use super::index::{Index, JOURNAL_KEY, section_place};
use super::manifest::{Manifest, RunInfo};
use super::merge::{Merger, Progress};
use super::section::{Section, SectionWriter};
use super::{Batch, Block, Entry, Error, Verdict, journal};

/// So many entries at least are merged for each new one, if there are merges.
const MERGED_PER_NEW: u64 = 8;

/// Blobs to be stored under the commit, and blobs to be deleted, by key and commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Sections and journal entries to be stored.
    pub runs: Vec<(i64, Vec<u8>)>,
    /// Those to be deleted.
    pub dropped_runs: Vec<(i64, i64)>,
    /// Blocks to be stored.
    pub blocks: Vec<(i64, Vec<u8>)>,
    /// Those to be deleted.
    pub dropped_blocks: Vec<(i64, i64)>,
}

/// The changes of one batch.
#[derive(Debug)]
pub struct Draft {
    changed: Changed,
    is_changed: bool,
    writes: Writes,
    /// The runs that merges write, lowest level first.
    merges: VecDeque<i64>,
    /// So many entries may still be merged.
    allowance: u64,
}

/// What an index takes over.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) sequence: i64,
    pub(super) manifest: Manifest,
    /// The run in this commit's journal entry.
    pub(super) run: Option<(Section, Arc<Block>)>,
    /// Sections of other runs, by run, in order.
    pub(super) sections: Vec<(i64, Section)>,
}

impl Index {
    /// Begins the changes of a batch that was looked up, under the sequence number of its commit. Entries before the
    /// cutoff are forgotten; a cutoff below an earlier one counts as that.
    ///
    /// The new ids become a run, which is written as a journal entry together with the list of runs; that of a large
    /// batch is written apart. What merges are due is in [`Draft::next_merge`].
    pub fn draft(&self, batch: &Batch, verdicts: &[Verdict], cutoff: i64, sequence: i64) -> Draft {
        let mut manifest = self.manifest.clone();
        manifest.cutoff = manifest.cutoff.max(cutoff);
        manifest.drop_expired();
        manifest.begin_merges(&self.shape);
        let mut levels: Vec<(u8, i64)> =
            manifest.merges.iter().map(|merge| (merge.output.level, merge.output.number)).collect();
        levels.sort_unstable();
        let mut draft = Draft {
            changed: Changed { sequence, manifest, run: None, sections: Vec::new() },
            is_changed: false,
            writes: Writes::default(),
            merges: levels.into_iter().map(|(_, number)| number).collect(),
            allowance: self.shape.merged_entries,
        };
        let cutoff = draft.changed.manifest.cutoff;
        let entries: Vec<Entry> = batch.new_entries(verdicts).filter(|entry| entry.time >= cutoff).collect();
        // What comes in is merged once a level, and levels are few: so merges keep up with batches of any size.
        draft.allowance = draft.allowance.max(MERGED_PER_NEW * entries.len() as u64);
        draft.add_run(self, &entries);
        draft
    }
}

impl Draft {
    fn add_run(&mut self, index: &Index, entries: &[Entry]) {
        let most = index.shape.section_entries();
        if entries.len() > most {
            let mut writer = SectionWriter::new(most, index.shape.block_entries);
            let mut run = RunInfo::empty(self.changed.manifest.take_number(), 0);
            for entry in entries {
                if writer.is_full() {
                    self.add_section(&mut run, writer.take());
                }
                writer.push(*entry);
            }
            self.add_section(&mut run, writer.take());
            self.changed.manifest.runs.push(run);
        } else {
            let mut writer = SectionWriter::new(most, most);
            entries.iter().for_each(|entry| writer.push(*entry));
            let Some((section, mut blocks)) = writer.take() else { return };
            let mut run = RunInfo::empty(-self.changed.sequence, 0);
            run.add_section(self.changed.sequence, section.len(), section.newest());
            self.changed.manifest.runs.push(run);
            self.changed.run = Some((section, blocks.swap_remove(0)));
        }
    }

    fn add_section(&mut self, run: &mut RunInfo, written: Option<(Section, Vec<Arc<Block>>)>) {
        let Some((section, blocks)) = written else { return };
        let number = run.sections() as u32;
        let of = |block: u8| BlockOf { run: run.number, block: (number, block) };
        self.writes.runs.push((of(0).key(), section.blob()));
        self.writes.blocks.extend((0..).zip(&blocks).map(|(place, block)| (of(place).key(), block.blob().to_vec())));
        run.add_section(self.changed.sequence, section.len(), section.newest());
        self.changed.sections.push((run.number, section));
    }

    /// Gives the next merge to be worked on, until enough is merged for one batch.
    pub fn next_merge(&mut self, index: &Index) -> Option<Merger> {
        let output = self.merges.pop_front().filter(|_| self.allowance > 0)?;
        let info = self.changed.manifest.merges.iter().find(|merge| merge.output.number == output)?;
        Some(Merger::new(index, info, self.changed.manifest.cutoff))
    }

    /// Goes on with a merge, until it needs blocks, or none when it is over for this batch.
    pub fn merge(&mut self, index: &mut Index, mut merger: Merger) -> Option<(Merger, Fetch)> {
        loop {
            let progress = merger.advance();
            self.allowance = self.allowance.saturating_sub(merger.take_count());
            if progress == Progress::Blocks {
                let fetch = merger.next(index);
                return Some((merger, fetch));
            }
            let written = merger.take_section();
            let merges = &mut self.changed.manifest.merges;
            let place = merges.iter().position(|merge| merge.output.number == merger.output())?;
            let mut output = std::mem::replace(&mut merges[place].output, RunInfo::empty(0, 0));
            self.add_section(&mut output, written);
            self.changed.manifest.merges[place].output = output;
            if progress == Progress::End {
                self.changed.manifest.finish_merge(merger.output());
                return None;
            }
            if self.allowance == 0 {
                // The next batch goes on in the midst of these blocks.
                merger.into_blocks().for_each(|(number, block)| index.keep(number, block));
                return None;
            }
        }
    }

    /// Takes what is to be written so far.
    pub fn take_writes(&mut self) -> Writes {
        std::mem::take(&mut self.writes)
    }

    /// Ends the draft and takes what is left to be written: the journal entry, and what nobody needs any more.
    ///
    /// # Errors
    /// When the list of runs cannot be written.
    pub fn finish(&mut self, index: &Index) -> Result<Writes, Error> {
        let Changed { sequence, manifest, run, .. } = &self.changed;
        if *manifest == index.manifest {
            return Ok(self.take_writes());
        }
        self.is_changed = true;
        let kept = manifest.numbers();
        for dropped in index.manifest.runs.iter().filter(|run| !kept.contains(&run.number) && !run.is_in_journal()) {
            for (number, section) in index.sections(dropped.number).iter().enumerate() {
                let place = section_place(dropped, number);
                self.writes.dropped_runs.push((place.key, place.sequence));
                let blocks = 0..section.blocks() as i64;
                self.writes.dropped_blocks.extend(blocks.map(|block| (place.key + block, place.sequence)));
            }
        }
        let unused = |commit: &&i64| !kept.contains(&-**commit);
        let entries: BTreeSet<i64> = index.journal.iter().filter(unused).copied().collect();
        self.writes.dropped_runs.extend(entries.into_iter().map(|commit| (JOURNAL_KEY, commit)));
        self.writes.runs.push((JOURNAL_KEY, journal::blob(manifest, run.as_ref())?));
        debug_assert!(*sequence > index.journal_sequence());
        Ok(self.take_writes())
    }

    /// Says whether the finished draft changes anything.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// What changed, if anything did.
    pub(super) fn into_changed(self) -> Option<Changed> {
        self.is_changed.then_some(self.changed)
    }
}
