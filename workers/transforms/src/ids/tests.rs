//! The whole index against a map, with a store that holds the written blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

/// What a database would hold: blobs by key and commit.
#[derive(Default)]
struct Store {
    sequence: i64,
    runs: BTreeMap<(i64, i64), Vec<u8>>,
    blocks: BTreeMap<(i64, i64), Vec<u8>>,
    /// Blocks read.
    read: usize,
}

impl Store {
    fn put(&mut self, writes: Writes) {
        for (blobs, put, drop) in [
            (&mut self.runs, writes.runs, writes.dropped_runs),
            (&mut self.blocks, writes.blocks, writes.dropped_blocks),
        ] {
            drop.iter()
                .for_each(|place| assert!(blobs.remove(place).is_some(), "dropped what is not there: {place:?}"));
            for (key, blob) in put {
                let old = blobs.insert((key, self.sequence + 1), blob);
                assert!(old.is_none(), "{key} was written twice");
            }
        }
    }

    fn fill(&mut self, fetch: &mut Fetch) {
        let blobs = fetch.places().iter().map(|place| (place.key, self.blocks[&(place.key, place.sequence)].clone()));
        let blobs: Vec<(i64, Vec<u8>)> = blobs.collect();
        self.read += blobs.len();
        fetch.fill(blobs).unwrap();
    }
}

struct Worker {
    index: Index,
    verdicts: Vec<Verdict>,
}

impl Worker {
    fn new(shape: Shape, budget_bytes: usize) -> Self {
        Self { index: Index::new(shape, budget_bytes), verdicts: Vec::new() }
    }

    /// Runs one batch as a worker does, up to its commit, and tells what it would write.
    fn run(
        &mut self,
        store: &mut Store,
        entries: &[Entry],
        cutoff: i64,
        decide: impl FnOnce(&mut [Verdict]),
    ) -> (Draft, Vec<Writes>) {
        let index = &mut self.index;
        let after = (JOURNAL_KEY, index.journal_sequence() + 1);
        let journal = store.runs.range(after..=(JOURNAL_KEY, i64::MAX)).map(|(place, blob)| (place.1, blob.clone()));
        index.load_journal(journal).unwrap();
        for place in index.missing_sections() {
            index.load_section(place.key, &store.runs[&(place.key, place.sequence)]).unwrap();
        }
        let batch = Batch::new(entries.iter().copied());
        let mut lookup = index.look_up(&batch);
        while let Some(mut fetch) = lookup.next(index) {
            store.fill(&mut fetch);
            lookup.search(index, fetch).unwrap();
        }
        self.verdicts = lookup.verdicts(index);
        let mut decided = self.verdicts.clone();
        decide(&mut decided);
        let mut draft = index.draft(&batch, &decided, cutoff, store.sequence + 1);
        let mut writes = vec![draft.take_writes()];
        while let Some(mut merger) = draft.next_merge(index) {
            while let Some((waiting, mut fetch)) = draft.merge(index, merger) {
                merger = waiting;
                store.fill(&mut fetch);
                merger.feed(fetch).unwrap();
                writes.push(draft.take_writes());
            }
        }
        writes.push(draft.finish(index).unwrap());
        (draft, writes)
    }

    fn commit(&mut self, store: &mut Store, (draft, writes): (Draft, Vec<Writes>)) {
        writes.into_iter().for_each(|writes| store.put(writes));
        store.sequence += 1;
        self.index.apply(draft);
    }

    /// All places that the list of runs names.
    fn places(&self) -> [BTreeSet<(i64, i64)>; 2] {
        let [mut runs, mut blocks] = [BTreeSet::new(), BTreeSet::new()];
        let last = self.index.journal_sequence();
        runs.extend((last > 0).then_some((JOURNAL_KEY, last)));
        for run in self.index.manifest.all_runs() {
            if run.is_in_journal() {
                runs.insert((JOURNAL_KEY, -run.number));
                continue;
            }
            for (number, section) in self.index.sections(run.number).iter().enumerate() {
                let place = index::section_place(run, number);
                runs.insert((place.key, place.sequence));
                blocks.extend((0..section.blocks() as i64).map(|block| (place.key + block, place.sequence)));
            }
        }
        [runs, blocks]
    }
}

