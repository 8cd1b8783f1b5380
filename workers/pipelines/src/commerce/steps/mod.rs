//! The steps of this system, one file each.

mod compact;
mod create;
mod dead_letters;
mod demo;
mod export;
mod recompute;
mod simulate;
mod stream;
mod verify;

use headrace_core::step::{Holds, Step};

pub use compact::Compact;
pub use create::Create;
pub use dead_letters::ReplayDeadLetters;
pub use demo::Demo;
pub use export::Export;
pub use recompute::Recompute;
pub use simulate::Simulate;
pub use stream::Stream;
pub use verify::Verify;

/// Lists the system's dead letters.
pub type ListDeadLetters = crate::dead_letters::steps::List<dead_letters::Place>;
/// Shows some of them.
pub type ShowDeadLetters = crate::dead_letters::steps::Show<dead_letters::Place>;

/// The system's name in steps.
pub const SYSTEM: &str = "commerce";
/// The archive of steps that are given none.
pub(crate) const DEFAULT_ARCHIVE: &str = "file:headrace-data/ecommerce";

/// The steps, in the order people use them, with what each of them reads and writes.
pub fn steps() -> Vec<Step> {
    let (events, sales) = (Holds::Topic("orders"), Holds::Table("sales_per_minute"));
    vec![
        Step::of::<Demo>().writes("dir", Holds::File),
        Step::of::<Create>().writes("log", events).writes("store", sales).writes("archive", Holds::File),
        Step::of::<Simulate>().writes("to", events),
        Step::of::<Stream>().reads("from", events).writes("store", sales).writes("archive", Holds::File),
        Step::of::<Compact>().reads("store", sales).writes("archive", Holds::File),
        Step::of::<Recompute>().reads("archive", Holds::File).reads("store", sales),
        Step::of::<Export>().reads("store", sales).writes("out", Holds::File),
        Step::of::<Verify>().reads("store", sales).reads("archive", Holds::File),
        Step::of::<ListDeadLetters>().writes("out", Holds::File),
        Step::of::<ShowDeadLetters>(),
        Step::of::<ReplayDeadLetters>()
            .reads("fixed", Holds::File)
            .writes("store", sales)
            .writes("archive", Holds::File),
    ]
}
