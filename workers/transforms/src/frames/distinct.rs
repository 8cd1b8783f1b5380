//! De-duplication of the rows of a frame by an id: the first row of an id stays.

use std::collections::hash_map::Entry;

use polars::prelude::{DataFrame, IdxCa};

use super::Result;
use super::columns::Values;
use super::keys::put_row;

/// The rows of a frame, each in one of three frames, in their order.
#[derive(Clone, Debug)]
pub struct Deduplicated {
    /// The first row of each id, and all rows without an id.
    pub kept: DataFrame,
    /// The later rows of an id that say the same as the first.
    pub duplicates: DataFrame,
    /// The later rows of an id that say something else than the first.
    pub conflicts: DataFrame,
}

/// Keeps the first row of each id, and tells copies from contradictions.
///
/// Rows say the same if they agree in the columns of the content, or in all columns if none are named.
///
/// # Errors
/// When a column is missing or its values cannot be compared.
pub fn deduplicate(frame: &DataFrame, id: &str, content: Option<&[String]>) -> Result<Deduplicated> {
    let all: Vec<String>;
    let content = match content {
        Some(content) => content,
        None => {
            all = frame.get_column_names().into_iter().map(ToString::to_string).collect();
            &all
        }
    };
    let ids = Values::read(frame, id)?;
    let readers = content.iter().map(|name| Values::read(frame, name)).collect::<Result<Vec<_>>>()?;
    let mut first_rows: foldhash::HashMap<Box<[u8]>, usize> = foldhash::HashMap::default();
    let (mut kept, mut duplicates, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for row in 0..frame.height() {
        let mut key = Vec::new();
        let into = if !ids.put(row, &mut key) {
            &mut kept
        } else {
            match first_rows.entry(key.into()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(row);
                    &mut kept
                }
                Entry::Occupied(first) => {
                    one.clear();
                    other.clear();
                    put_row(&readers, *first.get(), &mut one);
                    put_row(&readers, row, &mut other);
                    if one == other { &mut duplicates } else { &mut conflicts }
                }
            }
        };
        into.push(row as u32);
    }
    let rows = |rows| frame.take(&IdxCa::from_vec("".into(), rows));
    Ok(Deduplicated { kept: rows(kept)?, duplicates: rows(duplicates)?, conflicts: rows(conflicts)? })
}
