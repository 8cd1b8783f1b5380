//! The steps of this system, one file each.

mod dead_letters;
mod demo;
mod rescore;
mod score;
mod send;
mod train;
mod verify;

use headrace_core::step::{Holds, Step};

use crate::scoring::schema::{CACHE, OFFERS, TOPIC};

pub use dead_letters::ReplayDeadLetters;
pub use demo::Demo;
pub use rescore::Rescore;
pub use score::Score;
pub use send::Send;
pub use train::Train;
pub use verify::Verify;

/// Lists the system's dead letters.
pub type ListDeadLetters = crate::dead_letters::steps::List<dead_letters::Place>;
/// Shows some of them.
pub type ShowDeadLetters = crate::dead_letters::steps::Show<dead_letters::Place>;

/// The system's name in steps.
pub const SYSTEM: &str = "scoring";

/// The steps, in the order people use them, with what each of them reads and writes.
pub fn steps() -> Vec<Step> {
    let (topic, offers, cache) = (Holds::Topic(TOPIC), Holds::Table(OFFERS), Holds::Table(CACHE));
    vec![
        Step::of::<Demo>().writes("dir", Holds::File),
        Step::of::<Train>().reads("training", Holds::File).reads("holdout", Holds::File).writes("out", Holds::File),
        Step::of::<Send>().writes("to", topic),
        Step::of::<Score>()
            .reads("from", topic)
            .reads("model", Holds::File)
            .reads("shadow", Holds::File)
            .writes("offers", offers)
            .writes("cache", cache),
        Step::of::<Rescore>().reads("model", Holds::File).writes("offers", offers).writes("cache", cache),
        Step::of::<Verify>().reads("offers", offers).reads("cache", cache),
        Step::of::<ListDeadLetters>().writes("out", Holds::File),
        Step::of::<ShowDeadLetters>(),
        Step::of::<ReplayDeadLetters>()
            .reads("fixed", Holds::File)
            .reads("model", Holds::File)
            .writes("offers", offers)
            .writes("cache", cache),
    ]
}
