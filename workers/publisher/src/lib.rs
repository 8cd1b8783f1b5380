//! The publisher: what Headrace has worked out, over HTTP. It reads and never writes.
//!
//! - [`settings`]: address, bearer token, limits; it listens on loopback, and elsewhere only with a token;
//! - [`server`]: routes, limits and the graceful stop; [`problem`]: errors as `application/problem+json`;
//! - [`metrics`]: request counts and times for Prometheus;
//! - one module per system: [`scoring`].
//!
//! Memory: a fixed number of requests at a time, each of a bounded size.

pub mod metrics;
pub mod problem;
pub mod scoring;
pub mod server;
pub mod settings;

mod answer;
mod guard;
mod openapi;
