//! What the ledger knows of the archive: the rows that wait, the plan under way, and the file each day has come to.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use headrace_core::{Error, Result};
use headrace_transforms::packed::{self, Damaged};

use crate::commerce::event::Kind;

/// The version of the format. The first one did not name the lake.
const FORMAT: u8 = 2;

/// Which waiting rows go into files next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Grows with every plan; by it a file knows whether it has these rows.
    pub token: i64,
    /// When it was made.
    pub made_at_us: i64,
    first: i64,
    last: i64,
}

impl Plan {
    /// The numbers of the blobs.
    pub fn chunks(&self) -> RangeInclusive<i64> {
        self.first..=self.last
    }
}

/// The archive's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveState {
    /// The number of the next blob.
    next: i64,
    /// The first blob that waits and is in no plan.
    waiting_from: i64,
    /// Bytes that wait.
    pub waiting_bytes: u64,
    /// Since when.
    pub waiting_since_us: Option<i64>,
    /// What is being written.
    pub plan: Option<Plan>,
    /// The lake the rows are for; empty where that is not known yet.
    pub lake: String,
    /// The number of the file a day has come to, where that is not the first.
    parts: BTreeMap<(Kind, i64), u64>,
}

impl ArchiveState {
    /// Counts a blob in, and gives its number.
    pub fn add(&mut self, bytes: u64, now_us: i64) -> i64 {
        self.waiting_bytes += bytes;
        self.waiting_since_us.get_or_insert(now_us);
        self.next += 1;
        self.next - 1
    }

    /// Puts all that waits into a plan.
    pub fn make_plan(&mut self, token: i64, now_us: i64) {
        if self.next > self.waiting_from {
            self.plan = Some(Plan { token, made_at_us: now_us, first: self.waiting_from, last: self.next - 1 });
        }
        self.waiting_from = self.next;
        (self.waiting_bytes, self.waiting_since_us) = (0, None);
    }

    /// Forgets the plan, which is carried out; full files are followed by others.
    pub fn finish_plan(&mut self, full: &[(Kind, i64)]) {
        self.plan = None;
        full.iter().for_each(|file| *self.parts.entry(*file).or_default() += 1);
    }

    /// The number of the next blob: all that came so far has smaller ones.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether all blobs below a number are in files.
    pub fn is_written(&self, below: i64) -> bool {
        self.waiting_from >= below && self.plan.as_ref().is_none_or(|plan| plan.first >= below)
    }

    /// The number of the file a day has come to.
    pub fn part(&self, kind: Kind, day: i64) -> u64 {
        self.parts.get(&(kind, day)).copied().unwrap_or_default()
    }

    /// Writes the state down.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        packed::put_signed(&mut out, self.next);
        packed::put_signed(&mut out, self.waiting_from);
        packed::put_unsigned(&mut out, self.waiting_bytes);
        packed::put_signed(&mut out, self.waiting_since_us.unwrap_or(i64::MIN));
        packed::put_unsigned(&mut out, u64::from(self.plan.is_some()));
        if let Some(plan) = &self.plan {
            for value in [plan.token, plan.made_at_us, plan.first, plan.last] {
                packed::put_signed(&mut out, value);
            }
        }
        packed::put_unsigned(&mut out, self.parts.len() as u64);
        for ((kind, day), part) in &self.parts {
            out.push(*kind as u8);
            packed::put_signed(&mut out, *day);
            packed::put_unsigned(&mut out, *part);
        }
        packed::put_bytes(&mut out, self.lake.as_bytes());
        out
    }

    /// Reads a state.
    ///
    /// # Errors
    /// A data error when it is damaged or of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::take(bytes).map_err(|error| Error::data(format!("the state of the archive cannot be read: {error}")))
    }

    fn take(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((&format @ 1..=FORMAT, mut input)) = bytes.split_first() else {
            return Err(Damaged("of another version"));
        };
        let input = &mut input;
        let (next, waiting_from) = (packed::take_signed(input)?, packed::take_signed(input)?);
        let waiting_bytes = packed::take_unsigned(input)?;
        let waiting_since_us = Some(packed::take_signed(input)?).filter(|since| *since != i64::MIN);
        let plan = match packed::take_unsigned(input)? {
            0 => None,
            _ => {
                let (token, made_at_us) = (packed::take_signed(input)?, packed::take_signed(input)?);
                Some(Plan { token, made_at_us, first: packed::take_signed(input)?, last: packed::take_signed(input)? })
            }
        };
        let mut parts = BTreeMap::new();
        for _ in 0..packed::take_unsigned(input)? {
            let (&kind, rest) = input.split_first().ok_or(Damaged("a data set is missing"))?;
            *input = rest;
            let kind = *Kind::ALL.get(usize::from(kind)).ok_or(Damaged("an unknown data set"))?;
            parts.insert((kind, packed::take_signed(input)?), packed::take_unsigned(input)?);
        }
        let lake = if format == 1 { &[][..] } else { packed::take_bytes(input)? };
        let lake = String::from_utf8(lake.to_vec()).map_err(|_| Damaged("a name is no UTF-8"))?;
        packed::finish(input)?;
        Ok(Self { next, waiting_from, waiting_bytes, waiting_since_us, plan, lake, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::ArchiveState;
    use crate::commerce::event::Kind;

    #[test]
    fn plans_take_all_that_waits_once() {
        let mut state = ArchiveState::default();
        assert_eq!((state.add(10, 5), state.add(20, 6)), (0, 1));
        assert_eq!((state.waiting_bytes, state.waiting_since_us), (30, Some(5)));
        state.make_plan(7, 8);
        let plan = state.plan.clone().unwrap();
        assert_eq!((plan.chunks(), plan.token), (0..=1, 7));
        assert_eq!((state.add(5, 9), state.waiting_bytes), (2, 5));
        assert_eq!(ArchiveState::from_bytes(&state.to_bytes()).unwrap(), state);
        state.finish_plan(&[(Kind::Cart, -3)]);
        assert_eq!((state.part(Kind::Cart, -3), state.part(Kind::Cart, -2)), (1, 0));
        state.make_plan(9, 10);
        assert_eq!(state.plan.as_ref().unwrap().chunks(), 2..=2);
        assert_eq!(ArchiveState::from_bytes(&state.to_bytes()).unwrap(), state);
        state.finish_plan(&[]);
        state.make_plan(11, 12);
        assert_eq!(state.plan, None);
    }
}
