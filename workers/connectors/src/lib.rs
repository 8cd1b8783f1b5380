//! The systems outside, one folder each. A connector never imports another.

pub mod cassandra;
mod certificate;
pub mod clickhouse;
pub mod csv;
pub mod embedded;
pub mod kafka;
pub mod lake;
pub mod mysql;
pub mod redis;
mod tls;
