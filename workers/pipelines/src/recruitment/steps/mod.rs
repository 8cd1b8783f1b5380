//! The steps of this system, one file each.

mod clean;
mod dead_letters;
mod demo;
mod export;
mod jobs;
mod lag;
mod load;
mod replay;
mod simulate;
mod verify;

use headrace_core::step::{Holds, Step};
use headrace_core::store::Store;
use headrace_core::{Error, Result};

use crate::recruitment::schema::TOPIC;
use crate::steps::{report_of, set_positions, store_url};

pub use clean::Clean;
pub use dead_letters::Replay as ReplayDeadLetters;
pub use demo::Demo;
pub use export::Export;
pub use jobs::Jobs;
pub use lag::Lag;
pub use load::Load;
pub use replay::Replay;
pub use simulate::Simulate;
pub use verify::Verify;

/// Lists the system's dead letters.
pub type List = crate::dead_letters::steps::List<dead_letters::Place>;
/// Shows some of them.
pub type Show = crate::dead_letters::steps::Show<dead_letters::Place>;

/// The system's name in steps.
pub const SYSTEM: &str = "recruitment";

/// The steps, in the order people use them, with what each of them reads and writes.
pub fn steps() -> Vec<Step> {
    let (raw, topic, result, job) =
        (Holds::Table("tracking"), Holds::Topic(TOPIC), Holds::Table("result"), Holds::Table("job"));
    vec![
        Step::of::<Demo>().reads("tracking", Holds::File).reads("jobs", Holds::File).writes("dir", Holds::File),
        Step::of::<Simulate>().writes("directory", Holds::File),
        Step::of::<Load>().reads("file", Holds::File).writes("to", raw),
        Step::of::<Jobs>().reads("file", Holds::File).writes("to", job),
        Step::of::<Replay>().reads("from", raw).writes("to", topic),
        Step::of::<Clean>().reads("from", topic).reads("jobs", job).writes("to", result),
        Step::of::<Lag>().reads("from", topic).reads("to", result),
        Step::of::<Export>()
            .reads_when("from", result, "what", &["hourly", "unattributed"])
            .reads_when("from", raw, "what", &["messages"])
            .writes("out", Holds::File),
        Step::of::<Verify>().reads("raw", raw).reads("log", topic).reads("result", result).reads("jobs", job),
        Step::of::<List>().writes("out", Holds::File),
        Step::of::<Show>(),
        Step::of::<ReplayDeadLetters>().reads("fixed", Holds::File),
    ]
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
