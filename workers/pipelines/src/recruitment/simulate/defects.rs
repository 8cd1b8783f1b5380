//! Defects of simulated records: how frequent each is, and how it is made.
//!
//! A record has at most one defect, so its class is beyond doubt. Copies are made of records kept in bounded
//! memory: 2,048 chosen evenly among all records before (so that copies also come very late) and the last ones.

use std::str::FromStr;

use headrace_core::{Error, Result};

use super::fields::{
    BID, CAMPAIGN_ID, CD, CREATE_TIME, CUSTOM_TRACK, DT, EV, Fields, GROUP_ID, INDEX, JOB_ID, PUBLISHER_ID, SR, TZ, UA,
    V,
};
use super::random::Random;

const KEPT_RECORDS: usize = 2_048;
const LAST_RECORDS: usize = 16;

/// The share of records, 0 to 1, that has each defect.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Defects {
    /// Fewer or more than 30 fields.
    pub column_count: f64,
    /// No event id.
    pub missing_create_time: f64,
    /// An event id that is no UUID.
    pub bad_create_time: f64,
    /// A UUID of another version or variant.
    pub not_time_uuid: f64,
    /// A number that is none.
    pub bad_number: f64,
    /// An identifier that is negative, fractional or too large.
    pub bad_identifier: f64,
    /// A bid below zero.
    pub negative_bid: f64,
    /// A copy of an earlier record; half of the copies have an index of their own.
    pub duplicate: f64,
    /// A copy of an earlier record with one field changed.
    pub conflicting_duplicate: f64,
    /// Bytes that are not UTF-8.
    pub not_utf8: f64,
}

/// One of the defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    ColumnCount,
    MissingCreateTime,
    BadCreateTime,
    NotTimeUuid,
    BadNumber,
    BadIdentifier,
    NegativeBid,
    Duplicate,
    ConflictingDuplicate,
    NotUtf8,
}

impl Defect {
    /// The name of the counter of such records.
    pub(super) fn counter(self) -> &'static str {
        match self {
            Self::ColumnCount => "dead_letter:column_count",
            Self::MissingCreateTime => "dead_letter:missing_create_time",
            Self::BadCreateTime => "dead_letter:bad_create_time",
            Self::NotTimeUuid => "dead_letter:not_time_uuid",
            Self::BadNumber => "dead_letter:bad_number",
            Self::BadIdentifier => "dead_letter:bad_identifier",
            Self::NegativeBid => "dead_letter:negative_bid",
            Self::Duplicate => "duplicate",
            Self::ConflictingDuplicate => "dead_letter:conflicting_duplicate",
            Self::NotUtf8 => "dead_letter:not_utf8",
        }
    }
}

impl Defects {
    /// Gives every defect the same share.
    pub fn all(share: f64) -> Self {
        let mut defects = Self::default();
        defects.shares_mut().into_iter().for_each(|(_, _, place)| *place = share);
        defects
    }

    fn shares_mut(&mut self) -> [(&'static str, Defect, &mut f64); 10] {
        [
            ("column_count", Defect::ColumnCount, &mut self.column_count),
            ("missing_create_time", Defect::MissingCreateTime, &mut self.missing_create_time),
            ("bad_create_time", Defect::BadCreateTime, &mut self.bad_create_time),
            ("not_time_uuid", Defect::NotTimeUuid, &mut self.not_time_uuid),
            ("bad_number", Defect::BadNumber, &mut self.bad_number),
            ("bad_identifier", Defect::BadIdentifier, &mut self.bad_identifier),
            ("negative_bid", Defect::NegativeBid, &mut self.negative_bid),
            ("duplicate", Defect::Duplicate, &mut self.duplicate),
            ("conflicting_duplicate", Defect::ConflictingDuplicate, &mut self.conflicting_duplicate),
            ("not_utf8", Defect::NotUtf8, &mut self.not_utf8),
        ]
    }

    /// Checks that the shares are shares, together too.
    pub(super) fn check(mut self) -> Result<()> {
        let mut sum = 0.0;
        for (name, _, share) in self.shares_mut() {
            if !(0.0..=1.0).contains(share) {
                return Err(Error::configuration(format!("the share of {name} is {share}; it must be from 0 to 1")));
            }
            sum += *share;
        }
        if sum > 1.0 + 1e-9 {
            return Err(Error::configuration(format!("the shares of the defects add up to {sum}, which is above 1")));
        }
        Ok(())
    }

    /// Chooses the next record's defect.
    pub(super) fn choose(mut self, random: &mut Random) -> Option<Defect> {
        let mut place = random.share();
        for (_, defect, share) in self.shares_mut() {
            if place < *share {
                return Some(defect);
            }
            place -= *share;
        }
        None
    }
}

impl FromStr for Defects {
    type Err = Error;

