//! Decides what becomes of each valid record of a batch, so that "first" means first in the file in parallel loads too.
//!
//! Mostly an id is new, or its first record was seen before. But a part of the file that was quicker may have seen a later
//! record first. If that holds the same, the earlier one takes its place and both are copies of one another as ever. If it
//! holds something else, the earlier record *displaces* it: the displaced one becomes the dead letter it would have been, had
//! the file been read straight, and so do its copies; records that conflicted with it may turn out to be copies now.
//! Dead letters need the raw text: it is read from the file again, and only what is still there as it was seen is moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrace_connectors::csv::RecordsAgain;
use headrace_core::store::{Leftovers, Unit};
use headrace_core::{Counts, Result};
use headrace_transforms::deduplicate::Verdict;
use polars::prelude::{BooleanChunked, NewChunkedArray};

use super::classes;
use super::reason::Reason;
use super::record::{self, ParsedRecords, Rejected};
use super::repeats::{self, Repeats};
use super::sighting::{BYTES, Sighting};

type Id = [u8; 16];

/// What becomes of a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the first with its id: it is stored.
    Stored,
    /// It holds what the stored one holds, and stands before it: a copy, whose place counts from now on.
    TakesOver,
    /// A copy.
    Duplicate,
    /// It has a known id and holds something else: a dead letter.
    Conflict,
}

/// The file that is being loaded.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Reads its records again.
    pub again: RecordsAgain,
    /// Whether everything before what is read has been read too; then nothing read here can be displaced.
    pub is_beginning: bool,
}

/// What a batch of records does.
#[derive(Debug, Default)]
pub struct Precedence {
    /// The fate of each record.
    pub fates: Vec<Fate>,
    /// Which ids are to be remembered with this batch's records.
    pub verdicts: Vec<Verdict<BYTES>>,
    /// Records that take the place of another one's row.
    pub displacing: BTreeSet<usize>,
    /// Records that were counted before and are something else now: as what they count.
    pub more: Counts,
    /// As what they counted.
    pub less: Counts,
    /// Records of other batches that are dead letters now.
    pub refused: Vec<Rejected>,
    /// Numbers of records that are no dead letters, whatever was written before.
    pub accepted: BTreeSet<u64>,
    /// Records to keep as repeats.
    pub repeats: Vec<(Id, Sighting)>,
}

/// A record that stands before the one its id was first seen in.
struct Earlier {
    row: usize,
    before: Sighting,
}

