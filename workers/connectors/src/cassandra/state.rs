//! State segments: blobs in chunks, written before the commit and visible only behind it.
//!
//! A segment carries the tag of the unit that wrote it, which no other unit ever has. It counts when it is marked as
//! committed, or when the ledger names its unit as the last one that wrote state. Marks are set right behind the commit;
//! whoever begins the next unit sets them if that worker could not. So segments of units that failed never show, however
//! late their writes arrive; readers that meet them remove them.
//!
//! Dropped segments are deleted behind the commit too. A crash between leaves them: readers of state must live with a
//! segment and the segments it was made from side by side, as with a union of sets.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;
use headrace_core::store::Segment;
use headrace_core::{Error, Result};

use super::client::{Client, Use};
use super::failure;
use super::pages::Pages;
use super::scope::LastUnit;
use super::storage::quoted;

/// Blobs are stored in pieces of this size, small enough for any server setting.
const CHUNK_BYTES: usize = 512 << 10;
/// Requests in flight: state is read and written in large pieces.
const IN_FLIGHT: usize = 16;
/// Rows of a first page: at most 8 MiB.
const PAGE_ROWS: usize = 16;

/// Where the segments of one scope and generation are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) scope: String,
    pub(super) generation: i64,
}

/// The segments a reader may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The last commit as of the unit's beginning.
    pub(super) sequence: i64,
    pub(super) last_unit: Option<&'a LastUnit>,
}

impl View<'_> {
    fn shows(&self, sequence: i64, unit: &str, committed: bool) -> bool {
        committed || self.last_unit.is_some_and(|last| last.tag == unit && last.sequence == sequence)
    }
}

fn table(client: &Client) -> String {
    format!("{}.headrace_state", quoted(&client.keyspace))
}

fn context(client: &Client) -> String {
    format!("cannot use state in keyspace `{}`", client.keyspace)
}

const KEY: &str = "scope = ? AND generation = ? AND space = ? AND key = ?";

/// Runs futures side by side, a few at a time, and gives their results in no order.
async fn side_by_side<T>(futures: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let mut running = stream::iter(futures).buffer_unordered(IN_FLIGHT);
    let mut results = Vec::new();
    while let Some(result) = running.next().await {
        results.push(result?);
    }
    Ok(results)
}

/// Reads the visible segments of keys behind sequences, ordered by key and sequence.
///
/// # Errors
/// When the server fails, or part of a segment is missing.
pub(super) async fn read(
    client: &Client,
    place: &Place,
    space: &str,
    wanted: &[(i64, i64)],
    view: View<'_>,
) -> Result<Vec<Segment>> {
    let reads = wanted.iter().map(|(key, after)| read_key(client, place, space, *key, *after, view)).collect();
    let mut segments: Vec<Segment> = side_by_side(reads).await?.into_iter().flatten().collect();
    segments.sort_by_key(|segment| (segment.key, segment.sequence));
    Ok(segments)
}

/// The chunks of one segment read so far.
#[derive(Default)]
struct Chunks {
    committed: bool,
    count: Option<i32>,
    found: i32,
    blob: Vec<u8>,
}

async fn read_key(
    client: &Client,
    place: &Place,
    space: &str,
    key: i64,
    after: i64,
    view: View<'_>,
) -> Result<Vec<Segment>> {
    let context = context(client);
    let cql = format!(
        "SELECT sequence, unit, chunk, chunks, committed, blob FROM {} WHERE {KEY} AND sequence > ? AND sequence <= ?",
        table(client)
    );
    let statement = client.prepare(&context, &cql, Use::State).await?;
    let values = (&place.scope, place.generation, space, key, after, view.sequence);
    let mut pages = Pages::new(context.clone(), statement, values).at_most(PAGE_ROWS);
    let mut found: BTreeMap<(i64, String), Chunks> = BTreeMap::new();
    while let Some(page) = pages.next(client).await? {
        type Row<'a> = (i64, &'a str, i32, Option<i32>, Option<bool>, Option<&'a [u8]>);
        for row in failure::answer(&context, page.rows::<Row<'_>>())? {
            let (sequence, unit, chunk, chunks, committed, blob) = failure::answer(&context, row)?;
            let segment = found.entry((sequence, unit.to_owned())).or_default();
            segment.committed |= committed == Some(true);
            segment.count = segment.count.or(chunks);
            if let Some(blob) = blob.filter(|_| Some(chunk) < chunks) {
                segment.found += 1;
                segment.blob.extend_from_slice(blob);
            }
        }
    }
    let mut segments = Vec::new();
    for ((sequence, unit), chunks) in found {
        if !view.shows(sequence, &unit, chunks.committed) {
            // Its commit is impossible by now: a newer one has its number.
            remove_unit(client, place, space, key, sequence, &unit).await;
        } else if chunks.count == Some(chunks.found) {
            segments.push(Segment { key, sequence, blob: chunks.blob });
        } else if chunks.count.is_some() {
            return Err(Error::external(context, format!("state {space}/{key} of commit {sequence} is incomplete")));
        }
        // A mark without chunks was set behind a deletion: there is no segment.
    }
    Ok(segments)
}

