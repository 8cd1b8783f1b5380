//! A folder of this machine, or of a file system that is mounted on it.

use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::{Error, Result, StoreUrl};
use hyper::body::Bytes;

use super::Listed;
use super::path::LakePath;
use super::place::{Expected, Opened, Place, TEMPORARY, Upload, temporary_name};
use super::writer::blocking;

/// The lake's folder.
pub(super) struct Folder {
    root: PathBuf,
    name: String,
}

impl Folder {
    /// Makes the folder and the one of temporary files.
    ///
    /// # Errors
    /// A configuration error when that is not possible.
    pub(super) async fn open(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&[])?;
        let root = PathBuf::from(url.path.first().map_or("", String::as_str));
        let folder = Self { name: url.to_string(), root };
        let temporary = folder.root.join(TEMPORARY);
        blocking(move || {
            std::fs::create_dir_all(&temporary).map_err(|error| failed("cannot make the folder", &temporary, error))
        })
        .await?;
        Ok(folder)
    }

    fn place(&self, path: &LakePath) -> PathBuf {
        self.root.join(path.as_str())
    }
}

#[async_trait]
impl Place for Folder {
    async fn create(&self, path: &LakePath, alone: bool) -> Result<Box<dyn Upload>> {
        let (folder, place) = (self.root.join(TEMPORARY), self.place(path));
        let (prefix, name) = temporary_name(path);
        blocking(move || {
            let temporary = folder.join(&name);
            let file = std::fs::File::create_new(&temporary)
                .map_err(|error| failed("cannot make the temporary file", &temporary, error))?;
            let upload = Box::new(Writing { file: Arc::new(file), temporary, place, is_done: false });
            if alone {
                for other in names(&folder)? {
                    if other.starts_with(&prefix) && other != name {
                        remove(&folder.join(other))?;
                    }
                }
            }
            Ok(upload as Box<dyn Upload>)
        })
        .await
    }

    async fn open(&self, path: &LakePath) -> Result<Option<Box<dyn Opened>>> {
        let place = self.place(path);
        blocking(move || match std::fs::File::open(&place) {
            Ok(file) => {
                let bytes = file.metadata().map_err(|error| failed("cannot read", &place, error))?.len();
                Ok(Some(Box::new(Reading { file: Arc::new(file), bytes, place }) as Box<dyn Opened>))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("cannot open", &place, error)),
        })
        .await
    }

    async fn list(&self, folder: &LakePath) -> Result<Vec<Listed>> {
        let (place, folder) = (self.place(folder), folder.clone());
        blocking(move || {
            let mut found = Vec::new();
            walk(&place, &folder, &mut found)?;
            Ok(found)
        })
        .await
    }

    async fn delete(&self, path: &LakePath) -> Result<bool> {
        let place = self.place(path);
        blocking(move || remove(&place)).await
    }

    async fn sweep(&self, idle: Duration) -> Result<usize> {
        let folder = self.root.join(TEMPORARY);
        blocking(move || {
            let mut removed = 0;
            for name in names(&folder)? {
                let place = folder.join(name);
                // Another worker may be faster, with its rename or its own sweep.
                let Ok(changed) = std::fs::metadata(&place).and_then(|metadata| metadata.modified()) else { continue };
                if changed.elapsed().is_ok_and(|since| since >= idle) && remove(&place)? {
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }

    fn name(&self) -> &str {
        &self.name
    }
}

struct Writing {
    file: Arc<std::fs::File>,
    temporary: PathBuf,
    place: PathBuf,
    is_done: bool,
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (file, temporary) = (Arc::clone(&self.file), self.temporary.clone());
        let write = move || (&*file).write_all(&bytes).map_err(|error| failed("cannot write", &temporary, error));
        blocking(write).await
    }

    async fn finish(mut self: Box<Self>, _expected: &Expected) -> Result<()> {
        blocking(move || {
            let context = |error| failed("cannot put a file in the place of", &self.place, error);
            self.file.sync_all().map_err(context)?;
            let folder = self.place.parent().unwrap_or(&self.place);
            std::fs::create_dir_all(folder).map_err(context)?;
            std::fs::rename(&self.temporary, &self.place).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::external(
                    format!("cannot put a file in the place of {}", self.place.display()),
                    "another worker has taken its temporary file away",
                ),
                _ => context(error),
            })?;
            // The rename is only kept for sure once the folder is written.
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(context)?;
            self.is_done = true;
            Ok(())
        })
        .await
    }

    async fn abort(self: Box<Self>) {}
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

struct Reading {
    file: Arc<std::fs::File>,
    bytes: u64,
    place: PathBuf,
}

#[async_trait]
impl Opened for Reading {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn version(&self) -> String {
        String::new() // taking temporary files away is what keeps workers apart here
    }

    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        let (file, place) = (Arc::clone(&self.file), self.place.clone());
        blocking(move || {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, range.start).map_err(|error| failed("cannot read", &place, error))?;
            Ok(Bytes::from(bytes))
        })
        .await
    }
}

fn walk(place: &Path, path: &LakePath, found: &mut Vec<Listed>) -> Result<()> {
    for name in names(place)? {
        // What has another name is hidden, or not ours.
        let Ok(inner) = path.join(&name) else { continue };
        let place = place.join(&name);
        let metadata = match std::fs::metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("cannot look at", &place, error)),
        };
        if metadata.is_dir() {
            walk(&place, &inner, found)?;
        } else if inner.is_file() {
            found.push(Listed { path: inner, bytes: metadata.len() });
        }
    }
    Ok(())
}

/// The names in a folder; none if it is missing.
fn names(folder: &Path) -> Result<Vec<String>> {
    let context = |error| failed("cannot list", folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(context(error)),
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry.map_err(context)?.file_name().into_string().ok());
    entries.filter_map(|entry| name(entry).transpose()).collect()
}

fn remove(place: &Path) -> Result<bool> {
    match std::fs::remove_file(place) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("cannot delete", place, error)),
    }
}

fn failed(what: &str, place: &Path, error: std::io::Error) -> Error {
    let context = format!("{what} {}", place.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::InvalidInput => Error::configuration(format!("{context}: {error}")),
        _ => Error::external(context, error),
    }
}
