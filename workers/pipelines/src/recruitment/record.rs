//! Validates records of the tracking log and gives them the columns of the raw store.
//!
//! Every record either becomes a row or is refused with a reason; nothing is lost and nothing guessed.
//! Whether a valid record repeats or contradicts another is not decided here: that needs the ids seen before.

use headrace_core::Result;
use headrace_core::batch::record_columns::{POSITION, RECORD, VALUE};
use headrace_transforms::csv_record::RecordSplitter;
use headrace_transforms::decimal::Number;
use headrace_transforms::time_uuid;
use polars::prelude::{BinaryChunked, Column, DataFrame, NamedFrom, Series};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{COLUMN_COUNT, CONTENT_AT, EVENT_ID_AT, Kind, MAX_BID_MICROS, TRACKING};
use super::reason::{Reason, Refusal};
use rows::RowBuilder;

mod rows;
#[cfg(test)]
mod tests;

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The record's number, counted from 1.
    pub record: i64,
    /// The record's byte offset in its file.
    pub position: i64,
    /// Why it was refused.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: String,
    /// The record as it came.
    pub raw: Vec<u8>,
}

/// The valid records of a batch, column by column and in file order, and the refused ones.
#[derive(Clone, Debug)]
pub struct ParsedRecords {
    /// The rows of the raw store: `create_time` as 16 bytes, doubles, texts.
    pub rows: DataFrame,
    /// The event id of each row.
    pub ids: Vec<[u8; 16]>,
    /// A hash of each row's content (all fields but row index and event id, unquoted).
    pub hashes: Vec<u64>,
    /// The record number of each row.
    pub records: Vec<i64>,
    /// The byte offset of each row.
    pub positions: Vec<i64>,
    /// The refused records, in file order.
    pub rejected: Vec<Rejected>,
    values: BinaryChunked,
    /// Where each row is in `values`.
    sources: Vec<usize>,
}

impl ParsedRecords {
    /// Gives the bytes of the record from which a row was made.
    pub fn raw(&self, row: usize) -> &[u8] {
        self.values.get(self.sources[row]).unwrap_or_default()
    }

    /// Refuses a row after all, because another one has its id and other content.
    pub fn conflict(&self, row: usize) -> Rejected {
        Rejected {
            record: self.records[row],
            position: self.positions[row],
            reason: Reason::ConflictingDuplicate,
            detail: time_uuid::to_text(&self.ids[row]),
            raw: self.raw(row).to_vec(),
        }
    }
}

/// Checks the first line of a log.
///
/// # Errors
/// Names the first difference from the expected columns.
pub fn check_header(line: &[u8]) -> Result<(), String> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = std::str::from_utf8(without_return(line)).map_err(|_| "the header is not UTF-8".to_owned())?;
    let mut header = RecordSplitter::new();
    let count = header.split(line);
    for (number, (expected, found)) in (1..).zip(TRACKING.iter().zip(header.fields())) {
        if found != expected.name {
            return Err(format!("column {number}: expected `{}`, found `{}`", expected.name, shown(found)));
        }
    }
    if count != COLUMN_COUNT {
        return Err(format!("expected {COLUMN_COUNT} columns, found {count}"));
    }
    Ok(())
}

/// The beginning of a name that may be anything, fit for a line of text.
fn shown(name: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let beginning: String = name.chars().take(40).map(visible).collect();
    if name.chars().nth(40).is_some() { beginning + "…" } else { beginning }
}

/// Puts raw records into a frame, with their numbers and offsets.
///
/// # Errors
/// When the frame cannot be built.
pub fn frame(values: Vec<Option<&[u8]>>, records: Vec<i64>, positions: Vec<i64>) -> Result<DataFrame> {
    let columns = vec![
        Series::new(VALUE.into(), values).into(),
        Series::new(RECORD.into(), records).into(),
        Series::new(POSITION.into(), positions).into(),
    ];
    Ok(DataFrame::new(columns.first().map_or(0, Column::len), columns)?)
}

