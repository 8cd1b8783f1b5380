//! Scoring in a process of its own, which a failpoint kills as the kernel kills processes.
//!
//! The test binary runs itself: with `HEADRACE_TEST_SCORE` set, its test `worker` scores.

use std::process::{Command, Stdio};

use headrace_core::clock;
use headrace_core::retry::Backoff;
use serde::{Deserialize, Serialize};

use super::golden::Golden;
use super::{Urls, score};

#[derive(Serialize, Deserialize)]
struct Work {
    golden: Golden,
    urls: Urls,
    rows: usize,
}

/// Scores what the environment names, if it names something. Call this in a test called `worker`.
pub fn work() {
    let Some(text) = clock::environment("HEADRACE_TEST_SCORE") else { return };
    let work: Work = serde_json::from_str(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let (targets, records) = (work.urls.open().await, work.golden.records());
        score(&targets, &records, &[work.rows], &work.golden.model(), Backoff { retries: 0, ..Backoff::default() })
            .await
    });
    ended.unwrap();
}

/// Scores in a process under a failpoint; tells whether the process ended well.
pub fn run_with_failpoint(golden: &Golden, urls: &Urls, rows: usize, failpoint: &str) -> bool {
    let work = Work { golden: golden.clone(), urls: urls.clone(), rows };
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["worker", "--exact", "--nocapture"])
        .env("HEADRACE_TEST_SCORE", serde_json::to_string(&work).unwrap())
        .env("HEADRACE_FAILPOINT", failpoint)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}
