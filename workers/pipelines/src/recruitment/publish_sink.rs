//! Publishes raw rows to a topic and keeps in the raw store's ledger how far each hour is published.
//!
//! Delivery: where log and raw store are the same place, messages and ledger are one transaction. Otherwise all messages of a
//! batch are acknowledged before the ledger is committed: after a crash in between they are sent twice, which the consumer
//! absorbs by event id.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::ledger_sink::UnitWork;
use headrace_core::log::Log;
use headrace_core::position::Reached;
use headrace_core::store::Unit;
use headrace_core::{Counts, Position, Result};
use polars::prelude::DataFrame;

use super::hour_progress::{Advance, SPACE};

/// What the replay step does with a batch of messages.
pub struct PublishWork {
    /// The raw store, by its name; its ledger is used.
    pub store: String,
    /// The scope in that ledger.
    pub scope: String,
    /// Where messages go.
    pub log: Arc<dyn Log>,
    /// The topic they go to.
    pub topic: String,
}

#[async_trait]
impl UnitWork<DataFrame> for PublishWork {
    type Changes = ();

    fn scope(&self) -> String {
        self.scope.clone()
    }

    /// Sends a batch and writes the progress of its hours.
    async fn write(&mut self, unit: &mut dyn Unit, messages: &DataFrame, reached: &Reached) -> Result<(Counts, ())> {
        let same_place = self.store == self.log.name();
        if messages.height() > 0 && !(same_place && unit.append(&self.topic, messages).await?) {
            self.log.produce(&self.topic, messages).await?;
        }
        for position in reached.values() {
            if let Some(advance) = Advance::of(position)? {
                let (put, drop) = advance.state();
                unit.write_state(SPACE, put, drop).await?;
            }
        }
        let rows = messages.height() as u64;
        Ok((Counts { read: rows, written: rows, ..Counts::default() }, ()))
    }

    fn committed(&mut self, (): ()) {}

    fn forget(&mut self) {}

    /// The position without the progress it carries, which is kept as state.
    fn ledger_position(&self, position: &Position) -> Result<Position> {
        Ok(if Advance::of(position)?.is_some() { Position::at(position.at) } else { position.clone() })
    }
}
