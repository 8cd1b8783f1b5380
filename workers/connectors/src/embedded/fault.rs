//! What can go wrong in SQLite, told as the kinds of error the workers know.

use headrace_core::Error;
use rusqlite::ErrorCode;

/// An error inside a piece of database work, before it is known where and during what it happened.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// Anything that already says all there is to say.
    Told(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl From<polars::error::PolarsError> for Fault {
    fn from(error: polars::error::PolarsError) -> Self {
        Self::Told(error.into())
    }
}

impl Fault {
    /// Tells whether another connection was in the way.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Sqlite(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        )
    }

    /// Says where it happened, during what, and what to do about it.
    pub(super) fn into_error(self, place: &str, doing: &str) -> Error {
        let error = match self {
            Self::Told(error) => return error,
            Self::Sqlite(error) => error,
        };
        let text = message(&error);
        let wrong = |what: &str| Error::configuration(format!("cannot {doing} in {place}: {what} ({text})"));
        let unfit = |what: &str| Error::data(format!("cannot {doing} in {place}: {what} ({text})"));
        let failed = |what: &str| Error::external(format!("cannot {doing} in {place}"), format!("{what} ({text})"));
        if text.starts_with("no such table") || text.starts_with("no such column") {
            return wrong("there is no such table or column; run the step that fills it first");
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen) => {
                wrong("its files cannot be opened; check that the directory exists and may be written")
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
                wrong(
                    "it may not be written; change the permissions of the directory and its files or choose another directory",
                )
            }
            Some(ErrorCode::NotADatabase) => wrong("the file is no SQLite database; choose another directory"),
            Some(ErrorCode::DatabaseCorrupt) => {
                unfit("the file is damaged; restore it from a backup or load again into another directory")
            }
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                unfit("a value does not fit")
            }
            Some(ErrorCode::DiskFull) => failed("the disk is full; free some space and run the step again"),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                failed("another process keeps it locked; wait for it or stop it, then run the step again")
            }
            Some(ErrorCode::SystemIoFailure) => {
                failed("the disk failed or is full; check the disk and run the step again")
            }
            _ => failed("SQLite refused"),
        }
    }
}

fn message(error: &rusqlite::Error) -> String {
    match error {
        // Without the SQL text, which says nothing to the reader.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::ErrorKind;
    use rusqlite::Connection;

    use super::Fault;

    fn told(error: rusqlite::Error) -> (ErrorKind, String) {
        let error = Fault::from(error).into_error("embedded:/some/where", "write to table `result`");
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_full_disk_is_external_and_says_what_to_do() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 4").unwrap();
        let error = connection.execute("INSERT INTO t VALUES (zeroblob(1000000))", []).unwrap_err();
        let (kind, text) = told(error);
        assert_eq!(kind, ErrorKind::External);
        assert!(
            text.contains("/some/where") && text.contains("`result`") && text.contains("free some space"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_table_and_a_value_that_does_not_fit() {
        let connection = Connection::open_in_memory().unwrap();
        let (kind, text) = told(connection.execute("DELETE FROM nowhere", []).unwrap_err());
        assert_eq!(kind, ErrorKind::Configuration);
        assert!(text.contains("nowhere"), "{text}");
        connection.execute_batch("CREATE TABLE t (x NOT NULL)").unwrap();
        let (kind, text) = told(connection.execute("INSERT INTO t VALUES (NULL)", []).unwrap_err());
        assert_eq!(kind, ErrorKind::Data, "{text}");
    }

    #[test]
    fn a_read_only_database_is_a_matter_of_configuration() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x); PRAGMA query_only = 1").unwrap();
        let (kind, text) = told(connection.execute("INSERT INTO t VALUES (1)", []).unwrap_err());
        assert_eq!(kind, ErrorKind::Configuration, "{text}");
    }
}
