//! Two places for ids: a store in memory that fails when it is told to, and the embedded store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use headrace_connectors::embedded::Embedded;
use headrace_core::position::{Claim, Partition, Position, Reached};
use headrace_core::store::{Segment, Store, Unit};
use headrace_core::table::{Table, Value};
use headrace_core::{Counts, Error, Result, StoreUrl};
use polars::prelude::DataFrame;
use tempfile::TempDir;

/// The scope under test.
const SCOPE: &str = "ids";

/// Where a test keeps its ids.
#[derive(Clone)]
pub(crate) enum Place {
    Memory(Memory),
    Embedded(Arc<(TempDir, Embedded, Vec<Claim>)>),
}

impl Place {
    /// Opens an empty embedded store.
    pub(crate) async fn embedded() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("embedded:{}?sync=normal", directory.path().display());
        let store = Embedded::open(&StoreUrl::parse(&url).unwrap()).unwrap();
        let claims = store.claim(SCOPE, &[Partition::new("0")]).await.unwrap();
        Self::Embedded(Arc::new((directory, store, claims)))
    }

    /// Begins a unit of work.
    pub(crate) async fn begin(&self) -> Box<dyn Unit> {
        match self {
            Self::Memory(memory) => Box::new(memory.begin()),
            Self::Embedded(embedded) => embedded.1.begin(SCOPE, &embedded.2).await.unwrap(),
        }
    }

    /// Commits a unit.
    pub(crate) async fn commit(&self, unit: Box<dyn Unit>) {
        let reached = Reached::from([(Partition::new("0"), Position::at(unit.sequence()))]);
        unit.commit(&reached, &Counts::default()).await.unwrap();
    }

    /// Lets the n-th call on state from now on fail, where the place can.
    pub(crate) fn fail_after(&self, calls: Option<usize>) {
        if let Self::Memory(memory) = self {
            memory.state().fail_after = calls;
        }
    }

    /// Counts blobs, and the calls that read them since this was asked last (in memory).
    pub(crate) fn blobs_and_reads(&self) -> (usize, usize) {
        match self {
            Self::Memory(memory) => {
                let mut state = memory.state();
                (state.blobs.len(), std::mem::take(&mut state.reads))
            }
            Self::Embedded(_) => (0, 0),
        }
    }
}

type Blobs = BTreeMap<(String, i64, i64), Vec<u8>>;

/// State in memory; clones are the same place.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sequence: i64,
    blobs: Blobs,
    reads: usize,
    fail_after: Option<usize>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn begin(&self) -> MemoryUnit {
        let state = self.state();
        MemoryUnit { memory: self.clone(), sequence: state.sequence, blobs: state.blobs.clone(), none: Reached::new() }
    }
}

/// A unit on a copy of the state.
struct MemoryUnit {
    memory: Memory,
    sequence: i64,
    blobs: Blobs,
    none: Reached,
}

impl MemoryUnit {
    fn call(&self) -> Result<()> {
        let mut state = self.memory.state();
        state.reads += 1;
        match &mut state.fail_after {
            Some(0) => Err(Error::external("cannot reach the state", "it was told to fail")),
            Some(calls) => {
                *calls -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Unit for MemoryUnit {
    fn positions(&self) -> &Reached {
        &self.none
    }

    fn sequence(&self) -> i64 {
        self.sequence
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        self.call()?;
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        let found = wanted.into_iter().flat_map(|(key, after)| {
            let range = (space.to_owned(), key, after + 1)..=(space.to_owned(), key, i64::MAX);
            self.blobs.range(range).map(|((_, key, sequence), blob)| Segment {
                key: *key,
                sequence: *sequence,
                blob: blob.clone(),
            })
        });
        Ok(found.collect())
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        self.call()?;
        for (key, sequence) in drop {
            assert!(self.blobs.remove(&(space.to_owned(), key, sequence)).is_some(), "dropped what is not there");
        }
        self.blobs.extend(put.into_iter().map(|(key, blob)| ((space.to_owned(), key, self.sequence + 1), blob)));
        Ok(())
    }

    async fn upsert(&mut self, _: &Table, _: &DataFrame) -> Result<()> {
        Err(Error::configuration("there are no tables"))
    }

    async fn delete(&mut self, _: &Table, _: &DataFrame) -> Result<()> {
        Err(Error::configuration("there are no tables"))
    }

    async fn update(&mut self, _: &Table, _: (&str, Value), _: (&str, Value)) -> Result<u64> {
        Err(Error::configuration("there are no tables"))
    }

    fn take_off(&mut self, _: Counts) {}

    async fn commit(self: Box<Self>, _: &Reached, _: &Counts) -> Result<()> {
        let mut state = self.memory.state();
        assert_eq!(state.sequence, self.sequence, "units follow each other");
        state.sequence += 1;
        state.blobs = self.blobs;
        Ok(())
    }
}
