//! Dead letters: rows that were refused, kept with reason, place and raw bytes, to be looked at and replayed.

use polars::prelude::{Column as Series, DataFrame, NamedFrom, Series as PolarsSeries};

use crate::store::Unit;
use crate::table::{Kind, Merge, Table};
use crate::{Ident, Result, clock, failpoint, failpoint::Point};

/// One refused row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it came from: a file's path or a topic.
    pub source: String,
    /// Its place there: a record number, or `partition-offset`.
    pub position: String,
    /// Why it was refused: a short fixed word.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// The key of the message, if it had one.
    pub key: Option<Vec<u8>>,
    /// The record or message as it came; none for a message without value.
    pub raw: Option<Vec<u8>>,
    /// When it was refused, microseconds since 1970.
    pub failed_at_us: i64,
    /// When a replay settled it.
    pub settled_at_us: Option<i64>,
    /// How often it was replayed.
    pub replays: i64,
}

impl DeadLetter {
    /// A row refused now, at a place of a source, without key.
    pub fn refused(source: &str, position: String, reason: &str, detail: String, raw: Option<Vec<u8>>) -> Self {
        Self {
            source: source.to_owned(),
            position,
            reason: reason.to_owned(),
            detail,
            key: None,
            raw,
            failed_at_us: clock::now_us(),
            settled_at_us: None,
            replays: 0,
        }
    }
}

/// Writes dead letters, if there are any.
///
/// # Errors
/// When the store fails.
pub async fn write(unit: &mut dyn Unit, table: &Table, letters: &[DeadLetter]) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    failpoint::before(Point::DeadLetter)?;
    unit.upsert(table, &to_frame(letters)?).await?;
    failpoint::after(Point::DeadLetter)
}

/// The table of dead letters.
///
/// # Errors
/// When the name is not usable.
pub fn table(name: Ident) -> Result<Table> {
    // A row that is refused again, when its file is read again from the beginning, stays settled, with the text that settled it.
    let open = Merge::ReplaceWhileNull("settled_at");
    Table::new(name)
        .key("source", Kind::Name(512))?
        .key("position", Kind::Name(64))?
        .column("reason", Kind::Name(64), false, open)?
        .column("detail", Kind::Text, true, open)?
        .column("message_key", Kind::Bytes, true, open)?
        .column("raw", Kind::Bytes, true, open)?
        .column("failed_at", Kind::DateTime, false, open)?
        .column("settled_at", Kind::DateTime, true, Merge::First)?
        .column("replays", Kind::Int, false, Merge::Replace)
}

/// Puts dead letters into a frame with the columns of [`table`].
///
/// # Errors
/// When the frame cannot be built.
pub fn to_frame(letters: &[DeadLetter]) -> Result<DataFrame> {
    fn text<'a>(name: &str, values: impl Iterator<Item = &'a str>) -> Series {
        PolarsSeries::new(name.into(), values.collect::<Vec<_>>()).into()
    }
    fn bytes<'a>(name: &str, values: impl Iterator<Item = Option<&'a [u8]>>) -> Series {
        PolarsSeries::new(name.into(), values.collect::<Vec<_>>()).into()
    }
    let columns = vec![
        text("source", letters.iter().map(|letter| letter.source.as_str())),
        text("position", letters.iter().map(|letter| letter.position.as_str())),
        text("reason", letters.iter().map(|letter| letter.reason.as_str())),
        text("detail", letters.iter().map(|letter| letter.detail.as_str())),
        bytes("message_key", letters.iter().map(|letter| letter.key.as_deref())),
        bytes("raw", letters.iter().map(|letter| letter.raw.as_deref())),
        PolarsSeries::new("failed_at".into(), letters.iter().map(|l| l.failed_at_us).collect::<Vec<_>>()).into(),
        PolarsSeries::new("settled_at".into(), letters.iter().map(|l| l.settled_at_us).collect::<Vec<_>>()).into(),
        PolarsSeries::new("replays".into(), letters.iter().map(|l| l.replays).collect::<Vec<_>>()).into(),
    ];
    Ok(DataFrame::new(letters.len(), columns)?)
}

/// Reads dead letters back from a frame with the columns of [`table`].
///
/// # Errors
/// When a column is missing or of another type.
pub fn from_frame(frame: &DataFrame) -> Result<Vec<DeadLetter>> {
    let text = |name: &str| -> Result<_> { Ok(frame.column(name)?.str()?.clone()) };
    let bytes = |name: &str| -> Result<_> { Ok(frame.column(name)?.binary()?.clone()) };
    let int = |name: &str| -> Result<_> { Ok(frame.column(name)?.i64()?.clone()) };
    let (source, position, reason, detail) = (text("source")?, text("position")?, text("reason")?, text("detail")?);
    let (key, raw) = (bytes("message_key")?, bytes("raw")?);
    let (failed, settled, replays) = (int("failed_at")?, int("settled_at")?, int("replays")?);
    let owned = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Ok((0..frame.height())
        .map(|row| DeadLetter {
            source: owned(source.get(row)),
            position: owned(position.get(row)),
            reason: owned(reason.get(row)),
            detail: owned(detail.get(row)),
            key: key.get(row).map(<[u8]>::to_vec),
            raw: raw.get(row).map(<[u8]>::to_vec),
            failed_at_us: failed.get(row).unwrap_or_default(),
            settled_at_us: settled.get(row),
            replays: replays.get(row).unwrap_or_default(),
        })
        .collect())
}
