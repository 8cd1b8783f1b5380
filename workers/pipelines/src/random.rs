//! Random numbers of simulations: the same on every machine.

/// A generator of random numbers: SplitMix64 (Steele, Lea and Flood).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts one of many unrelated streams of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let first = Self(seed).next();
        Self(first ^ Self(stream.wrapping_add(0x5851_F42D_4C95_7F2D)).next())
    }

    /// Any number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    /// A number from 0 to below a bound that is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 to below 1; exact, so the same everywhere.
    pub fn share(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next() >> 11) as f64 * STEP
    }

    /// One of several choices, by weight.
    pub fn weighted<T: Copy>(&mut self, choices: &[T], weight: impl Fn(&T) -> u64) -> T {
        let mut place = self.below(choices.iter().map(&weight).sum());
        for choice in choices {
            match place.checked_sub(weight(choice)) {
                Some(rest) => place = rest,
                None => return *choice,
            }
        }
        choices[choices.len() - 1]
    }
}
