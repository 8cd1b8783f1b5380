//! A Bloom filter over the ids of one hour: most new ids need no search at all.
//!
//! It answers "certainly not" or "look"; the segments decide. Three bits of one 64-bit word an id
//! (one cache line a look-up), 8 to 16 bits of memory an id: about one new id in thirty is searched in vain.
//! See F. Putze et al., "Cache-, Hash- and Space-Efficient Bloom Filters" (blocked filters).

const BITS_PER_ID: usize = 8;
const WORD_BITS: usize = 64;

/// Two odd constants without structure (the fractional parts of the golden ratio and of the square root of 3).
const MIX: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];

/// Remembers keys approximately: it never denies one it was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// Makes a filter that is good for a number of ids.
    pub(super) fn with_capacity(ids: usize) -> Self {
        Self { words: vec![0; (ids * BITS_PER_ID).div_ceil(WORD_BITS)] }
    }

    /// Gives the number of ids the filter is good for.
    pub(super) fn capacity(&self) -> usize {
        self.words.len() * WORD_BITS / BITS_PER_ID
    }

    /// Gives the memory in use, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }

    /// Adds a key; the filter must have a capacity.
    pub(super) fn insert(&mut self, key: u128) {
        let (word, bits) = self.place(key);
        self.words[word] |= bits;
    }

    /// Says whether the key may be among those inserted.
    pub(super) fn may_hold(&self, key: u128) -> bool {
        if self.words.is_empty() {
            return false;
        }
        let (word, bits) = self.place(key);
        self.words[word] & bits == bits
    }

    fn place(&self, key: u128) -> (usize, u64) {
        let product = u128::from(key as u64 ^ MIX[0]) * u128::from((key >> 64) as u64 ^ MIX[1]);
        let mixed = product as u64 ^ (product >> 64) as u64;
        let hash = u128::from(mixed) * u128::from(MIX[0]);
        let hash = hash as u64 ^ (hash >> 64) as u64;
        let word = (u128::from(hash) * self.words.len() as u128) >> 64;
        // The word is chosen by the high bits of the hash, the bits in it by the low ones.
        let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63);
        (word as usize, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_denies_and_seldom_errs() {
        for spread in [1u128, 2, 7, 10_000_000, 1 << 62, (1 << 62) + 1] {
            let mut filter = Filter::with_capacity(10_000);
            (0..10_000).for_each(|index| filter.insert(index * spread));
            assert!((0..10_000).all(|index| filter.may_hold(index * spread)));
            let wrong = (10_000..30_000).filter(|index| filter.may_hold(index * spread)).count();
            assert!(wrong < 1200, "{wrong} of 20000 wrong at spread {spread}");
        }
        assert!(!Filter::default().may_hold(1));
    }
}
