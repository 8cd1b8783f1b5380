//! A cluster of three brokers, killed as a whole or one by one, while messages are sent to it and read from it.

use std::time::Duration;

use headrace_core::StoreUrl;
use headrace_pipelines::recruitment::steps::{Clean, Replay};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;

use super::servers::{Server, given, place, random, start, unique};
use super::truth::Truth;
use super::under_way::UnderWay;
use crate::recruitment::Place;

const PATIENCE: Duration = Duration::from_secs(5);
const GROUP: &str = "faults";
/// So many more rows show that a step goes on.
const GOES_ON: u64 = 2_000;
/// How the broker tells the coordinator of a group: a partition of this topic.
const OFFSETS: &str = "__consumer_offsets";

/// A look at the cluster.
struct Cluster {
    consumer: BaseConsumer,
    topic: String,
    brokers: [Server; 3],
}

impl Cluster {
    fn of(url: &str) -> Self {
        let url = StoreUrl::parse(url).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", url.host_list(9_092)).set("allow.auto.create.topics", "false");
        let (consumer, topic) = (client.create().unwrap(), url.topic("").unwrap());
        Self { consumer, topic, brokers: Server::cluster("kafka") }
    }

    /// The broker that leads a partition.
    fn leader(&self, topic: &str, partition: i32) -> Option<&Server> {
        let metadata = self.consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
        let found = metadata.topics().first()?.partitions().iter().find(|found| found.id() == partition)?;
        self.brokers.get(usize::try_from(found.leader() - 1).ok()?)
    }

    /// The broker that coordinates a group.
    fn coordinator(&self, group: &str) -> Option<&Server> {
        let metadata = self.consumer.fetch_metadata(Some(OFFSETS), PATIENCE).ok()?;
        let partitions = i32::try_from(metadata.topics().first()?.partitions().len()).ok()?;
        // The hash of a string in Java.
        let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        self.leader(OFFSETS, (hash & i32::MAX) % partitions)
    }

    /// Waits until so many brokers are there, and every partition of the topic, if it is there, is in sync on all of them.
    async fn is_whole(&self) {
        loop {
            let metadata = self.consumer.fetch_metadata(Some(&self.topic), PATIENCE);
            let whole = metadata.is_ok_and(|metadata| {
                let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
                let mut in_sync = partitions.map(|partition| partition.isr().len());
                metadata.brokers().len() == self.brokers.len() && in_sync.all(|count| count == self.brokers.len())
            });
            if whole {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A place whose topic is on the cluster, loaded and ready to be replayed.
async fn loaded(seed: u64, rows: u64) -> Option<(Place, Truth, Cluster)> {
    let (kafka, mysql) = (given("HEADRACE_FAULTS_KAFKA")?, given("HEADRACE_FAULTS_MYSQL")?);
    let name = unique("faults");
    let place = place("", &format!("{kafka}/{name}?partitions=6"), &format!("{mysql}/{name}"));
    let cluster = Cluster::of(&place.log);
    cluster.is_whole().await;
    let truth = Truth::of(&place, seed, rows).await;
    place.load(&truth.files.tracking).await;
    place.jobs(&truth.files.jobs).await;
    Some((place, truth, cluster))
}

/// Replays, and follows with clean at the same time: what is read ahead must not be all there is.
async fn begin(place: &Place) -> (UnderWay, UnderWay) {
    let followed = json!({ "batch_rows": 200, "group": GROUP, "follow": true, "interval": "200ms" });
    let replay = UnderWay::start::<Replay>(place.replay_values(json!({ "batch_rows": 200 })));
    // It makes the topic.
    assert!(replay.reaches(1).await);
    (replay, UnderWay::start::<Clean>(place.clean_values(followed)))
}

/// Lets both come to their end, and counts what is left.
async fn finish(place: &Place, truth: &Truth, replay: UnderWay, clean: UnderWay) {
    replay.done().await;
    assert!(clean.reaches(truth.sent()).await);
    clean.stop();
    clean.done().await;
    place.clean().await;
    truth.assert_exact(place).await;
}

/// All brokers are killed in the middle of both steps, twice, and come back after a while.
#[tokio::test(flavor = "multi_thread")]
async fn restarted_in_the_middle() {
    if given("HEADRACE_FAULTS_KAFKA").is_none() {
        return;
    }
    let mut random = random();
    let Some((place, truth, cluster)) = loaded(random.next(), 30_000).await else { return };
    let (replay, clean) = begin(&place).await;
    for quarter in [1, 2] {
        clean.strike_at(truth.sent() * quarter / 4, "kill -9 of all three brokers").await;
        replay.strike_at(0, "at the same time").await;
        for broker in &cluster.brokers {
            broker.kill().await;
        }
        tokio::time::sleep(random.millis(500, 5_000)).await;
        start(&cluster.brokers).await;
        assert!(!replay.is_over() && !clean.is_over(), "it ended without brokers");
        eprintln!("seen: brokers are back, replay at {} rows, clean at {}", replay.committed(), clean.committed());
    }
    finish(&place, &truth, replay, clean).await;
    cluster.is_whole().await;
}

/// One of three brokers is killed, which leads a partition, and in another round one that coordinates the group: both steps go
/// on before it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed() {
    if given("HEADRACE_FAULTS_KAFKA").is_none() {
        return;
    }
    let mut random = random();
    for what in ["leader of partition 0", "coordinator of the group"] {
        let Some((place, truth, cluster)) = loaded(random.next(), 30_000).await else { return };
        let (replay, clean) = begin(&place).await;
        assert!(clean.reaches(truth.sent() / 4 + random.below(1_000)).await);
        let leads = what.starts_with("leader");
        let broker = if leads { cluster.leader(&cluster.topic, 0) } else { cluster.coordinator(GROUP) }.unwrap();
        clean.strike_at(0, &format!("kill -9 of the {what}")).await;
        replay.strike_at(0, "at the same time").await;
        let before = (replay.committed(), clean.committed());
        broker.kill().await;
        assert!(replay.reaches(before.0 + GOES_ON).await && clean.reaches(before.1 + GOES_ON).await);
        eprintln!("seen: without it, replay is at {} rows, clean at {}", replay.committed(), clean.committed());
        broker.start().await;
        finish(&place, &truth, replay, clean).await;
        cluster.is_whole().await;
    }
}
