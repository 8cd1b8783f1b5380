//! The ids of one batch, sorted once, and what is found out about each of them.

use std::ops::Range;

use super::key;
use super::range::SeenRange;
use super::segment::Segment;

/// What is known about an id of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<const W: usize> {
    /// The id has not been seen before; it will be stored with the batch's payload.
    ///
    /// A caller may set this for an id that was seen, to have the batch's payload take the place of the stored one.
    New,
    /// The id is new, but an earlier row of the batch, given here, has it too.
    Repeat(usize),
    /// The id was seen in an earlier batch, with this payload.
    Seen([u8; W]),
}

/// Time-based ids of a batch with their payloads, in batch order, ready to be looked up by hour.
#[derive(Clone, Debug)]
pub struct Batch<const W: usize> {
    payloads: Vec<[u8; W]>,
    slots: Vec<Slot>,
    hours: Vec<i64>,
    /// The slots of each of the hours.
    spans: Vec<Range<usize>>,
}

/// A row's id, packed, and the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    packed: u128,
    row: u32,
}

impl<const W: usize> Batch<W> {
    /// Sorts the ids of a batch; every id must be time-based ([`crate::time_uuid::is_time_uuid`]).
    pub fn new(entries: impl IntoIterator<Item = ([u8; 16], [u8; W])>) -> Self {
        let mut slots = Vec::new();
        let mut payloads = Vec::new();
        for (row, (id, payload)) in (0..).zip(entries) {
            slots.push(Slot { packed: key::pack(&id), row });
            payloads.push(payload);
        }
        slots.sort_unstable();
        let (mut hours, mut spans) = (Vec::new(), Vec::new());
        let mut start = 0;
        for group in slots.chunk_by(|a, b| key::hour(a.packed) == key::hour(b.packed)) {
            hours.push(key::hour(group[0].packed));
            spans.push(start..start + group.len());
            start += group.len();
        }
        Self { payloads, slots, hours, spans }
    }

    /// Gives the number of rows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Says whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Gives the hours (since 1970) in which the ids lie, ascending.
    pub fn hours(&self) -> &[i64] {
        &self.hours
    }

    /// Looks the ids of one hour (given by its place in `hours`) up in its segments.
    pub(super) fn check(&self, hour: usize, range: &SeenRange<W>, verdicts: &mut [Verdict<W>]) {
        let slots = &self.slots[self.spans[hour].clone()];
        let doubtful = slots.iter().filter(|slot| range.may_hold(key::within_hour(slot.packed)));
        let doubtful: Vec<_> = doubtful.collect();
        // Segment by segment, so that each is walked once, in order. The newest one to have the id decides.
        for segment in range.segments().rev() {
            let mut from = 0;
            for slot in &doubtful {
                match segment.find(key::within_hour(slot.packed), from) {
                    Ok(found) => {
                        from = found;
                        let verdict = &mut verdicts[slot.row as usize];
                        if *verdict == Verdict::New {
                            *verdict = Verdict::Seen(segment.payload(found));
                        }
                    }
                    Err(place) => from = place,
                }
            }
        }
        for group in slots.chunk_by(|a, b| a.packed == b.packed) {
            for slot in &group[1..] {
                let verdict = &mut verdicts[slot.row as usize];
                if *verdict == Verdict::New {
                    *verdict = Verdict::Repeat(group[0].row as usize);
                }
            }
        }
    }

    /// Gives the segment of the new ids of one hour (given by its place in `hours`).
    pub(super) fn new_ids(&self, hour: usize, verdicts: &[Verdict<W>]) -> Segment<W> {
        let slots = &self.slots[self.spans[hour].clone()];
        let mut segment = Segment::with_capacity(slots.len());
        let mut last = None;
        for slot in slots {
            let row = slot.row as usize;
            if verdicts[row] == Verdict::New && last.replace(slot.packed) != Some(slot.packed) {
                segment.push(key::within_hour(slot.packed), &self.payloads[row]);
            }
        }
        segment
    }
}
