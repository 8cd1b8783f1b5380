//! A cluster of three nodes with three replicas, paused and killed while rows are loaded into it and replayed from it.

use std::time::Duration;

use headrace_pipelines::recruitment::steps::{Load, Replay};
use serde_json::json;

use super::servers::{Server, given, place, random, unique};
use super::truth::Truth;
use super::under_way::UnderWay;
use crate::recruitment::Place;

/// A place whose raw store is the cluster, and the rest of it an embedded store.
async fn replicated(seed: u64, rows: u64) -> Option<(Place, Truth, [Server; 3])> {
    let cassandra = given("HEADRACE_FAULTS_CASSANDRA")?;
    let raw = format!("{cassandra}/{}?replication=3&consistency=quorum", unique("faults"));
    let place = place(&raw, "", "");
    let truth = Truth::of(&place, seed, rows).await;
    Some((place, truth, Server::cluster("cassandra")))
}

fn load(place: &Place, truth: &Truth) -> UnderWay {
    UnderWay::start::<Load>(place.load_values(&truth.files.tracking, json!({ "batch_rows": 500 })))
}

fn replay(place: &Place) -> UnderWay {
    UnderWay::start::<Replay>(place.replay_values(json!({ "batch_rows": 200 })))
}

async fn finish(place: &Place, truth: &Truth) {
    place.jobs(&truth.files.jobs).await;
    place.clean().await;
    truth.assert_exact(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_for_twenty_seconds() {
    if given("HEADRACE_FAULTS_CASSANDRA").is_none() {
        return;
    }
    let mut random = random();
    let Some((place, truth, nodes)) = replicated(random.next(), 20_000).await else { return };
    let step = load(&place, &truth);
    step.strike_at(4_000 + random.below(4_000), "all nodes stand still for 20 s").await;
    let paused = nodes.each_ref().map(Server::pause);
    tokio::time::sleep(Duration::from_secs(20)).await;
    drop(paused);
    eprintln!("seen: they go on, load at {} rows", step.committed());
    step.done().await;
    place.replay().await;
    finish(&place, &truth).await;
}

/// At QUORUM one node of three is not needed: each step goes on and ends before it is back.
#[tokio::test(flavor = "multi_thread")]
async fn one_node_killed() {
    if given("HEADRACE_FAULTS_CASSANDRA").is_none() {
        return;
    }
    let mut random = random();
    let Some((place, truth, nodes)) = replicated(random.next(), 20_000).await else { return };
    let step = load(&place, &truth);
    step.strike_at(4_000 + random.below(4_000), "kill -9 of one node of three").await;
    nodes[2].kill().await;
    step.done().await;
    nodes[2].start().await;
    let step = replay(&place);
    step.strike_at(truth.sent() / 4, "kill -9 of another node of three").await;
    nodes[1].kill().await;
    step.done().await;
    nodes[1].start().await;
    finish(&place, &truth).await;
}

/// Without a quorum a step waits, and goes on by itself when one of the two nodes is back.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_killed() {
    if given("HEADRACE_FAULTS_CASSANDRA").is_none() {
        return;
    }
    let mut random = random();
    let Some((place, truth, nodes)) = replicated(random.next(), 20_000).await else { return };
    let step = load(&place, &truth);
    step.strike_at(4_000 + random.below(4_000), "kill -9 of two nodes of three").await;
    nodes[1].kill().await;
    nodes[2].kill().await;
    waits(&step).await;
    nodes[1].start().await;
    step.done().await;
    // The third node is still away: losing another one is losing the quorum.
    let step = replay(&place);
    step.strike_at(truth.sent() / 4, "kill -9 of the second node of three").await;
    nodes[1].kill().await;
    waits(&step).await;
    nodes[2].start().await;
    step.done().await;
    nodes[1].start().await;
    finish(&place, &truth).await;
}

/// Checks that a step neither commits nor ends.
async fn waits(step: &UnderWay) {
    // What was decided before the kill may still be told.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = step.committed();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!step.is_over(), "it did not wait");
    assert_eq!(step.committed(), before, "a commit without a quorum");
    eprintln!("seen: it waits at {before} rows");
}
