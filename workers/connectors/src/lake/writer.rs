//! Writing a file of frames that come one after another.

use headrace_core::{Error, Result};
use hyper::body::Bytes;
use polars::prelude::DataFrame;

use super::FileInfo;
use super::encode::Encoder;
use super::path::LakePath;
use super::place::{Expected, Upload};

/// A file in the making; dropped before [`LakeWriter::finish`], it was never there. Memory: one row group.
pub struct LakeWriter {
    path: LakePath,
    /// Taken while a thread works with it.
    encoder: Option<Encoder>,
    upload: Box<dyn Upload>,
    bytes: u64,
}

impl LakeWriter {
    pub(super) fn new(path: LakePath, encoder: Encoder, upload: Box<dyn Upload>) -> Self {
        Self { path, encoder: Some(encoder), upload, bytes: 0 }
    }

    /// Adds the rows of a frame, which has all columns of the schema.
    ///
    /// # Errors
    /// A data error naming the column that does not fit; an external one when the place fails. The file is lost then.
    pub async fn push(&mut self, frame: &DataFrame) -> Result<()> {
        let frame = frame.clone();
        self.work(move |encoder| encoder.push(&frame)).await
    }

    /// Adds a row group as it is in another file.
    pub(super) async fn push_group(&mut self, columns: Vec<GroupColumn>, rows: u64) -> Result<()> {
        self.work(move |encoder| encoder.copy_group(columns, rows)).await
    }

    /// Puts the file in its place, at once and as a whole; what was there before is replaced.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn finish(self) -> Result<FileInfo> {
        self.finish_with(None, &Expected::Anything).await
    }

    pub(super) async fn finish_with(mut self, token: Option<i64>, expected: &Expected) -> Result<FileInfo> {
        let encoder = self.take()?;
        let rows = encoder.rows();
        let last = blocking(move || encoder.finish(token)).await?;
        self.send(last).await?;
        self.upload.finish(expected).await?;
        Ok(FileInfo { path: self.path, rows, bytes: self.bytes, token })
    }

    /// Gives up, and takes away what was written.
    pub(super) async fn abort(self) {
        self.upload.abort().await;
    }

    /// Works with the encoder in a thread of its own, as compressing takes long, and sends what has become ready.
    async fn work(&mut self, change: impl FnOnce(&mut Encoder) -> Result<()> + Send + 'static) -> Result<()> {
        let mut encoder = self.take()?;
        let (encoder, ready) = blocking(move || {
            change(&mut encoder)?;
            let ready = encoder.take()?;
            Ok((encoder, ready))
        })
        .await?;
        self.encoder = Some(encoder);
        self.send(ready).await
    }

    fn take(&mut self) -> Result<Encoder> {
        self.encoder.take().ok_or_else(|| Error::data(format!("{} was given up after an error", self.path)))
    }

    async fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if bytes.is_empty() { Ok(()) } else { self.upload.write(bytes).await }
    }
}

/// A column of a row group: what is said of it, and its bytes.
pub(super) type GroupColumn = (parquet::file::metadata::ColumnChunkMetaData, Bytes);

/// Runs what takes long apart from the tasks that must answer quickly.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::external("a thread ended early", error)))
}
