//! State of many keys in pages, against a map: two workers, failures at any point, removals, expiry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrace_pipelines::keyed_pages::KeyedPages;
use proptest::prelude::*;

use super::run;
use super::support::{Memory, Place};

const HOUR: i64 = 3_600;
/// How long what was written is needed.
const NEEDED: i64 = 5 * HOUR;

fn worker() -> KeyedPages {
    KeyedPages::new("keys", 4_000, 9_000)
}

/// How a batch ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Committed,
    /// The unit is dropped; the worker forgets, or does not.
    Dropped(bool),
    /// It is committed, but the worker is not told; it forgets, or does not.
    AnswerLost(bool),
    /// A call on state fails; the unit is dropped.
    Failed(usize),
    /// It is committed, and the worker starts anew.
    Restarted,
}

/// What happens to a key: it is looked at, removed, or written with so many bytes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Look,
    Remove,
    Write(usize),
}

/// One batch: changes by key, seconds since the last one, which worker, and how it ends.
type Step = (BTreeMap<i64, Change>, i64, usize, End);

fn steps(batches: usize) -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        12 => Just(End::Committed),
        1 => any::<bool>().prop_map(End::Dropped),
        1 => any::<bool>().prop_map(End::AnswerLost),
        1 => (0_usize..8).prop_map(End::Failed),
        1 => Just(End::Restarted),
    ];
    let change = prop_oneof![
        2 => Just(Change::Look),
        1 => Just(Change::Remove),
        4 => (0_usize..90).prop_map(Change::Write),
        1 => (3_000_usize..6_000).prop_map(Change::Write),
    ];
    let keys = (-40_i64..40).prop_map(|key| key.wrapping_mul(0x5851_F42D_4C95_7F2D));
    let later = prop_oneof![4 => 0..HOUR, 1 => HOUR..9 * HOUR];
    prop::collection::vec((prop::collection::btree_map(keys, change, 0..30), later, 0_usize..2, end), 1..batches)
}

async fn assert_agrees(place: &Place, index: &mut KeyedPages, known: &HashMap<i64, (Vec<u8>, i64)>) {
    let keys: BTreeSet<i64> = (-40_i64..40).map(|key| key.wrapping_mul(0x5851_F42D_4C95_7F2D)).collect();
    let mut unit = place.begin().await;
    let values = index.read(&mut *unit, keys.iter().copied()).await.unwrap();
    for key in keys {
        assert_eq!(values.get(key), known.get(&key).map(|(value, _)| value.as_slice()), "{key}");
    }
}

