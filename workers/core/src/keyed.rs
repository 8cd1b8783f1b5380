//! Keyed state of a step: one blob for each key, read for the keys of a batch and written in the batch's unit.
//!
//! Memory: the blobs of the keys at hand. State lives in the ledger, so that whoever holds the partitions next finds it there.

use std::collections::HashMap;

use crate::Result;
use crate::store::Unit;

/// The blobs of some keys, as of a unit.
#[derive(Debug)]
pub struct Keyed {
    space: &'static str,
    /// By key: the newest blob, and all sequences under which there are blobs.
    found: HashMap<i64, (Vec<u8>, Vec<i64>)>,
}

impl Keyed {
    /// Reads the blobs of some keys in a unit; keys are unique.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(unit: &mut dyn Unit, space: &'static str, keys: impl IntoIterator<Item = i64>) -> Result<Self> {
        let wanted: Vec<(i64, i64)> = keys.into_iter().map(|key| (key, -1)).collect();
        let mut found: HashMap<i64, (Vec<u8>, Vec<i64>)> = HashMap::with_capacity(wanted.len());
        // They come by key and sequence, so the last one stays.
        for segment in unit.read_state(space, &wanted).await? {
            let (blob, sequences) = found.entry(segment.key).or_default();
            *blob = segment.blob;
            sequences.push(segment.sequence);
        }
        Ok(Self { space, found })
    }

    /// The blob of a key, if there is one.
    pub fn get(&self, key: i64) -> Option<&[u8]> {
        self.found.get(&key).map(|(blob, _)| blob.as_slice())
    }

    /// Writes blobs of keys that were read, in the same unit; none removes. What did not change is left alone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(self, unit: &mut dyn Unit, changes: Vec<(i64, Option<Vec<u8>>)>) -> Result<()> {
        let (mut put, mut drop) = (Vec::with_capacity(changes.len()), Vec::new());
        for (key, blob) in changes {
            if blob.as_deref() == self.get(key) {
                continue;
            }
            if let Some((_, sequences)) = self.found.get(&key) {
                drop.extend(sequences.iter().map(|sequence| (key, *sequence)));
            }
            if let Some(blob) = blob {
                put.push((key, blob));
            }
        }
        put.sort_unstable_by_key(|(key, _)| *key);
        drop.sort_unstable();
        if !(put.is_empty() && drop.is_empty()) {
            unit.write_state(self.space, put, drop).await?;
        }
        Ok(())
    }
}
