//! The counters of section "classes": what became of every record, over all loads, and how large the result is.

use std::collections::BTreeMap;

use headrace_core::store::Store;
use headrace_core::{Counts, Result};

use super::companies::Companies;
use super::schema::{RawSchema, ResultSchema};
use crate::reading::Pages;

/// Gathers the counters by name, in order of names.
///
/// # Errors
/// When a store fails.
pub async fn quality(
    raw: &dyn Store,
    raw_schema: &RawSchema,
    results: &dyn Store,
    result_schema: &ResultSchema,
    companies: &Companies,
) -> Result<BTreeMap<String, u64>> {
    let loaded: Counts = raw.counters(&raw_schema.load_scope()).await?;
    let mut counters = loaded.classes;
    counters.insert("read".into(), loaded.read);
    counters.insert("stored".into(), loaded.written);
    counters.insert("duplicate".into(), loaded.duplicate);
    counters.insert("dead_letter".into(), loaded.dead_lettered);
    for total in ["counted", "unattributed"] {
        counters.entry(total.into()).or_insert(0);
    }
    let (mut rows, mut unknown) = (0, 0);
    let mut pages = Pages::new(results, &result_schema.result, &["job_id"]);
    while let Some(page) = pages.next().await? {
        rows += page.height() as u64;
        unknown +=
            page.column("job_id")?.i64()?.into_no_null_iter().filter(|job| !companies.knows(*job)).count() as u64;
    }
    counters.insert("rows".into(), rows);
    counters.insert("unknown_job_rows".into(), unknown);
    Ok(counters)
}

/// Writes counters as JSON, one a line.
pub fn to_json(counters: &BTreeMap<String, u64>) -> String {
    let lines: Vec<String> = counters.iter().map(|(name, count)| format!(" \"{name}\": {count}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
