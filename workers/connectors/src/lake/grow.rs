//! Adding rows to a file: its old rows and the new ones become a new file, which takes the old one's place.
//!
//! Two workers may want to add to a file at the same time, one of them without knowing that another has taken over. Each
//! begins its temporary file first, takes away those of others, and only then reads the old file. So what one has read
//! is still there when its own file takes its place, or its file was taken away: a change cannot be lost. On S3, where
//! nothing is temporary, the server compares versions instead.

use headrace_core::{Error, Result};
use polars::prelude::DataFrame;

use super::encode::{Encoder, GROUP_ROWS};
use super::path::LakePath;
use super::place::Expected;
use super::schema::LakeSchema;
use super::writer::LakeWriter;
use super::{FileInfo, Lake, LakeReader};

pub(super) async fn append(
    lake: &Lake,
    path: &LakePath,
    schema: &LakeSchema,
    frames: &[DataFrame],
    token: i64,
) -> Result<FileInfo> {
    let name = lake.name_of(path)?;
    let encoder = Encoder::new(schema, &name)?;
    let mut writer = LakeWriter::new(path.clone(), encoder, lake.place.create(path, true).await?);
    match fill(lake, path, schema, frames, token, &mut writer).await {
        Ok(Filled::Already(info)) => {
            writer.abort().await;
            Ok(info)
        }
        Ok(Filled::Ready(expected)) => writer.finish_with(Some(token), &expected).await,
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

enum Filled {
    /// The file has these rows.
    Already(FileInfo),
    /// All rows are written, and the file is to take the place of this one.
    Ready(Expected),
}

async fn fill(
    lake: &Lake,
    path: &LakePath,
    schema: &LakeSchema,
    frames: &[DataFrame],
    token: i64,
    writer: &mut LakeWriter,
) -> Result<Filled> {
    let mut expected = Expected::Nothing;
    if let Some(mut old) = lake.reader(path, schema).await? {
        if old.info().token.is_some_and(|present| present >= token) {
            return Ok(Filled::Already(old.info().clone()));
        }
        if !old.has_only_these_columns() {
            return Err(Error::data(format!(
                "cannot add to {}: its columns are not those of this release; move it away",
                lake.name_of(path)?
            )));
        }
        expected = Expected::Version(old.version());
        copy(&mut old, writer).await?;
    }
    for frame in frames {
        writer.push(frame).await?;
    }
    Ok(Filled::Ready(expected))
}

/// Copies full row groups as they are; the last one is filled up.
async fn copy(old: &mut LakeReader, writer: &mut LakeWriter) -> Result<()> {
    let mut is_aligned = true;
    while let Some(rows) = old.next_rows() {
        if is_aligned && rows == GROUP_ROWS {
            if let Some((columns, rows)) = old.next_group().await? {
                writer.push_group(columns, rows as u64).await?;
            }
        } else {
            is_aligned = false;
            if let Some(frame) = old.next().await? {
                writer.push(&frame).await?;
            }
        }
    }
    Ok(())
}
