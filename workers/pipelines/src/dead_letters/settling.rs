//! What becomes of a dead letter that was put through its step again: settled, or refused once more.

use std::collections::HashMap;

use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::store::Unit;
use headrace_core::table::Table;
use headrace_core::{Counts, Error, Result, clock};
use serde::{Deserialize, Serialize};

/// The state space of letters that are to be marked, in stores without transactions.
const SPACE: &str = "settling";
const KEY: i64 = 0;

/// What a replayed batch became: counts, and the places of letters refused again, with why.
pub struct Outcome {
    /// Its rows by fate.
    pub counts: Counts,
    /// Reason and detail by position.
    pub refused: HashMap<String, (String, String)>,
}

/// A mark that is still to be set: a letter without its texts.
#[derive(Serialize, Deserialize)]
struct Mark {
    source: String,
    position: String,
    reason: String,
    detail: String,
    failed_at_us: i64,
    settled_at_us: Option<i64>,
    replays: i64,
}

impl Outcome {
    /// The letters as they are from now on. What was refused again keeps the text it came with, and not a correction that was none.
    pub fn mark(&self, letters: &[DeadLetter], taken: &[DeadLetter]) -> Vec<DeadLetter> {
        let now = clock::now_us();
        let mark = |(letter, taken): (&DeadLetter, &DeadLetter)| {
            let replays = letter.replays + 1;
            match self.refused.get(&letter.position) {
                Some((reason, detail)) => {
                    let (reason, detail) = (reason.clone(), detail.clone());
                    DeadLetter { replays, reason, detail, ..letter.clone() }
                }
                None => DeadLetter { replays, settled_at_us: Some(now), ..taken.clone() },
            }
        };
        letters.iter().zip(taken).map(mark).collect()
    }

    /// What the step's counters change by: what the letters became is added, and they are dead letters no longer.
    pub fn moves(&self, letters: &[DeadLetter]) -> (Counts, Counts) {
        let more = Counts { read: 0, bytes: 0, ..self.counts.clone() };
        let mut less = Counts { dead_lettered: letters.len() as u64, ..Counts::default() };
        letters.iter().for_each(|letter| less.class(format!("dead_letter:{}", letter.reason), 1));
        (more, less)
    }
}

/// Notes in a unit which letters the next one has to mark.
///
/// # Errors
/// When the store fails.
pub async fn note(unit: &mut dyn Unit, marked: &[DeadLetter]) -> Result<()> {
    let mark = |letter: &DeadLetter| Mark {
        source: letter.source.clone(),
        position: letter.position.clone(),
        reason: letter.reason.clone(),
        detail: letter.detail.clone(),
        failed_at_us: letter.failed_at_us,
        settled_at_us: letter.settled_at_us,
        replays: letter.replays,
    };
    let marks: Vec<Mark> = marked.iter().map(mark).collect();
    let blob = serde_json::to_vec(&marks).map_err(|error| Error::data(format!("cannot note dead letters: {error}")))?;
    unit.write_state(SPACE, vec![(KEY, blob)], Vec::new()).await
}

/// Tells whether there are letters to mark.
///
/// # Errors
/// When the store fails.
pub async fn has_noted(unit: &mut dyn Unit) -> Result<bool> {
    Ok(!unit.read_state(SPACE, &[(KEY, -1)]).await?.is_empty())
}

/// Marks the letters that were noted. `marked` has them with their texts, where they are at hand.
///
/// # Errors
/// When the store fails.
pub async fn mark_noted(unit: &mut dyn Unit, table: &Table, marked: &[DeadLetter]) -> Result<()> {
    let noted = unit.read_state(SPACE, &[(KEY, -1)]).await?;
    let mut letters: HashMap<(String, String), DeadLetter> = HashMap::new();
    for segment in &noted {
        let marks: Vec<Mark> = serde_json::from_slice(&segment.blob)
            .map_err(|error| Error::data(format!("cannot read which dead letters are settled: {error}")))?;
        for mark in marks {
            let Mark { source, position, reason, detail, failed_at_us, settled_at_us, replays } = mark;
            let key = (source.clone(), position.clone());
            // Texts that are missing stay as they are: this store leaves nulls unset.
            let bare = DeadLetter {
                failed_at_us,
                settled_at_us,
                replays,
                ..DeadLetter::refused(&source, position, &reason, detail, None)
            };
            letters.insert(key, bare);
        }
    }
    for letter in marked {
        letters.insert((letter.source.clone(), letter.position.clone()), letter.clone());
    }
    let letters: Vec<DeadLetter> = letters.into_values().collect();
    dead_letter::write(unit, table, &letters).await?;
    let done = noted.iter().map(|segment| (KEY, segment.sequence)).collect();
    unit.write_state(SPACE, Vec::new(), done).await
}
