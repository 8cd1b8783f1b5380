//! Logs on standard error: bare lines on a terminal, with timestamps elsewhere.

use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::command::Options;
use crate::output;

/// Starts logging, around the progress bar when there is one.
pub(crate) fn start(options: &Options, bar: Option<ProgressBar>) -> Result<(), String> {
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(terminal && output::is_colourful())
        .with_target(false)
        .with_writer(move || Stderr(bar.clone()));
    let lines = if terminal { lines.without_time().boxed() } else { lines.boxed() };
    // Fails only when logging has been started before.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter(options)?)).try_init();
    Ok(())
}

fn filter(options: &Options) -> Result<Targets, String> {
    let level = if options.quiet { "error" } else { options.log_level.as_str() };
    let directives = match level.to_ascii_lowercase().as_str() {
        // Drivers are chatty; ours are the lines a user asks for first, and our errors say what theirs say.
        "trace" => "info,headrace=trace".to_owned(),
        "debug" => "warn,headrace=debug".to_owned(),
        ours @ ("error" | "warn" | "info") => format!("warn,scylla=off,headrace={ours}"),
        _ => level.to_owned(),
    };
    directives.parse().map_err(|error| format!("cannot understand log level {level:?}: {error}"))
}

/// Standard error, under a progress bar that must step aside for a line.
struct Stderr(Option<ProgressBar>);

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().lock().write_all(line);
        match &self.0 {
            Some(bar) => bar.suspend(write)?,
            None => write()?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::filter;
    use crate::command::Options;
    use tracing::Level;

    fn shows(level: &str, quiet: bool) -> Result<[bool; 4], String> {
        let filter = filter(&Options { log_level: level.to_owned(), quiet, ..Options::default() })?;
        let events = [("headrace_core::run", Level::INFO), ("headrace_core::run", Level::ERROR)];
        let others = [("scylla", Level::DEBUG), ("scylla", Level::WARN)];
        Ok([events[0], events[1], others[0], others[1]].map(|(target, level)| filter.would_enable(target, &level)))
    }

    #[test]
    fn levels_are_ours_and_filters_are_taken_as_they_are() {
        assert_eq!(shows("info", false), Ok([true, true, false, false]));
        assert_eq!(shows("debug", false), Ok([true, true, false, true]));
        assert_eq!(shows("info", true), Ok([false, true, false, false]));
        assert_eq!(shows("off", false), Ok([false; 4]));
        assert_eq!(shows("info,scylla=debug", false), Ok([true; 4]));
        assert!(shows("headrace=very", false).is_err_and(|text| text.contains("headrace=very")));
    }
}
