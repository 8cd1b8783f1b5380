//! Work in processes of their own, with failpoints armed or to be killed at any moment: a step by its name and values, or what
//! another test called `worker` does.
//!
//! The test binary runs itself: a test named on the command line finds its work in `HEADRACE_TEST_WORK`. A process that ends well
//! though no test took the work, as when there is none of that name, fails the test that started it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headrace_core::report::Outcome;
use headrace_core::{Control, clock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A process that has not ended after so long hangs.
const LIMIT: Duration = Duration::from_secs(120);
const WORK: &str = "HEADRACE_TEST_WORK";
/// What a process tells when it has found its work.
const BEGINS: &str = "the work begins";

/// The work this process was started for; none where it runs all tests.
pub(crate) fn work<W: DeserializeOwned>() -> Option<W> {
    let text = clock::environment(WORK)?;
    eprintln!("{BEGINS}");
    Some(serde_json::from_str(&text).unwrap())
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// The process of [`Worker::step`].
#[test]
fn worker() {
    let Some(work) = work::<Value>() else { return };
    let is_meant = |system: &str, name: &str| work["system"] == system && work["step"] == name;
    let step = headrace_pipelines::steps::steps().into_iter().find(|step| is_meant(step.system, step.name)).unwrap();
    let report = block_on(step.run_values(work["values"].as_object().unwrap(), Control::default())).unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
}

/// A process at work.
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

    /// Checks that the process came to a failpoint, `PLACE:VISIT:kill`, and no further.
    pub(crate) fn assert_killed_at(&self, failpoint: &str) {
        assert_eq!(self.reached(), failpoint.strip_suffix(":kill"), "{failpoint} was not reached: {}", self.told);
        assert!(self.is_killed, "{failpoint} did not kill: {}", self.told);
    }

    /// Tells whether the process ended well; if not, it must have been killed.
    pub(crate) fn is_well_or_killed(&self) -> bool {
        assert!(self.is_well || self.is_killed, "{}", self.told);
        self.is_well
    }
}

impl Worker {
    /// Starts a step of a system; `failpoint` is what the variable of that name says.
    pub(crate) fn step(system: &str, step: &str, values: &Value, failpoint: &str) -> Self {
        Self::start(module_path!(), &json!({ "system": system, "step": step, "values": values }), failpoint)
    }

    /// Starts the test `worker` of a module, which is given as `module_path!()`.
    pub(crate) fn start(module: &str, work: &impl Serialize, failpoint: &str) -> Self {
        let (_binary, module) = module.split_once("::").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("{module}::worker"), "--exact", "--nocapture"])
            .env(WORK, serde_json::to_string(work).unwrap())
            .env("HEADRACE_FAILPOINT", failpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, started: Instant::now() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
        assert!(!status.success() || told.lines().any(|line| line == BEGINS), "no test took the work: {told}");
        Ended { is_killed: status.signal() == Some(9), is_well: status.success(), told }
    }
}
