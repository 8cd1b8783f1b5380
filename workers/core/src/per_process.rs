//! Values that belong to one process: a fork gets its own, and never touches its parent's.
//!
//! Threads do not survive a fork and locks may be held for ever after it, so a runtime or a queue of the parent is
//! useless in the child. The values of all generations form a list that only grows; there is no lock that a fork
//! could find closed, and none of the parent's values is ever dropped in the child.

use std::process;
use std::sync::OnceLock;

/// A lazily made value for each process.
pub struct PerProcess<T> {
    made: OnceLock<(u32, T)>,
    next: OnceLock<Box<PerProcess<T>>>,
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerProcess<T> {
    /// Holds nothing yet.
    pub const fn new() -> Self {
        Self { made: OnceLock::new(), next: OnceLock::new() }
    }

    /// This process's value; `make` is told how many forks with a value of their own came before.
    pub fn get(&self, make: impl Fn(usize) -> T) -> &T {
        self.of(process::id(), make)
    }

    fn of(&self, process: u32, make: impl Fn(usize) -> T) -> &T {
        let (mut node, mut generation) = (self, 0);
        loop {
            let (owner, value) = node.made.get_or_init(|| (process, make(generation)));
            if *owner == process {
                return value;
            }
            node = node.next.get_or_init(|| Box::new(Self::new()));
            generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PerProcess;

    #[test]
    fn every_process_has_its_own_value() {
        let values = PerProcess::new();
        assert_eq!(values.of(10, |generation| generation), &0);
        assert_eq!(values.of(11, |generation| generation), &1);
        assert_eq!(values.of(12, |generation| generation), &2);
        assert_eq!(values.of(11, |_| 99), &1);
    }
}
