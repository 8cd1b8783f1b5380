//! Several sources as one, such as the topics of a system: each batch comes from one of them, with a column that names it.
//!
//! Ordering: kept inside each partition. Between sources the one whose last batch is the oldest is asked first, so that reading a
//! backlog does not run far ahead in one of them. Memory: what the sources hold.

use std::collections::HashMap;

use async_trait::async_trait;
use futures::future::select_all;
use polars::prelude::{DataFrame, NamedFrom, Series};

use crate::batch::message_columns::{TIMESTAMP, TOPIC};
use crate::position::{Claim, Partition};
use crate::source::{Event, Source};
use crate::{Error, Result};

struct Part {
    name: String,
    source: Box<dyn Source>,
    has_ended: bool,
    /// The newest time in its last batch.
    newest: i64,
}

/// Several sources, read as one.
pub struct Merged {
    parts: Vec<Part>,
    owners: HashMap<Partition, usize>,
}

impl Merged {
    /// Merges named sources whose partitions have different names.
    pub fn new(sources: Vec<(String, Box<dyn Source>)>) -> Self {
        let part = |(name, source)| Part { name, source, has_ended: false, newest: i64::MIN };
        Self { parts: sources.into_iter().map(part).collect(), owners: HashMap::new() }
    }

    /// Those that have not ended, the one that is behind first.
    async fn next_of_any(&mut self) -> Option<(usize, Result<Event>)> {
        let mut open: Vec<(usize, &mut Part)> =
            self.parts.iter_mut().enumerate().filter(|(_, part)| !part.has_ended).collect();
        if open.is_empty() {
            return None;
        }
        open.sort_by_key(|(_, part)| part.newest);
        let waiting = open.into_iter().map(|(index, part)| {
            Box::pin(async move {
                let event = part.source.next().await;
                (index, event)
            })
        });
        Some(select_all(waiting).await.0)
    }

    fn owner(&self, partition: &Partition) -> Result<usize> {
        self.owners
            .get(partition)
            .copied()
            .ok_or_else(|| Error::configuration(format!("partition {partition} belongs to none of the sources")))
    }

    fn tag(part: &mut Part, frame: &mut DataFrame) -> Result<()> {
        if let Some(newest) = frame.column(TIMESTAMP)?.i64()?.iter().flatten().max() {
            part.newest = part.newest.max(newest);
        }
        let names = Series::new(TOPIC.into(), vec![part.name.as_str(); frame.height()]);
        frame.with_column(names.into())?;
        Ok(())
    }
}

#[async_trait]
impl Source for Merged {
    async fn next(&mut self) -> Result<Event> {
        loop {
            let Some((index, event)) = self.next_of_any().await else { return Ok(Event::End) };
            match event? {
                Event::Assigned(partitions) => {
                    self.owners.extend(partitions.iter().map(|partition| (partition.clone(), index)));
                    return Ok(Event::Assigned(partitions));
                }
                Event::Batch(mut batch) => {
                    Self::tag(&mut self.parts[index], &mut batch.frame)?;
                    return Ok(Event::Batch(batch));
                }
                Event::End => self.parts[index].has_ended = true,
                other @ (Event::Revoked(_) | Event::Idle) => return Ok(other),
            }
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        let mut by_owner: HashMap<usize, Vec<Claim>> = HashMap::new();
        for claim in claims {
            by_owner.entry(self.owner(&claim.partition)?).or_default().push(claim.clone());
        }
        for (index, claims) in by_owner {
            // Going back, it has more to give again.
            self.parts[index].has_ended = false;
            self.parts[index].source.start(&claims).await?;
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        let mut by_owner: HashMap<usize, Vec<Partition>> = HashMap::new();
        for partition in partitions {
            by_owner.entry(self.owner(partition)?).or_default().push(partition.clone());
        }
        for (index, partitions) in by_owner {
            self.parts[index].source.release(&partitions).await?;
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        self.parts.iter().any(|part| part.source.is_shared())
    }

    fn remaining(&self) -> Option<u64> {
        self.parts.iter().map(|part| part.source.remaining()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use async_trait::async_trait;
    use polars::prelude::{DataFrame, NamedFrom, Series};

    use super::Merged;
    use crate::batch::message_columns::{TIMESTAMP, TOPIC};
    use crate::position::{Claim, Partition, Position};
    use crate::source::{Event, Source};
    use crate::{Batch, Result};

    /// Gives batches of one row each, at some times.
    struct Times {
        partition: Partition,
        times: VecDeque<i64>,
        announced: bool,
    }

    #[async_trait]
    impl Source for Times {
        async fn next(&mut self) -> Result<Event> {
            if !std::mem::replace(&mut self.announced, true) {
                return Ok(Event::Assigned(vec![self.partition.clone()]));
            }
            let Some(time) = self.times.pop_front() else { return Ok(Event::End) };
            let frame = DataFrame::new(1, vec![Series::new(TIMESTAMP.into(), [time]).into()]).unwrap();
            let reached = [(self.partition.clone(), Position::at(time))].into();
            Ok(Event::Batch(Batch { frame, reached, bytes: 1 }))
        }

        async fn start(&mut self, _: &[Claim]) -> Result<()> {
            Ok(())
        }

        async fn release(&mut self, _: &[Partition]) -> Result<()> {
            Ok(())
        }

        fn remaining(&self) -> Option<u64> {
            Some(self.times.len() as u64)
        }
    }

    fn times(name: &str, times: &[i64]) -> (String, Box<dyn Source>) {
        let partition = Partition::new(format!("{name}-0"));
        (name.to_owned(), Box::new(Times { partition, times: times.iter().copied().collect(), announced: false }))
    }

    #[tokio::test]
    async fn the_one_behind_is_read_first_and_all_are_read_once() {
        let mut merged = Merged::new(vec![times("a", &[1, 2, 3, 50]), times("b", &[1, 10, 20]), times("c", &[])]);
        assert_eq!(merged.remaining(), Some(7));
        let mut read = Vec::new();
        loop {
            match merged.next().await.unwrap() {
                Event::Assigned(partitions) => {
                    let claim = Claim { partition: partitions[0].clone(), epoch: 1, position: None };
                    merged.start(&[claim]).await.unwrap();
                }
                Event::Batch(batch) => {
                    let topic = batch.frame.column(TOPIC).unwrap().str().unwrap().get(0).unwrap().to_owned();
                    read.push((topic, batch.frame.column(TIMESTAMP).unwrap().i64().unwrap().get(0).unwrap()));
                }
                Event::End => break,
                other => panic!("{other:?}"),
            }
        }
        let read: Vec<(&str, i64)> = read.iter().map(|(topic, time)| (topic.as_str(), *time)).collect();
        assert_eq!(read, [("a", 1), ("b", 1), ("a", 2), ("b", 10), ("a", 3), ("a", 50), ("b", 20)]);
    }

    #[tokio::test]
    async fn a_partition_of_nobody_is_refused() {
        let mut merged = Merged::new(vec![times("a", &[1])]);
        let claim = Claim { partition: Partition::new("x-0"), epoch: 1, position: None };
        assert!(merged.start(&[claim]).await.unwrap_err().to_string().contains("x-0"));
    }
}
