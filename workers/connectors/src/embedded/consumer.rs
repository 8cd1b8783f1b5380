//! Reading a topic as a member of a group.
//!
//! Delivery: each partition in order, behind the position of its claim; nothing is committed here. Without follow, a
//! partition ends where it ended when it was assigned, and a member ends once it has drained its share and every other member
//! has beaten since: the share of a member that died is taken over, not left behind. Memory: one batch and one stored row for each partition.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use headrace_core::log::{Consume, Extent};
use headrace_core::source::{Event, Source};
use headrace_core::{Claim, Error, Partition, Result, clock};

use super::database::Database;
use super::group::{Membership, View};
use super::reader::{Reader, gather};
use super::topics;

/// How often a member looks at its group.
const LOOK: Duration = Duration::from_millis(400);

/// How often it looks once all it has is drained and only others keep it from ending.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// The shortest and longest pause between looks for new messages.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));

/// A call of `next` says that nothing came after this time.
const IDLE: Duration = Duration::from_millis(900);

/// A consumer of one topic.
pub(super) struct Consumer {
    database: Arc<Database>,
    topic: String,
    topic_id: i64,
    options: Consume,
    membership: Membership,
    readers: BTreeMap<i32, Reader>,
    /// Revoked and not yet released.
    leaving: BTreeSet<i32>,
    events: VecDeque<Event>,
    view: View,
    looked: Option<Instant>,
    /// Since when its share is drained, in milliseconds since 1970.
    drained_since_ms: Option<i64>,
    polled: Instant,
    pause: Duration,
    /// When the batch being gathered goes out at the latest.
    due: Option<Instant>,
    turn: usize,
}

impl Consumer {
    /// Joins a group.
    ///
    /// # Errors
    /// A configuration error when there is no such topic.
    pub(super) async fn join(database: &Arc<Database>, topic: &str, options: &Consume) -> Result<Self> {
        let name = topic.to_owned();
        let found =
            database.read(format!("read topic `{topic}`"), move |connection| topics::find(connection, &name)).await?;
        let found = found.ok_or_else(|| topics::missing(topic))?;
        let numbers = found.extents.iter().map(|extent| extent.partition).collect();
        Ok(Self {
            database: Arc::clone(database),
            topic: topic.to_owned(),
            topic_id: found.id,
            options: options.clone(),
            membership: Membership::join(database, topic, &options.group, numbers).await?,
            readers: BTreeMap::new(),
            leaving: BTreeSet::new(),
            events: VecDeque::new(),
            view: View::default(),
            looked: None,
            drained_since_ms: None,
            polled: Instant::now(),
            pause: PAUSES.0,
            due: None,
            turn: 0,
        })
    }

    fn partition(&self, number: i32) -> Partition {
        Partition::new(format!("{}-{number}", self.topic))
    }

    async fn extents(&self) -> Result<Vec<Extent>> {
        let id = self.topic_id;
        self.database
            .read(format!("read topic `{}`", self.topic), move |connection| topics::extents(connection, id))
            .await
    }

    /// Looks at the group and turns what changed into events. All changes of `self` come after the last await.
    async fn look(&mut self) -> Result<()> {
        let pause = if self.drained_since_ms.is_some() { LAST_LOOK } else { LOOK };
        if self.looked.is_some_and(|looked| looked.elapsed() < pause) {
            return Ok(());
        }
        let view = self.membership.look().await?;
        let held: BTreeSet<i32> = self.readers.keys().copied().collect();
        let stray: Vec<i32> = view
            .owned
            .iter()
            .filter(|&n| !view.meant.contains(n) && !held.contains(n) && !self.leaving.contains(n))
            .copied()
            .collect();
        if !stray.is_empty() {
            self.membership.give_up(stray).await?;
        }
        let kept = |number: &i32| view.owned.contains(number) && view.meant.contains(number);
        let gained: Vec<i32> =
            view.owned.iter().filter(|n| kept(n) && !held.contains(n) && !self.leaving.contains(n)).copied().collect();
        let extents = if gained.is_empty() { Vec::new() } else { self.extents().await? };
        let lost: Vec<i32> = held.iter().filter(|number| !kept(number)).copied().collect();
        if !lost.is_empty() {
            self.readers.retain(|number, _| !lost.contains(number));
            self.leaving.extend(&lost);
            self.events.push_back(Event::Revoked(lost.iter().map(|&number| self.partition(number)).collect()));
        }
        if !gained.is_empty() {
            for extent in extents.iter().filter(|extent| gained.contains(&extent.partition)) {
                self.readers.insert(extent.partition, Reader::new(self.partition(extent.partition), extent.end));
            }
            self.events.push_back(Event::Assigned(gained.iter().map(|&number| self.partition(number)).collect()));
        }
        self.view = view;
        self.looked = Some(Instant::now());
        Ok(())
    }

