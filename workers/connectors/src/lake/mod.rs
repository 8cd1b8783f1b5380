//! Lakes: Parquet files (zstd) under `file:FOLDER`, `hdfs://USER@HOST:PORT,HOST:PORT/FOLDER` or
//! `s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME&tls_ca=FILE`.
//!
//! Several hosts of HDFS are the NameNodes of one name service; what else a cluster needs (Kerberos, protection) is read from
//! `HADOOP_CONF_DIR`. The secret of S3 may be left out of the URL like any password; without a login the variables of the AWS
//! tools count (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`).
//!
//! Delivery: every change that others can see is one file that appears or is replaced, at once and as a whole: a temporary file
//! (apart from all data, in `.headrace-temporary`) and a rename on file systems, one request on S3. So a reader who only lists
//! and opens files sees each row once, whatever happens meanwhile; there is no time in which two files hold a row, or none.
//! That is why small files are never merged: [`Lake::append`] lets a file grow instead. It is done once for each token,
//! and cannot undo what another worker has added meanwhile. Writing the same rows again gives the same bytes, whatever frames they
//! come in; so do the same additions.
//! That holds for readers that open a file once. One that opens it again for its rows, as pandas, Polars, DuckDB and Spark do with a path, can take the
//! footer of one version and the rows of the next when a file is replaced in between; files that are full never change.
//! Ordering: rows stay in the order in which they came.
//! Memory: one row group (131,072 rows) while writing and reading, on S3 up to 16 MiB more, and the whole file in an append.
//!
//! Layout: `path`, `schema` (columns), `encode` and `decode` (Parquet), `writer`, `reader`, `grow` (append), `place` (what
//! a system must do), `file`, `hdfs`, `s3` with `http`.

mod decode;
mod encode;
mod file;
mod grow;
mod hdfs;
mod http;
mod path;
mod place;
mod reader;
mod s3;
mod schema;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use headrace_core::{Error, Result, StoreUrl};
use polars::prelude::{Column, DataFrame};

use encode::Encoder;
pub use path::LakePath;
use place::Place;
pub use reader::LakeReader;
pub use schema::{LakeKind, LakeSchema};
pub use writer::LakeWriter;

/// A folder, on whatever system, that holds Parquet files. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    place: Arc<dyn Place>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its path.
    pub path: LakePath,
    /// Its rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The token of its last append; none in files written in one piece.
    pub token: Option<i64>,
}

/// A file in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its path.
    pub path: LakePath,
    /// Its length.
    pub bytes: u64,
}

impl Lake {
    /// Opens a lake, checks that its place answers, and makes its folder where there are folders.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, login or certificate, a missing bucket or permission; an external one when
    /// nothing answers.
    pub async fn open(url: &StoreUrl) -> Result<Self> {
        let place: Arc<dyn Place> = match url.scheme.as_str() {
            "file" => Arc::new(file::Folder::open(url).await?),
            "hdfs" => Arc::new(hdfs::Hdfs::open(url).await?),
            "s3" => Arc::new(s3::Bucket::open(url).await?),
            other => {
                return Err(Error::configuration(format!("{other} is no lake: expected file:, hdfs:// or s3://")));
            }
        };
        Ok(Self { place })
    }

    /// Names the place without secrets.
    pub fn name(&self) -> String {
        self.place.name().to_owned()
    }

    /// Writes a file in one piece, and replaces what is there.
    ///
    /// # Errors
    /// A data error naming the column that does not fit the schema; others when the place fails.
    pub async fn write(&self, path: &LakePath, schema: &LakeSchema, frames: &[DataFrame]) -> Result<FileInfo> {
        let mut writer = self.writer(path, schema).await?;
        for frame in frames {
            if let Err(error) = writer.push(frame).await {
                writer.abort().await;
                return Err(error);
            }
        }
        writer.finish().await
    }

    /// Begins a file whose frames come one after another.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn writer(&self, path: &LakePath, schema: &LakeSchema) -> Result<LakeWriter> {
        let encoder = Encoder::new(schema, &self.name_of(path)?)?;
        Ok(LakeWriter::new(path.clone(), encoder, self.place.create(path, false).await?))
    }

    /// Adds rows to a file, or makes it, once for each token: when the file already has this token or a greater one, nothing
    /// happens. Tokens of a file must grow from append to append.
    ///
    /// # Errors
    /// A data error when rows or file do not fit the schema; an external one when the place fails or another worker has changed
    /// the file meanwhile.
    pub async fn append(
        &self,
        path: &LakePath,
        schema: &LakeSchema,
        frames: &[DataFrame],
        token: i64,
    ) -> Result<FileInfo> {
        grow::append(self, path, schema, frames, token).await
    }

    /// Reads the columns of a schema, which may be some of the file's; none if there is no such file.
    ///
    /// # Errors
    /// A data error when the file is damaged or has other columns; an external one when the place fails.
    pub async fn read(&self, path: &LakePath, schema: &LakeSchema) -> Result<Option<DataFrame>> {
        let Some(mut reader) = self.reader(path, schema).await? else { return Ok(None) };
        let mut all = DataFrame::new(
            0,
            schema.columns().map(|(name, kind)| Column::new_empty(name.into(), &encode::frame_type(kind))).collect(),
        )?;
        while let Some(frame) = reader.next().await? {
            all.vstack_mut(&frame)?;
        }
        Ok(Some(all))
    }

    /// Opens a file to be read row group by row group; none if there is no such file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn reader(&self, path: &LakePath, schema: &LakeSchema) -> Result<Option<LakeReader>> {
        let name = self.name_of(path)?;
        match self.place.open(path).await? {
            Some(opened) => LakeReader::new(path, name, opened, schema).await.map(Some),
            None => Ok(None),
        }
    }

    /// Lists the files under a folder, in the order of their paths; none if the folder is missing.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn list(&self, folder: &LakePath) -> Result<Vec<Listed>> {
        let mut files = self.place.list(folder).await?;
        files.sort();
        Ok(files)
    }

    /// Tells what a file is; none if there is no such file.
    ///
    /// # Errors
    /// A data error when it is no Parquet file; an external one when the place fails.
    pub async fn info(&self, path: &LakePath) -> Result<Option<FileInfo>> {
        let name = self.name_of(path)?;
        let Some(opened) = self.place.open(path).await? else { return Ok(None) };
        let metadata = decode::footer(opened.as_ref(), &name).await?;
        Ok(Some(reader::info(path, opened.bytes(), &metadata)))
    }

    /// Tells whether there is such a file.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn exists(&self, path: &LakePath) -> Result<bool> {
        self.name_of(path)?;
        Ok(self.place.open(path).await?.is_some())
    }

    /// Deletes a file and tells whether there was one.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn delete(&self, path: &LakePath) -> Result<bool> {
        self.name_of(path)?;
        self.place.delete(path).await
    }

    /// Removes temporary files that nobody has written to for so long, as crashed workers leave them, and counts them.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn sweep(&self, idle: Duration) -> Result<usize> {
        self.place.sweep(idle).await
    }

    /// What texts call a file.
    fn name_of(&self, path: &LakePath) -> Result<String> {
        if path.is_file() {
            Ok(format!("{path} in {}", self.place.name()))
        } else {
            Err(Error::configuration(format!("{path} is no name of a file in a lake: it does not end in .parquet")))
        }
    }
}
