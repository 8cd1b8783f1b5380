//! Faults of real servers and of the network, struck while a step is under way: `./run faults`.
//!
//! These tests kill and pause servers, so they have a set of their own, which `HEADRACE_FAULTS*` name. Every case ends with the
//! same check: raw rows, topic, results and dead letters are those of a straight run of the same simulated data on the
//! embedded store, row by row, and `verify` agrees.

mod cassandra;
mod kafka;
mod mariadb;
mod network;
mod proxy;
mod rival;
mod servers;
mod truth;
mod under_way;
