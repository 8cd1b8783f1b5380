//! Blocks that are needed: those at hand, and where the others are stored.

use std::sync::Arc;

use super::index::Index;
use super::{Block, Error};

/// A section's number in its run, and a block's number in the section.
pub(super) type BlockNumber = (u32, u8);

/// A block of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BlockOf {
    pub(super) run: i64,
    pub(super) block: BlockNumber,
}

impl BlockOf {
    /// The key under which it is stored; that of a section is the one of its first block.
    pub(super) fn key(&self) -> i64 {
        self.run << 32 | i64::from(self.block.0) << 8 | i64::from(self.block.1)
    }

    /// What is stored under a key.
    pub(super) fn of_key(key: i64) -> Self {
        Self { run: key >> 32, block: ((key >> 8) as u32 & 0x00FF_FFFF, key as u8) }
    }
}

/// Where a blob is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its key.
    pub key: i64,
    /// The commit that wrote it.
    pub sequence: i64,
}

/// Blocks for a step of a look-up or merge.
#[derive(Debug, Default)]
pub struct Fetch {
    /// In the order they are needed in.
    blocks: Vec<(BlockOf, Option<Arc<Block>>)>,
    places: Vec<Place>,
}

impl Fetch {
    /// Adds a block, taking it from memory where it is there.
    pub(super) fn add(&mut self, index: &mut Index, block: BlockOf) {
        let found = index.block(block);
        if found.is_none() {
            self.places.push(index.place(block));
        }
        self.blocks.push((block, found));
    }

    /// Gives the places of the blocks that have to be read.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Takes blocks that were read, with their keys.
    ///
    /// # Errors
    /// Refuses damaged blocks.
    pub fn fill(&mut self, blobs: impl IntoIterator<Item = (i64, Vec<u8>)>) -> Result<(), Error> {
        let mut blobs: Vec<(i64, Vec<u8>)> = blobs.into_iter().collect();
        blobs.sort_unstable_by_key(|(key, _)| *key);
        for (number, block) in self.blocks.iter_mut().filter(|(_, block)| block.is_none()) {
            let found = blobs.binary_search_by_key(&number.key(), |(key, _)| *key);
            if let Ok(found) = found {
                *block = Some(Arc::new(Block::from_blob(std::mem::take(&mut blobs[found].1))?));
            }
        }
        Ok(())
    }

    /// Gives the blocks, all of which must be there now.
    pub(super) fn into_blocks(self) -> Result<Vec<(BlockOf, Arc<Block>)>, Error> {
        let all = self.blocks.into_iter().map(|(number, block)| match block {
            Some(block) => Ok((number, block)),
            None => Err(Error::Missing { what: "a block", run: number.run }),
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_blocks_apart() {
        for run in [1, 77, (1 << 31) - 1] {
            for block in [(0, 0), (0, 255), (1, 0), (0x00FF_FFFF, 7)] {
                let block = BlockOf { run, block };
                assert_eq!(BlockOf::of_key(block.key()), block);
                assert!(block.key() > 0);
            }
        }
    }
}
