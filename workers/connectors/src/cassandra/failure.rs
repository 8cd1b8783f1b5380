//! What the driver's errors mean: which are worth another try, and what a person should do about the others.

use headrace_core::{Error, Result};
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError,
    NewSessionError, PrepareError, RequestAttemptError,
};

use super::options::Options;

/// Tells whether a request failed because the server or the way to it did not keep up: slow down and try again.
pub(super) fn is_overload(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::RequestTimeout(_) | ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(attempt) => is_overload_attempt(attempt),
        // A connection lost in the middle of it; what else a server says of a statement, it says again.
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
            matches!(first_attempt, RequestAttemptError::BrokenConnectionError(_))
        }
        _ => false,
    }
}

fn is_overload_attempt(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::BrokenConnectionError(_) | RequestAttemptError::UnableToAllocStreamId => true,
        RequestAttemptError::DbError(error, _) => matches!(
            error,
            DbError::Unavailable { .. }
                | DbError::Overloaded
                | DbError::IsBootstrapping
                | DbError::TruncateError
                | DbError::ReadTimeout { .. }
                | DbError::WriteTimeout { .. }
                | DbError::ReadFailure { .. }
                | DbError::WriteFailure { .. }
                | DbError::RateLimitReached { .. }
                | DbError::ServerError
        ),
        _ => false,
    }
}

/// Turns a failed request into an error of the right kind.
pub(super) fn explain(context: impl Into<String>, error: &ExecutionError) -> Error {
    match error {
        ExecutionError::LastAttemptError(attempt) => explain_attempt(context.into(), attempt),
        ExecutionError::PrepareError(error) => explain_prepare(context, error),
        ExecutionError::BadQuery(error) => Error::data(format!("{}: {error}", context.into())),
        other => Error::external(context, other.to_string()),
    }
}

/// Turns a refused statement into an error of the right kind.
fn explain_prepare(context: impl Into<String>, error: &PrepareError) -> Error {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => explain_attempt(context.into(), first_attempt),
        other => Error::external(context, other.to_string()),
    }
}

fn explain_attempt(context: String, error: &RequestAttemptError) -> Error {
    let RequestAttemptError::DbError(kind, reason) = error else {
        return Error::external(context, error.to_string());
    };
    match kind {
        DbError::Invalid if is_missing(reason) => {
            Error::configuration(format!("{context}: {reason}; create it first: the step that loads this store does"))
        }
        DbError::Unauthorized => Error::configuration(format!("{context}: not permitted: {reason}")),
        DbError::Invalid
        | DbError::SyntaxError
        | DbError::ConfigError
        | DbError::AlreadyExists { .. }
        | DbError::AuthenticationError => Error::configuration(format!("{context}: {reason}")),
        DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. } | DbError::Unavailable { .. } => {
            Error::external(context, kind.to_string())
        }
        _ => Error::external(context, if reason.is_empty() { kind.to_string() } else { reason.clone() }),
    }
}

fn is_missing(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("does not exist") || reason.contains("unconfigured table")
}

/// Turns a failed connect into an error that says what to do, without showing a password.
pub(super) fn connecting(options: &Options, error: &NewSessionError) -> Error {
    let servers = options.hosts.join(", ");
    let context = format!("cannot connect to Cassandra at {servers}");
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: last,
    })) = error
    else {
        return match error {
            NewSessionError::FailedToResolveAnyHostname(_) => {
                Error::external(context, "no such host; check the host name in the URL")
            }
            other => Error::external(context, other.to_string()),
        };
    };
    match last {
        ConnectionError::ConnectTimeout => {
            Error::external(context, "no answer; check host, port and firewall, and that the server is up")
        }
        ConnectionError::IoError(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            Error::configuration(format!(
                "{context}: TLS failed: {io}; tls_ca=FILE names the authority that signed the server's certificate, which must carry its IP address"
            ))
        }
        ConnectionError::IoError(io) => {
            Error::external(context, format!("{io}; check that the server is up, and the port (9042 by default)"))
        }
        ConnectionError::ConnectionSetupRequestError(setup) => match setup.get_error() {
            ConnectionSetupRequestErrorKind::MissingAuthentication => Error::configuration(format!(
                "{context}: it asks for a login; use cassandra://USER@HOST with the password in HEADRACE_CASSANDRA_PASSWORD"
            )),
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, _) => {
                let user = options.login.as_ref().map_or("", |(user, _)| user.as_str());
                Error::configuration(format!("{context}: wrong user or password for user {user}"))
            }
            ConnectionSetupRequestErrorKind::DbError(_, reason) => Error::external(context, reason.clone()),
            other => Error::external(
                context,
                format!("{other}; check that this is Cassandra's port, and whether it wants tls=true"),
            ),
        },
        other => Error::external(
            context,
            format!("{other}; check that this is Cassandra's port, and whether it wants tls=true"),
        ),
    }
}

/// Wraps errors of reading an answer, which only a server speaking another protocol can cause.
pub(super) fn answer<T, E: std::fmt::Display>(context: &str, result: Result<T, E>) -> Result<T> {
    result.map_err(|error| Error::external(context, format!("the answer cannot be read: {error}")))
}
