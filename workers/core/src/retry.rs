//! Back-off between tries: exponential, capped, with a bound on the number of tries.

use std::time::Duration;

/// How often and how patiently to try again.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Tries after the first one.
    pub retries: u32,
}

impl Default for Backoff {
    /// About a minute of trying in all: 0.1 s, 0.2 s, … 5 s.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5), retries: 17 }
    }
}

impl Backoff {
    /// The pause before a retry (counted from 0), none when there shall be no more.
    pub fn pause(&self, retry: u32) -> Option<Duration> {
        if retry >= self.retries {
            return None;
        }
        Some(self.first.saturating_mul(1 << retry.min(16)).min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn pauses_grow_to_the_cap_and_end() {
        let backoff = Backoff::default();
        let pauses: Vec<_> = (0..20).map_while(|retry| backoff.pause(retry)).collect();
        assert_eq!(pauses.len(), 17);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses.last(), Some(&backoff.longest));
    }
}
