//! The laws of the joins: what a naive computation over all events gives, whatever the order, the cuts and the restarts.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::packed::{Damaged, Packed};
use crate::watermark::{Rules, Watermark, both};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

fn event(time_us: i64, id: &str) -> Event {
    Event { time_us, id: EventId::new(id.as_bytes()), payload: id.as_bytes().into() }
}

fn name(event: &Event) -> String {
    event.id.to_string()
}

fn names(pairs: &[Pair]) -> Vec<(String, String)> {
    pairs.iter().map(|pair| (name(&pair.left), name(&pair.right))).collect()
}

/// An event of either kind, as it arrives.
#[derive(Clone, Debug)]
struct Arrival {
    is_left: bool,
    event: Event,
}

/// Events in order of arrival; ids differ, and are not in the order of times or arrivals.
fn arrivals(longest: usize) -> impl Strategy<Value = Vec<Arrival>> {
    let one = (any::<bool>(), 0i64..60, 0u8..100);
    prop::collection::vec(one, 0..longest).prop_map(|all| {
        let arrival = |(index, (is_left, time_us, letter))| Arrival {
            is_left,
            event: event(time_us, &format!("{letter:02}-{index}")),
        };
        all.into_iter().enumerate().map(arrival).collect()
    })
}

fn intervals() -> impl Strategy<Value = Interval> {
    (-15i64..15, 0i64..15).prop_map(|(lower_us, width_us)| Interval { lower_us, upper_us: lower_us + width_us })
}

/// All pairs, by definition.
fn all_pairs(on: &Interval, events: &[Arrival]) -> Vec<(String, String)> {
    let of = |is_left| events.iter().filter(move |arrival| arrival.is_left == is_left).map(|arrival| &arrival.event);
    let mut pairs = Vec::new();
    for left in of(true) {
        for right in of(false) {
            let distance_us = right.time_us - left.time_us;
            if on.lower_us <= distance_us && distance_us <= on.upper_us {
                pairs.push((name(left), name(right)));
            }
        }
    }
    pairs.sort();
    pairs
}

/// The attributions, by definition.
fn attributed(on: &Interval, events: &[Arrival]) -> Vec<(String, String)> {
    let of = |is_left| {
        let mut events: Vec<&Event> =
            events.iter().filter(|arrival| arrival.is_left == is_left).map(|arrival| &arrival.event).collect();
        events.sort_by_key(|event| (event.time_us, name(event)));
        events
    };
    let mut lefts = of(true);
    let mut attributions = Vec::new();
    for right in of(false) {
        let matching =
            |left: &&Event| left.time_us + on.lower_us <= right.time_us && right.time_us <= left.time_us + on.upper_us;
        if let Some(place) = lefts.iter().rposition(matching) {
            attributions.push((name(lefts.remove(place)), name(right)));
        }
    }
    attributions.sort();
    attributions
}

/// Everything that a run told.
#[derive(Debug, Default, PartialEq)]
struct Told {
    pairs: Vec<(String, String)>,
    attributions: Vec<(String, String)>,
    late: Vec<String>,
    /// Whether each expired or remaining left is attributed and paired.
    lefts: Vec<(String, bool, bool)>,
}

