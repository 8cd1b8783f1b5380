//! Scans of whole tables, as a source.
//!
//! Delivery: every row once, in key order; the position is the number of rows read, its detail the last key, so a resumed scan goes
//! on behind that key. Rows added meanwhile are seen if their key lies ahead. One server has one reader's speed, so the first part
//! holds all rows and the others none. Memory: one page.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::source::{Event, Source};
use headrace_core::table::Table;
use headrace_core::{Batch, Claim, Error, Partition, Position, Result};

use super::page::{self, PAGE_ROWS, Range};
use super::{Place, tables};
use crate::redis::read::at;

/// A scan of one table.
pub(super) struct Scan {
    place: Arc<Place>,
    table: Table,
    columns: Vec<usize>,
    parts: Vec<Part>,
    is_announced: bool,
}

struct Part {
    partition: Partition,
    /// Whether it holds the rows.
    has_rows: bool,
    is_started: bool,
    is_done: bool,
    rows: i64,
    after: Option<Vec<u8>>,
}

impl Scan {
    /// Prepares a scan.
    ///
    /// # Errors
    /// A configuration error when the table or a column is missing.
    pub(super) async fn new(
        place: &Arc<Place>,
        table: &Table,
        columns: &[&str],
        parts: usize,
        only: &[usize],
    ) -> Result<Self> {
        let columns = columns.iter().map(|name| at(table, name)).collect::<Result<Vec<usize>>>()?;
        tables::check(place, table).await?;
        let parts = parts.max(1);
        let part = |number: usize| Part {
            partition: Partition::new(format!("{} of {parts}", number + 1)),
            has_rows: number == 0,
            is_started: false,
            is_done: false,
            rows: 0,
            after: None,
        };
        Ok(Self {
            place: place.clone(),
            table: table.clone(),
            columns,
            parts: (0..parts).filter(|number| only.is_empty() || only.contains(number)).map(part).collect(),
            is_announced: false,
        })
    }
}

#[async_trait]
impl Source for Scan {
    async fn next(&mut self) -> Result<Event> {
        if !self.is_announced {
            self.is_announced = true;
            return Ok(Event::Assigned(self.parts.iter().map(|part| part.partition.clone()).collect()));
        }
        while let Some(number) = self.parts.iter().position(|part| part.is_started && !part.is_done) {
            // Nothing changes before the page is here, so a dropped call reads it again.
            let range = Range { beginning: Vec::new(), after: self.parts[number].after.clone() };
            let found = page::read(&self.place, &self.table, &range, PAGE_ROWS).await?;
            let part = &mut self.parts[number];
            part.is_done = found.next.is_none();
            let Some((last, _)) = found.rows.last() else {
                part.after = found.next;
                continue;
            };
            let last = last.clone();
            let rows: Vec<_> = found.rows.into_iter().map(|(_, row)| row).collect();
            let frame = page::frame(&self.table, &self.columns, &rows)?;
            part.rows += frame.height() as i64;
            let position = Position::with_detail(part.rows, encode(&last));
            part.after = Some(last);
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
            let Some(part) = self.parts.iter_mut().find(|part| part.partition == claim.partition) else { continue };
            (part.rows, part.after) = match &claim.position {
                Some(position) => (position.at, Some(decode(&position.detail)?)),
                None => (0, None),
            };
            part.is_started = true;
            part.is_done = !part.has_rows;
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

/// A key's bytes as the detail of a position.
fn encode(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(detail: &str) -> Result<Vec<u8>> {
    let wrong = || Error::data(format!("the position of a scan cannot be read: {detail:?}"));
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    };
    detail.as_bytes().chunks(2).map(|pair| byte(pair).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn keys_survive_in_a_position() {
        let key: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&key)).unwrap(), key);
        assert!(decode("0").is_err() && decode("0g").is_err() && decode("ää").is_err());
    }
}