/// Removes what a failed unit left. Best effort: it is invisible anyway.
async fn remove_unit(client: &Client, place: &Place, space: &str, key: i64, sequence: i64, unit: &str) {
    let context = context(client);
    let cql = format!("DELETE FROM {} WHERE {KEY} AND sequence = ? AND unit = ?", table(client));
    let removed = async {
        let statement = client.prepare(&context, &cql, Use::State).await?;
        client.run(&context, &statement, (&place.scope, place.generation, space, key, sequence, unit)).await
    };
    if let Err(error) = removed.await {
        tracing::debug!(%error, "state of a failed unit stays until it is met again");
    }
}

/// Writes segments under a unit's tag, not yet visible.
///
/// # Errors
/// When the server stays unable to take them.
pub(super) async fn write(
    client: &Client,
    place: &Place,
    space: &str,
    put: &[(i64, Vec<u8>)],
    sequence: i64,
    unit: &str,
) -> Result<()> {
    let context = &context(client);
    let cql = format!(
        "INSERT INTO {} (scope, generation, space, key, sequence, unit, chunk, chunks, blob) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        table(client)
    );
    let statement = &client.prepare(context, &cql, Use::State).await?;
    let mut writes = Vec::new();
    for (key, blob) in put {
        // An empty blob is one empty chunk.
        let pieces: Vec<&[u8]> = if blob.is_empty() { vec![&[]] } else { blob.chunks(CHUNK_BYTES).collect() };
        let count = i32::try_from(pieces.len()).map_err(|_| Error::data(format!("{context}: a blob is too large")))?;
        for (number, piece) in (0..count).zip(pieces) {
            writes.push(async move {
                let values = (&place.scope, place.generation, space, key, sequence, unit, number, count, piece);
                client.run(context, statement, values).await
            });
        }
    }
    side_by_side(writes).await?;
    Ok(())
}

/// Marks the segments of a committed unit. May be repeated.
///
/// # Errors
/// When the server stays unable to.
pub(super) async fn mark(client: &Client, place: &Place, unit: &LastUnit) -> Result<()> {
    let context = &context(client);
    let cql = format!(
        "UPDATE {} SET committed = true WHERE {KEY} AND sequence = ? AND unit = ? AND chunk = 0",
        table(client)
    );
    let statement = &client.prepare(context, &cql, Use::State).await?;
    let mut marks = Vec::new();
    for (space, keys) in &unit.keys {
        for key in keys {
            marks.push(async move {
                let values = (&place.scope, place.generation, space, key, unit.sequence, &unit.tag);
                client.run(context, statement, values).await
            });
        }
    }
    side_by_side(marks).await?;
    Ok(())
}

/// Deletes segments by space, key and sequence. May be repeated.
///
/// # Errors
/// When the server stays unable to.
pub(super) async fn delete(client: &Client, place: &Place, dropped: &[(String, i64, i64)]) -> Result<()> {
    let context = &context(client);
    let cql = format!("DELETE FROM {} WHERE {KEY} AND sequence = ?", table(client));
    let statement = &client.prepare(context, &cql, Use::State).await?;
    let delete = |(space, key, sequence): &(String, i64, i64)| {
        let values = (place.scope.clone(), place.generation, space.clone(), *key, *sequence);
        async move { client.run(context, statement, values).await }
    };
    side_by_side(dropped.iter().map(delete).collect()).await?;
    Ok(())
}

/// Deletes everything of a scope that is older than its generation, which no one can see any more.
///
/// # Errors
/// When the server fails; the rest then stays, unseen.
pub(super) async fn delete_older(client: &Client, scope: &str, generation: i64) -> Result<()> {
    let context = &context(client);
    let table = table(client);
    let keys = format!("SELECT DISTINCT scope, generation, space, key FROM {table}");
    let statement = client.prepare(context, &keys, Use::State).await?;
    let mut pages = Pages::new(context.clone(), statement, ());
    let mut old = Vec::new();
    while let Some(page) = pages.next(client).await? {
        for row in failure::answer(context, page.rows::<(String, i64, String, i64)>())? {
            let row = failure::answer(context, row)?;
            if row.0 == scope && row.1 < generation {
                old.push(row);
            }
        }
    }
    let statement = &client.prepare(context, &format!("DELETE FROM {table} WHERE {KEY}"), Use::State).await?;
    let delete = |key| async move { client.run(context, statement, key).await };
    side_by_side(old.into_iter().map(delete).collect()).await?;
    Ok(())
}
