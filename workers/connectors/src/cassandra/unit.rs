//! A unit of work: rows go out at once, positions, counters and state become visible by one conditional batch.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use headrace_core::position::{Claim, Reached};
use headrace_core::store::{Leftovers, Segment, Unit};
use headrace_core::table::{Table, Value};
use headrace_core::{Counts, Error, Result, clock};
use polars::prelude::DataFrame;

use super::ledger::{Change, Ledger};
use super::scope::{LastUnit, Scope};
use super::state::{self, Place, View};
use super::turn::{self, Turn};
use super::{sweep, write};

/// By scope, the unit whose segments are known to be marked.
pub(super) type Marked = Mutex<BTreeMap<String, String>>;

/// One unit of work.
pub(super) struct CassandraUnit {
    ledger: Arc<Ledger>,
    marked: Arc<Marked>,
    place: Place,
    claims: Vec<Claim>,
    scope: Scope,
    positions: Reached,
    /// No other unit ever has the same.
    tag: String,
    /// What was written, by space.
    keys: BTreeMap<String, BTreeSet<i64>>,
    dropped: Vec<(String, i64, i64)>,
    /// What the commit takes off the counters.
    less: Counts,
    /// Held by a unit that began in turn.
    turn: Option<Turn>,
    /// State was read or written, so a commit of another unit in between counts.
    uses_state: bool,
}

impl CassandraUnit {
    /// Begins a unit, and finishes what the last one that wrote state may have left to do.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim is no longer the newest.
    pub(super) async fn begin(ledger: Arc<Ledger>, marked: Arc<Marked>, scope: &str, claims: &[Claim]) -> Result<Self> {
        let read = ledger.read(scope).await?;
        read.check(claims)?;
        Self::begun(ledger, marked, scope, claims, (new_tag(), read, None)).await
    }

    /// Waits for the scope's turn, and begins a unit that holds it.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a claim is no longer the newest.
    pub(super) async fn begin_in_turn(
        ledger: Arc<Ledger>,
        marked: Arc<Marked>,
        scope: &str,
        claims: &[Claim],
        reached: &Reached,
    ) -> Result<Self> {
        let tag = new_tag();
        let (read, turn) = turn::take(&ledger, scope, &tag, claims, reached).await?;
        Self::begun(ledger, marked, scope, claims, (tag, read, Some(turn))).await
    }

    async fn begun(
        ledger: Arc<Ledger>,
        marked: Arc<Marked>,
        scope: &str,
        claims: &[Claim],
        (tag, read, turn): (String, Scope, Option<Turn>),
    ) -> Result<Self> {
        let place = Place { scope: scope.to_owned(), generation: read.generation.unwrap_or(0) };
        let positions = read.claimed_positions(claims);
        let unit = Self {
            ledger,
            marked,
            place,
            claims: claims.to_vec(),
            scope: read,
            positions,
            tag,
            keys: BTreeMap::new(),
            dropped: Vec::new(),
            less: Counts::default(),
            turn,
            uses_state: false,
        };
        if let Some(last) = &unit.scope.last_unit {
            unit.mark(last).await?;
        }
        Ok(unit)
    }

    async fn mark(&self, unit: &LastUnit) -> Result<()> {
        let is_known = {
            let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
            marked.get(&self.place.scope) == Some(&unit.tag)
        };
        if !is_known {
            state::mark(&self.ledger.client, &self.place, unit).await?;
            let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
            marked.insert(self.place.scope.clone(), unit.tag.clone());
        }
        Ok(())
    }

    /// The timestamp of what the unit writes; without a turn that of the moment.
    fn timestamp(&self) -> Option<i64> {
        self.turn.as_ref().and_then(Turn::timestamp)
    }

    fn next_sequence(&self) -> i64 {
        self.scope.sequence() + 1
    }

