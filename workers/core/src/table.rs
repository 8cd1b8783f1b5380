//! Typed descriptions of tables, one for every dialect.
//!
//! A frame column of each [`Kind`] has one fixed Polars type, so connectors convert without guessing.

use crate::{Error, Ident, Result};

/// The type of a column. The Polars type of its frame column is in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number (`Int64`).
    Int,
    /// A small whole number such as an hour or a flag (`Int64`).
    Small,
    /// A double (`Float64`).
    Double,
    /// A number of single precision (`Float32`).
    Single,
    /// A text of any length; not for keys (`String`).
    Text,
    /// A text of at most so many characters; may be a key (`String`).
    Name(u16),
    /// Bytes of any length (`Binary`).
    Bytes,
    /// An exact decimal, 18 digits, given as a whole number scaled by 10^scale (`Int64`).
    Decimal {
        /// Digits after the point.
        scale: u8,
    },
    /// A point in time in UTC, microseconds since 1970 (`Int64`); never a zone-converting type in the store.
    DateTime,
    /// A calendar day, days since 1970 (`Int64`).
    Date,
    /// A version 1 UUID, its 16 bytes in RFC 4122 order (`Binary`).
    TimeUuid,
}

/// What an upsert does to a column of a row that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The column is part of the key.
    Key,
    /// The new value replaces the old one, null too.
    Replace,
    /// The new value replaces the old one as long as another column, behind this one, is null there; in a store without
    /// transactions always.
    ReplaceWhileNull(&'static str),
    /// The first value that is not null stays; in a store without transactions another one still replaces it, but null does not.
    First,
    /// The new value is added; null adds nothing, and null plus null stays null. Only inside a transaction.
    Add,
    /// The store computes it from other columns and it is never written.
    Computed {
        /// The expression in the dialect of MySQL and MariaDB.
        mysql: &'static str,
        /// The expression in the dialect of SQLite.
        sqlite: &'static str,
    },
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the store and in frames.
    pub name: Ident,
    /// Its type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What an upsert does to it.
    pub merge: Merge,
    /// Its type in ClickHouse, where that is not the usual one of its kind.
    pub clickhouse: Option<&'static str>,
}

/// One table: key columns first, in key order.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: Ident,
    /// Its columns.
    pub columns: Vec<Column>,
    /// How many leading key columns choose the partition in stores that have partitions (Cassandra).
    pub partition_columns: usize,
    /// The column whose value decides between two rows of a key; see [`Table::versioned_by`].
    pub versioned_by: Option<Ident>,
    /// Columns that only ClickHouse has and fills by itself: name and definition.
    pub clickhouse_columns: Vec<(Ident, &'static str)>,
    /// Whether other programs read its rows from Redis as documents; see [`Table::documents`].
    pub documents: bool,
}

impl Table {
    /// Starts a table with no columns.
    pub fn new(name: Ident) -> Self {
        Self {
            name,
            columns: Vec::new(),
            partition_columns: 1,
            versioned_by: None,
            clickhouse_columns: Vec::new(),
            documents: false,
        }
    }

    /// Adds a key column.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn key(self, name: &str, kind: Kind) -> Result<Self> {
        self.column(name, kind, false, Merge::Key)
    }

    /// Adds a nullable column that upserts replace.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn value(self, name: &str, kind: Kind) -> Result<Self> {
        self.column(name, kind, true, Merge::Replace)
    }

    /// Adds a column.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn column(mut self, name: &str, kind: Kind, nullable: bool, merge: Merge) -> Result<Self> {
        self.columns.push(Column { name: Ident::new(name)?, kind, nullable, merge, clickhouse: None });
        Ok(self)
    }

    /// Gives the column added last its own type in ClickHouse, such as `UInt32`; its frame column stays that of its kind.
    #[must_use]
    pub fn clickhouse(mut self, stored: &'static str) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.clickhouse = Some(stored);
        }
        self
    }

    /// Adds a column that only ClickHouse has and fills by itself, such as `DateTime MATERIALIZED now()`.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn clickhouse_column(mut self, name: &str, definition: &'static str) -> Result<Self> {
        self.clickhouse_columns.push((Ident::new(name)?, definition));
        Ok(self)
    }

    /// Lets a column that was added before decide between two rows of a key: an upsert changes a stored row only where its
    /// own version is not smaller, and then as a whole.
    ///
    /// # Errors
    /// A configuration error when there is no such column, or when it may be null, is part of the key or is no whole number.
    pub fn versioned_by(mut self, name: &str) -> Result<Self> {
        let is_version = |column: &&Column| {
            !column.nullable
                && column.merge == Merge::Replace
                && matches!(column.kind, Kind::Int | Kind::Small | Kind::DateTime | Kind::Date)
        };
        let column = self.find(name).filter(is_version).ok_or_else(|| {
            Error::configuration(format!(
                "table `{}` cannot be versioned by `{name}`: that takes a column of whole numbers or times that is never null and always replaced",
                self.name
            ))
        })?;
        self.versioned_by = Some(column.name.clone());
        Ok(self)
    }

    /// Makes each row a plain key in Redis, which other programs read: the only key column's text is the key, the first other
    /// column's text is its value, a JSON object. Of further columns there is at most the version, which stands in that object
    /// too, as a whole number within 53 bits under the column's name. Other stores keep such a table like any other.
    #[must_use]
    pub fn documents(mut self) -> Self {
        self.documents = true;
        self
    }

    /// The key columns, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.merge == Merge::Key)
    }

    /// The same table with its key columns only.
    pub fn only_keys(&self) -> Self {
        Self { columns: self.keys().cloned().collect(), ..self.clone() }
    }

    /// The columns an upsert writes, in order.
    pub fn written(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !matches!(column.merge, Merge::Computed { .. }))
    }

    /// Finds a column by name.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// A view, its query written per dialect; stores without views ignore it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: Ident,
    /// The query for MySQL and MariaDB.
    pub mysql: String,
    /// The query for SQLite.
    pub sqlite: String,
}

/// One value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// For `Int`, `Small`, `Decimal`, `DateTime` and `Date`.
    Int(i64),
    /// For `Double`.
    Double(f64),
    /// For `Text` and `Name`.
    Text(String),
    /// For `Bytes` and `TimeUuid`.
    Bytes(Vec<u8>),
}

/// Turns the bytes of a version 1 UUID so that comparing them compares time, for stores without such a type.
pub fn time_uuid_to_sortable(uuid: [u8; 16]) -> [u8; 16] {
    let mut out = uuid;
    out[..2].copy_from_slice(&uuid[6..8]);
    out[2..4].copy_from_slice(&uuid[4..6]);
    out[4..8].copy_from_slice(&uuid[..4]);
    out
}

/// The inverse of [`time_uuid_to_sortable`].
pub fn time_uuid_from_sortable(sortable: [u8; 16]) -> [u8; 16] {
    let mut out = sortable;
    out[6..8].copy_from_slice(&sortable[..2]);
    out[4..6].copy_from_slice(&sortable[2..4]);
    out[..4].copy_from_slice(&sortable[4..8]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{time_uuid_from_sortable, time_uuid_to_sortable};

    proptest! {
        #[test]
        fn turning_a_uuid_is_lossless(uuid in any::<[u8; 16]>()) {
            prop_assert_eq!(time_uuid_from_sortable(time_uuid_to_sortable(uuid)), uuid);
        }
    }
}
