//! The publisher's routes, asked without a socket, and its server.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a panic is how a test fails; what is shared is named as in a library"
)]

mod offers;
mod routes;
mod server;
