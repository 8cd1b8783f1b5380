//! Scoring in a process of its own, which a failpoint kills as the kernel kills processes.

use headrace_core::retry::Backoff;
use serde::{Deserialize, Serialize};

use super::golden_sets::Golden;
use super::{Urls, score};
use crate::process::{Ended, Worker, block_on, work};

#[derive(Serialize, Deserialize)]
struct Work {
    golden: Golden,
    urls: Urls,
    rows: usize,
}

/// The process of [`with_failpoint`].
#[test]
fn worker() {
    let Some(work) = work::<Work>() else { return };
    let ended = block_on(async {
        let (targets, records) = (work.urls.open().await, work.golden.records());
        score(&targets, &records, &[work.rows], &work.golden.model(), Backoff { retries: 0, ..Backoff::default() })
            .await
    });
    ended.unwrap();
}

/// Scores in a process under a failpoint, to its end.
pub async fn with_failpoint(golden: &Golden, urls: &Urls, rows: usize, failpoint: &str) -> Ended {
    let work = Work { golden: golden.clone(), urls: urls.clone(), rows };
    Worker::start(module_path!(), &work, failpoint).end().await
}
