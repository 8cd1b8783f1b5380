//! Event-time watermarks: how far time has certainly come, by partition, moved forward event by event.
//!
//! `W = min over the partitions that deliver (largest event time - delay)`. It is taken before and behind every event,
//! not once a batch, so what is called late does not depend on where batches are cut. W is undefined before the first
//! event and never moves back. A partition that has delivered nothing for a while of processing time is left out;
//! processing time is an argument, there is no clock here.
//!
//! Memory: a name and two times for each partition.

use crate::packed::{self, Damaged, Packed};

/// How a watermark moves. These are settings of the caller, not part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How far the watermark stays behind the largest event time.
    pub delay_us: i64,
    /// After how much processing time without an event a partition is left out; never, if none.
    pub idle_after_us: Option<i64>,
}

/// The watermark on both sides of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The watermark that the event is judged by: all events before it count, itself not.
    pub before: Option<i64>,
    /// The watermark behind the event.
    pub after: Option<i64>,
}

/// The state of a watermark.
#[derive(Clone, Debug, Default)]
pub struct Watermark {
    partitions: Vec<Progress>,
    value: Option<i64>,
}

/// How far a partition has come.
#[derive(Clone, Debug)]
struct Progress {
    name: Box<str>,
    /// The largest event time; none before the first event.
    max_us: Option<i64>,
    /// The processing time of the last event.
    seen_us: i64,
}

impl Watermark {
    /// Gives the place of a partition, by which its events are given to [`Watermark::advance`].
    ///
    /// A place holds for this value and its clones, not for what is read from bytes.
    pub fn slot(&mut self, partition: &str) -> usize {
        let known = self.partitions.iter().position(|progress| &*progress.name == partition);
        known.unwrap_or_else(|| {
            self.partitions.push(Progress { name: partition.into(), max_us: None, seen_us: i64::MIN });
            self.partitions.len() - 1
        })
    }

    /// Takes note that a partition will deliver, before it has: the watermark waits for it until it is idle.
    ///
    /// Without this, the first partition of a backlog to be read would run ahead of those that are still unread.
    pub fn expect(&mut self, partition: &str, now_us: i64) {
        let slot = self.slot(partition);
        let progress = &mut self.partitions[slot];
        if progress.seen_us == i64::MIN {
            progress.seen_us = now_us;
        }
    }

    /// Waits no longer for partitions that have never delivered.
    pub fn stop_waiting(&mut self) {
        self.partitions.retain(|progress| progress.max_us.is_some());
    }

    /// Takes an event of a partition (its [`Watermark::slot`]), seen at a processing time.
    pub fn advance(&mut self, rules: &Rules, slot: usize, time_us: i64, now_us: i64) -> Advance {
        let before = self.tick(rules, now_us);
        let progress = &mut self.partitions[slot];
        progress.max_us = progress.max_us.max(Some(time_us));
        progress.seen_us = progress.seen_us.max(now_us);
        Advance { before, after: self.tick(rules, now_us) }
    }

    /// Leaves out what is idle at a processing time, and gives the watermark.
    ///
    /// When every partition is idle, the watermark stays where it is.
    pub fn tick(&mut self, rules: &Rules, now_us: i64) -> Option<i64> {
        let delivers = |progress: &&Progress| match rules.idle_after_us {
            Some(idle_after_us) => now_us.saturating_sub(progress.seen_us) <= idle_after_us,
            None => true,
        };
        let awaits = |progress: &Progress| progress.max_us.is_none() && progress.seen_us > i64::MIN;
        if self.partitions.iter().filter(delivers).any(awaits) {
            return self.value;
        }
        let slowest = self.partitions.iter().filter(delivers).filter_map(|progress| progress.max_us).min();
        self.value = self.value.max(slowest.map(|time_us| time_us.saturating_sub(rules.delay_us)));
        self.value
    }

    /// Takes note that work begins again: no partition is idle before it has had its time once more.
    ///
    /// Without this, the first partition to be read after a pause would run ahead of all others.
    pub fn resume(&mut self, now_us: i64) {
        for progress in &mut self.partitions {
            progress.seen_us = progress.seen_us.max(now_us);
        }
    }

    /// Gives the watermark.
    pub fn value(&self) -> Option<i64> {
        self.value
    }

    /// Gives the largest event time of all partitions.
    pub fn max_time_us(&self) -> Option<i64> {
        self.partitions.iter().filter_map(|progress| progress.max_us).max()
    }
}

/// Gives the watermark of two kinds of events together: the earlier one, undefined until both are defined.
pub fn both(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.zip(b).map(|(a, b)| a.min(b))
}

/// Says whether something that ends at a time (exclusive) has passed.
pub fn is_late(end_us: i64, watermark: Option<i64>) -> bool {
    watermark.is_some_and(|watermark| end_us <= watermark)
}

impl Packed for Watermark {
    const FORMAT: u8 = 1;

    fn put(&self, out: &mut Vec<u8>) {
        packed::put_maybe(out, self.value);
        let mut known: Vec<_> = self.partitions.iter().filter(|progress| progress.seen_us > i64::MIN).collect();
        known.sort_unstable_by_key(|progress| &progress.name);
        packed::put_unsigned(out, known.len() as u64);
        for progress in known {
            packed::put_bytes(out, progress.name.as_bytes());
            packed::put_maybe(out, progress.max_us);
            packed::put_signed(out, progress.seen_us);
        }
    }

