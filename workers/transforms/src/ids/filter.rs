//! A filter over the ids of one section: most new ids need no search at all.
//!
//! Each id leaves a fingerprint of 16 bits in one of many buckets of about six, so a look-up compares six numbers that
//! lie side by side: one new id in about ten thousand is searched in vain, at 18.7 bits an id. It answers "certainly
//! not" or "look". A Bloom filter of the same size in one cache line errs five times as often (F. Putze et al.,
//! "Cache-, Hash- and Space-Efficient Bloom Filters"); what is never changed once it is written needs none.

use super::Error;

const BUCKET_IDS: usize = 6;
/// So many fingerprints are compared at once; hardly any bucket has more.
const WINDOW: usize = 16;

/// Two odd constants without structure (the fractional parts of the golden ratio and of the square root of 3).
const MIX: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];

/// Spreads a key, which may be ordered by time, evenly over 64 bits.
pub(super) fn hash(key: u128) -> u64 {
    let mixed = fold(key as u64 ^ MIX[0], (key >> 64) as u64 ^ MIX[1]);
    fold(mixed, MIX[0])
}

fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// Remembers up to 65,535 keys approximately: it never denies one it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Where the fingerprints of each bucket start, and where the last ones end.
    starts: Box<[u16]>,
    /// The fingerprints, and so many zeros behind them that a window may begin at any.
    prints: Box<[u16]>,
}

impl Filter {
    /// Makes the filter of keys, given as their [`hash`]es.
    pub(super) fn new(hashes: &[u64]) -> Self {
        let buckets = hashes.len().div_ceil(BUCKET_IDS);
        let mut starts = vec![0_u16; buckets + 1];
        for hash in hashes {
            starts[place(*hash, buckets)] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Filled from behind, the end of each bucket becomes its start.
        let mut prints = vec![0; hashes.len() + WINDOW];
        for hash in hashes {
            let start = &mut starts[place(*hash, buckets)];
            *start -= 1;
            prints[usize::from(*start)] = *hash as u16;
        }
        Self { starts: starts.into(), prints: prints.into() }
    }

    /// Says whether the key with this hash may be among those given.
    ///
    /// It compares a whole window at once: a loop as long as the bucket would have the processor guess its end wrong
    /// each time, and wait for memory before the next key.
    #[inline]
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let bucket = place(hash, self.starts.len() - 1);
        let (start, end) = (usize::from(self.starts[bucket]), usize::from(self.starts[bucket + 1]));
        let print = hash as u16;
        let mask = WINDOW.checked_sub(end - start).and_then(|first| LANES[first..].first_chunk());
        match (self.prints[start..].first_chunk(), mask) {
            (Some(window), Some(mask)) => holds(window, mask, print),
            _ => self.prints[start..end].contains(&print),
        }
    }

    /// Gives the memory in use, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.prints)
    }

    /// Appends the filter to a blob.
    pub(super) fn write(&self, blob: &mut Vec<u8>) {
        let prints = &self.prints[..self.prints.len() - WINDOW];
        self.starts[1..].iter().chain(prints).for_each(|number| blob.extend_from_slice(&number.to_le_bytes()));
    }

    /// Reads the filter of a number of ids (not zero) from the end of a blob.
    pub(super) fn read(blob: &[u8], ids: usize) -> Result<Self, Error> {
        let buckets = ids.div_ceil(BUCKET_IDS);
        let (numbers, rest) = blob.as_chunks::<2>();
        if numbers.len() != buckets + ids || !rest.is_empty() {
            return Err(Error::Damaged("its filter has another size"));
        }
        let mut numbers = numbers.iter().map(|bytes| u16::from_le_bytes(*bytes));
        let starts: Box<[u16]> = std::iter::once(0).chain(numbers.by_ref().take(buckets)).collect();
        if !starts.is_sorted() || starts.last().map(|end| usize::from(*end)) != Some(ids) {
            return Err(Error::Damaged("the buckets of its filter are not in order"));
        }
        Ok(Self { starts, prints: numbers.chain([0; WINDOW]).collect() })
    }
}

/// Ones for the fingerprints of a bucket, behind which zeros hide those of the next.
static LANES: [u16; 2 * WINDOW] = {
    let mut lanes = [0; 2 * WINDOW];
    let mut lane = 0;
    while lane < WINDOW {
        lanes[lane] = u16::MAX;
        lane += 1;
    }
    lanes
};

/// Says whether one of the fingerprints of a window that a mask shows is the one; compares all lanes at once.
#[inline]
fn holds(window: &[u16; WINDOW], mask: &[u16; WINDOW], print: u16) -> bool {
    let mut found = 0_u16;
    for (other, mask) in window.iter().zip(mask) {
        found |= if *other == print { *mask } else { 0 };
    }
    found != 0
}

/// The bucket is chosen by the high bits of the hash; the low ones are the fingerprint.
#[inline]
fn place(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_denies_and_seldom_errs() {
        for spread in [1_u128, 2, 7, 10_000_000, 1 << 62, (1 << 62) + 1, 1 << 100] {
            let hashes: Vec<u64> = (0..10_000).map(|index| hash(index * spread)).collect();
            let filter = Filter::new(&hashes);
            assert!(hashes.iter().all(|hash| filter.may_hold(*hash)));
            let wrong = (10_000..210_000).filter(|index| filter.may_hold(hash(index * spread))).count();
            assert!(wrong < 60, "{wrong} of 200000 wrong at spread {spread}");
            assert!(filter.bytes() * 8 <= 10_000 * 19);
        }
    }

    #[test]
    fn is_read_as_it_was_written() {
        for ids in [1_u128, 5, 6, 7, 4_000] {
            let filter = Filter::new(&(0..ids).map(hash).collect::<Vec<_>>());
            let mut blob = Vec::new();
            filter.write(&mut blob);
            assert_eq!(Filter::read(&blob, ids as usize), Ok(filter));
            assert!(Filter::read(&blob[1..], ids as usize).is_err());
            assert!(Filter::read(&blob, ids as usize + 1).is_err());
            blob[0] = 0xFF;
            blob[1] = 0xFF;
            assert!(Filter::read(&blob, ids as usize).is_err());
        }
    }
}
