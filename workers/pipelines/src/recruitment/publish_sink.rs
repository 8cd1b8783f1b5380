//! Publishes raw rows to a topic and keeps in the raw store's ledger how far each hour is published.
//!
//! Delivery: where log and raw store are the same place, messages and ledger are one transaction. Otherwise all messages of a
//! batch are acknowledged before the ledger is committed: after a crash in between they are sent twice, which the consumer
//! absorbs by event id.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::sink::Sink;
use headrace_core::store::{Store, Unit, claims_for, is_committed};
use headrace_core::{Claim, Counts, Partition, Position, Result};
use polars::prelude::DataFrame;

use super::hour_progress::{Advance, SPACE};

/// The sink of the replay step.
pub struct PublishSink {
    /// The raw store, whose ledger is used.
    pub store: Arc<dyn Store>,
    /// The scope in that ledger.
    pub scope: String,
    /// Where messages go.
    pub log: Arc<dyn Log>,
    /// The topic they go to.
    pub topic: String,
    /// The claimed partitions.
    pub claims: BTreeMap<Partition, Claim>,
    /// The batch being committed, in case its outcome becomes unknown.
    pub pending: Option<Reached>,
}

impl PublishSink {
    /// Sends a batch and writes the progress of its hours.
    async fn publish(&self, unit: &mut dyn Unit, messages: &DataFrame, reached: &Reached) -> Result<()> {
        let same_place = self.store.name() == self.log.name();
        if messages.height() > 0 && !(same_place && unit.append(&self.topic, messages).await?) {
            self.log.produce(&self.topic, messages).await?;
        }
        for position in reached.values() {
            if let Some(advance) = Advance::of(position)? {
                let (put, drop) = advance.state();
                unit.write_state(SPACE, put, drop).await?;
            }
        }
        Ok(())
    }
}

/// The positions without the progress they carry, which is kept as state.
fn bare(reached: &Reached) -> Result<Reached> {
    let bare = |position: &Position| -> Result<Position> {
        Ok(if Advance::of(position)?.is_some() { Position::at(position.at) } else { position.clone() })
    };
    reached.iter().map(|(partition, position)| Ok((partition.clone(), bare(position)?))).collect()
}

#[async_trait]
impl Sink<DataFrame> for PublishSink {
    async fn claim(&mut self, partitions: &[Partition]) -> Result<Vec<Claim>> {
        let claims = self.store.claim(&self.scope, partitions).await?;
        self.claims.extend(claims.iter().map(|claim| (claim.partition.clone(), claim.clone())));
        Ok(claims)
    }

    async fn commit(&mut self, messages: &DataFrame, reached: &Reached) -> Result<Counts> {
        let rows = messages.height() as u64;
        let counts = Counts { read: rows, written: rows, ..Counts::default() };
        let claims = claims_for(&self.claims, reached)?;
        let mut unit = self.store.begin(&self.scope, &claims).await?;
        let bare = bare(reached)?;
        if self.pending.take().is_some_and(|pending| pending == *reached) && is_committed(&*unit, &bare) {
            return Ok(counts);
        }
        self.publish(&mut *unit, messages, reached).await?;
        self.pending = Some(reached.clone());
        unit.commit(&bare, &counts).await?;
        self.pending = None;
        Ok(counts)
    }
}
