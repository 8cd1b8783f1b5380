//! Every record whose id was seen before, as parallel parts of a file keep it.
//!
//! When a part finds a record that stands before the one its id was first seen in, and holds something else, then what became
//! of all other records with that id changes too: copies of the old first one conflict with the new one, and those that
//! conflicted may be copies. So they must be known. They are state by hour of event time, like ids, and read only then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrace_core::store::Unit;
use headrace_core::{Error, Result};
use headrace_transforms::deduplicate::hour_of;

use super::sighting::{BYTES, Sighting};

/// The state space of repeats.
const SPACE: &str = "repeats";
/// What a blob begins with: its format.
const HEADER: &[u8] = b"HR1";
const ID: usize = 16;

/// Records by id, without their first one.
pub type Repeats = HashMap<[u8; ID], BTreeSet<Sighting>>;

/// Keeps further records; once in a unit.
///
/// # Errors
/// When state cannot be written.
pub async fn write(unit: &mut dyn Unit, repeats: &[([u8; ID], Sighting)]) -> Result<()> {
    let mut by_hour: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    for (id, sighting) in repeats {
        let blob = by_hour.entry(hour_of(id)).or_insert_with(|| HEADER.to_vec());
        blob.extend_from_slice(id);
        blob.extend_from_slice(&sighting.to_bytes());
    }
    if by_hour.is_empty() {
        return Ok(());
    }
    unit.write_state(SPACE, by_hour.into_iter().collect(), Vec::new()).await
}

/// Reads what is known of some ids.
///
/// # Errors
/// When state cannot be read or is damaged.
pub async fn read(unit: &mut dyn Unit, ids: &BTreeSet<[u8; ID]>) -> Result<Repeats> {
    let mut repeats = Repeats::new();
    let hours: BTreeSet<i64> = ids.iter().map(hour_of).collect();
    let wanted: Vec<(i64, i64)> = hours.into_iter().map(|hour| (hour, -1)).collect();
    if wanted.is_empty() {
        return Ok(repeats);
    }
    let damaged = || Error::data("cannot use the stored repeats of event ids: they have another format");
    for segment in unit.read_state(SPACE, &wanted).await? {
        let (entries, rest) = segment.blob.strip_prefix(HEADER).ok_or_else(damaged)?.as_chunks::<{ ID + BYTES }>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        for entry in entries {
            let (mut id, mut sighting) = ([0; ID], [0; BYTES]);
            id.copy_from_slice(&entry[..ID]);
            sighting.copy_from_slice(&entry[ID..]);
            if ids.contains(&id) {
                repeats.entry(id).or_default().insert(Sighting::from_bytes(&sighting));
            }
        }
    }
    Ok(repeats)
}
