//! The task that reads one range of tokens, page by page, and cuts what it reads between tokens.

use std::sync::Arc;

use headrace_core::{Error, Result};
use polars::prelude::DataFrame;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::{Semaphore, mpsc};

use super::client::Client;
use super::page::Columns;
use super::pages::Pages;
use super::scan::{PIECE_BYTES, PIECE_ROWS};
use super::tokens::Range;

/// What all readers of a scan share.
pub(super) struct Reading {
    pub(super) client: Arc<Client>,
    pub(super) context: String,
    pub(super) statement: PreparedStatement,
    pub(super) columns: Columns,
    /// Bounds how many ranges are read at once.
    pub(super) permits: Semaphore,
}

/// Rows of one part, and the last token whose rows were all given with them.
pub(super) struct Piece {
    pub(super) part: usize,
    pub(super) start: u64,
    pub(super) frame: DataFrame,
    pub(super) token: i64,
    pub(super) bytes: u64,
    /// Reading ended here.
    pub(super) error: Option<Error>,
}

impl Reading {
    /// Reads a range to its end or an error, sending pieces.
    pub(super) async fn read(self: Arc<Self>, part: usize, start: u64, range: Range, pieces: mpsc::Sender<Piece>) {
        // The semaphore is never closed.
        let Ok(_permit) = self.permits.acquire().await else { return };
        let sending = Sending { part, start, pieces };
        if let Err(error) = self.read_pages(range, &sending).await {
            sending.send(DataFrame::default(), range.after, 0, Some(error)).await;
        }
    }

    async fn read_pages(&self, range: Range, sending: &Sending) -> Result<()> {
        let mut pages = Pages::new(self.context.clone(), self.statement.clone(), (range.after, range.to));
        let mut held =
            Held { frame: self.columns.nothing()?, bytes: 0, last: range.after, before: range.after, cut: 0 };
        while let Some(page) = pages.next(&self.client).await? {
            let above = held.frame.height();
            let frame = self.columns.read(&page, |row, token| held.see(above + row, token))?;
            held.frame.vstack_mut(&frame)?;
            held.bytes += page.rows_bytes_size() as u64;
            if held.cut > 0 && (held.frame.height() >= PIECE_ROWS || held.bytes >= PIECE_BYTES as u64) {
                let (frame, token, bytes) = held.split();
                if !sending.send(frame, token, bytes, None).await {
                    return Ok(());
                }
            }
        }
        sending.send(held.frame, range.to, held.bytes, None).await;
        Ok(())
    }
}

/// The way of one part's pieces to the scan.
struct Sending {
    part: usize,
    start: u64,
    pieces: mpsc::Sender<Piece>,
}

impl Sending {
    /// Sends a piece, or tells that the scan is gone.
    async fn send(&self, frame: DataFrame, token: i64, bytes: u64, error: Option<Error>) -> bool {
        let piece = Piece { part: self.part, start: self.start, frame, token, bytes, error };
        self.pieces.send(piece).await.is_ok()
    }
}

/// Rows read but not sent: whole tokens up to the cut, and behind it rows of a token that may go on.
struct Held {
    frame: DataFrame,
    bytes: u64,
    last: i64,
    /// The token before the last one.
    before: i64,
    /// The row where the last token begins.
    cut: usize,
}

impl Held {
    fn see(&mut self, row: usize, token: i64) {
        if token != self.last {
            (self.before, self.last, self.cut) = (self.last, token, row);
        }
    }

    /// Takes the whole tokens out.
    fn split(&mut self) -> (DataFrame, i64, u64) {
        let whole = self.frame.slice(0, self.cut);
        let rest = self.frame.slice(self.cut as i64, usize::MAX);
        self.frame = rest;
        self.cut = 0;
        (whole, self.before, std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, IntoColumn as _, NamedFrom as _, Series};
    use proptest::prelude::*;

    use super::Held;

    fn frame(tokens: &[i64]) -> DataFrame {
        DataFrame::new(tokens.len(), vec![Series::new("token".into(), tokens).into_column()]).unwrap()
    }

    proptest! {
        #[test]
        fn cuts_never_part_rows_of_one_token(mut tokens in proptest::collection::vec(0_i64..20, 0..60), page in 1_usize..9) {
            tokens.sort_unstable();
            let mut held = Held { frame: frame(&[]), bytes: 0, last: -1, before: -1, cut: 0 };
            let mut given: Vec<(Vec<i64>, i64)> = Vec::new();
            let read = |frame: &DataFrame| -> Vec<i64> { frame.column("token").unwrap().i64().unwrap().iter().flatten().collect() };
            for page in tokens.chunks(page) {
                let above = held.frame.height();
                page.iter().enumerate().for_each(|(row, token)| held.see(above + row, *token));
                held.frame.vstack_mut(&frame(page)).unwrap();
                if held.cut > 0 {
                    let (frame, token, _) = held.split();
                    given.push((read(&frame), token));
                }
            }
            let rest = read(&held.frame);
            for (rows, position) in &given {
                prop_assert_eq!(rows.last(), Some(position));
            }
            let mut bounds: Vec<(i64, i64)> = Vec::new();
            for rows in given.iter().map(|(rows, _)| rows).chain([&rest]).filter(|rows| !rows.is_empty()) {
                bounds.push((rows[0], rows[rows.len() - 1]));
            }
            prop_assert!(bounds.windows(2).all(|pair| pair[0].1 < pair[1].0));
            let all: Vec<i64> = given.into_iter().flat_map(|(rows, _)| rows).chain(rest).collect();
            prop_assert_eq!(all, tokens);
        }
    }
}
