//! The systems as a whole: recruitment, scoring and commerce, on the embedded store and on real servers, in one process and in many
//! that are killed. Without the servers that `HEADRACE_TEST_*` name, their tests say that they are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a panic is how a test fails, a skip and a seed are shown, and what is shared is named as in a library"
)]

mod commerce;
mod faults;
mod faults_servers;
mod ids;
mod process;
mod recruitment;
mod scoring;
