//! Puts dead letters through their step again: the same rules, the same de-duplication, the same ledger.
//!
//! What a letter becomes, what the step's counters say of it, and that it is settled is one unit of work. In stores without
//! transactions it is settled by a second unit, which the first has noted as state. Settled letters are passed over: however
//! often a replay is started or killed, a letter counts once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::failpoint::{self, Point};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::{Store, Unit};
use headrace_core::table::Table;
use headrace_core::{Claim, Control, Counts, Error, Partition, Position, Result};

use super::choice::{Fixes, chosen, with_fixes};
use super::settling::{self, Outcome};

/// Letters replayed in one unit.
const BATCH: usize = 5_000;

/// A step's work, put to the letters it refused.
#[async_trait]
pub(crate) trait Retake<Output: Send + Sync>: UnitWork<Output> {
    /// Names the source that the next letters come from.
    fn come_from(&mut self, source: String);

    /// Writes letters of one source into a unit.
    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Self::Changes)>;
}

/// A replay of one table of letters, and how far it is.
pub(crate) struct Retaking<'a> {
    store: &'a dyn Store,
    table: &'a Table,
    scope: String,
    pub(crate) claim: Claim,
    at: i64,
    control: &'a Control,
}

impl<'a> Retaking<'a> {
    /// Claims the letters of a scope: one replay at a time. To be done before they are read, so that no other replay can settle
    /// them in between.
    pub(crate) async fn claim(
        store: &'a dyn Store,
        table: &'a Table,
        scope: String,
        control: &'a Control,
    ) -> Result<Self> {
        let claims = store.claim(&scope, &[Partition::new("dead-letters")]).await?;
        let claim = claims.into_iter().next().ok_or_else(|| Error::Fenced("dead-letters".into()))?;
        let at = claim.position.as_ref().map_or(0, |position| position.at);
        let mut retaking = Self { store, table, scope, claim, at, control };
        if !store.is_transactional() {
            let mut look = store.begin(&retaking.scope, std::slice::from_ref(&retaking.claim)).await?;
            if settling::has_noted(&mut *look).await? {
                // A replay that was killed has put them through, and not marked them yet.
                retaking.mark_noted(&[]).await?;
            }
        }
        Ok(retaking)
    }

    fn reached(&self) -> Reached {
        [(self.claim.partition.clone(), Position::at(self.at + 1))].into()
    }

    async fn begin(&self) -> Result<Box<dyn Unit>> {
        self.store.begin_in_turn(&self.scope, std::slice::from_ref(&self.claim), &self.reached()).await
    }

    async fn commit(&mut self, unit: Box<dyn Unit>, counts: &Counts) -> Result<()> {
        failpoint::before(Point::Commit)?;
        unit.commit(&self.reached(), counts).await?;
        failpoint::after(Point::Commit)?;
        self.at += 1;
        Ok(())
    }

    /// Puts letters through their step again, source by source: positions are unique within a source only.
    pub(crate) async fn run<Output: Send + Sync>(
        mut self,
        work: &mut impl Retake<Output>,
        letters: Vec<DeadLetter>,
        fixes: Option<&Fixes>,
    ) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut by_source: BTreeMap<String, Vec<DeadLetter>> = BTreeMap::new();
        for letter in chosen(letters, fixes) {
            by_source.entry(letter.source.clone()).or_default().push(letter);
        }
        for (source, letters) in by_source {
            work.come_from(source);
            for batch in letters.chunks(BATCH) {
                if self.control.is_stopping() {
                    return Ok(counts);
                }
                let applied = self.batch(work, batch, fixes).await?;
                failpoint::before(Point::Acknowledge)?;
                counts.add(&applied);
                self.control.progress.add(&applied);
                failpoint::after(Point::Acknowledge)?;
            }
        }
        Ok(counts)
    }

    async fn batch<Output: Send + Sync>(
        &mut self,
        work: &mut impl Retake<Output>,
        batch: &[DeadLetter],
        fixes: Option<&Fixes>,
    ) -> Result<Counts> {
        let taken = with_fixes(batch, fixes);
        let mut unit = self.begin().await?;
        failpoint::before(Point::Write)?;
        let (outcome, changes) = work.retake(&mut *unit, &taken).await?;
        failpoint::after(Point::Write)?;
        let marked = outcome.mark(batch, &taken);
        let (more, less) = outcome.moves(batch);
        unit.take_off(less);
        let at_once = self.store.is_transactional();
        if at_once {
            dead_letter::write(&mut *unit, self.table, &marked).await?;
        } else {
            settling::note(&mut *unit, &marked).await?;
        }
        self.commit(unit, &more).await?;
        work.committed(changes);
        if !at_once {
            // Rows of this store show at once: a letter may be settled only when its record is sure to stay.
            self.mark_noted(&marked).await?;
        }
        Ok(outcome.counts)
    }

    async fn mark_noted(&mut self, marked: &[DeadLetter]) -> Result<()> {
        let mut unit = self.begin().await?;
        settling::mark_noted(&mut *unit, self.table, marked).await?;
        self.commit(unit, &Counts::default()).await
    }
}