async fn agrees_with_a_map(place: Place, steps: Vec<Step>) {
    let mut known: HashMap<i64, (Vec<u8>, i64)> = HashMap::new();
    let mut workers = [worker(), worker()];
    let (mut now, mut number) = (100 * HOUR, 0_u8);
    for (keys, later, who, end) in steps {
        now += later;
        let pages = &mut workers[who];
        place.fail_after(if let End::Failed(calls) = end { Some(calls) } else { None });
        let mut unit = place.begin().await;
        let values = pages.read(&mut *unit, keys.keys().copied()).await;
        let mut changes = Vec::new();
        if let Ok(values) = &values {
            for (key, change) in &keys {
                let before = known.get(key).map(|(value, _)| value.as_slice());
                assert_eq!(values.get(*key), before, "{key}");
                number = number.wrapping_add(1);
                changes.push(match change {
                    Change::Look => (*key, before.map(<[u8]>::to_vec)),
                    Change::Remove => (*key, None),
                    Change::Write(bytes) => (*key, Some(vec![number; *bytes])),
                });
            }
        }
        let written = match &values {
            Ok(values) => pages.write(&mut *unit, values, changes.clone(), now, now - NEEDED).await.ok(),
            Err(_) => None,
        };
        place.fail_after(None);
        let Some(written) = written else {
            assert!(matches!(end, End::Failed(_)), "{:?}", values.err());
            continue;
        };
        if let End::Dropped(forgets) = end {
            drop(unit);
            if forgets {
                pages.forget();
            }
            continue;
        }
        place.commit(unit).await;
        match end {
            End::AnswerLost(true) => pages.forget(),
            End::AnswerLost(false) => {}
            End::Restarted => *pages = worker(),
            _ => pages.committed(written),
        }
        for (key, value) in changes {
            match value {
                // What does not change keeps its time.
                Some(value) if known.get(&key).is_some_and(|(before, _)| *before == value) => {}
                Some(value) => drop(known.insert(key, (value, now))),
                None => drop(known.remove(&key)),
            }
        }
        known.retain(|_, (_, time)| *time >= now - NEEDED);
    }
    for mut index in workers.into_iter().chain([worker()]) {
        assert_agrees(&place, &mut index, &known).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_a_map_in_memory(steps in steps(60)) {
        run(agrees_with_a_map(Place::Memory(Memory::default()), steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn agrees_with_a_map_in_the_embedded_store(steps in steps(50)) {
        run(async { agrees_with_a_map(Place::embedded().await, steps).await });
    }
}

/// Writes values of some keys at a time, and tells how many of them had one.
async fn write(place: &Place, index: &mut KeyedPages, keys: std::ops::Range<i64>, time: i64) -> usize {
    let mut unit = place.begin().await;
    let values = index.read(&mut *unit, keys.clone()).await.unwrap();
    let known = keys.clone().filter(|key| values.get(*key).is_some()).count();
    let changes = keys.map(|key| (key, Some(time.to_le_bytes().repeat(5)))).collect();
    let written = index.write(&mut *unit, &values, changes, time, time - NEEDED).await.unwrap();
    place.commit(unit).await;
    index.committed(written);
    known
}

#[tokio::test]
async fn a_batch_is_few_blobs_and_what_it_wrote_is_read_from_memory() {
    let place = Place::Memory(Memory::default());
    let mut index = KeyedPages::new("keys", 1 << 20, 1 << 20);
    assert_eq!(write(&place, &mut index, 0..500, 0).await, 0);
    // Six pages, their list, the oldest hour, and the index; before that one looks what others left.
    let (blobs, _) = place.blobs_and_reads();
    assert_eq!(blobs, 6 + 3);
    assert_eq!(write(&place, &mut index, 0..500, 1).await, 500);
    let (blobs, calls) = place.blobs_and_reads();
    assert_eq!((blobs, calls), (2 * 6 + 2 + 1 + 2, 3));
    // Another worker reads the index and one page for fifty keys or more.
    let mut other = KeyedPages::new("keys", 1 << 20, 1 << 20);
    assert_eq!(write(&place, &mut other, 450..500, 2).await, 50);
}

#[tokio::test]
async fn what_is_not_needed_any_more_is_dropped() {
    let place = Place::Memory(Memory::default());
    let mut index = KeyedPages::new("keys", 1 << 20, 1 << 20);
    let mut most = 0;
    for hour in 0..200 {
        for batch in 0..3 {
            let first = (hour * 3 + batch) * 300;
            assert_eq!(write(&place, &mut index, first..first + 300, hour * HOUR + batch * 600).await, 0);
        }
        if hour == 20 {
            most = place.blobs_and_reads().0;
        }
    }
    let (blobs, _) = place.blobs_and_reads();
    assert!(blobs < most + most / 2, "{blobs} blobs after two hundred hours, {most} after twenty");
    // Years later all of it goes, some with each batch.
    for step in 0..400 {
        write(&place, &mut index, 0..1, 9_000 * HOUR + step).await;
    }
    let (blobs, _) = place.blobs_and_reads();
    assert!(blobs < 900, "{blobs} blobs are left");
    assert_eq!(write(&place, &mut index, 0..1, 9_001 * HOUR).await, 1);
    // It is forgotten with the batch that says so.
    write(&place, &mut index, 7..8, 9_010 * HOUR).await;
    assert_eq!(write(&place, &mut index, 0..1, 9_010 * HOUR).await, 0);
}

#[tokio::test]
async fn a_scope_begun_anew_has_nothing() {
    let (place, other) = (Place::Memory(Memory::default()), Place::Memory(Memory::default()));
    let mut index = KeyedPages::new("keys", 1 << 20, 1 << 20);
    for time in 0..3 {
        write(&place, &mut index, 0..100, time).await;
    }
    assert_eq!(write(&other, &mut index, 0..100, 0).await, 0);
    assert_eq!(write(&other, &mut index, 50..150, 0).await, 50);
}
