//! Reading a whole table in key order, page by page behind the last key.
//!
//! Delivery: every row that is there for the whole scan once; resumable, because the position holds the last key. The
//! first part has all rows and the other parts none: ranges of keys cut by content would move between a stop and its
//! resumption. Memory: one page, about eight megabytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::source::{Event, Source};
use headrace_core::table::{Column, Table, Value};
use headrace_core::{Batch, Claim, Error, Partition, Position, Result};
use mysql_async::prelude::Queryable;

use super::dialect::quote;
use super::failure::attempt;
use super::select;
use super::server::Server;

const PAGE_BYTES: u64 = 8 << 20;
const MOST_ROWS: usize = 10_000;
const FIRST_ROWS: usize = 1_000;
/// A page that takes longer is waited for in several calls.
const PATIENCE: Duration = Duration::from_millis(900);

/// A page of values, column by column: the wanted columns, then the key.
type Page = Vec<Vec<Value>>;
type Fetch = Pin<Box<dyn Future<Output = Result<Page>> + Send>>;

/// A scan of a table.
pub(super) struct Scan {
    server: Server,
    table: Arc<Table>,
    columns: Vec<String>,
    parts: Vec<Partition>,
    /// The part with the rows, when it was chosen.
    first: Option<Partition>,
    announced: bool,
    /// Whether the first part was started, and goes on.
    reading: bool,
    at: i64,
    after: Vec<Value>,
    page_rows: usize,
    fetch: Option<(usize, Fetch)>,
    rows: u64,
}

impl Scan {
    /// Prepares a scan and checks that the table is there.
    pub(super) async fn new(
        server: &Server,
        table: &Table,
        columns: &[&str],
        parts: usize,
        only: &[usize],
    ) -> Result<Self> {
        select::find_columns(table, columns)?;
        let mut connection = server.connection().await?;
        let context = || format!("cannot read {}", server.called(&table.name));
        let count = format!("SELECT COUNT(*) FROM {}", quote(&table.name));
        let rows: Option<u64> = attempt(context, connection.query_first(count)).await?;
        let chosen = |part: &usize| only.is_empty() || only.contains(part);
        let part = |number: usize| Partition::new(format!("{} of {parts}", number + 1));
        Ok(Self {
            server: server.clone(),
            table: Arc::new(table.clone()),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            parts: (0..parts).filter(chosen).map(part).collect(),
            first: chosen(&0).then(|| part(0)),
            announced: false,
            reading: false,
            at: 0,
            after: Vec::new(),
            page_rows: FIRST_ROWS,
            fetch: None,
            rows: rows.unwrap_or(0),
        })
    }

    fn fetch(&self) -> Fetch {
        let (server, table, columns) = (self.server.clone(), Arc::clone(&self.table), self.columns.clone());
        let (after, limit) = (self.after.clone(), self.page_rows);
        Box::pin(async move {
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            let columns: Vec<&Column> = select::find_columns(&table, &names)?.into_iter().chain(table.keys()).collect();
            select::rows(&server, &table, &columns, &[], &after, limit).await
        })
    }

    fn batch(&mut self, mut page: Page, asked: usize, partition: Partition) -> Result<Event> {
        let keys = page.split_off(self.columns.len());
        let height = keys.first().map_or(0, Vec::len);
        self.reading = height == asked;
        if height == 0 {
            return Ok(if self.reading { Event::Idle } else { Event::End });
        }
        self.after = keys.into_iter().filter_map(|mut column| column.pop()).collect();
        self.at += i64::try_from(height).unwrap_or(0);
        let bytes: u64 = page.iter().flatten().map(size).sum();
        let row_bytes = (bytes / u64::try_from(height).unwrap_or(1)).max(1);
        self.page_rows = usize::try_from(PAGE_BYTES / row_bytes).unwrap_or(MOST_ROWS).clamp(1, MOST_ROWS);
        let names: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let frame = select::frame(&select::find_columns(&self.table, &names)?, page)?;
        let detail = key_to_text(&self.after)?;
        let reached = Reached::from([(partition, Position::with_detail(self.at, detail))]);
        Ok(Event::Batch(Batch { frame, reached, bytes }))
    }
}

