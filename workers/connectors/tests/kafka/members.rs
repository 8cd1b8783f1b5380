//! Members of a group: sharing, taking over, being slow, leaving.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headrace_core::clock;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::{Event, Source};

use super::{assigned, connect, numbered, options, server, unique, values};
use crate::conformance::{PATIENCE, start};

/// Two members, one of which joins and goes while messages are read: with positions kept by the test as a ledger keeps
/// them, every message counts once.
#[tokio::test(flavor = "multi_thread")]
async fn taking_over_neither_loses_nor_repeats() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-takeover", unique()));
    log.create_topic(&topic, 4).await.unwrap();
    let total = 40_000;
    log.produce(&topic, &numbered(0..total, 200)).await.unwrap();
    let small = Consume { batch_rows: 500, ..options(&topic, true) };
    // The ledger: committed positions and what was committed with them.
    let (mut ledger, mut seen) = (Reached::new(), Vec::new());
    let mut members: Vec<Option<Box<dyn Source>>> = vec![Some(log.consume(&topic, &small).await.unwrap()), None];
    let mut assigned_to = [0, 0];
    let begun = Instant::now();
    while seen.len() < total as usize {
        assert!(begun.elapsed() < PATIENCE, "only {} of {total} came", seen.len());
        if seen.len() > 2_000 && members[1].is_none() && assigned_to[1] == 0 {
            members[1] = Some(log.consume(&topic, &small).await.unwrap());
        }
        if assigned_to[1] > 0 && seen.len() > 20_000 {
            members[0] = None;
        }
        for (which, member) in members.iter_mut().enumerate() {
            let Some(source) = member else { continue };
            match source.next().await.unwrap() {
                Event::Assigned(partitions) => {
                    assigned_to[which] += partitions.len();
                    start(&mut **source, partitions, &ledger).await;
                }
                Event::Revoked(partitions) => source.release(&partitions).await.unwrap(),
                Event::Batch(batch) => {
                    for (partition, position) in &batch.reached {
                        let before = ledger.insert(partition.clone(), position.clone());
                        assert!(before.is_none_or(|before| before < *position), "{partition} went back");
                    }
                    seen.extend(values(&batch.frame));
                    // The first member is slow, so that there is something left to take over.
                    tokio::time::sleep(Duration::from_millis(if assigned_to[1] == 0 { 100 } else { 5 })).await;
                }
                Event::Idle => {}
                Event::End => panic!("a followed topic ended"),
            }
        }
    }
    assert!(assigned_to[1] >= 4, "the second member has had {assigned_to:?}");
    seen.sort_unstable();
    assert_eq!(seen, (0..total).collect::<Vec<_>>());
}

/// A partition that goes is not given to anyone else before the run loop has let it go.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_go_wait_for_their_release() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (connect(&url), format!("{}-release", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    let mut one = log.consume(&topic, &options(&topic, true)).await.unwrap();
    assert_eq!(assigned(&mut *one, &Reached::new()).await.len(), 2);
    let mut two = log.consume(&topic, &options(&topic, true)).await.unwrap();
    let begun = Instant::now();
    let revoked = loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is revoked");
        if let Event::Revoked(partitions) = one.next().await.unwrap() {
            break partitions;
        }
    };
    let holding = Instant::now();
    while holding.elapsed() < Duration::from_secs(6) {
        let event = two.next().await.unwrap();
        assert!(matches!(event, Event::Idle), "given away while it was held: {event:?}");
    }
    one.release(&revoked).await.unwrap();
    assert_eq!(assigned(&mut *two, &Reached::new()).await, revoked);
}

/// A sink that takes longer than the member may go without polling costs no partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_keeps_its_membership() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) =
        (connect(&format!("{url}?session_timeout=6s&max_poll_interval=8s")), format!("{}-slow", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    log.produce(&topic, &numbered(0..20_000, 100)).await.unwrap();
    let mut source = log.consume(&topic, &Consume { batch_rows: 1_000, ..options(&topic, false) }).await.unwrap();
    assigned(&mut *source, &Reached::new()).await;
    let mut seen = Vec::new();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        match source.next().await.unwrap() {
            Event::Batch(batch) => {
                seen.extend(values(&batch.frame));
                if seen.len() == 1_000 || seen.len() == 10_000 {
                    tokio::time::sleep(Duration::from_secs(12)).await;
                }
            }
            Event::End => break,
            Event::Idle => {}
            other => panic!("the member was moved: {other:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20_000).collect::<Vec<_>>());
}

/// A source outlives its runtime and leaves the group when it is dropped; the next member does not wait for a timeout.
#[test]
fn a_source_leaves_quickly_also_after_its_runtime() {
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let topic = format!("{}-leave", unique());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = connect(&url);
    let source = runtime.block_on(async {
        log.create_topic(&topic, 1).await.unwrap();
        log.produce(&topic, &numbered(0..10, 1)).await.unwrap();
        let mut source = log.consume(&topic, &options(&topic, true)).await.unwrap();
        assigned(&mut *source, &Reached::new()).await;
        source
    });
    drop(runtime);
    let begun = Instant::now();
    drop(source);
    assert!(begun.elapsed() < Duration::from_secs(3), "leaving took {:?}", begun.elapsed());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let begun = Instant::now();
        let mut next = log.consume(&topic, &options(&topic, true)).await.unwrap();
        assigned(&mut *next, &Reached::new()).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "the old member was still there");
    });
}

fn signal(pid: &str, name: &str) {
    assert!(std::process::Command::new("kill").args([name, pid]).status().unwrap().success());
}

/// A broker that stands still for a while costs time, no message; needs a broker of its own and its process id in
/// `HEADRACE_TEST_KAFKA_PID`, as everything else that uses the broker waits too.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_costs_no_message() {
    let Some(pid) = clock::environment("HEADRACE_TEST_KAFKA_PID") else {
        println!("SKIP here: it stops the broker for a while, so it runs alone, with HEADRACE_TEST_KAFKA_PID set");
        return;
    };
    let Some(url) = server("HEADRACE_TEST_KAFKA") else { return };
    let (log, topic) = (Arc::new(connect(&url)), format!("{}-still", unique()));
    log.create_topic(&topic, 2).await.unwrap();
    let mut source = log.consume(&topic, &Consume { batch_rows: 1_000, ..options(&topic, true) }).await.unwrap();
    let producing = {
        let (log, topic) = (log.clone(), topic.clone());
        tokio::spawn(async move {
            for first in (0..60_000).step_by(1_000) {
                log.produce(&topic, &numbered(first..first + 1_000, 100)).await.unwrap();
            }
        })
    };
    let (mut ledger, mut seen, mut stopped) = (Reached::new(), Vec::new(), false);
    let begun = Instant::now();
    while seen.len() < 60_000 {
        assert!(begun.elapsed() < PATIENCE, "only {} came", seen.len());
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => start(&mut *source, partitions, &ledger).await,
            Event::Revoked(partitions) => source.release(&partitions).await.unwrap(),
            Event::Batch(batch) => {
                ledger.extend(batch.reached.clone());
                seen.extend(values(&batch.frame));
            }
            Event::Idle => {}
            Event::End => panic!("a followed topic ended"),
        }
        if seen.len() > 10_000 && !stopped {
            stopped = true;
            signal(&pid, "-STOP");
            tokio::time::sleep(Duration::from_secs(15)).await;
            signal(&pid, "-CONT");
        }
    }
    producing.await.unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..60_000).collect::<Vec<_>>());
}