    /// Reads `bad_number=0.01,duplicate=0.02`; `all=0.001` stands for each of them, a bare number too.
    fn from_str(text: &str) -> Result<Self> {
        let mut defects = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or(("all", pair));
            let value: f64 = value.trim().parse().map_err(|_| {
                Error::configuration(format!("{pair:?} is no share of a defect, such as duplicate=0.01"))
            })?;
            let mut known = false;
            for (defect, _, share) in defects.shares_mut() {
                if name.trim() == defect || name.trim() == "all" {
                    *share = value;
                    known = true;
                }
            }
            if !known {
                let names: Vec<&str> = Self::default().shares_mut().map(|(defect, _, _)| defect).to_vec();
                return Err(Error::configuration(format!(
                    "unknown defect {name}; known are all, {}",
                    names.join(", ")
                )));
            }
        }
        defects.check()?;
        Ok(defects)
    }
}

/// Earlier records, to be copied.
#[derive(Debug, Default)]
pub(super) struct Kept {
    evenly: Vec<csv::ByteRecord>,
    last: Vec<csv::ByteRecord>,
    seen: u64,
}

impl Kept {
    /// Remembers a stored record, perhaps.
    pub(super) fn offer(&mut self, fields: &Fields, random: &mut Random) {
        self.seen += 1;
        let copy = || csv::ByteRecord::from(fields.as_slice());
        if self.evenly.len() < KEPT_RECORDS {
            self.evenly.push(copy());
        } else if let Some(kept) = self.evenly.get_mut(random.below(self.seen) as usize) {
            *kept = copy();
        }
        if self.last.len() < LAST_RECORDS {
            self.last.push(copy());
        } else if random.one_in(4) {
            self.last[random.index(LAST_RECORDS)] = copy();
        }
    }

    /// Puts a copy of an earlier record into the fields; false when there is none yet.
    fn copy(&self, fields: &mut Fields, random: &mut Random) -> bool {
        let list = if random.one_in(4) { &self.last } else { &self.evenly };
        if list.is_empty() {
            return false;
        }
        let record = &list[random.index(list.len())];
        for (field, copied) in fields.iter_mut().zip(record).skip(if random.one_in(2) { INDEX } else { CREATE_TIME }) {
            field.clear();
            field.extend_from_slice(copied);
        }
        true
    }
}

/// Gives a sound record its defect. Returns how many fields to write (31 is one more than there are), or none when
/// it cannot be made: there is nothing to copy yet.
pub(super) fn apply(defect: Defect, fields: &mut Fields, kept: &Kept, random: &mut Random) -> Option<usize> {
    match defect {
        Defect::ColumnCount => return Some([29, 31, 5][random.index(3)]),
        Defect::MissingCreateTime => fields[CREATE_TIME].clear(),
        Defect::BadCreateTime => match random.below(5) {
            0 => fields[CREATE_TIME] = b"not-a-uuid".to_vec(),
            1 => fields[CREATE_TIME].retain(|&byte| byte != b'-'),
            2 => fields[CREATE_TIME][3] = b'g',
            3 => fields[CREATE_TIME].truncate(35),
            _ => fields[CREATE_TIME].swap(8, 9),
        },
        Defect::NotTimeUuid if random.one_in(2) => fields[CREATE_TIME][14] = b"0234567f"[random.index(8)],
        Defect::NotTimeUuid => fields[CREATE_TIME][19] = b"07cf"[random.index(4)],
        Defect::BadNumber => {
            let columns = [BID, CAMPAIGN_ID, CD, EV, GROUP_ID, JOB_ID, PUBLISHER_ID, TZ, V];
            let text = random.pick(&["abc", "NaN", "inf", "1,5", "1_000", "--1", "1e", ".", "0x10"]);
            fields[columns[random.index(columns.len())]] = text.as_bytes().to_vec();
        }
        Defect::BadIdentifier => {
            let columns = [CAMPAIGN_ID, GROUP_ID, JOB_ID, PUBLISHER_ID];
            let text = random.pick(&["-5.0", "10.5", "9007199254740994.0", "1e20", "-1"]);
            fields[columns[random.index(columns.len())]] = text.as_bytes().to_vec();
        }
        Defect::NegativeBid => fields[BID] = random.pick(&["-1.0", "-0.5", "-7"]).as_bytes().to_vec(),
        Defect::Duplicate => return kept.copy(fields, random).then_some(fields.len()),
        Defect::ConflictingDuplicate => {
            if !kept.copy(fields, random) {
                return None;
            }
            // Values that no sound record has in these columns.
            let (at, text) = [(BID, "9.0"), (SR, "1x1"), (CUSTOM_TRACK, "changed")][random.index(3)];
            fields[at] = text.as_bytes().to_vec();
        }
        Defect::NotUtf8 => {
            let bytes: &[u8] = random.pick(&[&b"caf\xE9"[..], b"\xFF", b"cut \xE2\x82"]);
            fields[if random.one_in(2) { DT } else { UA }] = bytes.to_vec();
        }
    }
    Some(fields.len())
}
