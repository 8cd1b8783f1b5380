//! A store and a log that fail now and then: before they do something, or after they did it and before they say so.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use headrace_core::log::{Consume, Extent, Log};
use headrace_core::position::Reached;
use headrace_core::retry::Backoff;
use headrace_core::source::Source;
use headrace_core::store::{Leftovers, Segment, Select, Store, Unit};
use headrace_core::table::{Table, Value, View};
use headrace_core::{Claim, Counts, Error, Ident, Partition, Result};
use polars::prelude::DataFrame;

use super::random::Random;

/// Tries again at once, as often as needed.
pub const EAGER: Backoff = Backoff {
    first: std::time::Duration::from_micros(200),
    longest: std::time::Duration::from_millis(1),
    retries: 1_000,
};

/// Decides what fails.
#[derive(Clone)]
pub struct Faults {
    random: Arc<Mutex<Random>>,
    /// One call in so many fails.
    one_in: u64,
    /// Only calls of this name fail.
    only: Option<&'static str>,
}

impl Faults {
    pub fn new(random: &mut Random, one_in: u64) -> Self {
        Self { random: Arc::new(Mutex::new(Random::new(random.next()))), one_in, only: None }
    }

    /// Lets every second commit fail before it is made, and nothing else.
    pub fn of_commits(random: &mut Random) -> Self {
        Self { only: Some("commit"), ..Self::new(random, 2) }
    }

    fn strike(&self, doing: &str) -> Result<()> {
        if self.only.is_none_or(|only| only == doing) && self.random.lock().unwrap().one_in(self.one_in) {
            return Err(Error::external(format!("cannot {doing}"), "a failure made for a test"));
        }
        Ok(())
    }
}

/// A store that fails now and then.
pub struct FaultyStore {
    pub inner: Arc<dyn Store>,
    pub faults: Faults,
}

#[async_trait]
impl Store for FaultyStore {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        self.inner.create(tables).await
    }

    async fn create_view(&self, view: &View) -> Result<()> {
        self.inner.create_view(view).await
    }

    async fn has_table(&self, table: &Ident) -> Result<bool> {
        self.inner.has_table(table).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        self.faults.strike("read rows")?;
        self.inner.select(select).await
    }

    async fn scan(&self, table: &Table, columns: &[&str], parts: usize, only: &[usize]) -> Result<Box<dyn Source>> {
        self.inner.scan(table, columns, parts, only).await
    }

    async fn claim(&self, scope: &str, partitions: &[Partition]) -> Result<Vec<Claim>> {
        self.faults.strike("claim")?;
        let claims = self.inner.claim(scope, partitions).await?;
        self.faults.strike("hear of a claim")?;
        Ok(claims)
    }

    async fn positions(&self, scope: &str) -> Result<Reached> {
        self.inner.positions(scope).await
    }

    async fn counters(&self, scope: &str) -> Result<Counts> {
        self.inner.counters(scope).await
    }

    async fn forget(&self, scope: &str) -> Result<()> {
        self.inner.forget(scope).await
    }

    async fn begin(&self, scope: &str, claims: &[Claim]) -> Result<Box<dyn Unit>> {
        self.faults.strike("begin")?;
        let inner = self.inner.begin(scope, claims).await?;
        Ok(Box::new(FaultyUnit { inner, faults: self.faults.clone() }))
    }

    async fn begin_in_turn(&self, scope: &str, claims: &[Claim], reached: &Reached) -> Result<Box<dyn Unit>> {
        self.faults.strike("begin")?;
        let inner = self.inner.begin_in_turn(scope, claims, reached).await?;
        self.faults.strike("hear of a turn")?;
        Ok(Box::new(FaultyUnit { inner, faults: self.faults.clone() }))
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn is_transactional(&self) -> bool {
        self.inner.is_transactional()
    }
}

struct FaultyUnit {
    inner: Box<dyn Unit>,
    faults: Faults,
}

#[async_trait]
impl Unit for FaultyUnit {
    fn positions(&self) -> &Reached {
        self.inner.positions()
    }

    fn sequence(&self) -> i64 {
        self.inner.sequence()
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        self.faults.strike("read state")?;
        self.inner.read_state(space, wanted).await
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        self.faults.strike("write state")?;
        self.inner.write_state(space, put, drop).await
    }

    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        self.faults.strike("write rows")?;
        self.inner.upsert(table, frame).await?;
        self.faults.strike("hear of rows")
    }

    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        self.faults.strike("delete rows")?;
        self.inner.delete(table, keys).await?;
        self.faults.strike("hear of deleted rows")
    }

    fn leftovers(&self) -> Leftovers {
        self.inner.leftovers()
    }

    async fn sweep(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        self.faults.strike("sweep rows")?;
        self.inner.sweep(table, keys).await
    }

    fn take_off(&mut self, counts: Counts) {
        self.inner.take_off(counts);
    }

    async fn update(&mut self, table: &Table, set: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        self.faults.strike("update rows")?;
        self.inner.update(table, set, equal).await
    }

    async fn append(&mut self, topic: &str, messages: &DataFrame) -> Result<bool> {
        self.faults.strike("append messages")?;
        self.inner.append(topic, messages).await
    }

    async fn commit(self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()> {
        self.faults.strike("commit")?;
        self.inner.commit(reached, counts).await?;
        // The commit whose answer is lost.
        self.faults.strike("hear of a commit")
    }
}

/// A log that fails now and then, and stores part of what it refuses.
pub struct FaultyLog {
    pub inner: Arc<dyn Log>,
    pub faults: Faults,
}

#[async_trait]
impl Log for FaultyLog {
    async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        self.inner.create_topic(topic, partitions).await
    }

    async fn extents(&self, topic: &str) -> Result<Option<Vec<Extent>>> {
        self.inner.extents(topic).await
    }

    async fn consume(&self, topic: &str, options: &Consume) -> Result<Box<dyn Source>> {
        self.inner.consume(topic, options).await
    }

    async fn produce(&self, topic: &str, messages: &DataFrame) -> Result<()> {
        self.faults.strike("produce")?;
        if let Err(error) = self.faults.strike("produce all") {
            self.inner.produce(topic, &messages.head(Some(messages.height() / 2))).await?;
            return Err(error);
        }
        self.inner.produce(topic, messages).await?;
        self.faults.strike("hear of messages")
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}
