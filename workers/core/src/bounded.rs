//! A queue that never waits: when it is full it drops what comes, and counts that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A queue with room for so many.
#[derive(Debug)]
pub struct Bounded<T> {
    capacity: usize,
    held: Mutex<(VecDeque<T>, u64)>,
}

impl<T> Bounded<T> {
    /// Makes an empty queue.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, held: Mutex::new((VecDeque::new(), 0)) }
    }

    /// Adds at the end, or drops.
    pub fn put(&self, item: T) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0.len() < self.capacity {
            held.0.push_back(item);
        } else {
            held.1 += 1;
        }
    }

    /// Takes all there is, and how many were dropped since the last time.
    pub fn take(&self) -> (VecDeque<T>, u64) {
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn a_full_queue_drops_and_counts() {
        let queue = Bounded::new(2);
        (1..=5).for_each(|number| queue.put(number));
        assert_eq!(queue.take(), ([1, 2].into(), 3));
        queue.put(6);
        assert_eq!(queue.take(), ([6].into(), 0));
    }
}
