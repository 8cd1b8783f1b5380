//! Partitions of a source and positions in them.
//!
//! Positions are totally ordered inside a partition. A worker may only commit positions of partitions it
//! has claimed; a claim raises the partition's epoch, and a commit with an older epoch is refused.

use std::collections::BTreeMap;
use std::fmt;

/// One independently readable part of a source: a topic partition, a file, a token range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub String);

impl Partition {
    /// Names a partition.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where reading goes on: the next Kafka offset, the next byte of a file, the next Cassandra token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The ordered part.
    pub at: i64,
    /// What else the source needs to go on from here; not ordered, may be empty.
    pub detail: String,
}

impl Position {
    /// A position without detail.
    pub fn at(at: i64) -> Self {
        Self { at, detail: String::new() }
    }

    /// A position with what the source needs beside the order.
    pub fn with_detail(at: i64, detail: impl Into<String>) -> Self {
        Self { at, detail: detail.into() }
    }
}

/// The right to commit positions of one partition, and where its reading goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claimed partition.
    pub partition: Partition,
    /// Raised by every claim; the newest holder wins.
    pub epoch: i64,
    /// The last committed position, none before the first commit.
    pub position: Option<Position>,
}

/// The positions reached after a batch, by partition.
pub type Reached = BTreeMap<Partition, Position>;
