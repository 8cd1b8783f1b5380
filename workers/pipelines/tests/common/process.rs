//! Steps in processes of their own, to be killed as the kernel kills them.
//!
//! The test binary runs itself: with `HEADRACE_TEST_STEP` set, its test `worker` is the step.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use headrace_core::{Control, clock};
use headrace_pipelines::recruitment::steps::{Clean, Load, Replay};
use serde_json::{Value, json};

/// Runs the step the environment names, if it names one. Call this in a test called `worker`.
pub fn work() {
    let Some(text) = clock::environment("HEADRACE_TEST_STEP") else { return };
    let work: Value = serde_json::from_str(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (values, control) = (&work["values"], Control::default());
    let ended = runtime.block_on(async {
        match work["step"].as_str().unwrap() {
            "load" => super::run::<Load>(values, &control).await,
            "replay" => super::run::<Replay>(values, &control).await,
            _ => super::run::<Clean>(values, &control).await,
        }
    });
    ended.unwrap();
}

pub fn start(step: &str, values: &Value) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["worker", "--exact", "--nocapture"])
        .env("HEADRACE_TEST_STEP", json!({ "step": step, "values": values }).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts a step in a process and kills that after a while; tells whether the step had ended well before.
pub async fn killed(step: &str, values: &Value, after: Duration) -> bool {
    let mut child = start(step, values);
    tokio::time::sleep(after).await;
    // Fails when it has ended, which the status tells too.
    let _ = child.kill();
    child.wait().unwrap().success()
}
