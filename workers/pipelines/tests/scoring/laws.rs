//! Laws of scoring over random topics: however a topic is cut, stopped, repeated or shared out, the same is written.

use std::collections::{BTreeMap, HashSet};

use headrace_core::clock;
use headrace_core::retry::Backoff;
use headrace_pipelines::random::Random;
use headrace_pipelines::scoring::classify::classify;
use headrace_pipelines::scoring::model::ModelFile;
use headrace_pipelines::scoring::registration::read;
use headrace_pipelines::scoring::scored;
use headrace_pipelines::scoring::simulate::Simulation;
use proptest::prelude::*;

use super::{Record, assert_agrees, frame, layouts, placed, score, scored_all, written};

const BASE_MS: i64 = 1_737_000_000_000;

/// A topic with users who register again, late registrations, repeated bytes and broken messages.
fn topic(seed: u64, length: u64) -> Vec<Record> {
    let mut random = Random::new(seed, u64::MAX);
    let mut messages: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for number in 0..length {
        if number > 0 && random.below(10) == 0 {
            messages.push(messages[random.below(number) as usize].clone());
            continue;
        }
        let simulation = Simulation { seed, varied: true, defects: 0.1, first_user: 1 + random.below(40) as u32 };
        let late = BASE_MS + 1_000 * random.below(50) as i64;
        let user = u64::from(simulation.first_user);
        let message = Simulation { first_user: 1, ..simulation }.message(user, late);
        messages.push((message.key, message.value));
    }
    placed(messages, 3)
}

/// What must be written, worked out record by record: accepted places, and each user's greatest version.
fn expected(records: &[Record]) -> (HashSet<(i32, i64)>, BTreeMap<u32, i64>) {
    let (mut seen, mut accepted, mut newest) = (HashSet::new(), HashSet::new(), BTreeMap::new());
    for record in records {
        let Ok(registration) = read(record.value.as_deref(), record.timestamp_ms) else { continue };
        if seen.insert(record.value.clone()) {
            accepted.insert((record.partition, record.offset));
            let version = registration.version(record.offset);
            let greatest = newest.entry(registration.user_id).or_insert(version);
            *greatest = version.max(*greatest);
        }
    }
    (accepted, newest)
}

/// Runs cases with different seeds; `HEADRACE_TEST_SEED` runs one case with that seed.
async fn cases(count: u64, mut case: impl AsyncFnMut(u64)) {
    if let Some(seed) = clock::environment("HEADRACE_TEST_SEED") {
        return case(seed.parse().unwrap()).await;
    }
    let first = clock::now_us() as u64 % 1_000_000;
    for seed in first..first + count {
        eprintln!("case HEADRACE_TEST_SEED={seed}");
        case(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_cut_gives_the_same() {
    let model = ModelFile::open(None).unwrap().current();
    cases(6, async |seed| {
        let records = topic(seed, 300);
        let (accepted, newest) = expected(&records);
        let mut random = Random::new(seed, 0);
        let mut first = None;
        for (layout, _directory, urls) in layouts() {
            let targets = urls.open().await;
            let sizes: Vec<usize> = (0..7).map(|_| 1 + random.below(60) as usize).collect();
            // Part of the topic first, as after a stop.
            let part = &records[..random.below(300) as usize];
            scored_all(&targets, part, &sizes, &model).await;
            scored_all(&targets, &records, &sizes, &model).await;
            let found = written(&targets).await;
            assert_agrees(&found);
            assert_eq!(found.counts.read, 300, "{layout}");
            let places: HashSet<_> = found.history.iter().map(|row| (row.0 as i32, row.1)).collect();
            assert_eq!(places, accepted);
            let versions: BTreeMap<u32, i64> =
                found.offers.iter().map(|offer| (offer.user_id, offer.version)).collect();
            assert_eq!(versions, newest);
            assert_eq!(*first.get_or_insert(found.clone()), found, "{layout}");
        }
    })
    .await;
}

/// Two workers at once, each with its own partitions, in one scope.
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_write_what_one_writes() {
    let model = ModelFile::open(None).unwrap().current();
    cases(4, async |seed| {
        let records = topic(seed, 200);
        let (accepted, newest) = expected(&records);
        for (layout, _directory, urls) in layouts() {
            let (one, other): (Vec<Record>, Vec<Record>) =
                records.iter().cloned().partition(|record| record.partition == 0);
            let (first, second) = (urls.open().await, urls.open().await);
            first.create().await.unwrap();
            let backoff = Backoff::default();
            let (ended, also) =
                tokio::join!(score(&first, &one, &[3], &model, backoff), score(&second, &other, &[4], &model, backoff));
            assert_eq!(ended.unwrap().counts.read + also.unwrap().counts.read, 200, "{layout}");
            let found = written(&first).await;
            assert_agrees(&found);
            assert_eq!(found.history.len(), accepted.len());
            let versions: BTreeMap<u32, i64> =
                found.offers.iter().map(|offer| (offer.user_id, offer.version)).collect();
            assert_eq!(versions, newest);
        }
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Classification alone: cut anywhere, with the state carried over, the fates add up to the same.
    #[test]
    fn fates_do_not_depend_on_cuts(seed in any::<u64>(), cuts in prop::collection::vec(1_usize..40, 1..8)) {
        let records = topic(seed, 120);
        let model = ModelFile::open(None).unwrap().current();
        let fates = |sizes: &[usize]| {
            let (mut known, mut versions) = (HashSet::new(), BTreeMap::new());
            let mut counts = headrace_core::Counts::default();
            let (mut at, mut turn) = (0, 0);
            while at < records.len() {
                let end = (at + sizes[turn % sizes.len()]).min(records.len());
                let batch = scored::score(&frame(&records[at..end]), model.clone(), None).unwrap();
                let classified =
                    classify(&batch, |hash| known.contains(&hash), |user_id| versions.get(&user_id).copied());
                counts.add(&classified.counts);
                let (accepted, offers) = (classified.accepted, classified.offers);
                known.extend(accepted.iter().map(|row| row.hash));
                versions.extend(offers.iter().map(|row| (row.registration.user_id, row.version())));
                (at, turn) = (end, turn + 1);
            }
            (counts, versions)
        };
        let whole = fates(&[120]);
        prop_assert!(whole.0.balances());
        prop_assert_eq!(&fates(&cuts), &whole);
    }
}
