//! Numbers from a seed that is printed, so that a failed case can be run again with `HEADRACE_TEST_SEED`.

use std::time::Duration;

use headrace_core::clock;

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1_000, high * 1_000))
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// Runs cases with different seeds; `HEADRACE_TEST_SEED` runs one case with that seed.
pub async fn cases(count: u64, mut case: impl AsyncFnMut(Random)) {
    if let Some(seed) = clock::environment("HEADRACE_TEST_SEED") {
        return case(Random::new(seed.parse().unwrap())).await;
    }
    let first = clock::now_us() as u64 % 1_000_000;
    for seed in first..first + count {
        // Shown when the test fails.
        eprintln!("case HEADRACE_TEST_SEED={seed}");
        case(Random::new(seed)).await;
    }
}
