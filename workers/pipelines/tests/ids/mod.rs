//! De-duplication of arbitrary ids in the ledger's state, against a map: two workers, failures at any point, expiry,
//! merges.

mod keyed_pages;
mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use headrace_pipelines::id_index::IdIndex;
use headrace_transforms::ids::{Batch, Entry, Shape, Verdict, hash_key};
use proptest::prelude::*;

use support::{Memory, Place};

const HORIZON_SECONDS: i64 = 80;
const HORIZON: Duration = Duration::from_secs(80);

fn small() -> Shape {
    Shape { block_entries: 4, section_blocks: 3, fan: 3, run_entries: 150, merged_entries: 40 }
}

fn worker() -> IdIndex {
    IdIndex::with_shape("ids", 2_000, HORIZON, small())
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

/// One batch: rows as (place of the id, age), how far time goes on, by which worker, and how it ends.
type Step = (Vec<(u32, i64)>, i64, usize, End);

fn steps(batches: usize) -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        12 => Just(End::Committed),
        1 => any::<bool>().prop_map(End::Dropped),
        1 => any::<bool>().prop_map(End::AnswerLost),
        1 => (0_usize..6).prop_map(End::Failed),
        1 => Just(End::Restarted),
    ];
    let rows = prop::collection::vec((0_u32..300, 0_i64..60), 0..40);
    prop::collection::vec((rows, 0_i64..12, 0_usize..2, end), 1..batches)
}

fn key(place: u32) -> u128 {
    hash_key(&place.to_be_bytes())
}

/// What the index should answer.
fn expected(known: &HashMap<u128, Entry>, entries: &[Entry]) -> Vec<Verdict> {
    let mut first = HashMap::new();
    let verdict = |(row, entry): (usize, &Entry)| match (known.get(&entry.key), first.get(&entry.key)) {
        (Some(known), _) => Verdict::Seen(known.payload),
        (None, Some(first)) => Verdict::Repeat(*first),
        (None, None) => {
            first.insert(entry.key, row);
            Verdict::New
        }
    };
    entries.iter().enumerate().map(verdict).collect()
}