/// Validates a frame of raw records.
///
/// # Errors
/// When a column of the frame is missing or of another type.
pub fn parse(frame: &DataFrame) -> Result<ParsedRecords> {
    let values = frame.column(VALUE)?.binary()?.rechunk().into_owned();
    let records = frame.column(RECORD)?.i64()?;
    let positions = frame.column(POSITION)?.i64()?;
    let mut parser = Parser::default();
    let mut builder = RowBuilder::with_capacity(frame.height());
    let (mut ids, mut hashes) = (Vec::new(), Vec::new());
    let (mut numbers, mut offsets, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let mut rejected = Vec::new();
    for (source, ((raw, record), position)) in values.iter().zip(records.iter()).zip(positions.iter()).enumerate() {
        let raw = raw.unwrap_or_default();
        let (record, position) = (record.unwrap_or_default(), position.unwrap_or_default());
        match parser.validate(raw) {
            Ok(id) => {
                builder.push(&id, &parser.fields, &parser.doubles);
                ids.push(id);
                hashes.push(parser.content_hash());
                numbers.push(record);
                offsets.push(position);
                sources.push(source);
            }
            Err(Refusal { reason, detail }) => {
                rejected.push(Rejected { record, position, reason, detail, raw: raw.to_vec() });
            }
        }
    }
    let rows = builder.finish()?;
    Ok(ParsedRecords { rows, ids, hashes, records: numbers, positions: offsets, rejected, values, sources })
}

/// The buffers that serve one record after another.
#[derive(Default)]
struct Parser {
    fields: RecordSplitter,
    /// The numbers of the record, by column.
    doubles: [Option<f64>; COLUMN_COUNT],
    content: Vec<u8>,
}

impl Parser {
    /// Splits a record and checks it, in the order in which reasons take precedence.
    fn validate(&mut self, raw: &[u8]) -> Result<[u8; 16], Refusal> {
        let text = std::str::from_utf8(without_return(raw))
            .map_err(|error| Refusal::new(Reason::NotUtf8, format!("byte {}", error.valid_up_to())))?;
        let count = self.fields.split(text);
        if count != COLUMN_COUNT {
            return Err(Refusal::new(Reason::ColumnCount, format!("{count} fields")));
        }
        let id = event_id(self.fields.field(EVENT_ID_AT))?;
        self.check_numbers()?;
        Ok(id)
    }

    fn check_numbers(&mut self) -> Result<(), Refusal> {
        // Another order of reasons, one pass: a bad number anywhere comes before the first bad
        // identifier, and that before a negative bid.
        let (mut bad_identifier, mut negative_bid) = (None, None);
        for ((column, text), double) in TRACKING.iter().zip(self.fields.fields()).zip(&mut self.doubles) {
            if !column.kind.is_double() {
                continue;
            }
            *double = None;
            if text.is_empty() {
                continue;
            }
            let refusal = |reason| Refusal::new(reason, format!("{}={text}", column.name));
            let number = Number::parse(text.as_bytes()).ok_or_else(|| refusal(Reason::BadNumber))?;
            *double = Some(number.to_f64().ok_or_else(|| refusal(Reason::BadNumber))?);
            match column.kind {
                Kind::Amount => {
                    number
                        .micros()
                        .filter(|micros| *micros <= MAX_BID_MICROS)
                        .ok_or_else(|| refusal(Reason::BadNumber))?;
                    if number.is_negative() {
                        negative_bid = Some(refusal(Reason::NegativeBid));
                    }
                }
                Kind::Identifier if bad_identifier.is_none() && number.identifier().is_err() => {
                    bad_identifier = Some(refusal(Reason::BadIdentifier));
                }
                _ => {}
            }
        }
        bad_identifier.or(negative_bid).map_or(Ok(()), Err)
    }

    /// Hashes the fields as they read, not as they are quoted.
    fn content_hash(&mut self) -> u64 {
        self.content.clear();
        self.content.extend_from_slice(self.fields.text_from(CONTENT_AT).as_bytes());
        for field in self.fields.fields().skip(CONTENT_AT) {
            self.content.extend_from_slice(&(field.len() as u32).to_le_bytes());
        }
        xxh3_64(&self.content)
    }
}

fn event_id(text: &str) -> Result<[u8; 16], Refusal> {
    if text.is_empty() {
        return Err(Refusal::new(Reason::MissingCreateTime, ""));
    }
    let id = time_uuid::parse(text.as_bytes()).ok_or_else(|| Refusal::new(Reason::BadCreateTime, text))?;
    if !time_uuid::is_time_uuid(&id) {
        return Err(Refusal::new(Reason::NotTimeUuid, text));
    }
    Ok(id)
}

/// Takes off the carriage return of a CRLF line end.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
