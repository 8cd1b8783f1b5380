//! How the program ends: exit codes, one clear line for an error, one line for a panic.

use std::process::ExitCode;

use clap::error::ErrorKind as UsageKind;
use headrace_core::report::Outcome;
use headrace_core::secret::mask;
use headrace_core::step::mask_command_error;
use headrace_core::{Error, ErrorKind, Report};

use crate::output::complain;
use crate::table::visible;

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const DEAD_LETTERS: u8 = 3;

/// Prints help, version or what is wrong with the command line.
pub(crate) fn usage(error: clap::Error) -> ExitCode {
    let code = match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => 0,
        _ => USAGE,
    };
    // A pipe that nobody reads any more is no failure.
    let _ = mask_command_error(error).print();
    ExitCode::from(code)
}

/// The exit code of a step that ended well.
pub(crate) fn code(report: &Report) -> ExitCode {
    ExitCode::from(match report.outcome {
        Outcome::Stopped | Outcome::Different => FAILURE,
        Outcome::Complete if report.counts.dead_lettered > 0 => DEAD_LETTERS,
        Outcome::Complete => 0,
    })
}

/// Prints why a step failed, and what to do about it.
pub(crate) fn failure(error: &Error) -> ExitCode {
    complain(&format!("headrace: {}", one_line(&mask(&error.to_string()))));
    if let Some(hint) = hint(error) {
        complain(&format!("  hint: {hint}"));
    }
    ExitCode::from(FAILURE)
}

fn hint(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::External => Some("what was committed stays; run the same command again to go on from there"),
        ErrorKind::Fenced => Some("another run of the same step is at work; let it finish, or stop it first"),
        ErrorKind::Configuration if error.to_string().contains("password") => {
            Some("headrace --help lists the ways to give a password")
        }
        ErrorKind::Configuration | ErrorKind::Data => None,
    }
}

/// The text with line breaks and runs of blanks as one blank, and no other control characters.
fn one_line(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Makes a panic one line that says it is a fault of the program.
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("unknown reason");
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        complain(&format!("headrace: internal error: {}{place}; please report it", one_line(&mask(text))));
    }));
}

/// The exit code after a panic, which the hook has told about.
pub(crate) fn panicked() -> ExitCode {
    ExitCode::from(FAILURE)
}

#[cfg(test)]
mod tests {
    use super::{code, hint, one_line};
    use headrace_core::report::Outcome;
    use headrace_core::{Error, Report};
    use std::process::ExitCode;

    #[test]
    fn exit_codes_tell_dead_letters_from_failures() {
        let mut report = Report::new("x y");
        assert_eq!(code(&report), ExitCode::from(0));
        report.counts.dead_lettered = 1;
        assert_eq!(code(&report), ExitCode::from(3));
        report.outcome = Outcome::Different;
        assert_eq!(code(&report), ExitCode::from(1));
    }

    #[test]
    fn an_error_is_one_line_with_a_hint() {
        assert_eq!(one_line("a\n  b\tc\u{1b}[2J"), "a b c\\u{1b}[2J");
        assert!(hint(&Error::external("cannot write", "reset")).is_some_and(|text| text.contains("run the same")));
        assert!(hint(&Error::configuration("wrong password")).is_some_and(|text| text.contains("--help")));
        assert_eq!(hint(&Error::data("wrong header")), None);
    }
}
