//! Puts refused registrations through scoring again, as they are or corrected: same checks, same de-duplication, same targets.
//!
//! Delivery: what a letter becomes, the counters and that it is settled are one transaction of the ledger; rows elsewhere are
//! written before it, as those of the topic are. A registration keeps its place in the topic, and with it its row of the history; one without a
//! time counts from when it was refused. How a letter counts once is in [`crate::dead_letters::retaking`].

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::batch::message_columns::TIMESTAMP;
use headrace_core::dead_letter::DeadLetter;
use headrace_core::failpoint::{self, Point};
use headrace_core::ledger_sink::UnitWork;
use headrace_core::position::Reached;
use headrace_core::store::Unit;
use headrace_core::{Control, Counts, Error, Result};
use polars::prelude::{NamedFrom, Series};

use super::model::Model;
use super::score_sink::{Applied, Changes, ScoreWork};
use super::scored::{self, ScoredBatch};
use super::targets::Targets;
use crate::dead_letters::choice::{Choice, Fixes, message_frame, read};
use crate::dead_letters::retaking::{Retake, Retaking};
use crate::dead_letters::settling::Outcome;

/// Scoring, put to letters.
struct Rescoring {
    work: ScoreWork,
    model: Arc<dyn Model>,
}

#[async_trait]
impl UnitWork<ScoredBatch> for Rescoring {
    type Changes = Changes;

    fn scope(&self) -> String {
        self.work.scope()
    }

    async fn write(
        &mut self,
        unit: &mut dyn Unit,
        batch: &ScoredBatch,
        reached: &Reached,
    ) -> Result<(Counts, Changes)> {
        self.work.write(unit, batch, reached).await
    }

    fn committed(&mut self, changes: Changes) {
        self.work.committed(changes);
    }

    fn forget(&mut self) {
        self.work.forget();
    }
}

#[async_trait]
impl Retake<ScoredBatch> for Rescoring {
    fn come_from(&mut self, source: String) {
        self.work.set_topic(source);
    }

    async fn retake(&mut self, unit: &mut dyn Unit, letters: &[DeadLetter]) -> Result<(Outcome, Changes)> {
        failpoint::before(Point::Decode)?;
        let mut frame = message_frame(letters)?;
        let times: Vec<i64> = letters.iter().map(|letter| letter.failed_at_us / 1_000).collect();
        frame.with_column(Series::new(TIMESTAMP.into(), times).into())?;
        let model = self.model.clone();
        let batch = tokio::task::spawn_blocking(move || scored::score(&frame, model, None))
            .await
            .map_err(|error| Error::data(format!("the model failed: {error}")))??;
        failpoint::after(Point::Decode)?;
        let Applied { counts, changes } = self.work.apply(unit, &batch).await?;
        let refused = batch.refused.into_iter().map(|message| {
            let why = (message.refusal.reason.to_owned(), message.refusal.detail);
            (format!("{}-{}", message.partition, message.offset), why)
        });
        Ok((Outcome { counts, refused: refused.collect() }, changes))
    }
}

/// Replays refused registrations.
///
/// # Errors
/// When a store fails.
pub async fn replay(
    targets: Targets,
    model: Arc<dyn Model>,
    choice: &Choice,
    fixes: Option<&Fixes>,
    control: &Control,
) -> Result<Counts> {
    let (store, table) = (targets.ledger.clone(), targets.schema.dead_letters.clone());
    let retaking = Retaking::claim(&*store, &table, targets.scope(), control).await?;
    failpoint::before(Point::Read)?;
    let letters = read(&*store, &table, choice).await?;
    failpoint::after(Point::Read)?;
    let work = ScoreWork::new(targets, String::new(), String::new(), None);
    retaking.run(&mut Rescoring { work, model }, letters, fixes).await
}