    /// Looks whether the partitions grew, when following and all that was known is fetched.
    async fn poll(&mut self) -> Result<()> {
        let is_behind = self.readers.values().any(|reader| reader.is_started && reader.fetched < reader.end);
        if !self.options.follow || is_behind || self.readers.is_empty() || self.polled.elapsed() < self.pause {
            return Ok(());
        }
        let extents = self.extents().await?;
        self.polled = Instant::now();
        let mut grew = false;
        for extent in extents {
            if let Some(reader) = self.readers.get_mut(&extent.partition) {
                grew |= extent.end > reader.end;
                reader.end = extent.end;
            }
        }
        self.pause = if grew { PAUSES.0 } else { (self.pause * 2).min(PAUSES.1) };
        Ok(())
    }

    /// Fetches more for the next batch; false when it is full or there is nothing to fetch.
    async fn fetch(&mut self) -> Result<bool> {
        let behind = |reader: &&Reader| reader.is_started && reader.fetched < reader.end;
        let count = self.readers.values().filter(behind).count();
        if count == 0 || self.is_full() {
            return Ok(false);
        }
        let rows = (self.options.batch_rows / count).max(1);
        let bytes = (self.options.batch_bytes / count).max(1);
        let wanted: Vec<(i32, i64, i64)> = self
            .readers
            .iter()
            .filter(|(_, reader)| behind(reader))
            .map(|(&number, reader)| (number, reader.fetched, reader.end))
            .collect();
        let id = self.topic_id;
        let work = move |connection: &mut rusqlite::Connection| {
            let read = |(number, from, to)| Ok((number, topics::read(connection, id, number, from, to, rows, bytes)?));
            wanted.into_iter().map(read).collect::<Result<Vec<_>, super::fault::Fault>>()
        };
        let fetched = self.database.read(format!("read topic `{}`", self.topic), work).await?;
        for (number, chunks) in fetched {
            let Some(reader) = self.readers.get_mut(&number) else { continue };
            if chunks.is_empty() {
                let text = format!(
                    "topic `{}`, partition {number}: the messages from {} on are missing",
                    self.topic, reader.fetched
                );
                return Err(Error::data(text));
            }
            chunks.into_iter().for_each(|chunk| reader.push(chunk));
        }
        Ok(true)
    }

    fn is_full(&self) -> bool {
        let rows: usize = self.readers.values().map(Reader::rows).sum();
        let bytes: usize = self.readers.values().map(Reader::bytes).sum();
        rows >= self.options.batch_rows || bytes >= self.options.batch_bytes
    }

    /// Tells whether the batch should go out now.
    fn is_ready(&mut self) -> bool {
        if self.readers.values().all(|reader| reader.rows() == 0) {
            return false;
        }
        let interval = self.options.interval;
        let due = *self.due.get_or_insert_with(|| Instant::now() + interval);
        !self.options.follow || self.is_full() || Instant::now() >= due
    }

    /// Tells whether nothing is left for this member, also not from members that may be dead.
    fn is_finished(&mut self) -> bool {
        let is_drained = !self.options.follow
            && self.looked.is_some()
            && self.view.meant.iter().all(|number| self.readers.contains_key(number))
            && self.readers.values().all(Reader::is_drained);
        if !is_drained {
            self.drained_since_ms = None;
            return false;
        }
        let since_ms = *self.drained_since_ms.get_or_insert_with(clock::now_ms);
        self.view.others_beat_ms.is_none_or(|beat_ms| beat_ms > since_ms)
    }
}

#[async_trait]
impl Source for Consumer {
    async fn next(&mut self) -> Result<Event> {
        let idle = Instant::now() + IDLE;
        loop {
            self.look().await?;
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.poll().await?;
            while self.fetch().await? {}
            if self.is_ready() {
                self.due = None;
                self.turn = self.turn.wrapping_add(1);
                let batch = gather(&mut self.readers, self.turn, self.options.batch_rows, self.options.batch_bytes)?;
                return Ok(Event::Batch(batch));
            }
            if self.is_finished() {
                return Ok(Event::End);
            }
            let now = Instant::now();
            if now >= idle {
                return Ok(Event::Idle);
            }
            let wake = self.due.map_or(idle, |due| due.min(idle));
            tokio::time::sleep(self.pause.min(wake.saturating_duration_since(now))).await;
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        let extents = self.extents().await?;
        for claim in claims {
            let Some((number, reader)) =
                self.readers.iter_mut().find(|(_, reader)| reader.partition == claim.partition)
            else {
                // Lost meanwhile; the loop hears of it by the next event.
                continue;
            };
            let Some(extent) = extents.iter().find(|extent| extent.partition == *number) else { continue };
            let at = claim.position.as_ref().map_or(extent.first, |position| position.at);
            if at < extent.first || at > extent.end {
                return Err(Error::data(format!(
                    "topic `{}`, partition {number} holds messages {} to {}, but the ledger goes on at {at}: \
                     the topic was made anew; read it under another group or forget the old positions",
                    self.topic, extent.first, extent.end
                )));
            }
            reader.start(at);
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        let numbers: Vec<i32> =
            self.leaving.iter().filter(|&&number| partitions.contains(&self.partition(number))).copied().collect();
        self.membership.give_up(numbers.clone()).await?;
        for number in numbers {
            self.leaving.remove(&number);
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn remaining(&self) -> Option<u64> {
        let left = |reader: &Reader| u64::try_from(reader.end - reader.next).unwrap_or(0);
        Some(self.readers.values().filter(|reader| reader.is_started).map(left).sum())
    }
}
