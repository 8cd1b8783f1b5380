//! A merge: entries of several runs in, sections of one run out, block by block.
//!
//! It may pause after any section: what is written tells by its greatest key where it goes on, in this worker or
//! another.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fetch::{BlockOf, Fetch};
use super::index::Index;
use super::manifest::MergeInfo;
use super::section::{Section, SectionWriter};
use super::{Block, Entry, Error};

/// So many blocks of a run are read ahead.
const AHEAD: usize = 4;

/// What a merge needs before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More blocks.
    Blocks,
    /// That its section is taken.
    Section,
    /// Nothing: it is done, when its last section is taken.
    End,
}

/// A merge under way.
#[derive(Debug)]
pub struct Merger {
    output: i64,
    /// Oldest first.
    inputs: Vec<Input>,
    writer: SectionWriter,
    cutoff: i64,
    /// Entries taken from runs since that was asked last.
    taken: u64,
}

/// A run that is merged.
#[derive(Debug)]
struct Input {
    run: i64,
    /// The next block to be fetched, if there is one.
    next: Option<(usize, usize)>,
    queue: VecDeque<(BlockOf, Arc<Block>)>,
    /// The next entry of the first block in the queue.
    at: usize,
    head: Option<Entry>,
    /// Entries up to this key are merged already.
    after: Option<u128>,
}

impl Merger {
    /// Begins a merge, or goes on with it.
    pub(super) fn new(index: &Index, info: &MergeInfo, cutoff: i64) -> Self {
        let after = index.sections(info.output.number).last().map(Section::last);
        let inputs = info.inputs.iter().map(|run| Input::new(*run, index.sections(*run), after)).collect();
        let writer = SectionWriter::new(index.shape.section_entries(), index.shape.block_entries);
        Self { output: info.output.number, inputs, writer, cutoff, taken: 0 }
    }

    /// Gives the number of the run it writes.
    pub(super) fn output(&self) -> i64 {
        self.output
    }

    /// Merges what is there.
    pub(super) fn advance(&mut self) -> Progress {
        if self.inputs.iter().any(Input::is_dry) {
            return Progress::Blocks;
        }
        while !self.writer.is_full() {
            let heads = self.inputs.iter().filter_map(|input| input.head.as_ref());
            let Some(key) = heads.map(|entry| entry.key).min() else { return Progress::End };
            let mut merged: Option<Entry> = None;
            let mut is_dry = false;
            for input in &mut self.inputs {
                let Some(entry) = input.head.filter(|entry| entry.key == key) else { continue };
                input.advance();
                is_dry |= input.is_dry();
                self.taken += 1;
                let time = merged.map_or(entry.time, |older| older.time.max(entry.time));
                merged = Some(Entry { time, ..entry });
            }
            if let Some(entry) = merged.filter(|entry| entry.time >= self.cutoff) {
                self.writer.push(entry);
            }
            if is_dry {
                return Progress::Blocks;
            }
        }
        Progress::Section
    }

    /// Gives the blocks that are needed next.
    pub(super) fn next(&mut self, index: &mut Index) -> Fetch {
        let mut fetch = Fetch::default();
        for input in &mut self.inputs {
            for _ in input.queue.len()..AHEAD {
                let Some((section, block)) = input.next else { break };
                fetch.add(index, BlockOf { run: input.run, block: (section as u32, block as u8) });
                let blocks = index.sections(input.run).get(section).map_or(0, Section::blocks);
                let is_last = section + 1 == index.sections(input.run).len();
                input.next = match block + 1 < blocks {
                    true => Some((section, block + 1)),
                    false => (!is_last).then_some((section + 1, 0)),
                };
            }
        }
        fetch
    }

    /// Takes the blocks of a fetch that was filled.
    ///
    /// # Errors
    /// When a block is not there.
    pub fn feed(&mut self, fetch: Fetch) -> Result<(), Error> {
        for (number, block) in fetch.into_blocks()? {
            if let Some(input) = self.inputs.iter_mut().find(|input| input.run == number.run) {
                input.feed(number, block);
            }
        }
        Ok(())
    }

    /// Takes the section that was written, unless it is empty.
    pub(super) fn take_section(&mut self) -> Option<(Section, Vec<Arc<Block>>)> {
        self.writer.take()
    }

    /// Counts the entries that were taken from runs since this was asked last.
    pub(super) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// Gives back the blocks that were not merged to their end.
    pub(super) fn into_blocks(self) -> impl Iterator<Item = (BlockOf, Arc<Block>)> {
        self.inputs.into_iter().flat_map(|input| input.queue)
    }
}

impl Input {
    fn new(run: i64, sections: &[Section], after: Option<u128>) -> Self {
        let section = after.map_or(0, |after| sections.partition_point(|section| section.last() <= after));
        let next = sections.get(section).map(|found| {
            let block = after.filter(|after| *after >= found.first()).map_or(0, |after| found.block_of(after));
            (section, block)
        });
        Self { run, next, queue: VecDeque::new(), at: 0, head: None, after }
    }

    /// Says whether nothing is known of its next entry.
    fn is_dry(&self) -> bool {
        self.head.is_none() && self.next.is_some()
    }

    fn feed(&mut self, number: BlockOf, block: Arc<Block>) {
        if self.queue.is_empty() {
            self.at = self.merged_of(&block);
        }
        self.queue.push_back((number, block));
        if self.head.is_none() {
            self.advance();
        }
    }

    fn advance(&mut self) {
        while let Some((_, block)) = self.queue.front() {
            if self.at < block.len() {
                self.head = Some(block.entry(self.at));
                self.at += 1;
                return;
            }
            self.queue.pop_front();
            self.at = self.queue.front().map_or(0, |(_, block)| self.merged_of(block));
        }
        self.head = None;
    }

    /// Counts the entries of a block that are merged already.
    fn merged_of(&self, block: &Block) -> usize {
        let next = self.after.map(|after| after.checked_add(1));
        next.map_or(0, |next| next.map_or(block.len(), |next| block.place(next)))
    }
}
