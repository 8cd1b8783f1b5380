//! The `headrace` command as a process.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is how a test fails; a skipped one says so, and what was measured is shown"
)]

mod command;
mod dashboard;
mod failpoints;
mod limits;
mod secrets;
mod serve;
mod signals;
