//! The format of what a ledger holds, in stores that are servers: a number in the comment of the ledger's first table.
//!
//! There it lies with the tables themselves, goes with them into backups, and costs no table of its own. Tables of the first
//! release have no comment: they are format 1. A change that an older release would misread raises its connector's number,
//! and brings older tables up to it where the connector creates its tables. (The embedded store counts migrations instead.)

use crate::{Error, Result};

const PREFIX: &str = "headrace format ";

/// The comment of a table in some format.
pub fn comment(format: u32) -> String {
    format!("{PREFIX}{format}")
}

/// Reads a table's comment and refuses formats newer than the newest known. A comment that is something else says nothing.
///
/// # Errors
/// A configuration error that names the place and both formats.
pub fn check(place: &str, comment: &str, known: u32) -> Result<()> {
    let format = comment.strip_prefix(PREFIX).and_then(|number| number.trim().parse().ok()).unwrap_or(1_u32);
    if format <= known {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{place} was written by a newer headrace (format {format}, this one knows {known}); \
         use the newer headrace or another place"
    )))
}

#[cfg(test)]
mod tests {
    use super::{check, comment};
    use crate::ErrorKind;

    #[test]
    fn known_formats_pass_and_newer_ones_are_refused() {
        for known in ["", "a remark of the administrator", "headrace format 1", &comment(2)] {
            assert!(check("there", known, 2).is_ok(), "{known}");
        }
        let error = check("mysql://h/d", "headrace format 1000", 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = error.to_string();
        assert!(text.contains("mysql://h/d") && text.contains("newer") && text.contains("format 1000"), "{text}");
    }
}