/// What the index should answer.
#[derive(Default)]
struct Model {
    known: HashMap<u128, Entry>,
    cutoff: Option<i64>,
}

impl Model {
    fn verdicts(&self, entries: &[Entry]) -> Vec<Verdict> {
        let mut first = HashMap::new();
        let verdict = |(row, entry): (usize, &Entry)| match (self.known.get(&entry.key), first.get(&entry.key)) {
            (Some(known), _) => Verdict::Seen(known.payload),
            (None, Some(first)) => Verdict::Repeat(*first),
            (None, None) => {
                first.insert(entry.key, row);
                Verdict::New
            }
        };
        entries.iter().enumerate().map(verdict).collect()
    }

    fn commit(&mut self, entries: &[Entry], decided: &[Verdict], cutoff: i64) {
        let new = entries.iter().zip(decided).filter(|(_, verdict)| **verdict == Verdict::New);
        let new: Vec<(u128, Entry)> = new.rev().map(|(entry, _)| (entry.key, *entry)).collect();
        self.known.extend(new);
        let cutoff = self.cutoff.map_or(cutoff, |earlier| earlier.max(cutoff));
        self.cutoff = Some(cutoff);
        self.known.retain(|_, entry| entry.time >= cutoff);
    }
}

/// One batch: rows as (place of the id, age), how far time goes on, by which worker, whether it is committed, whether
/// the worker starts anew, and whether known ids are replaced.
type Step = (Vec<(u32, i64)>, i64, usize, bool, bool, bool);

fn steps(ids: u32, rows: usize, batches: usize) -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((0..ids, 0_i64..60), 0..rows);
    let step =
        (rows, 0_i64..12, 0_usize..2, prop::bool::weighted(0.85), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    prop::collection::vec(step, 1..batches)
}

fn shape() -> impl Strategy<Value = Shape> {
    (1_usize..6, 1_usize..5, 2_usize..5, 20_u64..400, 1_u64..80).prop_map(
        |(block_entries, section_blocks, fan, run_entries, merged_entries)| Shape {
            block_entries,
            section_blocks,
            fan,
            run_entries,
            merged_entries,
        },
    )
}

fn key(place: u32, is_ordered: bool) -> u128 {
    if is_ordered { (1 << 90) + u128::from(place) } else { hash_key(&place.to_be_bytes()) }
}

const HORIZON: i64 = 80;

