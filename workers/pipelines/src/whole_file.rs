//! Files that appear under their name only when they are whole.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use headrace_core::{Error, Result};

/// A file that appears under its name only when it is whole.
pub(crate) struct WholeFile {
    path: PathBuf,
    partial: PathBuf,
    pub(crate) writer: BufWriter<std::fs::File>,
    finished: bool,
}

impl WholeFile {
    /// Begins a file.
    ///
    /// # Errors
    /// A configuration error when it cannot be created.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::configuration(format!("cannot write {}: it is a directory", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = std::fs::File::create(&partial)
            .map_err(|error| Error::configuration(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), partial, writer: BufWriter::with_capacity(1 << 20, file), finished: false })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// An external error, for example when the disk is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer
            .write_all(bytes)
            .map_err(|error| Error::external(format!("cannot write {}", self.path.display()), error))
    }

    /// Gives the file its name, and tells its size.
    ///
    /// # Errors
    /// An external error, for example when the disk is full.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let failed = |error| Error::external(format!("cannot write {}", self.path.display()), error);
        self.writer.flush().map_err(failed)?;
        self.writer.get_ref().sync_all().map_err(failed)?;
        let bytes = self.writer.get_ref().metadata().map_err(failed)?.len();
        std::fs::rename(&self.partial, &self.path).map_err(failed)?;
        self.finished = true;
        Ok(bytes)
    }
}

impl io::Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            // What is left of a failed export helps nobody; that it cannot be removed changes nothing.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
