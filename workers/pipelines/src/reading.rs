//! Reading without a ledger: whole tables in key order, whole sources to their end.

use headrace_core::retry::Backoff;
use headrace_core::source::{Event, Source};
use headrace_core::store::{Select, Store};
use headrace_core::table::{Kind, Table, Value};
use headrace_core::{Batch, Claim, Control, Result};
use polars::prelude::DataFrame;

/// Rows fetched at once.
const PAGE: usize = 50_000;

/// A table, page by page, in key order.
pub struct Pages<'a> {
    store: &'a dyn Store,
    table: &'a Table,
    columns: Vec<&'a str>,
    after: Vec<Value>,
    done: bool,
}

impl<'a> Pages<'a> {
    /// Begins before the first row; key columns are always read.
    pub fn new(store: &'a dyn Store, table: &'a Table, columns: &[&'a str]) -> Self {
        let mut all: Vec<&str> = columns.to_vec();
        all.extend(table.keys().map(|column| column.name.as_str()).filter(|name| !columns.contains(name)));
        Self { store, table, columns: all, after: Vec::new(), done: false }
    }

    /// Begins behind a key, given with all its columns.
    pub fn behind(store: &'a dyn Store, table: &'a Table, columns: &[&'a str], after: Vec<Value>) -> Self {
        Self { after, ..Self::new(store, table, columns) }
    }

    /// Reads the next page; none after the last.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<DataFrame>> {
        if self.done {
            return Ok(None);
        }
        let after = std::mem::take(&mut self.after);
        let select = Select { table: self.table, columns: self.columns.clone(), equal: Vec::new(), after, limit: PAGE };
        let page = self.store.select(&select).await?;
        self.done = page.height() < PAGE;
        if page.height() == 0 {
            return Ok(None);
        }
        self.after = self.last_key(&page)?;
        Ok(Some(page))
    }

    fn last_key(&self, page: &DataFrame) -> Result<Vec<Value>> {
        let last = page.height() - 1;
        self.table
            .keys()
            .map(|key| {
                let column = page.column(key.name.as_str())?;
                Ok(match key.kind {
                    Kind::Text | Kind::Name(_) => {
                        column.str()?.get(last).map_or(Value::Null, |text| Value::Text(text.to_owned()))
                    }
                    Kind::Bytes | Kind::TimeUuid => {
                        column.binary()?.get(last).map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec()))
                    }
                    Kind::Double => column.f64()?.get(last).map_or(Value::Null, Value::Double),
                    Kind::Single => {
                        column.f32()?.get(last).map_or(Value::Null, |value| Value::Double(f64::from(value)))
                    }
                    _ => column.i64()?.get(last).map_or(Value::Null, Value::Int),
                })
            })
            .collect()
    }
}

/// Reads a source from its beginning to its end; false when a stop came first.
///
/// # Errors
/// What the source says, after external errors were tried again.
pub async fn read_all(
    mut source: Box<dyn Source>,
    control: &Control,
    mut each: impl FnMut(Batch) -> Result<()>,
) -> Result<bool> {
    let backoff = Backoff::default();
    let mut failures = 0;
    loop {
        let event = tokio::select! {
            () = control.stopping() => return Ok(false),
            event = source.next() => event,
        };
        match event {
            Ok(Event::Assigned(partitions)) => {
                let claims: Vec<Claim> =
                    partitions.into_iter().map(|partition| Claim { partition, epoch: 0, position: None }).collect();
                source.start(&claims).await?;
            }
            Ok(Event::Revoked(partitions)) => source.release(&partitions).await?,
            Ok(Event::Batch(batch)) => each(batch)?,
            // An outage is told between idle moments; only something that arrived ends the count.
            Ok(Event::Idle) => continue,
            Ok(Event::End) => return Ok(true),
            Err(error) => match backoff.pause(failures).filter(|_| error.is_retryable()) {
                Some(pause) => {
                    failures += 1;
                    tokio::time::sleep(pause).await;
                    continue;
                }
                None => return Err(error),
            },
        }
        failures = 0;
    }
}
