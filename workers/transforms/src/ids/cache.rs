//! Blocks read lately, up to a budget.

use std::collections::HashMap;
use std::sync::Arc;

use super::Block;
use super::fetch::BlockOf;

/// Counted for each block on top of its bytes: its place in the map.
const PLACE_BYTES: usize = 48;

/// Blocks by run and number; those unused for longest are let go first.
#[derive(Debug)]
pub(super) struct Cache {
    blocks: HashMap<BlockOf, Cached, foldhash::fast::RandomState>,
    budget_bytes: usize,
    used_bytes: usize,
    /// Counts uses; a block's stamp tells when it was used last.
    now: u64,
}

#[derive(Debug)]
struct Cached {
    block: Arc<Block>,
    used: u64,
}

impl Cache {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { blocks: HashMap::default(), budget_bytes, used_bytes: 0, now: 0 }
    }

    pub(super) fn get(&mut self, number: BlockOf) -> Option<Arc<Block>> {
        self.now += 1;
        let cached = self.blocks.get_mut(&number)?;
        cached.used = self.now;
        Some(cached.block.clone())
    }

    pub(super) fn put(&mut self, number: BlockOf, block: Arc<Block>) {
        if self.get(number).is_some() {
            return;
        }
        self.used_bytes += PLACE_BYTES + block.bytes();
        self.blocks.insert(number, Cached { block, used: self.now });
        if self.used_bytes > self.budget_bytes {
            self.evict();
        }
    }

    /// Lets the blocks of some runs go.
    pub(super) fn retain(&mut self, keep: impl Fn(i64) -> bool) {
        self.blocks.retain(|number, cached| {
            let kept = keep(number.run);
            if !kept {
                self.used_bytes -= PLACE_BYTES + cached.block.bytes();
            }
            kept
        });
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    fn evict(&mut self) {
        let mut oldest: Vec<(u64, BlockOf)> =
            self.blocks.iter().map(|(number, cached)| (cached.used, *number)).collect();
        oldest.sort_unstable();
        // An eighth more than needed, so that the sort is not repeated for every block.
        let target = self.budget_bytes - self.budget_bytes / 8;
        for (_, number) in oldest {
            if self.used_bytes <= target {
                break;
            }
            if let Some(cached) = self.blocks.remove(&number) {
                self.used_bytes -= PLACE_BYTES + cached.block.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    #[test]
    fn keeps_what_was_used_last_within_the_budget() {
        let block = Arc::new(Block::new(&[Entry { key: 1, payload: 2, time: 3 }]));
        let bytes = PLACE_BYTES + block.bytes();
        let number = |run, block| BlockOf { run, block: (0, block) };
        let mut cache = Cache::new(16 * bytes);
        for other in 0..100 {
            cache.put(number(1, other), block.clone());
            cache.put(number(1, other), block.clone());
            assert!(cache.get(number(1, 0)).is_some() && cache.used_bytes() <= 16 * bytes);
        }
        assert!(cache.get(number(1, 99)).is_some() && cache.get(number(1, 50)).is_none());
        cache.put(number(2, 7), block.clone());
        cache.retain(|run| run == 2);
        assert!(cache.used_bytes() == bytes && cache.get(number(1, 99)).is_none() && cache.get(number(2, 7)).is_some());
        let mut none = Cache::new(0);
        none.put(number(1, 1), block);
        assert_eq!(none.used_bytes(), 0);
    }
}
