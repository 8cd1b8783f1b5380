//! Positions in a file, and whether the file is still the one they were taken in.
//!
//! A position is the offset of the next record. Its detail holds that record's number and two hashes of at most
//! 64 KiB each: of the file's first bytes and of the bytes before the position. A file that was appended to keeps
//! both; a replaced or edited one changes one of them, unless it was edited only in the middle.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use headrace_core::Position;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const WINDOW_BYTES: u64 = 64 * 1_024;

/// Where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The offset of the next record, or of line ends before it.
    pub(super) offset: u64,
    /// The next record's number.
    pub(super) record: i64,
}

#[derive(Serialize, Deserialize)]
struct Detail {
    record: i64,
    head: u64,
    tail: u64,
    /// The file ended inside a quoted field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    /// The byte range of a split; other ranges mean other splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(u64, u64)>,
}

/// Takes and checks positions of one file.
pub(super) struct Places {
    file: File,
    split: Option<Range<u64>>,
    whole_head: Option<u64>,
}

impl Places {
    /// Works on an open file, and on one split of it.
    pub(super) fn new(file: File, split: Option<Range<u64>>) -> Self {
        Self { file, split, whole_head: None }
    }

    /// Takes a position.
    pub(super) fn take(&mut self, cursor: Cursor, open: bool) -> std::io::Result<Position> {
        let (head, tail) = self.hashes(cursor.offset)?;
        let range = self.split.as_ref().map(|split| (split.start, split.end));
        let detail = Detail { record: cursor.record, head, tail, open, range };
        let at = i64::try_from(cursor.offset).map_err(std::io::Error::other)?;
        Ok(Position::with_detail(at, serde_json::to_string(&detail)?))
    }

    /// Checks a position against the file as it is now: gives where to go on, or why that is not possible.
    pub(super) fn check(&mut self, position: &Position, first: u64) -> std::io::Result<Result<Cursor, String>> {
        let refuse = |reason: String| Ok(Err(reason));
        let length = self.file.metadata()?.len();
        let (Ok(offset), Ok(detail)) = (u64::try_from(position.at), serde_json::from_str::<Detail>(&position.detail))
        else {
            return refuse("its position has another form".to_owned());
        };
        if offset > length {
            return refuse(format!("it has {length} bytes now, fewer than the {offset} read before"));
        }
        let (head, tail) = self.hashes(offset)?;
        if offset < first || head != detail.head {
            return refuse("it begins with other bytes than before".to_owned());
        }
        if tail != detail.tail {
            return refuse(format!("its bytes before byte {offset} have changed"));
        }
        if detail.range != self.split.as_ref().map(|split| (split.start, split.end)) {
            return refuse("it has been split at other places before".to_owned());
        }
        if offset < length && (detail.open || !self.touches_line_end(offset)?) {
            return refuse("the record it ended with has grown".to_owned());
        }
        Ok(Ok(Cursor { offset, record: detail.record }))
    }

    /// Tells whether the bytes around an offset belong to different records.
    fn touches_line_end(&mut self, offset: u64) -> std::io::Result<bool> {
        let around = self.bytes(offset.saturating_sub(1), 2)?;
        Ok(around.iter().any(|byte| matches!(byte, b'\r' | b'\n')))
    }

    fn hashes(&mut self, offset: u64) -> std::io::Result<(u64, u64)> {
        let window = offset.min(WINDOW_BYTES);
        let head = match self.whole_head {
            Some(head) if window == WINDOW_BYTES => head,
            _ => xxh3_64(&self.bytes(0, window)?),
        };
        if window == WINDOW_BYTES {
            self.whole_head = Some(head);
        }
        Ok((head, xxh3_64(&self.bytes(offset - window, window)?)))
    }

    fn bytes(&mut self, offset: u64, count: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(offset))?;
        (&mut self.file).take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