    fn take(input: &mut &[u8]) -> Result<Self, Damaged> {
        let value = packed::take_maybe(input)?;
        let count = packed::take_count(input)?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let name = std::str::from_utf8(packed::take_bytes(input)?).map_err(|_| Damaged("a name is not text"))?;
            let max_us = packed::take_maybe(input)?;
            partitions.push(Progress { name: name.into(), max_us, seen_us: packed::take_signed(input)? });
        }
        Ok(Self { partitions, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { delay_us: 10, idle_after_us: Some(30) };

    #[test]
    fn an_event_is_judged_by_those_before_it() {
        let mut watermark = Watermark::default();
        let only = watermark.slot("");
        let mut step = |time_us| {
            let Advance { before, after } = watermark.advance(&RULES, only, time_us, 0);
            (before, after)
        };
        assert_eq!(step(100), (None, Some(90)));
        assert_eq!(step(50), (Some(90), Some(90)));
        assert_eq!(step(120), (Some(90), Some(110)));
        assert_eq!((watermark.value(), watermark.max_time_us()), (Some(110), Some(120)));
    }

    #[test]
    fn an_expected_partition_is_waited_for_until_it_is_idle() {
        let mut watermark = Watermark::default();
        watermark.expect("b", 0);
        let first = watermark.slot("a");
        assert_eq!(watermark.advance(&RULES, first, 500, 1).after, None);
        let mut watermark = Watermark::from_bytes(&watermark.to_bytes()).unwrap();
        watermark.expect("b", 25);
        let first = watermark.slot("a");
        assert_eq!(watermark.advance(&RULES, first, 510, 30).after, None, "expected since 0, again and again");
        let mut gone = watermark.clone();
        gone.stop_waiting();
        assert_eq!(gone.tick(&RULES, 30), Some(500));
        assert_eq!(watermark.tick(&RULES, 31), Some(500), "idle");
        let second = watermark.slot("b");
        assert_eq!(watermark.advance(&RULES, second, 600, 32).after, Some(500), "the slower one decides");
    }

    #[test]
    fn the_slowest_partition_decides_until_it_is_idle() {
        let mut watermark = Watermark::default();
        let (fast, slow) = (watermark.slot("a"), watermark.slot("b"));
        assert_eq!(watermark.slot("a"), fast);
        watermark.advance(&RULES, slow, 100, 0);
        assert_eq!(watermark.advance(&RULES, fast, 500, 20).after, Some(90));
        assert_eq!(watermark.tick(&RULES, 30), Some(90), "at its limit");
        assert_eq!(watermark.advance(&RULES, fast, 400, 31).before, Some(490), "over its limit");
        assert_eq!(watermark.advance(&RULES, slow, 110, 32).after, Some(490), "never back");
        assert_eq!(watermark.tick(&RULES, 1000), Some(490), "stays when all are idle");
        let waits = Rules { idle_after_us: None, ..RULES };
        assert_eq!(watermark.advance(&waits, fast, 900, 10_000).after, Some(490));
    }

    #[test]
    fn a_pause_makes_nobody_idle() {
        let mut watermark = Watermark::default();
        let (a, b) = (watermark.slot("a"), watermark.slot("b"));
        watermark.advance(&RULES, a, 100, 0);
        watermark.advance(&RULES, b, 100, 0);
        let mut resumed = watermark.clone();
        resumed.resume(5000);
        assert_eq!(resumed.advance(&RULES, a, 800, 5000).after, Some(90));
        assert_eq!(watermark.advance(&RULES, a, 800, 5000).after, Some(790), "what it would be without");
    }

    #[test]
    fn two_kinds_need_both() {
        assert_eq!((both(None, Some(3)), both(Some(3), None), both(Some(3), Some(2))), (None, None, Some(2)));
        assert!(is_late(60, Some(60)) && !is_late(61, Some(60)) && !is_late(0, None));
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut watermark = Watermark::default();
        let slot = watermark.slot("a");
        watermark.advance(&RULES, slot, 1, 1);
        let bytes = watermark.to_bytes();
        for end in 0..bytes.len() {
            assert!(Watermark::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert!(Watermark::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Watermark::from_bytes(&[9, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn state_goes_through_bytes_between_any_two_events(
            events in prop::collection::vec((0u8..4, -1000i64..1000, 0i64..20, any::<bool>()), 0..60),
        ) {
            let (mut whole, mut cut) = (Watermark::default(), Watermark::default());
            let mut now_us = 0;
            let mut last = None;
            for (partition, time_us, pause_us, store) in events {
                now_us += pause_us;
                let name = format!("topic/{partition}");
                if store {
                    let bytes = cut.to_bytes();
                    cut = Watermark::from_bytes(&bytes)?;
                    prop_assert_eq!(cut.to_bytes(), bytes);
                }
                let (slot, other) = (whole.slot(&name), cut.slot(&name));
                let advance = whole.advance(&RULES, slot, time_us, now_us);
                prop_assert_eq!(advance, cut.advance(&RULES, other, time_us, now_us));
                prop_assert!(last <= advance.before && advance.before <= advance.after);
                last = advance.after;
            }
            prop_assert_eq!(whole.to_bytes(), cut.to_bytes());
        }

        #[test]
        fn without_idleness_it_is_the_minimum_of_the_maxima(
            events in prop::collection::vec((0usize..3, -1000i64..1000), 1..40),
        ) {
            let rules = Rules { delay_us: 7, idle_after_us: None };
            let mut watermark = Watermark::default();
            let slots = ["a", "b", "c"].map(|name| watermark.slot(name));
            let mut maxima = [None; 3];
            let mut expected = None;
            for (partition, time_us) in events {
                prop_assert_eq!(watermark.value(), expected);
                maxima[partition] = maxima[partition].max(Some(time_us));
                expected = expected.max(maxima.iter().flatten().min().map(|time_us| time_us - 7));
                prop_assert_eq!(watermark.advance(&rules, slots[partition], time_us, 0).after, expected);
            }
        }
    }
}
