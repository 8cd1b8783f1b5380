//! Topics: partitions with extents, and appending to them.
//!
//! One row holds a batch of messages (see [`super::packed`]) of at most about [`ROW_BYTES`], so that writing and reading
//! cost far less than a row for each message. Messages of a key go to the partition of the key's hash, those without key
//! to all partitions in turn.

use headrace_core::batch::message_columns;
use headrace_core::log::Extent;
use headrace_core::{Error, Result, clock};
use polars::prelude::{BinaryChunked, DataFrame, DataType};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::packed::{Message, Unpacked, pack, size, unpack};

/// A row of messages is closed when it has so many bytes.
const ROW_BYTES: usize = 1 << 20;

/// A row of messages is closed when it has so many messages.
const ROW_MESSAGES: usize = 16_384;

/// A topic's number and extents.
pub(super) struct Topic {
    /// Its number in the other tables.
    pub(super) id: i64,
    /// What its partitions hold, in the order of their numbers.
    pub(super) extents: Vec<Extent>,
}

/// Makes a topic unless it is there.
pub(super) fn create(connection: &Connection, name: &str, partitions: i32) -> Result<(), Fault> {
    if connection.execute("INSERT OR IGNORE INTO headrace_topics (name) VALUES (?)", [name])? == 0 {
        return Ok(());
    }
    let id = connection.last_insert_rowid();
    for number in 0..partitions {
        connection.execute(
            "INSERT INTO headrace_topic_partitions (topic_id, number, first, end) VALUES (?, ?, 0, 0)",
            [id, number.into()],
        )?;
    }
    Ok(())
}

/// Finds a topic.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Topic>, Fault> {
    let mut by_name = connection.prepare_cached("SELECT id FROM headrace_topics WHERE name = ?")?;
    match by_name.query_row([name], |row| row.get(0)).optional()? {
        Some(id) => Ok(Some(Topic { id, extents: extents(connection, id)? })),
        None => Ok(None),
    }
}

/// Reads what a topic holds.
pub(super) fn extents(connection: &Connection, topic: i64) -> Result<Vec<Extent>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT number, first, end FROM headrace_topic_partitions WHERE topic_id = ? ORDER BY number",
    )?;
    let rows = statement
        .query_map([topic], |row| Ok(Extent { partition: row.get(0)?, first: row.get(1)?, end: row.get(2)? }))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The error for a topic that is not there.
pub(super) fn missing(name: &str) -> Error {
    Error::configuration(format!("there is no topic `{name}`; create it, or run the step that fills it first"))
}

/// Appends messages (columns `key` and `value`) to a topic.
///
/// # Errors
/// A configuration error when there is no such topic.
pub(super) fn append(connection: &Connection, name: &str, messages: &DataFrame) -> Result<(), Fault> {
    let topic = find(connection, name)?.ok_or_else(|| missing(name))?;
    let (keys, values) = (binary(messages, message_columns::KEY)?, binary(messages, message_columns::VALUE)?);
    let mut writers: Vec<Writer> = topic.extents.iter().map(|extent| Writer::new(topic.id, extent)).collect();
    let count = writers.len();
    // Those without key begin where the last call left off, more or less: all partitions get their share.
    let mut turn = usize::try_from(topic.extents.iter().map(|extent| extent.end).sum::<i64>()).unwrap_or(0);
    for row in 0..messages.height() {
        let (key, value) = (keys.get(row), values.get(row));
        let number = match key {
            Some(key) => usize::try_from(xxhash_rust::xxh3::xxh3_64(key) % count as u64).unwrap_or(0),
            None => {
                turn += 1;
                turn % count
            }
        };
        writers[number].push(connection, (key, value))?;
    }
    let mut statement =
        connection.prepare_cached("UPDATE headrace_topic_partitions SET end = ? WHERE topic_id = ? AND number = ?")?;
    for writer in &mut writers {
        writer.flush(connection)?;
        statement.execute(params![writer.end, writer.topic, writer.number])?;
    }
    Ok(())
}

fn binary(messages: &DataFrame, name: &str) -> Result<BinaryChunked> {
    let cast = messages.column(name)?.cast(&DataType::Binary)?;
    Ok(cast.as_materialized_series().binary()?.rechunk().into_owned())
}

/// Gathers the messages of one partition into rows.
struct Writer<'a> {
    topic: i64,
    number: i32,
    end: i64,
    open: Vec<Message<'a>>,
    bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(topic: i64, extent: &Extent) -> Self {
        Self { topic, number: extent.partition, end: extent.end, open: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, connection: &Connection, message: Message<'a>) -> Result<(), Fault> {
        let bytes = size(&message);
        if self.open.len() >= ROW_MESSAGES || self.bytes + bytes > ROW_BYTES {
            self.flush(connection)?;
        }
        self.bytes += bytes;
        self.open.push(message);
        Ok(())
    }

    fn flush(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO headrace_messages (topic_id, number, base, count, timestamp, blob) VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        let count = self.open.len() as i64;
        statement.execute(params![self.topic, self.number, self.end, count, clock::now_ms(), pack(&self.open)?])?;
        self.end += count;
        self.bytes = 0;
        self.open.clear();
        Ok(())
    }
}

/// A row of messages as read.
pub(super) struct Chunk {
    /// The offset of its first message.
    pub(super) base: i64,
    /// When it was appended, in milliseconds since 1970.
    pub(super) timestamp: i64,
    /// Its messages.
    pub(super) messages: Unpacked,
}

impl Chunk {
    /// The offset behind its last message.
    pub(super) fn end(&self) -> i64 {
        self.base + self.messages.sizes.len() as i64
    }
}

/// Reads rows of one partition from the one that holds an offset, until so many messages or bytes are gathered.
pub(super) fn read(
    connection: &Connection,
    topic: i64,
    number: i32,
    from: i64,
    to: i64,
    rows: usize,
    bytes: usize,
) -> Result<Vec<Chunk>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT base, timestamp, blob FROM headrace_messages WHERE topic_id = ?1 AND number = ?2 AND base < ?4 AND base >= COALESCE(
             (SELECT MAX(base) FROM headrace_messages WHERE topic_id = ?1 AND number = ?2 AND base <= ?3), ?3)
         ORDER BY base",
    )?;
    let mut found = statement.query(params![topic, number, from, to])?;
    let mut chunks = Vec::new();
    let (mut rows_read, mut bytes_read) = (0, 0);
    while rows_read < rows && bytes_read < bytes {
        let Some(row) = found.next()? else { break };
        let messages = unpack(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        let chunk = Chunk { base: row.get(0)?, timestamp: row.get(1)?, messages };
        rows_read += usize::try_from(chunk.end() - from.max(chunk.base)).unwrap_or(0);
        bytes_read += chunk.messages.sizes.iter().sum::<usize>();
        chunks.push(chunk);
    }
    Ok(chunks)
}
