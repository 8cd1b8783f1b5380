//! What is beneath the errors of clients that wrap them: the cause, and whether it is a certificate that is not trusted rather than a
//! server that cannot be reached.

use std::error::Error as StdError;

/// Whether an error comes from TLS, however deep.
pub(crate) fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        // Some layers hand the error on as text only.
        let is_told = error.to_string().contains("invalid peer certificate");
        if is_told || error.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The cause beneath all wrappings, which says most.
pub(crate) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}