/// Runs events through a join; behind each, `cuts` says whether a batch ends there, and whether the state is stored.
fn run(on: &Interval, delay_us: i64, events: &[Arrival], cuts: &[(bool, bool)]) -> Result<Told, TestCaseError> {
    let rules = Rules { delay_us, idle_after_us: None };
    let mut watermarks = [Watermark::default(), Watermark::default()];
    let mut join = IntervalJoin::default();
    let mut told = Told::default();
    for (index, arrival) in events.iter().enumerate() {
        let watermark = both(watermarks[0].value(), watermarks[1].value());
        let kind = &mut watermarks[usize::from(arrival.is_left)];
        let slot = kind.slot("");
        kind.advance(&rules, slot, arrival.event.time_us, 0);
        if watermark.is_some_and(|watermark| arrival.event.time_us < watermark) {
            told.late.push(name(&arrival.event));
        } else if arrival.is_left {
            told.pairs.extend(names(&join.left(on, arrival.event.clone())));
        } else {
            told.pairs.extend(names(&join.right(on, arrival.event.clone())));
        }
        let (ends, stores) = cuts.get(index).copied().unwrap_or_default();
        if ends && let Some(watermark) = both(watermarks[0].value(), watermarks[1].value()) {
            if let Some(due_us) = join.due_us(on).filter(|due_us| *due_us <= watermark) {
                prop_assert_eq!(join.advance(on, due_us - 1), Advanced::default());
                let before = join.clone();
                tell(&mut told, join.advance(on, due_us));
                prop_assert_ne!(&join, &before);
            }
            tell(&mut told, join.advance(on, watermark));
            prop_assert!(join.due_us(on).is_none_or(|due_us| due_us > watermark));
            prop_assert!(join.rights().all(|right| right.time_us + (-on.lower_us).max(0) >= watermark));
        }
        if stores {
            let bytes = join.to_bytes();
            join = IntervalJoin::from_bytes(&bytes)?;
            prop_assert_eq!(join.to_bytes(), bytes);
        }
    }
    let drained = join.drain(on);
    told.attributions.extend(drained.iter().map(|each| (name(&each.left), name(&each.right))));
    prop_assert_eq!(join.drain(on), []);
    tell(&mut told, join.advance(on, i64::MAX));
    prop_assert!(join.is_empty());
    told.pairs.sort();
    told.attributions.sort();
    told.lefts.sort();
    Ok(told)
}

fn tell(told: &mut Told, advanced: Advanced) {
    told.attributions.extend(advanced.attributions.iter().map(|each| (name(&each.left), name(&each.right))));
    told.lefts.extend(advanced.expired.iter().map(|each| (name(&each.left), each.attributed, each.paired)));
}

