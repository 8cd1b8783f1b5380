//! Reading a file row group by row group, and only the columns that are wanted.

use std::ops::Range;

use headrace_core::Result;
use hyper::body::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use polars::prelude::DataFrame;

use super::FileInfo;
use super::decode::{self, unreadable};
use super::path::LakePath;
use super::place::Opened;
use super::schema::LakeSchema;
use super::writer::{GroupColumn, blocking};

/// Columns closer than this are read at once.
const GAP_BYTES: u64 = 256 << 10;

/// A file that is read from its beginning to its end. It stays the same while others replace it, or reading fails with an
/// external error. Memory: one row group.
pub struct LakeReader {
    opened: Box<dyn Opened>,
    metadata: ParquetMetaData,
    schema: LakeSchema,
    /// Where the wanted columns are in the file.
    places: Vec<usize>,
    /// What texts call the file.
    name: String,
    info: FileInfo,
    next: usize,
}

impl LakeReader {
    pub(super) async fn new(
        path: &LakePath,
        name: String,
        opened: Box<dyn Opened>,
        schema: &LakeSchema,
    ) -> Result<Self> {
        let metadata = decode::footer(opened.as_ref(), &name).await?;
        let places = schema.find_in(metadata.file_metadata().schema_descr());
        let places = places.map_err(|error| unreadable(&name, &error))?;
        let info = info(path, opened.bytes(), &metadata);
        Ok(Self { opened, metadata, schema: schema.clone(), places, name, info, next: 0 })
    }

    /// What the file is.
    pub fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Reads the next row group; none at the end.
    ///
    /// # Errors
    /// A data error when the file is damaged; an external one when the place fails or the file was replaced meanwhile.
    pub async fn next(&mut self) -> Result<Option<DataFrame>> {
        let Some((columns, rows)) = self.next_group().await? else { return Ok(None) };
        let schema = self.schema.clone();
        let decoded = blocking(move || {
            let decode = |((name, kind), (metadata, bytes)): ((&str, _), GroupColumn)| {
                decode::column(name, kind, &metadata, bytes, rows)
            };
            Ok(schema.columns().zip(columns).map(decode).collect::<Result<Vec<_>, ParquetError>>())
        });
        let columns = decoded.await?.map_err(|error| unreadable(&self.name, &error))?;
        Ok(Some(DataFrame::new(rows, columns)?))
    }

    /// Whether the file has exactly the columns of the schema.
    pub(super) fn has_only_these_columns(&self) -> bool {
        self.schema.is_of(self.metadata.file_metadata().schema_descr())
    }

    pub(super) fn version(&self) -> String {
        self.opened.version()
    }

    /// Rows of the next row group; none at the end.
    pub(super) fn next_rows(&self) -> Option<usize> {
        let group = self.metadata.row_groups().get(self.next)?;
        usize::try_from(group.num_rows()).ok()
    }

    /// The bytes of the next row group's wanted columns, and its rows.
    pub(super) async fn next_group(&mut self) -> Result<Option<(Vec<GroupColumn>, usize)>> {
        let Some(rows) = self.next_rows() else { return Ok(None) };
        let group = self.metadata.row_group(self.next);
        let wanted: Vec<_> = self.places.iter().map(|place| group.column(*place).clone()).collect();
        let ranges: Vec<Range<u64>> = wanted.iter().map(decode::place_of).collect();
        let mut pieces: Vec<(Range<u64>, Bytes)> = Vec::new();
        for range in together(&ranges) {
            pieces.push((range.clone(), self.opened.range(range).await?));
        }
        self.next += 1;
        let cut = |range: &Range<u64>| {
            let (piece, bytes) =
                pieces.iter().find(|(piece, _)| piece.start <= range.start && range.end <= piece.end)?;
            let from = usize::try_from(range.start - piece.start).ok()?;
            let to = usize::try_from(range.end - piece.start).ok()?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        let bytes: Option<Vec<Bytes>> = ranges.iter().map(cut).collect();
        let bytes = bytes.ok_or_else(|| unreadable(&self.name, &"it is shorter than its footer says"))?;
        Ok(Some((wanted.into_iter().zip(bytes).collect(), rows)))
    }
}

pub(super) fn info(path: &LakePath, bytes: u64, metadata: &ParquetMetaData) -> FileInfo {
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    FileInfo { path: path.clone(), rows, bytes, token: decode::token(metadata) }
}

/// Few large ranges that cover all given ones.
fn together(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::together;

    #[test]
    fn near_ranges_are_read_at_once() {
        assert_eq!(together(&[100..200, 0..50, 4_000_000..4_000_010, 200..300]), [0..300, 4_000_000..4_000_010]);
        assert_eq!(together(&[]), []);
    }
}
