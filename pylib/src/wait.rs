//! How the calling thread waits for work on the runtime: released, listening to signals, the token and the log.
//!
//! Whatever ends the wait early (Ctrl-C, an exception of a signal handler or of a callback, the token) first stops
//! the work at a batch boundary, so that its position is committed, and waits for that a bounded time.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use headrace_core::Control;
use headrace_core::progress::Meter;
use pyo3::prelude::*;

use crate::{error, logs, runtime};

/// How often the waiting thread looks up.
const TICK: Duration = Duration::from_millis(100);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);
/// How long a stop may take; Airflow kills five seconds after it asked.
const PATIENCE: Duration = Duration::from_millis(3_700);

/// Who waits, and whom it listens to and tells.
#[derive(Default)]
pub(crate) struct Caller<'py> {
    /// Has an attribute `cancelled`.
    pub(crate) token: Option<Bound<'py, PyAny>>,
    /// Takes level, target and text of a log line.
    pub(crate) log: Option<Bound<'py, PyAny>>,
    /// Takes the progress as numbers and as a sentence.
    pub(crate) progress: Option<Bound<'py, PyAny>>,
}

impl Caller<'_> {
    /// Waits for work on the runtime to end.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        py: Python<'_>,
        control: &Control,
        work: impl Future<Output = T> + Send + 'static,
    ) -> PyResult<T> {
        let (sender, mut receiver) = mpsc::sync_channel(1);
        let task = runtime::runtime()?.spawn(async move {
            // Nobody listens any more when the wait was given up.
            let _ = sender.send(work.await);
        });
        let (mut meter, started) = (Meter::default(), Instant::now());
        let (mut interruption, mut deadline, mut told) = (None, None, started);
        loop {
            let came;
            (receiver, came) = py.detach(move || {
                let came = receiver.recv_timeout(TICK);
                (receiver, came)
            });
            let mut heard = self.listen(py, control);
            if heard.is_ok() && told.elapsed() >= TELL {
                told = Instant::now();
                heard = self.tell(&mut meter, started.elapsed(), control);
            }
            match came {
                Ok(value) => return interruption.or(heard.err()).map_or(Ok(value), Err),
                Err(RecvTimeoutError::Disconnected) => return Err(error::internal("a step panicked")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(exception) = heard {
                control.stop();
                // A second exception means at once.
                let impatient = interruption.is_some();
                interruption.get_or_insert(exception);
                if impatient {
                    deadline = Some(Instant::now());
                }
            }
            if control.is_stopping() && Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) {
                task.abort();
                return Err(interruption.unwrap_or_else(error::abandoned));
            }
        }
    }

    /// Lets signal handlers run, hands the log over and looks at the token.
    fn listen(&self, py: Python<'_>, control: &Control) -> PyResult<()> {
        py.check_signals()?;
        if let Some(log) = &self.log {
            for line in logs::take() {
                log.call1((line.level, line.target, line.text))?;
            }
        }
        if let Some(token) = &self.token
            && token.getattr("cancelled")?.is_truthy()?
        {
            control.stop();
        }
        Ok(())
    }

    fn tell(&self, meter: &mut Meter, at: Duration, control: &Control) -> PyResult<()> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let view = meter.look(at, &control.progress);
        let left = view.left.map(|left| left.as_secs_f64());
        let numbers =
            (view.rows, view.dead_lettered, view.rows_per_second, view.remaining, view.remaining_is_bytes, left);
        progress.call1((numbers, view.to_string())).map(drop)
    }
}
