//! HDFS, by its own protocol: no Hadoop on this machine. A rename that overwrites is one change in the NameNode.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use hdfs_native::client::FileStatus;
use hdfs_native::file::{FileReader, FileWriter};
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use headrace_core::{Error, Result, StoreUrl, clock};
use hyper::body::Bytes;

use super::Listed;
use super::path::LakePath;
use super::place::{Expected, Opened, Place, TEMPORARY, Upload, temporary_name};

const DEFAULT_PORT: u16 = 8_020;
/// Longer than any single request may take; after that the cluster counts as lost.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);
/// The name that several NameNodes get together, for the client.
const SERVICE: &str = "lake";

/// A folder of HDFS.
pub(super) struct Hdfs {
    client: Client,
    root: String,
    name: String,
}

impl Hdfs {
    /// Makes the folder and the one of temporary files.
    ///
    /// # Errors
    /// A configuration error for a wrong URL or a missing permission; an external one when nothing answers.
    pub(super) async fn open(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&[])?;
        if url.password.is_some() {
            return Err(Error::configuration(
                "hdfs: there are no passwords in HDFS, only users: hdfs://USER@HOST:PORT/FOLDER",
            ));
        }
        for (host, port) in &url.hosts {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            if let Err(error) = tokio::net::lookup_host((bare, port.unwrap_or(DEFAULT_PORT))).await {
                return Err(Error::configuration(format!("cannot find the NameNode `{host}`: {error}")));
            }
        }
        let root = format!("/{}", url.path.join("/"));
        let place = format!("hdfs://{}", url.host_list(DEFAULT_PORT));
        let name = format!("{place}{root}");
        let mut builder = ClientBuilder::new();
        builder = match url.hosts.as_slice() {
            [_] => builder.with_url(place),
            several => builder.with_url(format!("hdfs://{SERVICE}")).with_config(name_service(several)),
        };
        if let Some(user) = &url.user {
            builder = builder.with_user(user);
        }
        let client = builder.build().map_err(|error| Error::configuration(format!("cannot use {name}: {error}")))?;
        let hdfs = Self { client, root, name };
        let temporary = hdfs.temporary();
        hdfs.ask(&temporary, "cannot make the folder", hdfs.client.mkdirs(&temporary, 0o755, true)).await?;
        Ok(hdfs)
    }

    fn place(&self, path: &LakePath) -> String {
        format!("{}/{path}", self.root.trim_end_matches('/'))
    }

    fn temporary(&self) -> String {
        format!("{}/{TEMPORARY}", self.root.trim_end_matches('/'))
    }

    async fn ask<T>(&self, place: &str, what: &str, request: impl Future<Output = Result<T, HdfsError>>) -> Result<T> {
        limited(&self.name, place, what, request).await
    }

    async fn files(&self, place: &str, is_recursive: bool) -> Result<Vec<FileStatus>> {
        let list = self.client.list_status(place, is_recursive);
        match tokio::time::timeout(REQUEST_LIMIT, list).await {
            Ok(Err(error)) if is_missing(&error) => Ok(Vec::new()),
            Ok(found) => found.map_err(|error| failed(&self.name, place, "cannot list", error)),
            Err(_) => Err(silent(&self.name, place, "cannot list")),
        }
    }
}

#[async_trait]
impl Place for Hdfs {
    async fn create(&self, path: &LakePath, alone: bool) -> Result<Box<dyn Upload>> {
        let (prefix, name) = temporary_name(path);
        let temporary = format!("{}/{name}", self.temporary());
        let create = self.client.create(&temporary, WriteOptions::default());
        let writer = self.ask(&temporary, "cannot make the temporary file", create).await?;
        let place = self.place(path);
        let upload = Writing { client: self.client.clone(), cluster: self.name.clone(), writer, temporary, place };
        if alone {
            for other in self.files(&self.temporary(), false).await? {
                let is_other = last(&other.path).starts_with(&prefix) && last(&other.path) != name;
                if is_other {
                    self.ask(&other.path, "cannot delete", self.client.delete(&other.path, false)).await?;
                }
            }
        }
        Ok(Box::new(upload))
    }

    async fn open(&self, path: &LakePath) -> Result<Option<Box<dyn Opened>>> {
        let place = self.place(path);
        match tokio::time::timeout(REQUEST_LIMIT, self.client.read(&place)).await {
            Ok(Ok(reader)) => Ok(Some(Box::new(Reading { reader, cluster: self.name.clone(), place }))),
            Ok(Err(error)) if is_missing(&error) => Ok(None),
            Ok(Err(error)) => Err(failed(&self.name, &place, "cannot open", error)),
            Err(_) => Err(silent(&self.name, &place, "cannot open")),
        }
    }

    async fn list(&self, folder: &LakePath) -> Result<Vec<Listed>> {
        let top = format!("{}/", self.root.trim_end_matches('/'));
        let files = self.files(&self.place(folder), true).await?;
        let listed = |file: FileStatus| {
            // What has another name is hidden, or not ours.
            let path = file.path.strip_prefix(&top).and_then(|path| LakePath::new(path).ok())?;
            (!file.isdir && path.is_file()).then_some(Listed { path, bytes: file.length as u64 })
        };
        Ok(files.into_iter().filter_map(listed).collect())
    }