/// The same from the definitions, of the events that are not late.
fn expected(on: &Interval, events: &[Arrival], late: Vec<String>) -> Told {
    let on_time: Vec<_> = events.iter().filter(|arrival| !late.contains(&name(&arrival.event))).cloned().collect();
    let (pairs, attributions) = (all_pairs(on, &on_time), attributed(on, &on_time));
    let has = |pairs: &[(String, String)], left: &str| pairs.iter().any(|(paired, _)| paired == left);
    let lefts = on_time.iter().filter(|arrival| arrival.is_left).map(|arrival| name(&arrival.event));
    let mut lefts: Vec<_> = lefts.map(|left| (left.clone(), has(&attributions, &left), has(&pairs, &left))).collect();
    lefts.sort();
    Told { pairs, attributions, late, lefts }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_cut_and_any_restart_tell_the_same(
        on in intervals(),
        delay_us in 0i64..40,
        events in arrivals(40),
        cuts in prop::collection::vec(any::<(bool, bool)>(), 40),
    ) {
        let cut = run(&on, delay_us, &events, &cuts)?;
        let whole = run(&on, delay_us, &events, &[])?;
        prop_assert_eq!(&cut, &whole);
        prop_assert_eq!(&whole, &expected(&on, &events, whole.late.clone()));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter_while_nothing_is_late(
        on in intervals(),
        (events, shuffled) in arrivals(30).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        cuts in prop::collection::vec(any::<(bool, bool)>(), 30),
    ) {
        let (one, other) = (run(&on, 60, &events, &cuts)?, run(&on, 60, &shuffled, &cuts)?);
        prop_assert!(one.late.is_empty());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_is_overdue_is_reported_once_and_may_recover(
        on in intervals(),
        steps in prop::collection::vec((prop::option::of((any::<bool>(), 0i64..60)), 0i64..80), 0..40),
    ) {
        let mut join = IntervalJoin::default();
        let mut lefts: Vec<(i64, String)> = Vec::new();
        let (mut rights, mut reported) = (Vec::new(), Vec::new());
        for (index, (arrival, clock_us)) in steps.into_iter().enumerate() {
            let id = format!("{index:03}");
            let paired = |rights: &[i64], left_us: i64| rights.iter().any(|right_us| on.holds(left_us, *right_us));
            match arrival {
                Some((true, time_us)) => {
                    join.left(&on, event(time_us, &id));
                    lefts.push((time_us, id));
                }
                Some((false, time_us)) => {
                    let mut recovered: Vec<_> = join.right(&on, event(time_us, &id)).into_iter()
                        .filter(|pair| pair.recovered).map(|pair| name(&pair.left)).collect();
                    recovered.sort();
                    let expected: Vec<_> = lefts.iter()
                        .filter(|(left_us, left)| reported.contains(left) && on.holds(*left_us, time_us) && !paired(&rights, *left_us))
                        .map(|(_, left)| left.clone()).collect();
                    prop_assert_eq!(recovered, expected);
                    rights.push(time_us);
                }
                None => join = IntervalJoin::from_bytes(&join.to_bytes())?,
            }
            let at_us = join.overdue_at_us(&on);
            let mut overdue: Vec<_> = join.overdue(&on, clock_us).iter().map(name).collect();
            prop_assert_eq!(at_us.is_some_and(|at_us| at_us <= clock_us), !overdue.is_empty());
            overdue.sort();
            let expected: Vec<_> = lefts.iter()
                .filter(|(left_us, left)| left_us + on.upper_us < clock_us && !reported.contains(left) && !paired(&rights, *left_us))
                .map(|(_, left)| left.clone()).collect();
            prop_assert_eq!(&overdue, &expected);
            reported.extend(overdue);
        }
    }

    #[test]
    fn coverage_is_that_of_all_marks(
        on in intervals(),
        steps in prop::collection::vec((any::<bool>(), 0i64..200, any::<bool>()), 0..60),
    ) {
        let mut coverage = Coverage::default();
        let mut marks: Vec<i64> = Vec::new();
        let mut waiting: Vec<(i64, usize)> = Vec::new();
        for (index, (is_mark, time_us, stores)) in steps.into_iter().enumerate() {
            if is_mark {
                marks.push(time_us);
                let now: Vec<_> = coverage.mark(&on, time_us).into_iter().map(|left| (left.time_us, left.payload[0])).collect();
                let (mut covered, left): (Vec<_>, Vec<_>) = waiting.iter().partition(|(left_us, _)| on.holds(time_us, *left_us));
                covered.sort_unstable();
                waiting = left;
                prop_assert_eq!(now, covered.into_iter().map(|(left_us, index)| (left_us, index as u8)).collect::<Vec<_>>());
            } else {
                let is_covered = coverage.left(time_us, &[index as u8]);
                prop_assert_eq!(is_covered, marks.iter().any(|mark_us| on.holds(*mark_us, time_us)));
                if !is_covered {
                    waiting.push((time_us, index));
                }
            }
            if stores {
                let bytes = coverage.to_bytes();
                coverage = Coverage::from_bytes(&bytes)?;
                prop_assert_eq!(coverage.to_bytes(), bytes);
            }
            prop_assert!(coverage.covered.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let kept = coverage.clone();
            prop_assert_eq!(coverage.oldest_us().map_or(0, |oldest_us| coverage.forget(oldest_us)), 0);
            prop_assert_eq!(&coverage, &kept);
        }
    }

    #[test]
    fn what_is_forgotten_made_no_difference(
        width_us in 0i64..15,
        steps in prop::collection::vec((any::<bool>(), 0i64..50, any::<bool>()), 0..60),
    ) {
        // Events come at most 50 behind a clock that moves on by 3; all before that may be forgotten.
        let on = Interval { lower_us: 0, upper_us: width_us };
        let (mut kept, mut forgetful) = (Coverage::default(), Coverage::default());
        for (index, (is_mark, time_us, forgets)) in (0i64..).zip(steps) {
            let time_us = index * 3 + time_us;
            if is_mark {
                prop_assert_eq!(kept.mark(&on, time_us), forgetful.mark(&on, time_us));
            } else {
                prop_assert_eq!(kept.left(time_us, b""), forgetful.left(time_us, b""));
            }
            if forgets {
                forgetful.forget((index + 1) * 3);
                prop_assert!(forgetful.oldest_us().is_none_or(|oldest_us| oldest_us >= (index + 1) * 3));
            }
        }
    }
}

#[test]
fn both_ends_count_to_the_microsecond() -> Result<(), BadInterval> {
    let on = Interval::new(0, 20 * MINUTE)?;
    for (right_us, pairs) in [(20 * MINUTE, 1), (20 * MINUTE + 1, 0), (0, 1), (-1, 0)] {
        let mut join = IntervalJoin::default();
        join.left(&on, event(0, "cart"));
        assert_eq!(join.right(&on, event(right_us, "purchase")).len(), pairs, "{right_us}");
        let mut join = IntervalJoin::default();
        join.right(&on, event(right_us, "purchase"));
        assert_eq!(join.left(&on, event(0, "cart")).len(), pairs, "{right_us}");
    }
    Ok(())
}

#[test]
fn each_right_takes_the_last_free_left() -> Result<(), BadInterval> {
    let on = Interval::new(0, 20 * MINUTE)?;
    let mut join = IntervalJoin::default();
    join.left(&on, event(0, "cart 1"));
    join.left(&on, event(MINUTE, "cart 2"));
    let pairs: usize = (2..5).map(|at| join.right(&on, event(at * MINUTE, &format!("purchase {at}"))).len()).sum();
    assert_eq!(pairs, 6);
    assert_eq!(join.advance(&on, 2 * MINUTE), Advanced::default(), "the watermark has not passed the first purchase");
    let first = join.advance(&on, 2 * MINUTE + 1).attributions;
    assert_eq!(first.iter().map(|each| name(&each.left)).collect::<Vec<_>>(), ["cart 2"]);
    let rest = join.drain(&on);
    let rest: Vec<_> = rest.iter().map(|each| (name(&each.left), name(&each.right))).collect();
    assert_eq!(rest, [("cart 1".into(), "purchase 3".into())]);
    // What comes after a drain takes what is left.
    join.left(&on, event(3 * MINUTE, "cart 3"));
    join.right(&on, event(4 * MINUTE, "purchase 5"));
    assert_eq!(join.advance(&on, i64::MAX).attributions[0].left, event(3 * MINUTE, "cart 3"));
    Ok(())
}

#[test]
fn intervals_have_an_inside() {
    assert_eq!(Interval::new(1, 0), Err(BadInterval { lower_us: 1, upper_us: 0 }));
}

#[test]
fn dense_marks_cost_nothing() -> Result<(), BadInterval> {
    let on = Interval::new(0, 20 * MINUTE)?;
    let mut coverage = Coverage::default();
    for second in 0..10_000 {
        coverage.mark(&on, second * 1000 * SECOND);
    }
    assert!(coverage.to_bytes().len() < 20);
    let bytes = |count: u8| {
        let mut join = IntervalJoin::default();
        for index in 0..count {
            let id = format!("8e70888d-f6a2-45e3-bf58-cf077d96b2{index:02x}");
            let id = EventId::new(id.as_bytes());
            join.left(
                &on,
                Event { time_us: 1_741_563_600_000_000 + i64::from(index) * SECOND, id, payload: Box::default() },
            );
        }
        join.to_bytes().len()
    };
    assert_eq!((bytes(0), bytes(1), bytes(11)), (3, 28, 228), "20 bytes an event behind the first");
    Ok(())
}

#[test]
fn other_bytes_are_refused() {
    let mut join = IntervalJoin::default();
    let on = Interval { lower_us: 0, upper_us: 5 };
    join.left(&on, event(1, "a"));
    join.right(&on, event(2, "8e70888d-f6a2-45e3-bf58-cf077d96b2cd"));
    let mut coverage = Coverage::default();
    coverage.mark(&on, 4);
    coverage.left(3, b"x");
    let (join, coverage) = (join.to_bytes(), coverage.to_bytes());
    for end in 0..join.len() {
        assert!(IntervalJoin::from_bytes(&join[..end]).is_err(), "{end}");
    }
    for end in 0..coverage.len() {
        assert!(Coverage::from_bytes(&coverage[..end]).is_err(), "{end}");
    }
    let twice = [1, 2, 2, 0, 1, b'b', 0, 0, 1, b'a', 0];
    assert_eq!(IntervalJoin::from_bytes(&twice), Err(Damaged("its events are not in order")));
    assert_eq!(IntervalJoin::from_bytes(&[1, 1, 2, 0x40, 0, 0]), Err(Damaged("an event has unknown marks")));
}
