//! The servers of this suite, to be killed, paused and started again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headrace_core::clock;

use crate::recruitment::Place;
use crate::recruitment::random::Random;

/// What a variable of this suite says; none, visibly, when the suite was not asked for.
pub(crate) fn given(name: &str) -> Option<String> {
    if clock::environment("HEADRACE_FAULTS").is_none() {
        eprintln!("SKIP: it kills servers, so it runs by `./run faults`");
        return None;
    }
    Some(clock::environment(name).unwrap_or_else(|| panic!("{name} is not set")))
}

/// Numbers from `HEADRACE_TEST_SEED` or a new seed, which is shown.
pub(crate) fn random() -> Random {
    let seed = clock::environment("HEADRACE_TEST_SEED")
        .map_or_else(|| clock::now_us() as u64 % 1_000_000, |seed| seed.parse().unwrap());
    eprintln!("seed: HEADRACE_TEST_SEED={seed}");
    Random::new(seed)
}

/// A name for a keyspace, topic or database that nothing else has.
pub(crate) fn unique(test: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{test}_{:x}_{}", clock::now_us() & 0xff_ffff_ffff, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A place of four URLs; each that is empty is one embedded store.
pub(crate) fn place(raw: &str, log: &str, result: &str) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let embedded = format!("embedded:{}?sync=normal", directory.path().join("store").display());
    let [raw, log, result] =
        [raw, log, result].map(|url| if url.is_empty() { embedded.clone() } else { url.to_owned() });
    Place { raw, log, jobs: result.clone(), result, directory, servers: None }
}

/// A server of the suite, by the name that `servers/all.sh` knows.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    name: String,
}

impl Server {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The nodes of a cluster of three.
    pub(crate) fn cluster(name: &str) -> [Self; 3] {
        [1, 2, 3].map(|node| Self::named(format!("{name}-{node}")))
    }

    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(clock::environment("HEADRACE_FAULTS").unwrap()).join(&self.name)
    }

    fn pid(&self) -> String {
        let text = std::fs::read_to_string(self.folder().join("pid")).unwrap();
        text.split_whitespace().next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().unwrap().success(), "{signal} {self:?}");
    }

    /// Kills the process as the kernel does, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        self.signal("-KILL");
        let status = format!("/proc/{}/stat", self.pid());
        // One that nobody waits for stays as a zombie.
        while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets the process stand still until the guard is dropped.
    pub(crate) fn pause(&self) -> Paused {
        self.signal("-STOP");
        Paused(self.clone())
    }

    /// Starts the server again and waits until it answers.
    pub(crate) async fn start(&self) {
        start(std::slice::from_ref(self)).await;
    }
}

/// Starts servers side by side and waits until all of them answer.
pub(crate) async fn start(servers: &[Server]) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../servers/all.sh");
    let mut command = Command::new(script);
    command.arg("start").args(servers.iter().map(|server| &server.name));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A process that stands still.
pub(crate) struct Paused(Server);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.signal("-CONT");
    }
}
