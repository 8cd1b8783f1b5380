//! The look-up of a batch: in each run the sections its ids fall into, their filters, and few blocks.
//!
//! Ids and sections are both in order, so each section's filter is visited once, and stays in the processor's cache
//! meanwhile. A block is wanted once for the whole batch; so many blocks at a time that memory stays bounded.

use std::ops::Range;

use super::fetch::{BlockOf, Fetch};
use super::index::Index;
use super::section::Section;
use super::{Batch, Error, Verdict};

/// At most so many blocks are wanted at a time.
const WANTED_BLOCKS: usize = 128;

/// A stored payload and its time.
type Stored = (u64, i64);

/// An id that may be in a block.
#[derive(Clone, Copy, Debug)]
struct Hit {
    probe: u32,
    block: BlockOf,
}

/// A look-up under way.
#[derive(Debug)]
pub struct Lookup<'a> {
    batch: &'a Batch,
    /// The newest run first, ascending by key in each.
    hits: Vec<Hit>,
    /// The hits of each of the blocks that were wanted last.
    asked: Vec<Range<usize>>,
    next: usize,
    /// Payload and time of the ids that were found.
    found: Vec<Option<Stored>>,
}

impl Index {
    /// Begins the look-up of a batch: asks the filters.
    pub fn look_up<'a>(&self, batch: &'a Batch) -> Lookup<'a> {
        let mut hits = Vec::new();
        for run in self.manifest.runs.iter().rev() {
            collect_hits(batch, run.number, self.sections(run.number), &mut hits);
        }
        Lookup { batch, hits, asked: Vec::new(), next: 0, found: vec![None; batch.probes().len()] }
    }
}

fn collect_hits(batch: &Batch, run: i64, sections: &[Section], hits: &mut Vec<Hit>) {
    let probes = batch.probes();
    let (mut probe, mut number) = (0, 0);
    while probe < probes.len() {
        number += sections[number..].partition_point(|section| section.last() < probes[probe].key);
        let Some(section) = sections.get(number) else { break };
        probe += probes[probe..].partition_point(|probe| probe.key < section.first());
        let end = probe + probes[probe..].partition_point(|probe| probe.key <= section.last());
        for (place, candidate) in (probe..end).zip(&probes[probe..end]) {
            if section.may_hold(candidate.hash) {
                let block = (number as u32, section.block_of(candidate.key) as u8);
                hits.push(Hit { probe: place as u32, block: BlockOf { run, block } });
            }
        }
        probe = end;
    }
}

impl Lookup<'_> {
    /// Gives the blocks that are needed next, none when all is known.
    pub fn next(&mut self, index: &mut Index) -> Option<Fetch> {
        let mut fetch = Fetch::default();
        self.asked.clear();
        while self.next < self.hits.len() && fetch.places().len() < WANTED_BLOCKS {
            let start = self.next;
            let block = self.hits[start].block;
            self.next += self.hits[start..].iter().take_while(|hit| hit.block == block).count();
            let hits = start..self.next;
            if self.hits[hits.clone()].iter().any(|hit| self.found[hit.probe as usize].is_none()) {
                fetch.add(index, block);
                self.asked.push(hits);
            }
        }
        (!self.asked.is_empty()).then_some(fetch)
    }

    /// Searches the blocks of a fetch that was filled.
    ///
    /// # Errors
    /// When a block is not there.
    pub fn search(&mut self, index: &mut Index, fetch: Fetch) -> Result<(), Error> {
        let asked = std::mem::take(&mut self.asked);
        for (hits, (number, block)) in asked.into_iter().zip(fetch.into_blocks()?) {
            for hit in &self.hits[hits] {
                let found = &mut self.found[hit.probe as usize];
                // The newest run to have an id decides; what older ones say of it was replaced.
                if found.is_none() {
                    *found = block
                        .find(self.batch.probes()[hit.probe as usize].key)
                        .map(|entry| (entry.payload, entry.time));
                }
            }
            index.keep(number, block);
        }
        Ok(())
    }

    /// Says of every row of the batch, in batch order, whether its id is new.
    pub fn verdicts(mut self, index: &Index) -> Vec<Verdict> {
        for found in &mut self.found {
            *found = found.filter(|(_, time)| *time >= index.manifest.cutoff);
        }
        self.batch.verdicts(&self.found)
    }
}