/// Decides over a batch whose ids were looked up.
///
/// # Errors
/// When the store fails, or the file cannot be read again.
pub async fn decide(
    unit: &mut dyn Unit,
    origin: Option<&Origin>,
    parsed: &ParsedRecords,
    sightings: &[Sighting],
    mut verdicts: Vec<Verdict<BYTES>>,
) -> Result<Precedence> {
    let mut earlier: BTreeMap<Id, Earlier> = BTreeMap::new();
    for (row, verdict) in verdicts.iter().enumerate() {
        if let Verdict::Seen(before) = verdict {
            let before = Sighting::from_bytes(before);
            if sightings[row].precedes(&before) {
                earlier.entry(parsed.ids[row]).or_insert(Earlier { row, before });
            }
        }
    }
    let leftovers = unit.leftovers();
    let mut wanted: BTreeSet<Id> = BTreeSet::new();
    for (id, Earlier { row, before }) in &earlier {
        // Dead letters of copies need no look, unless a unit that failed may have changed them.
        if sightings[*row].hash != before.hash || leftovers != Leftovers::None {
            wanted.insert(*id);
        }
    }
    if leftovers == Leftovers::Here {
        let is_known = |(id, verdict): (&Id, &Verdict<BYTES>)| (*verdict != Verdict::New).then_some(*id);
        wanted.extend(parsed.ids.iter().zip(&verdicts).filter_map(is_known));
    }
    let known = repeats::read(unit, &wanted).await?;
    let mut precedence = Precedence::default();
    if let Some(origin) = origin {
        let displacement = Displacement { sightings, known: &known, is_thorough: leftovers != Leftovers::None };
        displacement.settle(origin, &mut earlier, &mut precedence).await?;
    } else {
        earlier.clear();
    }
    for Earlier { row, .. } in earlier.values() {
        verdicts[*row] = Verdict::New;
    }
    let contradictory = if leftovers == Leftovers::Here { contradictory(parsed) } else { BTreeSet::new() };
    let keeps_repeats = origin.is_some_and(|origin| !origin.is_beginning);
    for (row, verdict) in verdicts.iter().enumerate() {
        let (id, own) = (&parsed.ids[row], &sightings[row]);
        let first = match (verdict, earlier.get(id)) {
            (Verdict::New, Some(Earlier { before, .. })) if before.hash == own.hash => {
                precedence.fates.push(Fate::TakesOver);
                continue;
            }
            (Verdict::New, _) => {
                precedence.fates.push(Fate::Stored);
                continue;
            }
            (Verdict::Repeat(first), _) => sightings[*first],
            (Verdict::Seen(_), Some(Earlier { row, .. })) => sightings[*row],
            (Verdict::Seen(before), None) => Sighting::from_bytes(before),
        };
        let is_copy = first.hash == own.hash;
        precedence.fates.push(if is_copy { Fate::Duplicate } else { Fate::Conflict });
        if keeps_repeats && own.is_beside(&first) && own.offset != first.offset {
            precedence.repeats.push((*id, *own));
        }
        // A unit that failed may have taken this copy for a conflict with another record that was first then.
        let conflicts = |other: &BTreeSet<Sighting>| other.iter().any(|other| other.hash != own.hash);
        let has_conflicts = contradictory.contains(id) || known.get(id).is_some_and(conflicts);
        if leftovers == Leftovers::Here && is_copy && has_conflicts {
            precedence.accepted.insert(own.record);
        }
    }
    precedence.verdicts = verdicts;
    Ok(precedence)
}

/// The ids that come more than once in a batch, with other content.
fn contradictory(parsed: &ParsedRecords) -> BTreeSet<Id> {
    let mut hashes: HashMap<Id, u64> = HashMap::new();
    let rows = parsed.ids.iter().zip(&parsed.hashes);
    rows.filter(|(id, hash)| *hashes.entry(**id).or_insert(**hash) != **hash).map(|(id, _)| *id).collect()
}

/// What follows from records that stand before those their ids were first seen in.
struct Displacement<'a> {
    sightings: &'a [Sighting],
    known: &'a Repeats,
    /// Writes or removes every dead letter of the ids in question, also those that should be right.
    is_thorough: bool,
}

/// Records of the file, read and validated again.
struct Again {
    parsed: ParsedRecords,
    by_offset: HashMap<u64, usize>,
}

impl Again {
    async fn read(origin: &Origin, offsets: BTreeSet<u64>) -> Result<Self> {
        let offsets: Vec<u64> = offsets.into_iter().collect();
        let values = if offsets.is_empty() { Vec::new() } else { origin.again.read(offsets.clone()).await? };
        let found = offsets.iter().zip(&values).filter_map(|(offset, value)| Some((*offset, value.as_deref()?)));
        let (positions, values): (Vec<u64>, Vec<&[u8]>) = found.unzip();
        let numbers = vec![0; values.len()];
        let positions = positions.into_iter().map(u64::cast_signed).collect();
        let parsed = record::parse(&record::frame(values.into_iter().map(Some).collect(), numbers, positions)?)?;
        let rows = parsed.positions.iter().enumerate();
        let by_offset = rows.map(|(row, offset)| (offset.unsigned_abs(), row)).collect();
        Ok(Self { parsed, by_offset })
    }

    /// The row of a record, if the file still has it as it was seen.
    fn find(&self, id: &Id, seen: &Sighting) -> Option<usize> {
        let row = *self.by_offset.get(&seen.offset)?;
        (self.parsed.ids[row] == *id && self.parsed.hashes[row] == seen.hash).then_some(row)
    }