fn agrees_with_a_map(steps: Vec<Step>, shapes: [Shape; 2], is_ordered: bool) -> Result<(), TestCaseError> {
    let (mut model, mut store) = (Model::default(), Store::default());
    let mut workers = shapes.map(|shape| Worker::new(shape, 2_000));
    let (mut now, mut number) = (1_000, 0);
    for (rows, later, worker, commit, restart, replace) in steps {
        now += later;
        // Now and then a worker is behind.
        let cutoff = now - HORIZON - i64::from(restart) * 15;
        let row = |(place, age): (u32, i64)| {
            number += 1;
            let key = key(place, is_ordered);
            let known = model.known.get(&key).map_or(i64::MIN, |entry| entry.time);
            Entry { key, payload: number, time: (now - age).max(if replace { known } else { i64::MIN }) }
        };
        let entries: Vec<Entry> = rows.into_iter().map(row).collect();
        let expected = model.verdicts(&entries);
        let mut decided = expected.clone();
        if replace {
            decided.iter_mut().for_each(|verdict| {
                if matches!(verdict, Verdict::Seen(_)) {
                    *verdict = Verdict::New;
                }
            });
        }
        let done = workers[worker].run(&mut store, &entries, cutoff, |verdicts| verdicts.copy_from_slice(&decided));
        prop_assert_eq!(&workers[worker].verdicts, &expected);
        if commit {
            workers[worker].commit(&mut store, done);
            model.commit(&entries, &decided, cutoff);
            let places = workers[worker].places();
            prop_assert_eq!(&places[0], &store.runs.keys().copied().collect());
            prop_assert_eq!(&places[1], &store.blocks.keys().copied().collect());
        }
        if restart {
            workers[worker].index.clear();
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn hashed_ids_agree_with_a_map(steps in steps(300, 40, 40), one in shape(), other in shape()) {
        agrees_with_a_map(steps, [one, other], false)?;
    }

    #[test]
    fn ordered_ids_agree_with_a_map(steps in steps(120, 30, 60), one in shape(), other in shape()) {
        agrees_with_a_map(steps, [one, other], true)?;
    }

    #[test]
    fn cutting_into_other_batches_changes_nothing(
        rows in prop::collection::vec(0_u32..300, 1..400),
        cuts in prop::collection::vec(1_usize..60, 1..40),
        shape in shape(),
    ) {
        let entries: Vec<Entry> =
            rows.iter().map(|place| Entry { key: key(*place, false), payload: 0, time: 0 }).collect();
        let new = |sizes: &mut dyn Iterator<Item = usize>| {
            let (mut worker, mut store) = (Worker::new(shape, 1_000), Store::default());
            let (mut rest, mut new) = (&entries[..], Vec::new());
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                let done = worker.run(&mut store, head, i64::MIN, |_| {});
                new.extend(worker.verdicts.iter().map(|verdict| *verdict == Verdict::New));
                worker.commit(&mut store, done);
                rest = tail;
            }
            new
        };
        prop_assert_eq!(new(&mut cuts.into_iter().cycle()), new(&mut std::iter::repeat(entries.len())));
    }
}

fn entries(batch: u32, rows: u32, time: i64) -> Vec<Entry> {
    (0..rows).map(|row| Entry { key: key(batch * rows + row, false), payload: u64::from(row), time }).collect()
}

#[test]
fn a_small_batch_is_one_blob() {
    let (mut worker, mut store) = (Worker::new(Shape::default(), 1 << 20), Store::default());
    for batch in 0..8 {
        let done = worker.run(&mut store, &entries(batch, 1_000, 0), i64::MIN, |_| {});
        worker.commit(&mut store, done);
        assert_eq!((store.runs.len(), store.blocks.len()), (batch as usize + 1, 0));
    }
    // Nothing new and nothing to merge writes nothing.
    let (draft, writes) = Worker::new(Shape::default(), 0).run(&mut Store::default(), &[], i64::MIN, |_| {});
    assert!(writes.iter().all(|writes| *writes == Writes::default()) && !draft.is_changed());
    // The eighth level-0 run was there to be merged.
    let done = worker.run(&mut store, &[], i64::MIN, |_| {});
    worker.commit(&mut store, done);
    assert_eq!((worker.index.runs(), worker.index.entries()), (1, 8_000));
    assert_eq!((store.runs.len(), store.blocks.len()), (2, 8_000_usize.div_ceil(512)));
}

#[test]
fn memory_is_bounded_and_new_ids_are_not_searched() {
    const BUDGET_BYTES: usize = 256 << 10;
    let (mut worker, mut store) = (Worker::new(Shape::default(), BUDGET_BYTES), Store::default());
    for batch in 0..70 {
        let done = worker.run(&mut store, &entries(batch, 4_000, 0), i64::MIN, |_| {});
        worker.commit(&mut store, done);
    }
    store.read = 0;
    worker.run(&mut store, &entries(70, 4_000, 0), i64::MIN, |_| {});
    assert!(worker.verdicts.iter().all(|verdict| *verdict == Verdict::New));
    assert!(store.read < 4_000 / 100, "{} blocks read", store.read);
    // One batch of each age: all are found, though memory cannot hold them.
    for batch in [0, 20, 40, 60, 69] {
        worker.run(&mut store, &entries(batch, 4_000, 0), i64::MIN, |_| {});
        let expected = (0..4_000).map(Verdict::Seen);
        assert!(worker.verdicts.iter().copied().eq(expected));
    }
    let most = 70 * 4_000 * 5 / 2 + 8 * 4_000 * 28 + BUDGET_BYTES;
    assert!(worker.index.used_bytes() < most, "{} bytes", worker.index.used_bytes());
    assert!(worker.index.runs() <= 16);
}

#[test]
fn merges_pause_and_another_worker_goes_on() {
    let shape = Shape { block_entries: 4, section_blocks: 3, fan: 3, run_entries: 500, merged_entries: 24 };
    let (mut workers, mut store) = ([(); 2].map(|()| Worker::new(shape, 1_000)), Store::default());
    let (mut paused, mut levels) = (0, 0);
    for batch in 0..300_u32 {
        let worker = &mut workers[batch as usize % 2];
        let done = worker.run(&mut store, &entries(batch, 8, 0), i64::MIN, |_| {});
        worker.commit(&mut store, done);
        let manifest = &worker.index.manifest;
        paused += usize::from(manifest.merges.iter().any(|merge| merge.output.entries > 0));
        levels = manifest.runs.first().map_or(0, |run| run.level);
        let large = manifest.runs.iter().filter(|run| run.entries > 250).count();
        assert!(manifest.runs.len() <= large + 4 * 6, "{} runs after {batch} batches", manifest.runs.len());
    }
    assert!(paused > 20 && levels > 3, "{paused} pauses, {levels} levels");
    for batch in 0..300 {
        workers[0].run(&mut store, &entries(batch, 8, 0), i64::MIN, |_| {});
        assert!(workers[0].verdicts.iter().copied().eq((0..8).map(Verdict::Seen)), "batch {batch}");
    }
}

#[test]
fn what_has_expired_leaves_the_store() {
    let (mut worker, mut store) = (Worker::new(Shape { fan: 3, ..Shape::default() }, 1 << 20), Store::default());
    for batch in 0..60 {
        let time = i64::from(batch) * 10;
        let done = worker.run(&mut store, &entries(batch, 50, time), time - 100, |_| {});
        worker.commit(&mut store, done);
        assert!(worker.index.entries() <= 50 * (11 + 27), "{} entries", worker.index.entries());
    }
    let done = worker.run(&mut store, &[], 10_000, |_| {});
    worker.commit(&mut store, done);
    assert_eq!((store.runs.len(), store.blocks.len(), worker.index.entries()), (1, 0, 0));
}

#[test]
fn blobs_that_are_not_there_are_an_error() {
    let (mut worker, mut store) = (Worker::new(Shape { fan: 2, ..Shape::default() }, 0), Store::default());
    for batch in 0..3 {
        let done = worker.run(&mut store, &entries(batch, 600, 0), i64::MIN, |_| {});
        worker.commit(&mut store, done);
    }
    let last = store.runs.range(..=(JOURNAL_KEY, i64::MAX)).next_back().map(|(place, blob)| (place.1, blob.clone()));
    let mut index = Index::new(Shape::default(), 0);
    // Sections out of order are refused.
    index.load_journal(last).unwrap();
    let missing = index.missing_sections();
    assert!(!missing.is_empty());
    let key = missing[0].key + (1 << 8);
    assert_eq!(index.load_section(key, &[]), Err(Error::Missing { what: "a section", run: key >> 32 }));
    let batch = Batch::new(entries(0, 600, 0));
    for place in missing {
        index.load_section(place.key, &store.runs[&(place.key, place.sequence)]).unwrap();
    }
    let mut lookup = index.look_up(&batch);
    let mut fetch = lookup.next(&mut index).unwrap();
    fetch.fill(None).unwrap();
    assert!(matches!(lookup.search(&mut index, fetch), Err(Error::Missing { what: "a block", .. })));
    // The last but one batch's run is in the journal; without its entry the list that names it is of no use.
    let mut journal = Vec::new();
    for batch in 4..7 {
        let done = worker.run(&mut store, &entries(batch, 600, 0), i64::MIN, |_| {});
        worker.commit(&mut store, done);
        let last = store.runs.range(..=(JOURNAL_KEY, i64::MAX)).next_back();
        journal.extend(last.map(|(place, blob)| (place.1, blob.clone())));
    }
    let run = -journal[1].0;
    let lacking = Index::new(Shape::default(), 0).load_journal(journal.pop());
    assert_eq!(lacking, Err(Error::Missing { what: "journal entry", run }));
}