    async fn delete(&self, path: &LakePath) -> Result<bool> {
        let place = self.place(path);
        self.ask(&place, "cannot delete", self.client.delete(&place, false)).await
    }

    async fn sweep(&self, idle: Duration) -> Result<usize> {
        let mut removed = 0;
        let latest = u64::try_from(clock::now_ms())
            .unwrap_or(0)
            .saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        for file in self.files(&self.temporary(), false).await? {
            // The time of a file that is being written is that of its beginning: no writing takes as long as `idle`.
            if file.modification_time <= latest {
                let delete = self.client.delete(&file.path, false);
                removed += usize::from(self.ask(&file.path, "cannot delete", delete).await?);
            }
        }
        Ok(removed)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

struct Writing {
    client: Client,
    cluster: String,
    writer: FileWriter,
    temporary: String,
    place: String,
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        limited(&self.cluster, &self.temporary, "cannot write", self.writer.write_bytes(bytes)).await.map(|_| ())
    }

    async fn finish(mut self: Box<Self>, _expected: &Expected) -> Result<()> {
        let what = "cannot put a file in the place of";
        if let Err(error) = limited(&self.cluster, &self.place, what, self.writer.close()).await {
            self.abort().await;
            return Err(error);
        }
        let folder = self.place.rsplit_once('/').map_or("/", |(folder, _)| folder);
        limited(&self.cluster, folder, "cannot make the folder", self.client.mkdirs(folder, 0o755, true)).await?;
        limited(&self.cluster, &self.place, what, self.client.rename(&self.temporary, &self.place, true)).await
    }

    async fn abort(self: Box<Self>) {
        let delete = self.client.delete(&self.temporary, false);
        if !matches!(tokio::time::timeout(REQUEST_LIMIT, delete).await, Ok(Ok(_))) {
            tracing::debug!(file = self.temporary, "a temporary file could not be deleted");
        }
    }
}

struct Reading {
    reader: FileReader,
    cluster: String,
    place: String,
}

#[async_trait]
impl Opened for Reading {
    fn bytes(&self) -> u64 {
        self.reader.file_length() as u64
    }

    fn version(&self) -> String {
        String::new() // taking temporary files away is what keeps workers apart here
    }

    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        let offset = usize::try_from(range.start).unwrap_or(usize::MAX);
        limited(&self.cluster, &self.place, "cannot read", self.reader.read_range(offset, length)).await
    }
}

/// How the client is told of several NameNodes.
fn name_service(hosts: &[(String, Option<u16>)]) -> Vec<(String, String)> {
    let names: Vec<String> = (0..hosts.len()).map(|number| format!("node{number}")).collect();
    let address = |(name, (host, port)): (&String, &(String, Option<u16>))| {
        (format!("dfs.namenode.rpc-address.{SERVICE}.{name}"), format!("{host}:{}", port.unwrap_or(DEFAULT_PORT)))
    };
    let all = (format!("dfs.ha.namenodes.{SERVICE}"), names.join(","));
    std::iter::once(all).chain(names.iter().zip(hosts).map(address)).collect()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

async fn limited<T>(
    cluster: &str,
    place: &str,
    what: &str,
    request: impl Future<Output = Result<T, HdfsError>>,
) -> Result<T> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(answer) => answer.map_err(|error| failed(cluster, place, what, error)),
        Err(_) => Err(silent(cluster, place, what)),
    }
}

fn silent(cluster: &str, place: &str, what: &str) -> Error {
    let waited = format!("no answer within {} s", REQUEST_LIMIT.as_secs());
    Error::external(format!("{what} {place} of {cluster}"), waited)
}

fn is_missing(error: &HdfsError) -> bool {
    match error {
        HdfsError::FileNotFound(_) => true,
        HdfsError::RPCError(class, _) => class == "java.io.FileNotFoundException",
        _ => false,
    }
}

/// The kind of an error of the client.
fn failed(cluster: &str, place: &str, what: &str, error: HdfsError) -> Error {
    let context = format!("{what} {place} of {cluster}");
    match &error {
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            let (class, text) =
                (last(&class.replace('.', "/")).to_owned(), text.lines().next().unwrap_or("").to_owned());
            match class.as_str() {
                "AccessControlException" | "AuthorizationException" => Error::configuration(format!(
                    "{context}: {text}; the user is the one in hdfs://USER@HOST, else HADOOP_USER_NAME"
                )),
                "ParentNotDirectoryException"
                | "FileAlreadyExistsException"
                | "InvalidPathException"
                | "SaslException"
                | "DSQuotaExceededException"
                | "NSQuotaExceededException" => Error::configuration(format!("{context}: {class}: {text}")),
                "FileNotFoundException" if what.starts_with("cannot put") || what.starts_with("cannot write") => {
                    Error::external(context, "another worker has taken its temporary file away")
                }
                _ => Error::external(context, format!("{class}: {text}")),
            }
        }
        HdfsError::SASLError(_)
        | HdfsError::GSSAPIError(..)
        | HdfsError::NoSASLMechanism
        | HdfsError::IsADirectoryError(_) => Error::configuration(format!("{context}: {error}")),
        _ => Error::external(context, error),
    }
}
