//! The laws of the contract: whatever the batches, restarts, order or workers, the same tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headrace_core::report::Outcome;
use headrace_pipelines::commerce::file_source::Line;
use headrace_pipelines::random::Random;
use serde_json::{Value, json};

use super::place::{Place, quality, tables};
use super::{TABLES, assert_golden, exported, lines, own, run, shared, write_lines};

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

/// A seed of the day's run, printed so that a failing one can be told.
fn seed() -> u64 {
    let seed = headrace_core::clock::now_us().unsigned_abs();
    println!("seed {seed}");
    seed
}

/// The sets to try: the product's own, and the shared one where it is.
fn sets() -> Vec<PathBuf> {
    [Some(own()), shared()].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_cuts_and_any_restarts_give_the_golden_files() {
    let mut random = Random::new(seed(), 1);
    for golden in sets() {
        let all = lines(&golden.join("events.jsonl"));
        let place = Place::new();
        let events = place.folder.path().join("events.jsonl");
        let mut upto = 0;
        while upto < all.len() {
            upto = (upto + 1 + below(&mut random, all.len() / 4)).min(all.len());
            write_lines(&events, &all[..upto]);
            // Each time a new worker, that goes on behind what is committed, to the end there is.
            place.stream(&events, 1 + random.below(300)).await;
        }
        std::fs::copy(golden.join("events.jsonl"), &events).unwrap();
        assert_golden(&place.export().await, &golden);
    }
}

/// Everything but late events, which depend on the order.
fn counters(export: &Path) -> BTreeMap<String, Value> {
    quality(export).into_iter().filter(|(name, _)| name != "late:sales").collect()
}

fn arrival(line: &Line) -> i64 {
    headrace_pipelines::commerce::fields::timestamp(&line.arrival).unwrap()
}

/// Without the lines whose fate depends on the order: the contract names them.
fn without(all: Vec<Line>, left_out: &[u64]) -> Vec<Line> {
    all.into_iter().filter(|line| !left_out.contains(&line.line)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_another_order_give_the_same_tables() {
    let Some(golden) = shared() else { return };
    let mut random = Random::new(seed(), 2);
    let straight = without(lines(&golden.join("events.jsonl")), &[1030, 1976, 1988]);
    let mut wanted = None;
    for round in 0..3 {
        let mut all = straight.clone();
        if round > 0 {
            let mut keyed: Vec<(i64, Line)> =
                all.into_iter().map(|line| (arrival(&line) + random.below(600_000_000).cast_signed(), line)).collect();
            keyed.sort_by_key(|(at, _)| *at);
            all = keyed.into_iter().map(|(_, line)| line).collect();
        }
        let place = Place::new();
        let events = place.folder.path().join("events.jsonl");
        write_lines(&events, &all);
        place.stream(&events, 1 + random.below(700)).await;
        let export = place.export().await;
        let found = (tables(&export, &TABLES), counters(&export));
        match &wanted {
            None => wanted = Some(found),
            Some(wanted) => assert_eq!(&found, wanted, "round {round}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_shuffle_loses_nothing_and_accounts_for_what_is_late() {
    let Some(golden) = shared() else { return };
    let mut random = Random::new(seed(), 3);
    let mut all = without(lines(&golden.join("events.jsonl")), &[1030, 1976, 1988]);
    let straight = Place::new();
    let events = straight.folder.path().join("events.jsonl");
    write_lines(&events, &all);
    straight.stream(&events, 500).await;
    let wanted = straight.export().await;
    for place in (1..all.len()).rev() {
        all.swap(place, below(&mut random, place + 1));
    }
    let shuffled = Place::new();
    let events = shuffled.folder.path().join("events.jsonl");
    write_lines(&events, &all);
    shuffled.stream(&events, 333).await;
    let found = shuffled.export().await;
    let same = ["sales_per_minute", "sales_by_product", "orders_avg_ticket", "views_by_category", "top_products"];
    assert_eq!(tables(&found, &same), tables(&wanted, &same));
    let (found, wanted) = (quality(&found), quality(&wanted));
    for (name, count) in &wanted {
        let depends = ["pairs", "attributed"].contains(&name.as_str()) || name.starts_with("late:");
        assert!(depends || found.get(name) == Some(count), "{name}: {:?} instead of {count}", found.get(name));
    }
    let number = |counts: &BTreeMap<String, Value>, name: &str| counts.get(name).and_then(Value::as_i64).unwrap_or(0);
    assert!(number(&found, "pairs") < number(&wanted, "pairs"));
    assert!(number(&found, "late:funnel") > number(&wanted, "late:funnel"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_twice_changes_only_three_counters() {
    for golden in sets() {
        let all = lines(&golden.join("events.jsonl"));
        let place = Place::new();
        let events = place.folder.path().join("events.jsonl");
        // The second of each has a place of its own.
        let again = |line: &Line| Line { partition: line.partition + 100, ..line.clone() };
        let doubled: Vec<Line> = all.iter().flat_map(|line| [line.clone(), again(line)]).collect();
        write_lines(&events, &doubled);
        place.stream(&events, 211).await;
        let export = place.export().await;
        for table in TABLES {
            let expected = std::fs::read_to_string(golden.join(format!("expected_{table}.csv"))).unwrap();
            assert_eq!(exported(&export, &format!("{table}.csv")), expected, "{table}");
        }
        let expected: BTreeMap<String, Value> =
            serde_json::from_str(&std::fs::read_to_string(golden.join("expected_quality.json")).unwrap()).unwrap();
        for (name, count) in quality(&export) {
            let (count, single) = (count.as_i64().unwrap(), expected[&name].as_i64().unwrap());
            let wanted = match name.as_str() {
                "read" => 2 * single,
                "duplicate" => single + expected["accepted"].as_i64().unwrap() + single,
                name if name.starts_with("dead_letter") => 2 * single,
                _ => single,
            };
            assert_eq!(count, wanted, "{name}");
        }
    }
}

/// Several workers of a group on the three topics, some of them stopped and followed by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_workers_count_what_one_counts() {
    let seed = seed();
    let start = headrace_core::clock::now_us() - 3_000 * 1_000_000;
    let start = headrace_pipelines::commerce::alerts::time_text(start);
    let simulate =
        |to: &str| json!({ "to": to, "events": 6_000, "seed": seed, "start": start, "users": 40, "late": 0.05 });
    let (one, many) = (Place::new(), Place::new());
    for place in [&one, &many] {
        run("simulate", simulate(&place.store)).await.unwrap();
    }
    let stream = |place: &Place, rows: u64| json!({ "from": place.store, "store": place.store, "archive": place.archive, "batch_rows": rows });
    run("stream", stream(&one, 50_000)).await.unwrap();
    let workers = [97, 61, 203].map(|rows| tokio::spawn(run("stream", stream(&many, rows))));
    for worker in workers {
        assert_eq!(worker.await.unwrap().unwrap().outcome, Outcome::Complete);
    }
    // Whoever ended first may have left what another had not read yet.
    run("stream", stream(&many, 50_000)).await.unwrap();
    let (one, many) = (one.export().await, many.export().await);
    let order_free = ["sales_per_minute", "sales_by_product", "orders_avg_ticket", "views_by_category", "top_products"];
    assert_eq!(tables(&many, &order_free), tables(&one, &order_free));
    let (one, many) = (quality(&one), quality(&many));
    for name in ["read", "accepted", "duplicate", "dead_letter"] {
        assert_eq!(many[name], one[name], "{name}");
    }
}
