//! The whole set against a map, with a store that holds the written blobs.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::time_uuid;

const HOUR_TICKS: u64 = 36_000_000_000;

fn id(hour: u64, place: u64) -> [u8; 16] {
    // Two ids of each tick, so that the tail decides as well.
    let ticks = time_uuid::UNIX_EPOCH_TICKS + hour * HOUR_TICKS + place / 2;
    time_uuid::with_ticks(ticks, 1, (1 << 63) | (place % 2))
}

/// What a database would hold: blobs by hour and sequence number.
#[derive(Default)]
struct Store {
    blobs: BTreeMap<(i64, i64), Vec<u8>>,
}

impl Store {
    fn load<const W: usize>(&self, hour: i64) -> Vec<(i64, Segment<W>)> {
        let rows = self.blobs.range((hour, i64::MIN)..=(hour, i64::MAX));
        rows.map(|(key, blob)| (key.1, Segment::from_blob(blob.clone()).unwrap())).collect()
    }

    fn write<const W: usize>(&mut self, changes: &[Change<W>]) {
        for change in changes {
            for sequence in &change.drop {
                assert!(self.blobs.remove(&(change.hour, *sequence)).is_some(), "dropped what is not there");
            }
            self.blobs.insert((change.hour, change.sequence), change.put.blob().to_vec());
        }
    }
}

/// Runs one batch as a worker does and gives the verdicts.
fn run<const W: usize>(
    seen: &mut Seen<W>,
    store: &mut Store,
    entries: &[([u8; 16], [u8; W])],
    sequence: i64,
    commit: bool,
) -> Vec<Verdict<W>> {
    let batch = Batch::new(entries.iter().copied());
    for hour in seen.missing(batch.hours()) {
        seen.load(hour, store.load(hour));
    }
    let verdicts = seen.check(&batch).unwrap();
    let changes = seen.changes(&batch, &verdicts, sequence).unwrap();
    if commit {
        store.write(&changes);
        seen.apply(changes);
    }
    verdicts
}

/// A batch, whether its transaction holds, and whether the worker starts anew afterwards.
type Step = (Vec<(u64, u64)>, bool, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((0u64..4, 0u64..400), 0..120);
    prop::collection::vec((rows, prop::bool::weighted(0.8), prop::bool::weighted(0.1)), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_a_map(steps in steps(), budget in 0usize..6000) {
        let mut model: HashMap<[u8; 16], [u8; 4]> = HashMap::new();
        let mut store = Store::default();
        let mut seen = Seen::<4>::new(budget);
        let mut row_number = 0u32;
        for (sequence, (rows, commit, restart)) in steps.into_iter().enumerate() {
            let entries: Vec<_> = rows.iter().map(|&(hour, place)| {
                row_number += 1;
                (id(hour, place), row_number.to_be_bytes())
            }).collect();
            let verdicts = run(&mut seen, &mut store, &entries, sequence as i64, commit);
            let mut fresh: HashMap<[u8; 16], usize> = HashMap::new();
            for (row, (id, _)) in entries.iter().enumerate() {
                let expected = match (model.get(id), fresh.get(id)) {
                    (Some(payload), _) => Verdict::Seen(*payload),
                    (None, Some(first)) => Verdict::Repeat(*first),
                    (None, None) => {
                        fresh.insert(*id, row);
                        Verdict::New
                    }
                };
                prop_assert_eq!(verdicts[row], expected);
            }
            if commit {
                model.extend(fresh.into_iter().map(|(id, row)| (id, entries[row].1)));
            }
            if restart {
                seen = Seen::new(budget);
            }
        }
        let mut stored = HashMap::new();
        for (hour, sequence) in store.blobs.keys() {
            let segment = Segment::<4>::from_blob(store.blobs[&(*hour, *sequence)].clone()).unwrap();
            for (id, payload) in segment.ids(*hour) {
                prop_assert_eq!(stored.insert(id, payload), None, "an id is stored once");
            }
        }
        prop_assert_eq!(stored, model);
    }

    #[test]
    fn cutting_into_other_batches_changes_nothing(
        rows in prop::collection::vec((0u64..3, 0u64..300), 1..400),
        cuts in prop::collection::vec(1usize..60, 1..40),
    ) {
        let entries: Vec<_> = rows.iter().map(|&(hour, place)| (id(hour, place), [])).collect();
        let new = |sizes: &mut dyn Iterator<Item = usize>| {
            let (mut seen, mut store) = (Seen::<0>::new(500), Store::default());
            let (mut rest, mut sequence, mut new) = (&entries[..], 0, Vec::new());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                let verdicts = run(&mut seen, &mut store, head, sequence, true);
                new.extend(verdicts.into_iter().map(|verdict| verdict == Verdict::New));
                sequence += 1;
                rest = tail;
            }
            new
        };
        prop_assert_eq!(new(&mut cuts.into_iter().cycle()), new(&mut std::iter::repeat(entries.len())));
    }
}

#[test]
fn a_later_row_can_take_the_place_of_the_stored_one() {
    let (mut seen, mut store) = (Seen::<1>::new(1 << 20), Store::default());
    run(&mut seen, &mut store, &[(id(0, 1), [7])], 1, true);
    let batch = Batch::new([(id(0, 1), [8])]);
    assert_eq!(seen.check(&batch), Ok(vec![Verdict::Seen([7])]));
    let changes = seen.changes(&batch, &[Verdict::New], 2).unwrap();
    store.write(&changes);
    seen.apply(changes);
    assert_eq!(seen.check(&batch), Ok(vec![Verdict::Seen([8])]));
    seen.clear();
    assert_eq!(run(&mut seen, &mut store, &[(id(0, 1), [9])], 3, true), [Verdict::Seen([8])]);
}

#[test]
fn hours_that_are_not_loaded_are_an_error() {
    let mut seen = Seen::<0>::new(0);
    let batch = Batch::new([(id(3, 0), [])]);
    assert_eq!(seen.missing(batch.hours()), [3]);
    assert_eq!(seen.check(&batch), Err(Error::NotLoaded { hour: 3 }));
    assert_eq!(seen.changes(&batch, &[Verdict::New], 1), Err(Error::NotLoaded { hour: 3 }));
}

#[test]
fn memory_stays_within_the_budget() {
    let (mut seen, mut store) = (Seen::<0>::new(20_000), Store::default());
    let mut most = 0;
    for hour in 0..200 {
        let entries: Vec<_> = (0..100).map(|place| (id(hour, place), [])).collect();
        run(&mut seen, &mut store, &entries, 1, true);
        most = most.max(seen.used_bytes());
    }
    assert!(most < 20_000 + 2 * 2_000, "{most} bytes");
    let entries: Vec<_> = (0..200).map(|hour| (id(hour, 50), [])).collect();
    assert!(run(&mut seen, &mut store, &entries, 2, true).iter().all(|verdict| *verdict == Verdict::Seen([])));
}

#[test]
fn changes_for_segments_loaded_anew_are_not_applied_twice() {
    let (mut seen, mut store) = (Seen::<0>::new(1 << 20), Store::default());
    let batch = Batch::new([(id(0, 1), [])]);
    seen.missing(batch.hours());
    seen.load(0, Vec::new());
    let verdicts = seen.check(&batch).unwrap();
    let changes = seen.changes(&batch, &verdicts, 1).unwrap();
    store.write(&changes);
    seen.load(0, store.load(0));
    seen.apply(changes);
    assert_eq!(run(&mut seen, &mut store, &[(id(0, 1), [])], 2, true), [Verdict::Seen([])]);
}
