//! Scans of whole tables, as a source.
//!
//! Delivery: every row once, in key order; the position is the number of rows read, its detail the last key, so a resumed
//! scan goes on behind that key. Rows added meanwhile are seen if their key lies ahead. One file has one reader's speed,
//! so the first part holds all rows and the others none. Memory: one page of at most [`PAGE_ROWS`] or about [`PAGE_BYTES`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::source::{Event, Source};
use headrace_core::table::{Kind, Table, Value};
use headrace_core::{Batch, Claim, Error, Partition, Position, Result};
use polars::prelude::DataFrame;
use rusqlite::types::Value as Stored;

use super::cells::stored;
use super::database::Database;
use super::select::Query;
use super::tables::{find, require};

/// At most so many rows in a batch.
const PAGE_ROWS: usize = 10_000;

/// A batch ends behind the row that reaches so many bytes.
const PAGE_BYTES: usize = 8 << 20;

/// A scan of one table.
pub(super) struct Scan {
    database: Arc<Database>,
    table: Table,
    columns: Vec<String>,
    parts: Vec<Part>,
    is_announced: bool,
}

struct Part {
    partition: Partition,
    is_started: bool,
    is_done: bool,
    rows: i64,
    after: Vec<Value>,
}

impl Scan {
    /// Prepares a scan.
    ///
    /// # Errors
    /// A configuration error when the table or a column is missing.
    pub(super) async fn new(
        database: &Arc<Database>,
        table: &Table,
        columns: &[&str],
        parts: usize,
        only: &[usize],
    ) -> Result<Self> {
        for column in columns {
            find(table, column)?;
        }
        let (name, place) = (table.name.clone(), database.name().to_owned());
        database.read(format!("read table `{name}`"), move |connection| require(connection, &name, &place)).await?;
        let parts = parts.max(1);
        let part = |number: usize| Part {
            partition: Partition::new(format!("{} of {parts}", number + 1)),
            is_started: false,
            is_done: number > 0,
            rows: 0,
            after: Vec::new(),
        };
        Ok(Self {
            database: Arc::clone(database),
            table: table.clone(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            parts: (0..parts).filter(|number| only.is_empty() || only.contains(number)).map(part).collect(),
            is_announced: false,
        })
    }

    /// Reads the page behind a key: the frame asked for, the last key, and whether this was the last page.
    async fn page(&self, after: &[Value]) -> Result<(DataFrame, Option<Vec<Value>>, bool)> {
        let keys: Vec<&str> = self.table.keys().map(|key| key.name.as_str()).collect();
        let mut columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        columns.extend(keys.iter().filter(|key| !self.columns.iter().any(|column| column == *key)));
        let after = after
            .iter()
            .zip(self.table.keys())
            .map(|(value, key)| stored(key, value))
            .collect::<Result<Vec<Stored>>>()?;
        let query = Query::behind(&self.table, &columns, &[], after, PAGE_ROWS)?;
        let place = self.database.name().to_owned();
        let work = move |connection: &mut rusqlite::Connection| query.run(connection, &place, PAGE_BYTES);
        let (frame, ended) = self.database.read(format!("read table `{}`", self.table.name), work).await?;
        let last = match frame.height().checked_sub(1) {
            Some(row) => Some(
                self.table.keys().map(|key| value(&frame, key.name.as_str(), key.kind, row)).collect::<Result<_>>()?,
            ),
            None => None,
        };
        let is_last = ended && frame.height() < PAGE_ROWS;
        let frame = frame.select(self.columns.iter().map(String::as_str))?;
        Ok((frame, last, is_last))
    }
}

#[async_trait]
impl Source for Scan {
    async fn next(&mut self) -> Result<Event> {
        if !self.is_announced {
            self.is_announced = true;
            return Ok(Event::Assigned(self.parts.iter().map(|part| part.partition.clone()).collect()));
        }
        while let Some(at) = self.parts.iter().position(|part| part.is_started && !part.is_done) {
            // Nothing changes before the page is here, so a dropped call reads it again.
            let (frame, last, is_last) = self.page(&self.parts[at].after).await?;
            let part = &mut self.parts[at];
            part.is_done = is_last;
            let Some(last) = last else { continue };
            part.rows += frame.height() as i64;
            let position = Position::with_detail(part.rows, encode(&last));
            part.after = last;
            let bytes = frame.estimated_size() as u64;
            return Ok(Event::Batch(Batch { frame, reached: [(part.partition.clone(), position)].into(), bytes }));
        }
        if self.parts.iter().all(|part| part.is_started) {
            return Ok(Event::End);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(Event::Idle)
    }

    async fn start(&mut self, claims: &[Claim]) -> Result<()> {
        for claim in claims {
            let Some(at) = self.parts.iter().position(|part| part.partition == claim.partition) else { continue };
            let (rows, after) = match &claim.position {
                Some(position) => (position.at, decode(&position.detail)?),
                None => (0, Vec::new()),
            };
            let part = &mut self.parts[at];
            part.is_started = true;
            part.is_done = !claim.partition.0.starts_with("1 of ");
            (part.rows, part.after) = (rows, after);
        }
        Ok(())
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<()> {
        for part in self.parts.iter_mut().filter(|part| partitions.contains(&part.partition)) {
            part.is_done = true;
        }
        Ok(())
    }
}

fn value(frame: &DataFrame, column: &str, kind: Kind, row: usize) -> Result<Value> {
    let series = frame.column(column)?;
    let found = match kind {
        Kind::Int | Kind::Small | Kind::Decimal { .. } | Kind::DateTime | Kind::Date => {
            series.i64()?.get(row).map(Value::Int)
        }
        Kind::Double => series.f64()?.get(row).map(Value::Double),
        Kind::Text | Kind::Name(_) => series.str()?.get(row).map(|text| Value::Text(text.to_owned())),
        Kind::Single => series.f32()?.get(row).map(|number| Value::Double(f64::from(number))),
        Kind::Bytes | Kind::TimeUuid => series.binary()?.get(row).map(|bytes| Value::Bytes(bytes.to_vec())),
    };
    Ok(found.unwrap_or(Value::Null))
}

/// A key as the detail of a position: a JSON array; bytes and the bits of doubles as arrays.
fn encode(key: &[Value]) -> String {
    let value = |value: &Value| match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => (*number).into(),
        Value::Double(number) => serde_json::json!({ "double": number.to_bits() }),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => serde_json::json!({ "bytes": bytes }),
    };
    serde_json::Value::Array(key.iter().map(value).collect()).to_string()
}

fn decode(detail: &str) -> Result<Vec<Value>> {
    let wrong = || Error::data(format!("the position of a scan cannot be read: {detail:?}"));
    let value = |value: serde_json::Value| match value {
        serde_json::Value::Null => Some(Value::Null),
        serde_json::Value::Number(number) => number.as_i64().map(Value::Int),
        serde_json::Value::String(text) => Some(Value::Text(text)),
        serde_json::Value::Object(fields) => match (fields.get("double"), fields.get("bytes")) {
            (Some(bits), _) => bits.as_u64().map(|bits| Value::Double(f64::from_bits(bits))),
            (_, Some(bytes)) => serde_json::from_value(bytes.clone()).ok().map(Value::Bytes),
            _ => None,
        },
        _ => None,
    };
    let values: Vec<serde_json::Value> = serde_json::from_str(detail).map_err(|_| wrong())?;
    values.into_iter().map(|one| value(one).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use headrace_core::table::Value;

    use super::{decode, encode};

    #[test]
    fn keys_survive_in_a_position() {
        let key = [
            Value::Int(i64::MIN),
            Value::Text("a\"ä\0".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Double(0.1),
            Value::Double(f64::MAX),
            Value::Null,
        ];
        assert_eq!(decode(&encode(&key)).unwrap(), key);
        assert!(decode("").is_err());
        assert!(decode("[[1]]").is_err());
    }
}