async fn agrees_with_a_map(place: Place, steps: Vec<Step>) {
    let mut known: HashMap<u128, Entry> = HashMap::new();
    let mut workers = [worker(), worker()];
    let (mut now, mut number) = (1_000, 0);
    for (rows, later, who, end) in steps {
        now += later;
        let row = |(place, age): (u32, i64)| {
            number += 1;
            Entry { key: key(place), payload: number, time: now - age }
        };
        let entries: Vec<Entry> = rows.into_iter().map(row).collect();
        let batch = Batch::new(entries.iter().copied());
        let index = &mut workers[who];
        let wanted = expected(&known, &entries);
        place.fail_after(if let End::Failed(calls) = end { Some(calls) } else { None });
        let mut unit = place.begin().await;
        let verdicts = index.check(&mut *unit, &batch).await;
        let changes = match &verdicts {
            Ok(verdicts) => {
                assert_eq!(*verdicts, wanted);
                index.write(&mut *unit, &batch, verdicts, now).await.ok()
            }
            Err(_) => None,
        };
        place.fail_after(None);
        let Some(changes) = changes else {
            assert!(matches!(end, End::Failed(_)), "{:?}", verdicts.err());
            continue;
        };
        if let End::Dropped(forgets) = end {
            drop(unit);
            if forgets {
                index.forget();
            }
            continue;
        }
        place.commit(unit).await;
        match end {
            End::AnswerLost(true) => index.forget(),
            End::AnswerLost(false) => {}
            End::Restarted => *index = worker(),
            _ => index.committed(changes),
        }
        let new = entries.iter().zip(&wanted).filter(|(_, verdict)| **verdict == Verdict::New);
        known.extend(new.map(|(entry, _)| (entry.key, *entry)));
        known.retain(|_, entry| entry.time >= now - HORIZON_SECONDS);
    }
    // Nothing younger than the horizon is lost, and nothing older remembered.
    let all: Vec<Entry> = (0..300).map(|place| Entry { key: key(place), payload: 0, time: now }).collect();
    let wanted = expected(&known, &all);
    for mut index in workers.into_iter().chain([worker()]) {
        let mut unit = place.begin().await;
        assert_eq!(index.check(&mut *unit, &Batch::new(all.iter().copied())).await.unwrap(), wanted);
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
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

fn ids(batch: u32, rows: u32) -> Batch {
    Batch::new((0..rows).map(|row| Entry { key: key(batch * rows + row), payload: u64::from(row), time: 0 }))
}

/// Takes a batch in, and tells how many of its ids were new.
async fn take(place: &Place, index: &mut IdIndex, batch: &Batch) -> usize {
    let mut unit = place.begin().await;
    let verdicts = index.check(&mut *unit, batch).await.unwrap();
    let changes = index.write(&mut *unit, batch, &verdicts, 0).await.unwrap();
    place.commit(unit).await;
    index.committed(changes);
    verdicts.iter().filter(|verdict| **verdict == Verdict::New).count()
}

#[tokio::test]
async fn a_small_batch_is_one_blob_and_two_calls() {
    let place = Place::Memory(Memory::default());
    let mut index = IdIndex::new("ids", 1 << 20, HORIZON);
    assert_eq!(take(&place, &mut index, &ids(0, 500)).await, 500);
    // The first batch looks for what others left; from then on a batch writes its blob, and reads nothing.
    assert_eq!(place.blobs_and_reads(), (1, 2));
    for batch in 1..8 {
        assert_eq!(take(&place, &mut index, &ids(batch, 500)).await, 500);
        assert_eq!(place.blobs_and_reads(), (batch as usize + 1, 1));
    }
    // Eight small runs become one: a section, its blocks, and this batch's blob.
    assert_eq!(take(&place, &mut index, &ids(8, 500)).await, 500);
    assert_eq!(place.blobs_and_reads(), (1 + 4_000_usize.div_ceil(512) + 1, 2));
}

#[tokio::test]
async fn two_names_in_one_scope_do_not_meet() {
    let place = Place::Memory(Memory::default());
    let (mut one, mut other) = (IdIndex::new("a", 1 << 20, HORIZON), IdIndex::new("b", 1 << 20, HORIZON));
    let batch = ids(0, 100);
    let mut unit = place.begin().await;
    for index in [&mut one, &mut other] {
        assert_eq!(index.check(&mut *unit, &batch).await.unwrap(), vec![Verdict::New; 100]);
        let changes = index.write(&mut *unit, &batch, &[Verdict::New; 100], 0).await.unwrap();
        index.committed(changes);
    }
    place.commit(unit).await;
    for index in [&mut one, &mut other] {
        assert_eq!(take(&place, index, &batch).await, 0);
    }
}

#[tokio::test]
async fn damaged_state_is_a_data_error() {
    let place = Place::Memory(Memory::default());
    let mut unit = place.begin().await;
    unit.write_state("ids:runs", vec![(0, b"something else".to_vec())], Vec::new()).await.unwrap();
    place.commit(unit).await;
    let mut unit = place.begin().await;
    let error = worker().check(&mut *unit, &ids(0, 1)).await.unwrap_err();
    assert_eq!(error.kind(), headrace_core::ErrorKind::Data);
    assert!(error.to_string().starts_with("cannot use the stored ids: blob of ids has format some"), "{error}");
}

/// Run it with `cargo test --release --test pipelines measures_one -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: some minutes, and as much disk as half a gigabyte"]
#[expect(clippy::print_stdout, reason = "a measurement prints what it finds")]
async fn measures_one_and_ten_million_ids() {
    const ROWS: u32 = 10_000;
    const BUDGET_BYTES: usize = 8 << 20;
    let place = Place::embedded().await;
    let mut index = IdIndex::new("ids", BUDGET_BYTES, HORIZON);
    let (mut spent, mut longest) = (Duration::ZERO, Duration::ZERO);
    let (mut looked, mut written, mut committed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for number in 0..1_000 {
        let rows = (0..ROWS).map(|row| Entry { key: key(number * ROWS + row), payload: u64::from(row) << 40, time: 0 });
        let rows: Vec<Entry> = rows.collect();
        let started = Instant::now();
        let batch = Batch::new(rows);
        let mut unit = place.begin().await;
        let looking = Instant::now();
        let verdicts = index.check(&mut *unit, &batch).await.unwrap();
        let writing = Instant::now();
        let changes = index.write(&mut *unit, &batch, &verdicts, 0).await.unwrap();
        let committing = Instant::now();
        place.commit(unit).await;
        index.committed(changes);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::New));
        looked += writing - looking;
        written += committing - writing;
        committed += committing.elapsed();
        spent += started.elapsed();
        longest = longest.max(started.elapsed());
        if [100, 500, 1_000].contains(&(number + 1)) {
            let ids = u128::from(number + 1) * u128::from(ROWS);
            println!(
                "{ids} ids: {} ns an id ({} look, {} write, {} commit), longest batch {} ms, {:.1} MB in memory",
                spent.as_nanos() / ids,
                looked.as_nanos() / ids,
                written.as_nanos() / ids,
                committed.as_nanos() / ids,
                longest.as_millis(),
                index.used_bytes() as f64 / 1e6,
            );
        }
    }
    let mut fresh = IdIndex::new("ids", BUDGET_BYTES, HORIZON);
    let started = Instant::now();
    assert_eq!(take(&place, &mut fresh, &ids(0, 0)).await, 0);
    println!("a restart reads the filters in {} ms", started.elapsed().as_millis());
    let started = Instant::now();
    assert_eq!(take(&place, &mut fresh, &ids(123, ROWS)).await, 0);
    println!("a batch of {ROWS} known ids takes {} ms", started.elapsed().as_millis());
}
