//! Writing to standard output, which may be a pipe that nobody reads any more.

use std::io::{self, IsTerminal, Write};

use headrace_core::clock;
use serde::Serialize;

/// Writes bytes; a closed pipe is the reader's choice and no failure.
pub(crate) fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes one JSON value on one line.
pub(crate) fn write_json(value: &impl Serialize) {
    // Reports and descriptions are plain data, which always has a JSON form.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    write(text.as_bytes());
}

/// Writes a line to standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether standard output shows colours.
pub(crate) fn is_colourful() -> bool {
    io::stdout().is_terminal()
        && clock::environment("NO_COLOR").is_none_or(|value| value.is_empty())
        && clock::environment("TERM").is_none_or(|terminal| terminal != "dumb")
}
