//! Paged reading: all pages of a statement, each of about the same number of bytes whatever the rows are like.

use headrace_core::{Error, Result};
use scylla::response::query_result::QueryRowsResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::client::{Client, Patience};
use super::failure;

/// Rows of the first page, when nothing is known about their size.
const FIRST_ROWS: usize = 500;
/// What a page should hold.
const PAGE_BYTES: usize = 2 << 20;
const MOST_ROWS: usize = 10_000;

/// The pages still to come of one statement.
pub(super) struct Pages<Values> {
    context: String,
    statement: PreparedStatement,
    values: Values,
    state: Option<PagingState>,
    rows: usize,
    most: usize,
}

impl<Values: SerializeRow> Pages<Values> {
    /// Begins at the first page.
    pub(super) fn new(context: String, statement: PreparedStatement, values: Values) -> Self {
        Self { context, statement, values, state: Some(PagingState::start()), rows: FIRST_ROWS, most: MOST_ROWS }
    }

    /// Asks for so many rows at once from the first page on, as earlier reads have shown to fit.
    pub(super) fn known(mut self, rows: Option<usize>) -> Self {
        self.rows = rows.unwrap_or(self.rows).clamp(1, self.most);
        self
    }

    /// How many rows the next page may have.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Asks for no more rows at once.
    pub(super) fn at_most(mut self, rows: usize) -> Self {
        self.most = rows.clamp(1, MOST_ROWS);
        self.rows = self.rows.min(self.most);
        self
    }

    /// Reads a statement with a `LIMIT` of so many rows.
    pub(super) fn limited(mut self, limit: usize) -> Self {
        self.rows = self.rows.min(limit.max(1));
        // A page as large as the limit makes Cassandra begin anew, whatever page comes next.
        self.most = limit.saturating_sub(1).clamp(1, MOST_ROWS);
        self
    }

    /// Reads the next page, none when all were read. A server that does not manage is asked again, for less at once.
    ///
    /// # Errors
    /// External when it stays that way for a minute.
    pub(super) async fn next(&mut self, client: &Client) -> Result<Option<QueryRowsResult>> {
        let Some(state) = self.state.take() else { return Ok(None) };
        let mut patience = Patience::new();
        loop {
            self.statement.set_page_size(i32::try_from(self.rows).unwrap_or(i32::MAX));
            match client.session.execute_single_page(&self.statement, &self.values, state.clone()).await {
                Ok((page, more)) => {
                    let page = failure::answer(&self.context, page.into_rows_result())?;
                    self.learn(page.rows_num(), page.rows_bytes_size());
                    if let PagingStateResponse::HasMorePages { state } = more {
                        self.state = Some(state);
                    }
                    return Ok(Some(page));
                }
                Err(error) => {
                    patience.wait(&self.context, error).await?;
                    self.rows = (self.rows / 2).max(1);
                }
            }
        }
    }

    fn learn(&mut self, rows: usize, bytes: usize) {
        if let Some(row_bytes) = bytes.checked_div(rows) {
            let fitting = (PAGE_BYTES / row_bytes.max(1)).max(10);
            // Growing slowly: a few short rows say little about the next ones.
            self.rows = fitting.min(self.rows * 4).min(self.most);
        }
    }
}

/// The error for a read whose table is gone or was never there is made when it is prepared; this one is for the rest.
pub(super) fn cannot_read(keyspace: &headrace_core::Ident, table: &headrace_core::Ident) -> String {
    format!("cannot read table `{keyspace}.{table}`")
}

/// Refuses a value of another kind than its column.
pub(super) fn unfit(context: &str, column: &headrace_core::Ident) -> Error {
    Error::configuration(format!("{context}: the value for column {column} is of another kind"))
}
