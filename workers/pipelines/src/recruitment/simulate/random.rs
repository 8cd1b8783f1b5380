//! Random numbers that are the same on every machine: xoshiro256++ seeded by SplitMix64 (Blackman and Vigna),
//! and choices weighted by whole numbers, because powers and logarithms differ between platforms.

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

/// One step of SplitMix64: also a good way to turn a number into an unrelated one.
pub(super) fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Random {
    /// Starts one of many unrelated streams of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let first = mix(seed ^ mix(stream));
        let second = mix(first);
        let third = mix(second);
        Self { state: [first, second, third, mix(third)] }
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number from 0 to below a bound that is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A place in a list of some length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A number from 0 to below 1; exact, so the same everywhere.
    pub(super) fn share(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next() >> 11) as f64 * STEP
    }

    /// One of a list.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.index(list.len())]
    }
}

/// A choice of numbers 0, 1, 2 … by weight.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    sums: Vec<u64>,
    total: u64,
}

impl Weighted {
    /// Chooses by the given weights.
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut total = 0;
        let sums = weights.into_iter().map(|weight| {
            total += weight;
            total
        });
        let sums = sums.collect();
        Self { sums, total }
    }

    /// Chooses among so many by Zipf's law: the n-th is 1/n as frequent as the first.
    pub(super) fn zipf(count: u64) -> Self {
        Self::new((1..=count).map(|rank| ((1 << 32) / rank).max(1)))
    }

    /// Chooses among so many, the first far more often: the n-th is 1/n² as frequent.
    pub(super) fn steep(count: u64) -> Self {
        Self::new((1..=count).map(|rank| (1 << 32) / (rank * rank)))
    }

    /// Chooses.
    pub(super) fn choose(&self, random: &mut Random) -> usize {
        let place = random.below(self.total);
        self.sums.partition_point(|&sum| sum <= place)
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, Weighted};

    #[test]
    fn choices_follow_their_weights_and_seeds_their_streams() {
        let weighted = Weighted::new([1, 0, 3]);
        let mut random = Random::new(7, 0);
        let mut counts = [0_u32; 3];
        for _ in 0..40_000 {
            counts[weighted.choose(&mut random)] += 1;
        }
        assert!(counts[0].abs_diff(10_000) < 400 && counts[1] == 0, "{counts:?}");
        let first = |seed, stream| Random::new(seed, stream).next();
        assert_eq!(first(7, 1), first(7, 1));
        assert_ne!(first(7, 1), first(7, 2));
        assert_ne!(first(7, 1), first(8, 1));
    }

    #[test]
    fn zipf_halves_at_the_second() {
        let weighted = Weighted::zipf(1_000);
        let mut random = Random::new(1, 1);
        let chosen: Vec<usize> = (0..100_000).map(|_| weighted.choose(&mut random)).collect();
        let count = |number| chosen.iter().filter(|&&choice| choice == number).count();
        assert!(count(0).abs_diff(2 * count(1)) < 800, "{} {}", count(0), count(1));
        assert!(chosen.iter().all(|&choice| choice < 1_000));
    }
}
