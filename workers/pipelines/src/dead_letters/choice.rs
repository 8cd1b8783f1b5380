//! Which letters are taken, with which corrections, and as the messages they were.

use std::collections::HashMap;
use std::path::Path;

use headrace_core::batch::message_columns;
use headrace_core::dead_letter::{self, DeadLetter};
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_core::{Error, Result};
use polars::prelude::{DataFrame, NamedFrom, Series};
use serde::Deserialize;

use crate::reading::Pages;

/// Corrected texts by source and position.
pub type Fixes = HashMap<(String, String), String>;

/// Which letters to take.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only letters with this reason.
    pub reason: Option<String>,
    /// Settled ones too; never for a replay.
    pub settled: bool,
    /// At most so many.
    pub limit: usize,
}

/// Reads letters in key order.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, table: &Table, choice: &Choice) -> Result<Vec<DeadLetter>> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut pages = Pages::new(store, table, &columns);
    let mut letters = Vec::new();
    while let Some(page) = pages.next().await? {
        letters.extend(dead_letter::from_frame(&page)?.into_iter().filter(|letter| {
            choice.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
                && (choice.settled || letter.settled_at_us.is_none())
        }));
        if letters.len() >= choice.limit {
            break;
        }
    }
    letters.truncate(choice.limit);
    Ok(letters)
}

/// Leaves out letters without a corrected text, where there are corrections.
pub(crate) fn chosen(letters: Vec<DeadLetter>, fixes: Option<&Fixes>) -> Vec<DeadLetter> {
    let is_fixed = |letter: &DeadLetter| fixes.is_none_or(|fixes| fixes.contains_key(&key(letter)));
    letters.into_iter().filter(is_fixed).collect()
}

/// The letters with corrected texts in place.
pub(crate) fn with_fixes(letters: &[DeadLetter], fixes: Option<&Fixes>) -> Vec<DeadLetter> {
    let fixed = |letter: &DeadLetter| {
        let text = fixes.and_then(|fixes| fixes.get(&key(letter)));
        let raw = text.map_or_else(|| letter.raw.clone(), |text| Some(text.clone().into_bytes()));
        DeadLetter { raw, ..letter.clone() }
    };
    letters.iter().map(fixed).collect()
}

fn key(letter: &DeadLetter) -> (String, String) {
    (letter.source.clone(), letter.position.clone())
}

#[derive(Deserialize)]
struct Fix {
    source: String,
    position: String,
    /// Null for a message without value, which stays as it is unless it is given one.
    raw: Option<String>,
}

/// Reads corrected texts from a file of JSON lines.
///
/// # Errors
/// A configuration error when it cannot be read, a data error naming a line that is none.
pub(crate) fn read_fixes(path: &Path) -> Result<Fixes> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::configuration(format!("cannot read {}: {error}", path.display())))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let fix: Fix = serde_json::from_str(line)
                .map_err(|error| Error::data(format!("{}, line {}: {error}", path.display(), number + 1)))?;
            Ok(fix.raw.map(|raw| ((fix.source, fix.position), raw)))
        })
        .filter_map(Result::transpose)
        .collect()
}

/// Puts letters that were messages into a frame of messages, without times.
///
/// # Errors
/// When the frame cannot be built.
pub fn message_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    let keys: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.key.as_deref()).collect();
    let values: Vec<Option<&[u8]>> = letters.iter().map(|letter| letter.raw.as_deref()).collect();
    let place = |letter: &DeadLetter| -> Option<(i32, i64)> {
        let (partition, offset) = letter.position.split_once('-')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    let places: Vec<(i32, i64)> = letters.iter().map(|letter| place(letter).unwrap_or_default()).collect();
    let columns = vec![
        Series::new(message_columns::KEY.into(), keys).into(),
        Series::new(message_columns::VALUE.into(), values).into(),
        Series::new(message_columns::PARTITION.into(), places.iter().map(|place| place.0).collect::<Vec<_>>()).into(),
        Series::new(message_columns::OFFSET.into(), places.iter().map(|place| place.1).collect::<Vec<_>>()).into(),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}