    /// Commits, again and again while only other partitions' commits come between and no state depends on them.
    async fn apply(&mut self, reached: &Reached, counts: &Counts, unit: Option<&LastUnit>) -> Result<()> {
        let scope = self.place.scope.clone();
        let mut retry = 0;
        loop {
            let totals = self.scope.totals.clone().after(counts, &self.less, clock::now_us())?;
            let in_turn = self.turn.is_some();
            let change = Change { claims: &self.claims, reached, totals: &totals, in_turn, unit };
            if self.ledger.commit(&scope, &self.scope, &change).await? {
                if let Some(turn) = &mut self.turn {
                    turn.ended();
                }
                return Ok(());
            }
            let read = self.ledger.read(&scope).await?;
            read.check(&self.claims)?;
            if read.generation != self.scope.generation {
                return Err(Error::Fenced(format!("`{scope}`, which was forgotten")));
            }
            let is_ours_untouched = read.claimed_positions(&self.claims) == self.positions;
            if self.uses_state || in_turn || !is_ours_untouched {
                let cannot = format!("cannot commit `{scope}`");
                return Err(Error::external(
                    cannot,
                    if in_turn && read.turn != self.scope.turn {
                        "another worker has taken the turn, for want of a sign of life".to_owned()
                    } else {
                        format!("commit {} came from another unit meanwhile", read.sequence())
                    },
                ));
            }
            self.scope = read;
            self.ledger.pause(&mut retry, "other workers keep committing").await?;
        }
    }
}

/// A text that is new every time, on every machine.
fn new_tag() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:016x}", clock::worker_name(), RandomState::new().hash_one(count))
}

#[async_trait]
impl Unit for CassandraUnit {
    fn positions(&self) -> &Reached {
        &self.positions
    }

    fn sequence(&self) -> i64 {
        self.scope.sequence()
    }

    async fn read_state(&mut self, space: &str, wanted: &[(i64, i64)]) -> Result<Vec<Segment>> {
        self.uses_state = true;
        let view = View { sequence: self.scope.sequence(), last_unit: self.scope.last_unit.as_ref() };
        state::read(&self.ledger.client, &self.place, space, wanted, view).await
    }

    async fn write_state(&mut self, space: &str, put: Vec<(i64, Vec<u8>)>, drop: Vec<(i64, i64)>) -> Result<()> {
        self.uses_state = true;
        state::write(&self.ledger.client, &self.place, space, &put, self.next_sequence(), &self.tag).await?;
        self.keys.entry(space.to_owned()).or_default().extend(put.iter().map(|(key, _)| *key));
        self.dropped.extend(drop.into_iter().map(|(key, sequence)| (space.to_owned(), key, sequence)));
        Ok(())
    }

    async fn upsert(&mut self, table: &Table, frame: &DataFrame) -> Result<()> {
        write::upsert(&self.ledger.client, table, frame, self.timestamp()).await
    }

    async fn delete(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        // Beneath what this unit writes, so that its own rows stay.
        write::delete(&self.ledger.client, table, keys, self.timestamp().map(|turn| turn - 1)).await
    }

    fn leftovers(&self) -> Leftovers {
        self.scope.leftovers(&self.claims)
    }

    async fn sweep(&mut self, table: &Table, keys: &DataFrame) -> Result<()> {
        sweep::sweep(&self.ledger.client, table, keys).await
    }

    async fn update(&mut self, table: &Table, _: (&str, Value), equal: (&str, Value)) -> Result<u64> {
        Err(Error::configuration(format!(
            "cannot update table `{}` by {}: Cassandra changes rows by key only; use MySQL or the embedded store for it",
            table.name, equal.0
        )))
    }

    fn take_off(&mut self, counts: Counts) {
        self.less.add(&counts);
    }

    async fn commit(mut self: Box<Self>, reached: &Reached, counts: &Counts) -> Result<()> {
        if let Some(partition) = reached.keys().find(|name| !self.claims.iter().any(|claim| claim.partition == **name))
        {
            return Err(Error::Fenced(partition.to_string()));
        }
        let keys: BTreeMap<String, Vec<i64>> = std::mem::take(&mut self.keys)
            .into_iter()
            .filter(|(_, keys)| !keys.is_empty())
            .map(|(space, keys)| (space, keys.into_iter().collect()))
            .collect();
        let unit = (!keys.is_empty()).then(|| LastUnit { tag: self.tag.clone(), sequence: self.next_sequence(), keys });
        self.apply(reached, counts, unit.as_ref()).await?;
        // Committed: what is left to do here is done by the next unit if it fails now.
        let finish = async {
            if let Some(unit) = &unit {
                self.mark(unit).await?;
            }
            if self.dropped.is_empty() {
                return Ok(());
            }
            state::delete(&self.ledger.client, &self.place, &self.dropped).await
        };
        if let Err(error) = finish.await {
            tracing::warn!(%error, scope = self.place.scope, "committed, but tidying up state has to wait");
        }
        Ok(())
    }
}
