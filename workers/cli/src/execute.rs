//! Running one step: logs, progress, signals, report, exit code.
//!
//! The first SIGINT or SIGTERM stops the step at a batch boundary with its position committed; a second one ends
//! the program at once, which loses nothing either, only time.

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use headrace_core::report::Outcome;
use headrace_core::step::Step;
use headrace_core::{Control, Error, Report};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::Options;
use crate::progress::Display;
use crate::{exit, logs, output, report};

/// How long threads that a step has left behind may take to end.
pub(crate) const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// File descriptors without which no step can work: the runtime's, the store's and the input's.
const DESCRIPTORS: usize = 32;
/// SIGXFSZ, which ends a process whose file exceeds its limit. Listened to, the write fails instead and is told.
const FILE_SIZE_EXCEEDED: i32 = 25;

/// Tells early that file descriptors are too few: the runtime would panic.
pub(crate) fn check_descriptors() -> Result<(), Error> {
    let opened: Result<Vec<File>, _> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    opened.map(drop).map_err(|error| {
        Error::configuration(format!("too few file descriptors: {error}; raise the limit with `ulimit -n 256` or more"))
    })
}

/// Runs a step and prints its report.
pub(crate) fn execute(step: &Step, words: ArgMatches, options: &Options) -> ExitCode {
    let name = format!("{} {}", step.system, step.name);
    let display = Display::new(&name, options);
    if let Err(text) = logs::start(options, display.bar()) {
        output::complain(&format!("headrace: {text}"));
        return ExitCode::from(2);
    }
    if let Err(error) = check_descriptors() {
        return exit::failure(&error);
    }
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&Error::external("cannot start the runtime", error)),
    };
    let ended = runtime.block_on(run(step.clone(), words, &display));
    runtime.shutdown_timeout(LEFT_BEHIND);
    display.clear();
    match ended {
        Some(Ok(report)) => {
            tell(&report, options);
            exit::code(&report)
        }
        Some(Err(error)) => exit::failure(&error),
        None => exit::panicked(),
    }
}

/// The step's end, none after a panic.
async fn run(step: Step, words: ArgMatches, display: &Display) -> Option<Result<Report, Error>> {
    // Before the step writes anything.
    let _file_size = listen(SignalKind::from_raw(FILE_SIZE_EXCEEDED));
    let control = Control::default();
    let given = control.clone();
    let mut running = tokio::spawn(async move { step.run(&words, given).await });
    tokio::select! {
        ended = &mut running => ended.ok(),
        () = display.show(&control) => None,
        never = watch_signals(&control) => match never {},
    }
}

async fn watch_signals(control: &Control) -> std::convert::Infallible {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    loop {
        let number = tokio::select! {
            () = next(&mut interrupt) => 2,
            () = next(&mut terminate) => 15,
        };
        if control.is_stopping() {
            output::complain("headrace: left at once; run the same command to go on");
            std::process::exit(128 + number);
        }
        tracing::warn!("stopping at the next batch boundary; a second signal ends at once");
        control.stop();
    }
}

pub(crate) fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::warn!("cannot listen for signals: {error}")).ok()
}

pub(crate) async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

fn tell(report: &Report, options: &Options) {
    if options.json {
        output::write_json(report);
    } else if !options.quiet {
        output::write(report::render(report, output::is_colourful()).as_bytes());
    }
    if report.outcome == Outcome::Stopped {
        output::complain("headrace: stopped; run the same command to go on");
    }
}
