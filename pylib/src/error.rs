//! The one place where workers' errors become Python exceptions.

use headrace_core::secret::mask;
use headrace_core::{Error, ErrorKind};
use pyo3::{PyErr, import_exception};

import_exception!(headrace.errors, ConfigError);
import_exception!(headrace.errors, DataError);
import_exception!(headrace.errors, ExternalError);
import_exception!(headrace.errors, HeadraceError);
import_exception!(headrace.errors, Stopped);

/// The exception for an error of a step.
pub(crate) fn raised(error: &Error) -> PyErr {
    let text = mask(&error.to_string());
    match error.kind() {
        ErrorKind::Configuration => ConfigError::new_err(text),
        ErrorKind::Data => DataError::new_err(text),
        // The other worker may be gone at the next try.
        ErrorKind::External | ErrorKind::Fenced => ExternalError::new_err(text),
    }
}

/// The exception for input that is no Arrow data.
pub(crate) fn bad_data(text: impl Into<String>) -> PyErr {
    DataError::new_err(text.into())
}

/// The exception for a fault of Headrace itself.
pub(crate) fn internal(text: &str) -> PyErr {
    HeadraceError::new_err(format!("internal error: {text}; please report it"))
}

/// The exception for a step that did not end in time after it was asked to stop.
pub(crate) fn abandoned() -> PyErr {
    Stopped::new_err("the step was stopped and did not end in time; what was committed stays, run it again to go on")
}
