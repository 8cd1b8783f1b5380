//! Messages of the simulators, with some bytes cut out and others put in: what readers of JSON are tested with.

use proptest::prelude::*;
use proptest::sample::Index;

/// Where, how many characters go, and what comes instead.
type Edit = (Index, usize, String);

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((any::<Index>(), 0..4_usize, "[]\\[{}\",:0-9.eEtn \\\\\u{1}ü-]{0,3}"), 0..4)
}

pub(crate) fn edited(text: String, edits: Vec<Edit>) -> String {
    edits.into_iter().fold(text, |text, (place, cut, put)| {
        let mut letters: Vec<char> = text.chars().collect();
        let from = place.index(letters.len() + 1);
        let to = (from + cut).min(letters.len());
        letters.splice(from..to, put.chars());
        letters.into_iter().collect()
    })
}
