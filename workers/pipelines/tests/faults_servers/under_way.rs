//! A step under way, to be disturbed at a known place.

use std::time::{Duration, Instant};

use headrace_core::step::Parameters;
use headrace_core::{Control, Report, Result};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::recruitment::run;

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A step that was started.
pub(crate) struct UnderWay {
    name: &'static str,
    control: Control,
    task: JoinHandle<Result<Report>>,
    began: Instant,
}

impl UnderWay {
    pub(crate) fn start<P: Parameters>(values: Value) -> Self {
        let control = Control::default();
        let inside = control.clone();
        let task = tokio::spawn(async move {
            let ended = run::<P>(&values, &inside).await;
            if let Err(error) = &ended {
                eprintln!("seen: {} has failed: {error}", P::NAME);
            }
            ended
        });
        Self { name: P::NAME, control, task, began: Instant::now() }
    }

    /// Rows that are read and committed.
    pub(crate) fn committed(&self) -> u64 {
        self.control.progress.read.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks the step to end at the next batch boundary.
    pub(crate) fn stop(&self) {
        self.control.stop();
    }

    /// Waits until so many rows are committed; false when the step has ended before that.
    pub(crate) async fn reaches(&self, rows: u64) -> bool {
        while self.committed() < rows {
            if self.is_over() {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        !self.is_over()
    }

    /// Waits until so many rows are committed, which must be before the step's end, and tells what is struck now.
    pub(crate) async fn strike_at(&self, rows: u64, what: &str) {
        assert!(self.reaches(rows).await, "{} ended before it had committed {rows} rows", self.name);
        eprintln!("strike: {what}, {} at {} rows after {:?}", self.name, self.committed(), self.began.elapsed());
    }

    /// Waits for the end, which must be a good one: the step goes on by itself.
    pub(crate) async fn done(self) -> Report {
        let report = self.task.await.unwrap().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        eprintln!("seen: {} went on and ended well after {:?}", self.name, self.began.elapsed());
        report
    }
}
