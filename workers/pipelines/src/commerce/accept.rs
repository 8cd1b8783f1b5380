//! Which checked events of a batch are new: the others repeat or contradict an event that came before.

use headrace_transforms::ids::Verdict;

use super::decode::{Decoded, Refused, texts};
use super::reason::Reason;
use headrace_core::Result;

/// A batch's checked events by fate.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Rows of new events, in message order.
    pub rows: Vec<usize>,
    /// Rows of events that say the same as one before.
    pub duplicates: Vec<usize>,
    /// Events with the id of another one and other content.
    pub conflicting: Vec<Refused>,
}

/// Tells the events of a batch apart.
///
/// # Errors
/// When a column is missing.
pub(super) fn accept(decoded: &Decoded, verdicts: &[Verdict]) -> Result<Accepted> {
    let mut accepted = Accepted::default();
    for (row, verdict) in verdicts.iter().enumerate() {
        let first = match verdict {
            Verdict::New => {
                accepted.rows.push(row);
                continue;
            }
            Verdict::Repeat(first) => decoded.ids.payload(*first),
            Verdict::Seen(content) => *content,
        };
        if first == decoded.ids.payload(row) {
            accepted.duplicates.push(row);
        } else {
            accepted.conflicting.push(conflicting(decoded, row)?);
        }
    }
    Ok(accepted)
}

fn conflicting(decoded: &Decoded, row: usize) -> Result<Refused> {
    let id = texts(&decoded.rows, "event_id")?.get(row).unwrap_or_default();
    let refusal = Reason::ConflictingDuplicate.because(format!("event {id} came before, with other content"));
    decoded.refuse(row, refusal)
}
