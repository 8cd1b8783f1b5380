//! Lefts and rights of one key: all pairs, and which right takes which left.
//!
//! Pairs are told once, by the call that brings their second member. A right is decided when the watermark has passed
//! it, since then every left that it may take is there and every earlier right has been decided: rights in order of
//! (time, id), each takes the matching left with the greatest (time, id) that none has taken. So neither result depends
//! on the order of arrival.
//!
//! Memory: the events between the watermark and the newest event, and an interval's length of lefts behind it.

use super::Interval;
use super::event::{Event, Held, PAIRED, REPORTED, SETTLED};

/// A left and a right within the interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The left.
    pub left: Event,
    /// The right.
    pub right: Event,
    /// The left had been reported as overdue, and this is its first pair.
    pub recovered: bool,
}

/// A right and the left that it has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The left.
    pub left: Event,
    /// The right.
    pub right: Event,
}

/// A left that is forgotten, since no right can match it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The left.
    pub left: Event,
    /// A right has taken it.
    pub attributed: bool,
    /// It is in a pair.
    pub paired: bool,
    /// It has been reported as overdue.
    pub reported: bool,
}

/// What the watermark has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advanced {
    /// The rights that were decided and have a left, by (time, id) of the right.
    pub attributions: Vec<Attribution>,
    /// The lefts that were forgotten, by (time, id).
    pub expired: Vec<Expired>,
}

/// The open events of one key; every call for a key must be given the same interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalJoin {
    /// By (time, id).
    pub(super) lefts: Vec<Held>,
    /// By (time, id).
    pub(super) rights: Vec<Held>,
}

impl IntervalJoin {
    /// Makes the state of events without telling their pairs.
    pub(crate) fn of(lefts: impl Iterator<Item = Event>, rights: impl Iterator<Item = Event>) -> Self {
        let sorted = |events: &mut dyn Iterator<Item = Event>| {
            let mut held: Vec<_> = events.map(Held::new).collect();
            held.sort_by(|a, b| (a.event.time_us, &a.event.id).cmp(&(b.event.time_us, &b.event.id)));
            held
        };
        Self { lefts: sorted(&mut { lefts }), rights: sorted(&mut { rights }) }
    }

    /// Takes a left, and gives its pairs with the rights there are, by (time, id) of the right.
    pub fn left(&mut self, on: &Interval, left: Event) -> Vec<Pair> {
        let from = self.rights.partition_point(|held| held.event.time_us < on.earliest_right(left.time_us));
        let matching = self.rights[from..].iter().map(|held| &held.event);
        let matching = matching.take_while(|right| right.time_us <= on.latest_right(left.time_us));
        let pair = |right: &Event| Pair { left: left.clone(), right: right.clone(), recovered: false };
        let pairs: Vec<_> = matching.map(pair).collect();
        let mut held = Held::new(left);
        held.marks = if pairs.is_empty() { 0 } else { PAIRED };
        insert(&mut self.lefts, held);
        pairs
    }

    /// Takes a right, and gives its pairs with the lefts there are, by (time, id) of the left.
    pub fn right(&mut self, on: &Interval, right: Event) -> Vec<Pair> {
        let from = self.lefts.partition_point(|held| on.latest_right(held.event.time_us) < right.time_us);
        let mut pairs = Vec::new();
        for held in &mut self.lefts[from..] {
            if on.earliest_right(held.event.time_us) > right.time_us {
                break;
            }
            let recovered = held.is(REPORTED) && !held.is(PAIRED);
            held.marks |= PAIRED;
            pairs.push(Pair { left: held.event.clone(), right: right.clone(), recovered });
        }
        insert(&mut self.rights, Held::new(right));
        pairs
    }

