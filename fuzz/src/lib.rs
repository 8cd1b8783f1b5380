//! The parsers under test that are private to their crates, and what the targets share.
//!
//! They are taken by path, file by file, and not as dependencies: the crates around them would bring the client libraries of
//! all stores into an instrumented build.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "of each file a part is used")]

#[path = "../../workers/pipelines/src/recruitment"]
pub mod recruitment {
    pub mod classes;
    pub mod columns;
    pub mod event;
    pub mod message;
    pub mod reason;
    pub mod record;
}

#[path = "../../workers/connectors/src/csv"]
pub mod csv_file {
    mod scanner;

    use scanner::{Found, Scanner};

    /// Cuts a file as the source does: bytes come in pieces of some size, and done records are forgotten.
    pub fn cut(file: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut scanner, mut buffer, mut read) = (Scanner::new(), Vec::new(), 0);
        let mut records = Vec::new();
        loop {
            match scanner.next(&buffer, read == file.len()) {
                Found::Record { start, end, next, .. } => {
                    assert!(start <= end && end <= next && next <= buffer.len());
                    records.push(buffer[start..end].to_vec());
                }
                Found::End => return records,
                Found::More => {
                    assert!(read < file.len(), "more is asked for behind the end");
                    let done = scanner.needed_from();
                    buffer.drain(..done);
                    scanner.shift(done);
                    let more = (read + piece).min(file.len());
                    buffer.extend_from_slice(&file[read..more]);
                    read = more;
                }
            }
        }
    }
}

#[path = "../../workers/connectors/src/embedded"]
pub mod log_batch {
    mod packed;

    /// Reads a blob of messages; what can be read is written again as the same blob.
    pub fn read_and_write(blob: &[u8]) -> Option<Vec<u8>> {
        let unpacked = packed::unpack(blob).ok()?;
        let messages: Vec<_> = unpacked.keys.iter().zip(unpacked.values.iter()).collect();
        assert_eq!(messages.len(), unpacked.sizes.len());
        messages.iter().zip(&unpacked.sizes).for_each(|(message, size)| assert_eq!(packed::size(message), *size));
        packed::pack(&messages).ok()
    }
}

use headrace_core::batch::{message_columns, record_columns};
use polars::prelude::{DataFrame, NamedFrom, Series};

/// One raw record as a frame.
pub fn record_frame(record: &[u8]) -> DataFrame {
    let columns = vec![
        Series::new(record_columns::VALUE.into(), [record].as_slice()).into(),
        Series::new(record_columns::RECORD.into(), [1_i64]).into(),
        Series::new(record_columns::POSITION.into(), [0_i64]).into(),
    ];
    DataFrame::new(1, columns).expect("three columns of one row")
}

/// Raw messages as a frame.
pub fn message_frame(values: &[Option<&[u8]>]) -> DataFrame {
    let count = values.len();
    let columns = vec![
        Series::new(message_columns::KEY.into(), vec![None::<&[u8]>; count]).into(),
        Series::new(message_columns::VALUE.into(), values).into(),
        Series::new(message_columns::PARTITION.into(), vec![0_i32; count]).into(),
        Series::new(message_columns::OFFSET.into(), (0..count as i64).collect::<Vec<_>>()).into(),
    ];
    DataFrame::new(count, columns).expect("four columns of one length")
}
