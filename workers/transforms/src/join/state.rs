//! The joins' state as bytes: times as differences, ids and payloads behind one byte of marks.

use super::coverage::{Coverage, Uncovered};
use super::event::Held;
use super::interval_join::IntervalJoin;
use crate::packed::{self, Damaged, Packed};

impl Packed for IntervalJoin {
    const FORMAT: u8 = 1;

    fn put(&self, out: &mut Vec<u8>) {
        put_events(out, &self.lefts);
        put_events(out, &self.rights);
    }

    fn take(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(Self { lefts: take_events(input)?, rights: take_events(input)? })
    }
}

fn put_events(out: &mut Vec<u8>, events: &[Held]) {
    packed::put_unsigned(out, events.len() as u64);
    let mut last_us = None;
    for held in events {
        packed::put_time(out, last_us, held.event.time_us);
        held.put(out);
        last_us = Some(held.event.time_us);
    }
}

fn take_events(input: &mut &[u8]) -> Result<Vec<Held>, Damaged> {
    let count = packed::take_count(input)?;
    let mut events: Vec<Held> = Vec::with_capacity(count);
    for _ in 0..count {
        let time_us = packed::take_time(input, events.last().map(|held| held.event.time_us))?;
        events.push(Held::take(input, time_us)?);
    }
    if events.is_sorted_by_key(|held| (held.event.time_us, &held.event.id)) {
        Ok(events)
    } else {
        Err(Damaged("its events are not in order"))
    }
}

impl Packed for Coverage {
    const FORMAT: u8 = 1;

    fn put(&self, out: &mut Vec<u8>) {
        packed::put_unsigned(out, self.covered.len() as u64);
        let mut last_us = None;
        for &(from_us, to_us) in &self.covered {
            packed::put_time(out, last_us, from_us);
            packed::put_time(out, Some(from_us), to_us);
            last_us = Some(to_us);
        }
        packed::put_unsigned(out, self.lefts.len() as u64);
        let mut last_us = None;
        for left in &self.lefts {
            packed::put_time(out, last_us, left.time_us);
            packed::put_bytes(out, &left.payload);
            last_us = Some(left.time_us);
        }
    }

    fn take(input: &mut &[u8]) -> Result<Self, Damaged> {
        let count = packed::take_count(input)?;
        let mut covered: Vec<(i64, i64)> = Vec::with_capacity(count);
        for _ in 0..count {
            let from_us = packed::take_time(input, covered.last().map(|(_, to_us)| *to_us))?;
            covered.push((from_us, packed::take_time(input, Some(from_us))?));
        }
        let count = packed::take_count(input)?;
        let mut lefts: Vec<Uncovered> = Vec::with_capacity(count);
        for _ in 0..count {
            let time_us = packed::take_time(input, lefts.last().map(|left| left.time_us))?;
            lefts.push(Uncovered { time_us, payload: packed::take_bytes(input)?.into() });
        }
        Ok(Self { covered, lefts })
    }
}
