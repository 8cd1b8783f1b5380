//! Compares two hourly tables row by row.

use std::collections::BTreeMap;

use headrace_core::Result;
use headrace_transforms::civil;
use polars::prelude::DataFrame;

use super::EXAMPLES;
use crate::recruitment::hourly::{KEYS, SUMS, merge};

/// What two hourly tables differ in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TableDifferences {
    /// Rows that are not there.
    pub missing: u64,
    /// Rows that should not be there.
    pub unexpected: u64,
    /// Rows with other numbers.
    pub different: u64,
    /// A few of them, in words.
    pub examples: Vec<String>,
}

type Key = [i64; KEYS.len()];
type Sums = [Option<i64>; SUMS.len()];

/// Adds an hourly table to one that is being gathered.
///
/// # Errors
/// When a column is missing or of another type.
pub fn fold(gathered: &mut Option<DataFrame>, table: DataFrame) -> Result<()> {
    *gathered = Some(match gathered.take() {
        None => table,
        Some(before) => merge(&[before, table])?,
    });
    Ok(())
}

/// Compares a right table with one found.
///
/// # Errors
/// When a column is missing or of another type.
pub fn compare(right: &DataFrame, found: &[DataFrame]) -> Result<TableDifferences> {
    let mut expected = rows(right)?;
    let mut differences = TableDifferences::default();
    for page in found {
        for (key, sums) in rows(page)? {
            let kind = match expected.remove(&key) {
                Some(right) if right == sums => continue,
                Some(right) => {
                    differences.different += 1;
                    format!("{}: expected {}, found {}", name(&key), text(&right), text(&sums))
                }
                None => {
                    differences.unexpected += 1;
                    format!("{}: unexpected row {}", name(&key), text(&sums))
                }
            };
            if differences.examples.len() < EXAMPLES {
                differences.examples.push(kind);
            }
        }
    }
    differences.missing = expected.len() as u64;
    for (key, sums) in expected.iter().take(EXAMPLES.saturating_sub(differences.examples.len())) {
        differences.examples.push(format!("{}: missing row {}", name(key), text(sums)));
    }
    Ok(differences)
}

fn rows(table: &DataFrame) -> Result<BTreeMap<Key, Sums>> {
    let mut rows: Vec<(Key, Sums)> = vec![([0; KEYS.len()], [None; SUMS.len()]); table.height()];
    for (place, name) in KEYS.iter().enumerate() {
        for (row, value) in rows.iter_mut().zip(table.column(name)?.i64()?.iter()) {
            row.0[place] = value.unwrap_or_default();
        }
    }
    for (place, name) in SUMS.iter().enumerate() {
        for (row, value) in rows.iter_mut().zip(table.column(name)?.i64()?.iter()) {
            row.1[place] = value;
        }
    }
    Ok(rows.into_iter().collect())
}

fn name([job, hour, publisher, campaign, group]: &Key) -> String {
    format!("job {job}, {}, {publisher}/{campaign}/{group}", civil::timestamp_text(*hour))
}

fn text(sums: &Sums) -> String {
    let shown: Vec<String> = SUMS
        .iter()
        .zip(sums)
        .filter_map(|(name, sum)| {
            let sum = (*sum)?;
            Some(if *name == "spend_hour" {
                format!("{name}={:.2}", sum as f64 / 1e6)
            } else {
                format!("{name}={sum}")
            })
        })
        .collect();
    shown.join(" ")
}
