//! Logs on standard error: bare lines on a terminal, with timestamps elsewhere.

use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;

use crate::command::Options;
use crate::output;

/// Starts logging, around the progress bar when there is one.
pub(crate) fn start(options: &Options, bar: Option<ProgressBar>) -> Result<(), String> {
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(options)?)
        .with_ansi(terminal && output::is_colourful())
        .with_target(false)
        .with_writer(move || Stderr(bar.clone()));
    // Fails only when logging has been started before.
    let _ = if terminal { builder.without_time().try_init() } else { builder.try_init() };
    Ok(())
}

fn filter(options: &Options) -> Result<EnvFilter, String> {
    let level = if options.quiet { "error" } else { options.log_level.as_str() };
    let directives = match level.to_ascii_lowercase().as_str() {
        "off" | "error" => level.to_owned(),
        // Drivers are chatty; ours are the lines a user asks for first.
        "trace" => "info,headrace=trace".to_owned(),
        ours @ ("warn" | "info" | "debug") => format!("warn,headrace={ours}"),
        _ => level.to_owned(),
    };
    EnvFilter::try_new(&directives).map_err(|error| format!("cannot understand log level {level:?}: {error}"))
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

    fn shown(level: &str, quiet: bool) -> Result<String, String> {
        filter(&Options { log_level: level.to_owned(), quiet, ..Options::default() }).map(|filter| filter.to_string())
    }

    #[test]
    fn levels_are_ours_and_filters_are_taken_as_they_are() {
        assert_eq!(shown("info", false).as_deref(), Ok("headrace=info,warn"));
        assert_eq!(shown("debug", true).as_deref(), Ok("error"));
        assert_eq!(shown("info,scylla=debug", false).as_deref(), Ok("scylla=debug,info"));
        assert!(shown("loud=very", false).is_err_and(|text| text.contains("loud=very")));
    }
}
