//! The sink of every step that keeps its ledger in a store: one batch, one unit of work.
//!
//! What a step does with a batch is its [`UnitWork`]. What is the same for all of them is here, once: claim; begin under the
//! claims; find out whether a commit whose answer was lost was made; write; commit with the positions reached; then take over
//! what the unit changed, or forget what was assumed.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;

use crate::position::{Claim, Partition, Position, Reached};
use crate::sink::Sink;
use crate::store::{Store, Unit, claims_for, is_committed};
use crate::{Counts, ErrorKind, Result, failpoint, failpoint::Point};

/// What a step does with its batches in units of work.
#[async_trait]
pub trait UnitWork<Output: Send + Sync>: Send {
    /// What a unit changes that has to be remembered once it is committed.
    type Changes: Send;

    /// The scope of the units.
    fn scope(&self) -> String;

    /// Writes one batch into a unit, and tells what became of its rows and what to remember. It may be called again with the
    /// same batch, in a new unit.
    ///
    /// # Errors
    /// What the store says, and whatever makes the batch impossible to write.
    async fn write(
        &mut self,
        unit: &mut dyn Unit,
        output: &Output,
        reached: &Reached,
    ) -> Result<(Counts, Self::Changes)>;

    /// Takes over what a committed unit changed.
    fn committed(&mut self, changes: Self::Changes);

    /// Forgets what was read or assumed, after a unit that failed or whose outcome is unknown.
    fn forget(&mut self);

    /// The ledger's name of a partition, where the source's own would be ambiguous.
    fn ledger_name(&self, partition: &Partition) -> Partition {
        partition.clone()
    }

    /// What the ledger keeps of a position.
    ///
    /// # Errors
    /// When the position is none of this step's.
    fn ledger_position(&self, position: &Position) -> Result<Position> {
        Ok(position.clone())
    }

    /// Whether units must follow each other though the store takes no lock: they read state, or write rows that others write too.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Does what is due outside of units, such as refreshing a dimension: after a claim, before each unit, and when idle.
    ///
    /// # Errors
    /// What the stores say.
    async fn prepare(&mut self, claims: &[Claim]) -> Result<()> {
        let _ = claims;
        Ok(())
    }
}

/// Commits batches and their positions, each batch as one unit of work.
pub struct LedgerSink<Output, Work> {
    store: Arc<dyn Store>,
    work: Work,
    /// By the ledger's names.
    claims: BTreeMap<Partition, Claim>,
    /// The batch being committed, in case its outcome becomes unknown.
    pending: Option<(Reached, Counts)>,
    output: PhantomData<fn(Output)>,
}

impl<Output: Send + Sync, Work: UnitWork<Output>> LedgerSink<Output, Work> {
    /// Makes a sink of work whose tables exist.
    pub fn new(store: Arc<dyn Store>, work: Work) -> Self {
        Self { store, work, claims: BTreeMap::new(), pending: None, output: PhantomData }
    }

    async fn begin(&mut self, claims: &[Claim], entries: &Reached) -> Result<Box<dyn Unit>> {
        let scope = self.work.scope();
        if self.work.takes_turns() {
            return self.store.begin_in_turn(&scope, claims, entries).await;
        }
        self.store.begin(&scope, claims).await
    }

    /// Writes and commits; nothing is taken over yet.
    async fn unit(
        &mut self,
        mut unit: Box<dyn Unit>,
        output: &Output,
        reached: &Reached,
        entries: &Reached,
    ) -> Result<(Counts, Work::Changes)> {
        failpoint::before(Point::Write)?;
        let (counts, changes) = self.work.write(&mut *unit, output, reached).await?;
        failpoint::after(Point::Write)?;
        self.pending = Some((reached.clone(), counts.clone()));
        failpoint::before(Point::Commit)?;
        unit.commit(entries, &counts).await?;
        failpoint::after(Point::Commit)?;
        self.pending = None;
        Ok((counts, changes))
    }
}

#[async_trait]
impl<Output: Send + Sync, Work: UnitWork<Output>> Sink<Output> for LedgerSink<Output, Work> {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let names: BTreeMap<Partition, &Partition> =
            partitions.iter().map(|partition| (self.work.ledger_name(partition), partition)).collect();
        let wanted: Vec<Partition> = names.keys().cloned().collect();
        let claims = self.store.claim(&self.work.scope(), &wanted).await?;
        self.claims.extend(claims.iter().map(|claim| (claim.partition.clone(), claim.clone())));
        match self.work.prepare(&claims).await {
            // Taken over already: the first commit will tell, or the rebalance that is under way.
            Err(error) if error.kind() == ErrorKind::Fenced => tracing::debug!("not prepared: {error}"),
            other => other?,
        }
        let by_source = |claim: Claim| {
            let partition = names.get(&claim.partition).map_or(claim.partition, |name| (*name).clone());
            Claim { partition, ..claim }
        };
        Ok(claims.into_iter().map(by_source).collect())
    }

    async fn commit(&mut self, output: &Output, reached: &Reached) -> Result<Counts> {
        let entry = |(partition, position): (&Partition, &Position)| {
            Ok((self.work.ledger_name(partition), self.work.ledger_position(position)?))
        };
        let entries: Reached = reached.iter().map(entry).collect::<Result<_>>()?;
        let claims = claims_for(&self.claims, &entries)?;
        self.work.prepare(&claims).await?;
        let unit = self.begin(&claims, &entries).await?;
        if let Some((pending, counts)) = self.pending.take()
            && pending == *reached
            && is_committed(&*unit, &entries)
        {
            return Ok(counts);
        }
        match self.unit(unit, output, reached, &entries).await {
            Ok((counts, changes)) => {
                self.work.committed(changes);
                Ok(counts)
            }
            Err(error) => {
                self.work.forget();
                Err(error)
            }
        }
    }

    async fn idle(&mut self) -> Result<()> {
        match self.claims.values().next().cloned() {
            Some(claim) => self.work.prepare(&[claim]).await,
            None => Ok(()),
        }
    }
}
