//! Pages in memory: those used last, within a budget.

use std::collections::HashMap;
use std::sync::Arc;

use super::page::Page;

type Pages = HashMap<i64, Arc<Page>, foldhash::fast::RandomState>;

/// Two generations, each up to half of the budget: what is used moves to the younger one; when that is full the older one goes.
#[derive(Debug)]
pub(super) struct Cache {
    half_bytes: usize,
    young: Pages,
    young_bytes: usize,
    old: Pages,
}

impl Cache {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { half_bytes: budget_bytes / 2, young: Pages::default(), young_bytes: 0, old: Pages::default() }
    }

    pub(super) fn get(&mut self, number: i64) -> Option<Arc<Page>> {
        if let Some(page) = self.young.get(&number) {
            return Some(page.clone());
        }
        let page = self.old.remove(&number)?;
        self.put(number, page.clone());
        Some(page)
    }

    pub(super) fn put(&mut self, number: i64, page: Arc<Page>) {
        if page.bytes() > self.half_bytes {
            return;
        }
        if self.young_bytes + page.bytes() > self.half_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += page.bytes();
        if let Some(before) = self.young.insert(number, page) {
            self.young_bytes -= before.bytes();
        }
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.young_bytes = 0;
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::Result;

    use super::super::page::{Packer, first_page};
    use super::*;

    #[test]
    fn keeps_what_was_used_last_within_the_budget() -> Result<()> {
        let mut packer = Packer::new(first_page(1)?);
        for _ in 0..100 {
            packer.push(&[7; 3_000])?;
        }
        let pages = packer.finish()?;
        let (first, bytes) = (pages[0].0, pages[0].1.bytes());
        let mut cache = Cache::new(20 * bytes);
        for (number, page) in &pages {
            cache.put(*number, page.clone());
            cache.put(*number, page.clone());
            assert!(cache.get(first).is_some() && cache.young.len() + cache.old.len() <= 20);
        }
        assert!(cache.get(first + 99).is_some() && cache.get(first + 50).is_none());
        cache.clear();
        assert!(cache.get(first).is_none() && cache.young_bytes == 0);
        let mut none = Cache::new(bytes);
        none.put(first, pages[0].1.clone());
        assert!(none.get(first).is_none());
        Ok(())
    }
}