#[async_trait]
impl Source for Scan {
    async fn next(&mut self) -> Result<Event> {
        if !self.announced {
            self.announced = true;
            return Ok(Event::Assigned(self.parts.clone()));
        }
        let Some(partition) = self.first.clone().filter(|_| self.reading) else { return Ok(Event::End) };
        let (asked, mut fetch) = match self.fetch.take() {
            Some(begun) => begun,
            None => (self.page_rows, self.fetch()),
        };
        match tokio::time::timeout(PATIENCE, &mut fetch).await {
            Ok(page) => self.batch(page?, asked, partition),
            Err(_) => {
                self.fetch = Some((asked, fetch));
                Ok(Event::Idle)
            }
        }
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        for claim in claims.iter().filter(|claim| Some(&claim.partition) == self.first.as_ref()) {
            self.reading = true;
            self.fetch = None;
            self.at = claim.position.as_ref().map_or(0, |position| position.at);
            self.after = match &claim.position {
                Some(position) => key_from_text(&self.table, &position.detail)?,
                None => Vec::new(),
            };
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        if self.first.as_ref().is_some_and(|first| partitions.contains(first)) {
            self.reading = false;
            self.fetch = None;
        }
        Ok(())
    }

    fn remaining(&self) -> Option<u64> {
        let read = u64::try_from(self.at).unwrap_or(0);
        Some(if self.first.is_some() { self.rows.saturating_sub(read) } else { 0 })
    }
}

fn size(value: &Value) -> u64 {
    let bytes = match value {
        Value::Null => 1,
        Value::Int(_) | Value::Double(_) => 8,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Writes a key as JSON: numbers, texts, and bytes as a list of numbers.
fn key_to_text(key: &[Value]) -> Result<String> {
    let parts: Vec<serde_json::Value> = key
        .iter()
        .map(|value| match value {
            Value::Null => serde_json::Value::Null,
            Value::Int(value) => (*value).into(),
            // The bits, because a decimal text of a double need not be exact.
            Value::Double(value) => value.to_bits().into(),
            Value::Text(text) => text.as_str().into(),
            Value::Bytes(bytes) => bytes.as_slice().into(),
        })
        .collect();
    serde_json::to_string(&parts).map_err(|error| Error::data(format!("cannot write a position: {error}")))
}

fn key_from_text(table: &Table, text: &str) -> Result<Vec<Value>> {
    let damaged = || Error::data(format!("the position {text:?} does not fit table `{}`", table.name));
    let parts: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|_| damaged())?;
    let keys: Vec<&Column> = table.keys().collect();
    if parts.len() != keys.len() {
        return Err(damaged());
    }
    let value = |(key, part): (&&Column, serde_json::Value)| match (key.kind, part) {
        (headrace_core::table::Kind::Double, part) => part.as_u64().map(|bits| Value::Double(f64::from_bits(bits))),
        (_, serde_json::Value::String(text)) => Some(Value::Text(text)),
        (_, serde_json::Value::Array(bytes)) => {
            bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect::<Option<Vec<u8>>>().map(Value::Bytes)
        }
        (_, part) => part.as_i64().map(Value::Int),
    };
    keys.iter().zip(parts).map(|pair| value(pair).ok_or_else(damaged)).collect()
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Table, Value};

    use super::{key_from_text, key_to_text};

    #[test]
    fn keys_survive_as_text() {
        let table = Table::new(Ident::new("t").unwrap()).key("a", Kind::Int).unwrap().key("b", Kind::Name(9)).unwrap();
        let table = table.key("c", Kind::TimeUuid).unwrap().key("d", Kind::Double).unwrap();
        let key =
            [Value::Int(i64::MIN), Value::Text("ä\"\\".into()), Value::Bytes((0..16).collect()), Value::Double(-0.1)];
        assert_eq!(key_from_text(&table, &key_to_text(&key).unwrap()).unwrap(), key);
        for broken in ["", "[]", "[1,\"x\",[256],0]", "{}"] {
            let read = key_from_text(&table, broken);
            assert!(read.is_err(), "{broken}: {read:?}");
        }
    }
}
