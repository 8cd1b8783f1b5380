//! What the server or the driver says, turned into the three kinds of errors.
//!
//! Anything not known here counts as external: trying again is bounded and does no harm, because a unit of work that
//! failed has changed nothing. The server's texts name users, hosts, tables and columns, never passwords.

use std::future::Future;
use std::time::Duration;

use headrace_core::{Error, Result};
use mysql_async::{DriverError, Error as Fault, IoError};

/// Longer than any statement may take; after that the server counts as lost.
const STATEMENT_LIMIT: Duration = Duration::from_secs(300);

/// The code of the server's error, 0 for errors of the driver or the network.
pub(super) fn code(fault: &Fault) -> u16 {
    match fault {
        Fault::Server(error) => error.code,
        _ => 0,
    }
}

/// The database does not exist.
pub(super) const UNKNOWN_DATABASE: u16 = 1_049;
/// The table does not exist.
pub(super) const NO_SUCH_TABLE: u16 = 1_146;

/// Turns a fault into an error that says what was being done.
pub(super) fn failure(context: impl Into<String>, fault: Fault) -> Error {
    let context = context.into();
    match &fault {
        Fault::Server(error) => {
            let text = format!("{context}: {} (MySQL error {})", error.message, error.code);
            match error.code {
                1_045 | 1_698 | 1_820 | 1_862 | 3_118 | 4_151 => Error::configuration(format!(
                    "{text}; check user and password: in the URL, or without showing it by password_file=FILE, password_env=NAME or HEADRACE_MYSQL_PASSWORD"
                )),
                UNKNOWN_DATABASE => {
                    Error::configuration(format!("{text}; steps that write create it where the user may"))
                }
                NO_SUCH_TABLE => Error::configuration(format!(
                    "{text}; run the step that writes it first, or check the name in the URL"
                )),
                3_159 => Error::configuration(format!("{text}; add tls=true to the URL")),
                1_044 => {
                    Error::configuration(format!("{text}; the user may not use the database, or it does not exist"))
                }
                1_142 | 1_143 | 1_227 | 1_370 | 1_419 => {
                    Error::configuration(format!("{text}; the user lacks a privilege"))
                }
                1_054
                | 1_064
                | 1_071
                | 1_072
                | 1_118
                | 1_130
                | 1_147..=1_149
                | 1_176
                | 1_251
                | 1_347
                | 1_356
                | 1_364
                | 1_901
                | 2_059
                | 3_102
                | 3_105 => Error::configuration(text),
                1_048 | 1_062 | 1_153 | 1_264 | 1_265 | 1_292 | 1_300 | 1_366 | 1_406 | 1_451 | 1_452 | 1_525
                | 1_690 | 3_140 | 3_819 | 4_025 => Error::data(text),
                _ => Error::external(context, fault),
            }
        }
        Fault::Driver(
            DriverError::NoClientSslFlagFromServer
            | DriverError::UnknownAuthPlugin { .. }
            | DriverError::CleartextPluginDisabled
            | DriverError::MysqlOldPasswordDisabled,
        ) => Error::configuration(format!("{context}: {fault}")),
        Fault::Driver(DriverError::PacketTooLarge) => {
            Error::data(format!("{context}: larger than the server's max_allowed_packet"))
        }
        Fault::Io(IoError::Tls(_)) => tls_failure(&context, &fault),
        // A refused certificate reaches us as a network error that wraps the TLS error.
        Fault::Io(IoError::Io(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            tls_failure(&context, &fault)
        }
        _ => Error::external(context, fault),
    }
}

fn tls_failure(context: &str, fault: &Fault) -> Error {
    Error::configuration(format!("{context}: {fault}; give the certificate authority of the server by tls_ca=FILE"))
}

/// Waits for a statement, but not for ever, and says what failed.
pub(super) async fn attempt<T>(
    context: impl FnOnce() -> String,
    work: impl Future<Output = mysql_async::Result<T>> + Send,
) -> Result<T> {
    match tokio::time::timeout(STATEMENT_LIMIT, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(fault)) => Err(failure(context(), fault)),
        Err(_) => Err(Error::external(context(), format!("no answer within {} s", STATEMENT_LIMIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::ErrorKind;
    use mysql_async::{DriverError, Error as Fault, ServerError};

    use super::failure;

    fn kind(code: u16) -> ErrorKind {
        let error = ServerError { code, message: "what the server says".to_owned(), state: "HY000".to_owned() };
        let error = failure("cannot write to table `t`", Fault::Server(error));
        let text = error.to_string();
        assert!(text.starts_with("cannot write to table `t`: ") && text.contains("what the server says"), "{text}");
        error.kind()
    }

    #[test]
    fn codes_have_kinds() {
        for code in [1_044, 1_045, 1_049, 1_142, 1_146, 1_227, 3_159] {
            assert_eq!(kind(code), ErrorKind::Configuration, "{code}");
        }
        for code in [1_048, 1_264, 1_366, 1_406, 1_690] {
            assert_eq!(kind(code), ErrorKind::Data, "{code}");
        }
        // Deadlock, lock wait, too many connections, shutdown, killed, and what nobody knows.
        for code in [1_213, 1_205, 1_040, 1_053, 1_927, 4_031, 9_999] {
            assert_eq!(kind(code), ErrorKind::External, "{code}");
        }
        let lost = failure("cannot commit", Fault::Driver(DriverError::ConnectionClosed));
        assert_eq!(lost.kind(), ErrorKind::External);
    }
}
