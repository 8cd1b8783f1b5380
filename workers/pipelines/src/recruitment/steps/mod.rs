//! The steps of this system, one file each.

mod clean;
mod dead_letters;
mod demo;
mod export;
mod jobs;
mod load;
mod replay;
mod simulate;
mod verify;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use headrace_core::position::Reached;
use headrace_core::run::Finished;
use headrace_core::step::Step;
use headrace_core::store::Store;
use headrace_core::{Counts, Error, Partition, Position, Report, Result, StoreUrl};

use xxhash_rust::xxh3::xxh3_64;

pub use clean::Clean;
pub use dead_letters::{List, Replay as ReplayDeadLetters, Show};
pub use demo::Demo;
pub use export::Export;
pub use jobs::Jobs;
pub use load::Load;
pub use replay::Replay;
pub use simulate::Simulate;
pub use verify::Verify;

/// The system's name in steps.
pub const SYSTEM: &str = "recruitment";

/// The steps, in the order people use them.
pub fn steps() -> Vec<Step> {
    vec![
        Step::of::<Demo>(),
        Step::of::<Simulate>(),
        Step::of::<Load>(),
        Step::of::<Jobs>(),
        Step::of::<Replay>(),
        Step::of::<Clean>(),
        Step::of::<Export>(),
        Step::of::<Verify>(),
        Step::of::<List>(),
        Step::of::<Show>(),
        Step::of::<ReplayDeadLetters>(),
    ]
}

/// A report of what a run did.
fn report_of(finished: Finished) -> Report {
    let mut report = Report { outcome: finished.outcome, counts: finished.counts, ..Report::default() };
    report.positions = finished.positions;
    if report.outcome == headrace_core::report::Outcome::Stopped {
        report.note("Stopped on request; run the same command to go on from the committed position.");
    }
    report
}

/// Sets committed positions back, so that a source is read again from there.
async fn set_positions(store: &dyn Store, scope: &str, positions: BTreeMap<Partition, i64>) -> Result<()> {
    let partitions: Vec<Partition> = positions.keys().cloned().collect();
    let claims = store.claim(scope, &partitions).await?;
    let unit = store.begin(scope, &claims).await?;
    let reached: Reached = positions.into_iter().map(|(partition, at)| (partition, Position::at(at))).collect();
    unit.commit(&reached, &Counts::default()).await
}

/// The name of a file in dead letters: its path and a mark of how it begins, so that another file that comes under the same path
/// does not take the place of the first one's letters. The beginning of a path that is longer than a key may be is left out.
async fn source_name(path: &Path) -> Result<String> {
    const LONGEST: usize = 490;
    const BEGINNING: u64 = 64 << 10;
    let file = path.to_owned();
    let read = move || -> std::io::Result<(String, u64)> {
        let mut beginning = Vec::new();
        std::fs::File::open(&file)?.take(BEGINNING).read_to_end(&mut beginning)?;
        // Header and first record: a file that grows keeps them.
        let lines = beginning.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let end = lines.take(2).last().unwrap_or(beginning.len());
        beginning.truncate(end);
        Ok((file.canonicalize()?.to_string_lossy().into_owned(), xxh3_64(&beginning)))
    };
    let failed = |error: std::io::Error| Error::external(format!("cannot read file `{}`", path.display()), error);
    let (whole, mark) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Error::external(format!("cannot read file `{}`", path.display()), error))?
        .map_err(failed)?;
    let start = whole.ceil_char_boundary(whole.len().saturating_sub(LONGEST));
    Ok(format!("{}#{:08x}", &whole[start..], mark as u32))
}

/// Parses a store URL given as an option, naming the option in the error.
fn store_url(option: &str, text: &str) -> Result<StoreUrl> {
    StoreUrl::parse(text).map_err(|error| Error::configuration(format!("--{option}: {error}")))
}

/// Fails when a table that must be there is not, saying which step makes it.
async fn require_table(store: &dyn Store, table: &headrace_core::Ident, made_by: &str) -> Result<()> {
    if store.has_table(table).await? {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "table `{table}` does not exist in {}; run `headrace recruitment {made_by}` first, or correct the URL",
        store.name()
    )))
}
