//! The connectors against real servers, which `HEADRACE_TEST_*` name; without them these tests say that they are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a panic is how a test fails, a skipped one says so, and what is shared is named as in a library"
)]

mod cassandra;
mod clickhouse;
mod conformance;
mod csv;
mod embedded;
mod identifiers;
mod kafka;
mod lake;
mod mysql;
mod ports;
mod proxy;
mod redis;
mod upgrade;