    /// Decides the rights that the watermark has passed, and forgets what can match nothing more.
    ///
    /// The watermark must not be above the one by which the events of later calls are judged. How often this is called
    /// makes no difference to what is given in all.
    pub fn advance(&mut self, on: &Interval, watermark_us: i64) -> Advanced {
        let passed = self.rights.partition_point(|held| on.settled(held.event.time_us) < watermark_us);
        let attributions = self.decide(on, passed);
        self.rights.drain(..passed);
        let gone = self.lefts.partition_point(|held| on.expired(held.event.time_us) < watermark_us);
        let expired = self.lefts.drain(..gone).map(|held| Expired {
            attributed: held.is(SETTLED),
            paired: held.is(PAIRED),
            reported: held.is(REPORTED),
            left: held.event,
        });
        Advanced { attributions, expired: expired.collect() }
    }

    /// Decides all rights there are, as at the end of the input, and forgets nothing.
    ///
    /// Should more events come, they are paired as ever, and later rights take what is left.
    pub fn drain(&mut self, on: &Interval) -> Vec<Attribution> {
        self.decide(on, self.rights.len())
    }

    /// Gives the smallest watermark at which [`IntervalJoin::advance`] has something to do.
    pub fn due_us(&self, on: &Interval) -> Option<i64> {
        let right = self.rights.first().map(|held| on.settled(held.event.time_us));
        let left = self.lefts.first().map(|held| on.expired(held.event.time_us));
        right.into_iter().chain(left).min().map(|last_us| last_us.saturating_add(1))
    }

    /// Gives the lefts that are in no pair although a time is behind their interval, each once, by (time, id).
    ///
    /// The time need not be a watermark: a right that is still on its way may yet recover them ([`Pair::recovered`]).
    pub fn overdue(&mut self, on: &Interval, time_us: i64) -> Vec<Event> {
        let lefts = self.lefts.iter_mut().take_while(|held| on.latest_right(held.event.time_us) < time_us);
        let waiting = lefts.filter(|held| !held.is(PAIRED | REPORTED));
        waiting
            .map(|held| {
                held.marks |= REPORTED;
                held.event.clone()
            })
            .collect()
    }

    /// Gives the smallest time at which [`IntervalJoin::overdue`] has something to report.
    pub fn overdue_at_us(&self, on: &Interval) -> Option<i64> {
        let waiting = self.lefts.iter().find(|held| !held.is(PAIRED | REPORTED));
        waiting.map(|held| on.latest_right(held.event.time_us).saturating_add(1))
    }

    /// Gives the lefts that are kept, by (time, id).
    pub fn lefts(&self) -> impl Iterator<Item = &Event> {
        self.lefts.iter().map(|held| &held.event)
    }

    /// Gives the rights that are kept, by (time, id).
    pub fn rights(&self) -> impl Iterator<Item = &Event> {
        self.rights.iter().map(|held| &held.event)
    }

    /// Says whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.lefts.is_empty() && self.rights.is_empty()
    }

    /// Lets the first so many rights take their lefts.
    fn decide(&mut self, on: &Interval, count: usize) -> Vec<Attribution> {
        let mut attributions = Vec::new();
        let mut undecided = self.rights[..count].iter_mut().filter(|held| !held.is(SETTLED)).peekable();
        let Some(first) = undecided.peek() else { return attributions };
        // Rights ascend, so lefts come within reach in order, and the last free one is the greatest: a stack.
        let mut next = self.lefts.partition_point(|held| on.latest_right(held.event.time_us) < first.event.time_us);
        let mut free = Vec::new();
        for right in undecided {
            right.marks |= SETTLED;
            while next < self.lefts.len() && on.earliest_right(self.lefts[next].event.time_us) <= right.event.time_us {
                if !self.lefts[next].is(SETTLED) {
                    free.push(next);
                }
                next += 1;
            }
            let Some(&last) = free.last() else { continue };
            let left = &mut self.lefts[last];
            if on.holds(left.event.time_us, right.event.time_us) {
                left.marks |= SETTLED;
                free.pop();
                attributions.push(Attribution { left: left.event.clone(), right: right.event.clone() });
            }
        }
        attributions
    }
}

/// Inserts an event behind those that are not greater.
fn insert(held: &mut Vec<Held>, new: Held) {
    let key = (new.event.time_us, &new.event.id);
    let place = held.partition_point(|old| (old.event.time_us, &old.event.id) <= key);
    held.insert(place, new);
}
