//! Steps in processes of their own, with failpoints armed; any step by its name and values.
//!
//! The test binary runs itself: with `HEADRACE_TEST_STEP` set, its test `worker` is the step.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headrace_core::{Control, clock};
use serde_json::{Value, json};

/// A process that has not ended after so long hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the step the environment names, if it names one.
pub(crate) fn work() {
    let Some(text) = clock::environment("HEADRACE_TEST_STEP") else { return };
    let work: Value = serde_json::from_str(&text).unwrap();
    let step = headrace_pipelines::steps::steps().into_iter().find(|step| work["step"] == step.name).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(step.run_values(work["values"].as_object().unwrap(), Control::default())).unwrap();
}

/// A running step.
pub(crate) struct Worker {
    child: Child,
    started: Instant,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) is_killed: bool,
    pub(crate) is_well: bool,
    pub(crate) told: String,
}

impl Ended {
    /// The failpoint that was reached, as `place:visit`.
    pub(crate) fn reached(&self) -> Option<&str> {
        let line = self.told.lines().find_map(|line| line.strip_prefix("failpoint "))?;
        line.rsplit_once(": ").map(|(place, _)| place)
    }
}

impl Worker {
    /// Starts a step; `failpoint` is what the variable of that name says.
    pub(crate) fn start(step: &str, values: &Value, failpoint: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["worker", "--exact", "--nocapture"])
            .env("HEADRACE_TEST_STEP", json!({ "step": step, "values": values }).to_string())
            .env("HEADRACE_FAILPOINT", failpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, started: Instant::now() }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Kills the process; it may have ended before.
    pub(crate) fn kill(mut self) -> Ended {
        // Fails when it has ended, which the status tells too.
        let _ = self.child.kill();
        self.collect()
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) -> Ended {
        while self.is_running() {
            assert!(self.started.elapsed() < LIMIT, "the process hangs");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.collect()
    }

    fn collect(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        Ended { is_killed: status.signal() == Some(9), is_well: status.success(), told }
    }
}