    /// The dead letter of a record that conflicts.
    fn conflict(&self, id: &Id, seen: &Sighting) -> Option<Rejected> {
        let record = seen.record.cast_signed();
        Some(Rejected { record, ..self.parsed.conflict(self.find(id, seen)?) })
    }
}

impl Displacement<'_> {
    /// All other records of an id in this file that were seen, the first one among them.
    fn others(&self, id: &Id, Earlier { row, before }: &Earlier) -> BTreeSet<Sighting> {
        let own = &self.sightings[*row];
        let mut others: BTreeSet<Sighting> = self.known.get(id).cloned().unwrap_or_default();
        others.insert(*before);
        others.retain(|other| other.is_beside(own) && other.offset != own.offset);
        others
    }

    /// Settles what becomes of other records; those that cannot displace the first one are taken out of `earlier`.
    async fn settle(
        &self,
        origin: &Origin,
        earlier: &mut BTreeMap<Id, Earlier>,
        precedence: &mut Precedence,
    ) -> Result<()> {
        if earlier.is_empty() {
            return Ok(());
        }
        let mut offsets = BTreeSet::new();
        for (id, earlier) in &*earlier {
            let hash = self.sightings[earlier.row].hash;
            if hash != earlier.before.hash || self.is_thorough {
                let letters = self.others(id, earlier).into_iter().filter(|other| other.hash != hash);
                let changed = letters.filter(|other| self.is_thorough || other.hash == earlier.before.hash);
                offsets.extend(changed.map(|other| other.offset));
            }
        }
        let again = Again::read(origin, offsets).await?;
        earlier.retain(|id, Earlier { row, before }| {
            self.sightings[*row].hash == before.hash || again.find(id, before).is_some()
        });
        let mut displaced = vec![false; again.parsed.ids.len()];
        for (id, earlier) in &*earlier {
            let Earlier { row, before } = earlier;
            precedence.repeats.push((*id, *before));
            let own = &self.sightings[*row];
            if own.hash != before.hash {
                precedence.displacing.insert(*row);
                if let Some(first) = again.find(id, before) {
                    displaced[first] = true;
                }
            } else if !self.is_thorough {
                continue;
            }
            if self.known.get(id).is_some_and(|known| known.iter().any(|seen| seen.offset == own.offset)) {
                // Refused when it was read before.
                precedence.accepted.insert(own.record);
            }
            for other in self.others(id, earlier) {
                self.move_other(id, (own, before, &other), &again, precedence);
            }
        }
        let displaced: BooleanChunked = BooleanChunked::from_iter_values("displaced".into(), displaced.into_iter());
        classes::count_rows(&again.parsed.rows.filter(&displaced)?)?.add_to(&mut precedence.less);
        Ok(())
    }

    /// Moves one record from what it was beside the old first one to what it is beside the new one.
    fn move_other(
        &self,
        id: &Id,
        (own, before, other): (&Sighting, &Sighting, &Sighting),
        again: &Again,
        precedence: &mut Precedence,
    ) {
        let counter = Reason::ConflictingDuplicate.counter();
        let (was_copy, is_copy) = (other.hash == before.hash, other.hash == own.hash);
        let is_changed = was_copy != is_copy;
        if is_copy {
            if is_changed {
                precedence.less.dead_lettered += 1;
                precedence.less.class(counter, 1);
                precedence.more.duplicate += 1;
            }
            if is_changed || self.is_thorough {
                precedence.accepted.insert(other.record);
            }
            return;
        }
        if !is_changed && !self.is_thorough {
            return;
        }
        // What the file does not hold any more stays what it was.
        let Some(letter) = again.conflict(id, other) else { return };
        precedence.refused.push(letter);
        if is_changed {
            precedence.more.dead_lettered += 1;
            precedence.more.class(counter, 1);
            if other.offset == before.offset { precedence.less.written += 1 } else { precedence.less.duplicate += 1 }
        }
    }
}
