//! What the server or the driver says, turned into the kinds of errors. Anything not known here counts as external.

use headrace_core::Error;
use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::certificate;

/// Tells whether the same request may do over a new connection: the old one is lost, or its server lost the scripts.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error() || is_unknown_script(error)
}

/// Tells whether the server does not know a script.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Turns a fault into an error that says what was being done.
pub(super) fn failure(context: &str, place: &str, error: RedisError) -> Error {
    let said = error.to_string();
    let text = format!("{context}: {}", said.trim());
    // A script wraps what its commands say.
    let says = |word: &str| error.code() == Some(word) || said.contains(word);
    match error.kind() {
        ErrorKind::AuthenticationFailed => login(&text),
        _ if says("NOAUTH") || says("WRONGPASS") || says("invalid username-password") => login(&text),
        ErrorKind::InvalidClientConfig => Error::configuration(text),
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Error::configuration(format!("{text}; the user lacks a permission"))
        }
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
            Error::configuration(format!("{text}; the server is part of a cluster: add cluster=true to the URL"))
        }
        _ if says("WRONGTYPE") => Error::configuration(format!(
            "{text}; something else is kept under a key of this table: choose another database or prefix"
        )),
        _ if says("cluster support disabled") => {
            Error::configuration(format!("{text}; leave out cluster=true for a server that stands alone"))
        }
        _ if says("DB index is out of range") || says("DENIED") || says("unknown command") => {
            Error::configuration(text)
        }
        ErrorKind::Io if certificate::is_refused(&error) => {
            Error::configuration(format!("{text}; give the certificate authority of the server by tls_ca=FILE"))
        }
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
            Error::external(format!("{context}: cannot reach Redis at {place}"), error)
        }
        _ => Error::external(context, error),
    }
}

fn login(text: &str) -> Error {
    Error::configuration(format!(
        "{text}; check user and password: in the URL, or without showing it by password_file=FILE, password_env=NAME or HEADRACE_REDIS_PASSWORD"
    ))
}
