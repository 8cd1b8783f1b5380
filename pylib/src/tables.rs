//! Tables of stores, read as they are committed. A store is opened by its first read and kept open, once in each process.

use std::collections::HashMap;
use std::sync::Arc;

use headrace_core::Control;
use headrace_core::per_process::PerProcess;
use headrace_core::table::{Kind, Table};
use headrace_pipelines::commerce::tables::{Choice, Tables};
use polars::prelude::{ArrowDataType, ArrowTimeUnit};
use pyo3::prelude::*;
use serde_json::json;
use tokio::sync::Mutex;

use crate::arrow::ArrowTable;
use crate::error::raised;
use crate::wait::Caller;

/// Digits that fit into the stored number of an amount.
const DIGITS: usize = 18;

static OPENED: PerProcess<Mutex<HashMap<String, Arc<Tables>>>> = PerProcess::new();

/// Reads a table of commerce: amounts as decimals, times in UTC.
#[pyfunction]
#[pyo3(signature = (store, name, *, since_us, columns, newest))]
pub(crate) fn commerce_table(
    py: Python<'_>,
    store: String,
    name: String,
    since_us: Option<i64>,
    columns: Option<Vec<String>>,
    newest: Option<usize>,
) -> PyResult<ArrowTable> {
    let choice = Choice { since_us, columns: columns.unwrap_or_default(), newest };
    let read = async move {
        let tables = opened(&store).await?;
        let frame = tables.read(&name, &choice).await?;
        let types = types(tables.table(&name)?);
        headrace_core::Result::Ok((frame, types))
    };
    let ended = Caller::default().wait(py, &Control::default(), read)?;
    let (frame, types) = ended.map_err(|error| raised(&error))?;
    Ok(ArrowTable::typed(frame, types))
}

/// The counters of commerce's stream, its last commit and its latest minute with an event, as JSON.
#[pyfunction]
pub(crate) fn commerce_counters(py: Python<'_>, store: String) -> PyResult<String> {
    let read = async move {
        let tables = opened(&store).await?;
        let (counts, committed_at_us) = tables.counters().await?;
        let newest_minute_us = tables.newest_minute().await?;
        headrace_core::Result::Ok(json!({
            "counts": counts, "committed_at_us": committed_at_us, "newest_minute_us": newest_minute_us
        }))
    };
    let ended = Caller::default().wait(py, &Control::default(), read)?;
    Ok(ended.map_err(|error| raised(&error))?.to_string())
}

async fn opened(store: &str) -> headrace_core::Result<Arc<Tables>> {
    let all = OPENED.get(|_| Mutex::default());
    if let Some(tables) = all.lock().await.get(store) {
        return Ok(Arc::clone(tables));
    }
    // Outside the lock: a server that does not answer keeps nobody waiting who reads another one.
    let tables = Arc::new(Tables::open(store).await?);
    Ok(Arc::clone(all.lock().await.entry(store.to_owned()).or_insert(tables)))
}

/// The types of columns that a frame holds as whole numbers.
fn types(table: &Table) -> HashMap<String, ArrowDataType> {
    let exact = |kind: Kind| match kind {
        Kind::Decimal { scale } => Some(ArrowDataType::Decimal(DIGITS, usize::from(scale))),
        Kind::DateTime => Some(ArrowDataType::Timestamp(ArrowTimeUnit::Microsecond, Some("UTC".into()))),
        _ => None,
    };
    table.columns.iter().filter_map(|column| Some((column.name.to_string(), exact(column.kind)?))).collect()
}
