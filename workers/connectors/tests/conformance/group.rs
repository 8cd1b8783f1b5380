//! What every message log must do with groups of consumers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use headrace_core::Partition;
use headrace_core::log::{Consume, Log};
use headrace_core::position::Reached;
use headrace_core::source::{Event, Source};

use super::log::{all, drained, numbers, options, produce_numbers};
use super::{PATIENCE, drain, start};

/// One member of a group, driven as the run loop drives it.
struct Member {
    source: Box<dyn Source>,
    held: BTreeSet<Partition>,
}

impl Member {
    async fn join(log: &dyn Log, topic: &str, options: &Consume) -> Self {
        Self { source: log.consume(topic, options).await.unwrap(), held: BTreeSet::new() }
    }

    async fn turn(&mut self) {
        match self.source.next().await.unwrap() {
            Event::Assigned(partitions) => {
                assert!(self.held.is_disjoint(&partitions.iter().cloned().collect()), "assigned twice");
                self.held.extend(partitions.iter().cloned());
                start(&mut *self.source, partitions, &Reached::new()).await;
            }
            Event::Revoked(partitions) => {
                for partition in &partitions {
                    assert!(self.held.remove(partition), "revoked without being assigned");
                }
                self.source.release(&partitions).await.unwrap();
            }
            Event::Batch(_) | Event::Idle => {}
            Event::End => panic!("a followed topic ended"),
        }
    }
}

/// Members of a group share the partitions, none is held twice, and those of a member that goes are taken over.
pub async fn two_members_share_and_take_over(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-shared");
    log.create_topic(&topic, 4).await.unwrap();
    produce_numbers(&*log, &topic, 0..100, 20).await;
    let options = options(&format!("{unique}-shared"), true);
    let begun = Instant::now();
    let mut one = Member::join(&*log, &topic, &options).await;
    assert!(one.source.is_shared());
    while one.held.len() < 4 {
        assert!(begun.elapsed() < PATIENCE, "one member holds {:?}", one.held);
        one.turn().await;
    }
    let mut two = Member::join(&*log, &topic, &options).await;
    while one.held.len() != 2 || two.held.len() != 2 {
        assert!(begun.elapsed() < PATIENCE, "two members hold {:?} and {:?}", one.held, two.held);
        tokio::join!(one.turn(), two.turn());
        assert!(one.held.is_disjoint(&two.held), "both hold {:?} and {:?}", one.held, two.held);
    }
    drop(one);
    while two.held.len() < 4 {
        assert!(begun.elapsed() < 2 * PATIENCE, "the remaining member holds {:?}", two.held);
        two.turn().await;
    }
}

/// With more members than partitions, and no follow, every member comes to its end and every message is read.
pub async fn a_second_drainer_ends_too(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-drainers");
    log.create_topic(&topic, 1).await.unwrap();
    produce_numbers(&*log, &topic, 0..500, 5).await;
    let options = options(&format!("{unique}-drainers"), false);
    let work = || async {
        let mut source = log.consume(&topic, &options).await.unwrap();
        drain(&mut *source, &Reached::new(), usize::MAX).await
    };
    let (one, two) = tokio::time::timeout(PATIENCE, async { tokio::join!(work(), work()) }).await.unwrap();
    assert!(one.ended && two.ended);
    let seen: BTreeSet<u32> = numbers(&all(&one)).into_iter().chain(numbers(&all(&two))).collect();
    assert_eq!(seen.len(), 500);
}

/// Each group reads everything.
pub async fn groups_are_apart(log: Arc<dyn Log>, unique: &str) {
    let topic = format!("{unique}-groups");
    log.create_topic(&topic, 2).await.unwrap();
    produce_numbers(&*log, &topic, 0..50, 5).await;
    for group in ["a", "b"] {
        let given = drained(&*log, &topic, &options(&format!("{unique}-{group}"), false), &Reached::new()).await;
        assert_eq!(numbers(&all(&given)), (0..50).collect::<Vec<_>>());
    }
}
