//! Reads some records of a file again, by their offsets.

use std::fs::File;
use std::path::PathBuf;

use headrace_core::{Error, ErrorKind, Result};

use super::CsvOptions;
use super::records::{Records, cannot_read};

/// Bytes asked for at once: a record, not a file.
const CHUNK_BYTES: usize = 16 << 10;

/// A file whose records can be read again.
#[derive(Clone, Debug)]
pub struct RecordsAgain {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) options: CsvOptions,
}

impl RecordsAgain {
    /// Reads the records that begin at some offsets, in this order; none where the file has no such record any more.
    ///
    /// # Errors
    /// External when the file cannot be read.
    pub async fn read(&self, offsets: Vec<u64>) -> Result<Vec<Option<Vec<u8>>>> {
        let again = self.clone();
        let read = tokio::task::spawn_blocking(move || again.read_now(&offsets)).await;
        read.map_err(|error| Error::external(format!("cannot read file `{}` again", self.name), error))?
    }

    fn read_now(&self, offsets: &[u64]) -> Result<Vec<Option<Vec<u8>>>> {
        let cannot_open = |error| Error::external(format!("cannot open file `{}`", self.name), error);
        let file = File::open(&self.path).map_err(cannot_open)?;
        let options = CsvOptions { chunk_bytes: CHUNK_BYTES, ..self.options.clone() };
        let record = |offset: &u64| {
            let file = file.try_clone().map_err(|error| cannot_read(&self.name, *offset, error))?;
            match Records::start(file, &self.name, &options, *offset, 0)?.next() {
                Ok(record) => Ok(record.filter(|record| record.start == *offset).map(|record| record.value.to_vec())),
                // Too long: something else is there now.
                Err(error) if error.kind() == ErrorKind::Data => Ok(None),
                Err(error) => Err(error),
            }
        };
        offsets.iter().map(record).collect()
    }
}
