//! The one list of steps, and what steps of all systems share. Command line, Python and Airflow see steps only through it.

use std::collections::BTreeMap;

use headrace_core::position::Reached;
use headrace_core::report::Outcome;
use headrace_core::retry::Backoff;
use headrace_core::run::Finished;
use headrace_core::step::{Parameters, Step};
use headrace_core::store::Store;
use headrace_core::{Control, Counts, Error, Partition, Position, Report, Result, StoreUrl};
use serde_json::Value;

/// All steps, system by system, in the order people use them.
pub fn steps() -> Vec<Step> {
    let mut steps = crate::recruitment::steps::steps();
    steps.extend(crate::scoring::steps::steps());
    steps.extend(crate::commerce::steps::steps());
    steps
}

/// Runs one step with some parameters and the defaults of the others.
pub(crate) async fn run_step<P: Parameters>(values: Value, control: &Control) -> Result<Report> {
    let Value::Object(values) = values else { return Err(Error::configuration("parameters are no object")) };
    Step::of::<P>().run_values(&values, control.clone()).await
}

/// Runs the next one of several steps and keeps its report; false when it was stopped, and no other shall follow.
pub(crate) async fn run_next<P: Parameters>(
    values: Value,
    control: &Control,
    reports: &mut Vec<Report>,
) -> Result<bool> {
    let report = run_step::<P>(values, control).await?;
    let goes_on = report.outcome != Outcome::Stopped;
    reports.push(report);
    Ok(goes_on && !control.is_stopping())
}

/// A report of what a run did.
pub(crate) fn report_of(finished: Finished) -> Report {
    let mut report = Report { outcome: finished.outcome, counts: finished.counts, ..Report::default() };
    report.positions = finished.positions;
    report.begun = finished.begun;
    if report.outcome == Outcome::Stopped {
        report.note("Stopped on request; run the same command to go on from the committed position.");
    }
    report
}

/// Sets committed positions back, so that a source is read again from there.
pub(crate) async fn set_positions(store: &dyn Store, scope: &str, positions: BTreeMap<Partition, i64>) -> Result<()> {
    let partitions: Vec<Partition> = positions.keys().cloned().collect();
    let claims = store.claim(scope, &partitions).await?;
    let unit = store.begin(scope, &claims).await?;
    let reached: Reached = positions.into_iter().map(|(partition, at)| (partition, Position::at(at))).collect();
    unit.commit(&reached, &Counts::default()).await
}

/// Parses a store URL given as an option, naming the option in the error.
pub(crate) fn store_url(option: &str, text: &str) -> Result<StoreUrl> {
    StoreUrl::parse(text).map_err(|error| Error::configuration(format!("--{option}: {error}")))
}

/// Tries of something outside of a run loop: external errors are tried again with back-off, unless the step is to stop.
pub(crate) struct Tries<'a> {
    control: &'a Control,
    failures: u32,
}

impl<'a> Tries<'a> {
    /// Begins with none.
    pub(crate) fn new(control: &'a Control) -> Self {
        Self { control, failures: 0 }
    }

    /// Waits before another try.
    ///
    /// # Errors
    /// The error, when there shall be no other try.
    pub(crate) async fn again(&mut self, error: Error) -> Result<()> {
        let pause = Backoff::default().pause(self.failures);
        let Some(pause) = pause.filter(|_| error.is_retryable() && !self.control.is_stopping()) else {
            return Err(error);
        };
        tracing::warn!("trying again in {} ms: {error}", pause.as_millis());
        self.failures += 1;
        tokio::select! {
            () = self.control.stopping() => Err(error),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}
