//! How each kind of column is stored in Cassandra, and the CQL texts that follow from a table.
//!
//! - `Int` and `Decimal` (scaled) are `bigint`, `Small` is `int`, texts are `text`, `Date` is `date`.
//! - `DateTime` is `timestamp` in a key, where it counts hours or days; a timestamp counts milliseconds, so a finer key is
//!   refused. Elsewhere it is a `bigint` of microseconds since 1970, so that nothing is cut off.

use headrace_core::table::{Column, Kind, Merge, Table, Value};
use headrace_core::{Error, Ident, Result};
use scylla::frame::response::result::NativeType;
use scylla::value::{CqlDate, CqlTimestamp, CqlTimeuuid, CqlValue};

/// The day Cassandra's `date` counts from is so many days before 1970.
const DATE_SHIFT: i64 = 1 << 31;

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    BigInt,
    Int,
    Double,
    Text,
    Blob,
    /// Milliseconds here, microseconds in frames.
    Timestamp,
    Date,
    TimeUuid,
}

impl Storage {
    /// The storage of a column.
    pub(super) fn of(column: &Column) -> Self {
        match column.kind {
            Kind::Int | Kind::Decimal { .. } => Self::BigInt,
            Kind::Small => Self::Int,
            Kind::Double | Kind::Single => Self::Double,
            Kind::Text | Kind::Name(_) => Self::Text,
            Kind::Bytes => Self::Blob,
            Kind::DateTime if column.merge == Merge::Key => Self::Timestamp,
            Kind::DateTime => Self::BigInt,
            Kind::Date => Self::Date,
            Kind::TimeUuid => Self::TimeUuid,
        }
    }

    /// The type's name in CQL and in the server's description of its tables.
    pub(super) fn cql(self) -> &'static str {
        match self {
            Self::BigInt => "bigint",
            Self::Int => "int",
            Self::Double => "double",
            Self::Text => "text",
            Self::Blob => "blob",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::TimeUuid => "timeuuid",
        }
    }

    /// The type as the driver names it.
    pub(super) fn native(self) -> NativeType {
        match self {
            Self::BigInt => NativeType::BigInt,
            Self::Int => NativeType::Int,
            Self::Double => NativeType::Double,
            Self::Text => NativeType::Text,
            Self::Blob => NativeType::Blob,
            Self::Timestamp => NativeType::Timestamp,
            Self::Date => NativeType::Date,
            Self::TimeUuid => NativeType::Timeuuid,
        }
    }

    /// Turns a frame's whole number into the number stored, none when it does not fit.
    pub(super) fn store_number(self, value: i64) -> Option<i64> {
        match self {
            Self::Int => i32::try_from(value).ok().map(i64::from),
            Self::Timestamp => (value % 1_000 == 0).then_some(value / 1_000),
            Self::Date => value.checked_add(DATE_SHIFT).filter(|day| u32::try_from(*day).is_ok()),
            _ => Some(value),
        }
    }

    /// Turns a stored number into a frame's.
    pub(super) fn frame_number(self, stored: i64) -> Option<i64> {
        match self {
            Self::Timestamp => stored.checked_mul(1_000),
            Self::Date => Some(stored - DATE_SHIFT),
            _ => Some(stored),
        }
    }

    /// Turns a condition's value into the driver's, none when it is of another kind or does not fit.
    pub(super) fn bind(self, value: &Value) -> Option<CqlValue> {
        Some(match (self, value) {
            (Self::BigInt, Value::Int(value)) => CqlValue::BigInt(*value),
            (Self::Int, Value::Int(value)) => CqlValue::Int(i32::try_from(*value).ok()?),
            (Self::Timestamp, Value::Int(value)) => CqlValue::Timestamp(CqlTimestamp(self.store_number(*value)?)),
            (Self::Date, Value::Int(value)) => CqlValue::Date(CqlDate(u32::try_from(self.store_number(*value)?).ok()?)),
            (Self::Double, Value::Double(value)) => CqlValue::Double(*value),
            (Self::Text, Value::Text(value)) => CqlValue::Text(value.clone()),
            (Self::Blob, Value::Bytes(value)) => CqlValue::Blob(value.clone()),
            (Self::TimeUuid, Value::Bytes(value)) => {
                CqlValue::Timeuuid(CqlTimeuuid::from_bytes(<[u8; 16]>::try_from(value.as_slice()).ok()?))
            }
            _ => return None,
        })
    }
}

/// A table's columns as Cassandra groups them.
pub(super) struct Layout<'a> {
    /// The full, quoted name.
    pub(super) name: String,
    /// The key columns that choose the partition.
    pub(super) partition: Vec<&'a Column>,
    /// The key columns that order rows inside a partition.
    pub(super) clustering: Vec<&'a Column>,
    /// The other columns.
    pub(super) values: Vec<&'a Column>,
}

impl<'a> Layout<'a> {
    /// Lays a table out.
    ///
    /// # Errors
    /// A configuration error when it has columns that Cassandra cannot keep.
    pub(super) fn of(keyspace: &Ident, table: &'a Table) -> Result<Self> {
        let refuse = |text: String| Err(Error::configuration(format!("cassandra: table `{}`: {text}", table.name)));
        let keys: Vec<&Column> = table.keys().collect();
        let split = table.partition_columns;
        if split == 0 || split > keys.len() {
            return refuse(format!("{split} partition columns out of {} key columns", keys.len()));
        }
        let values: Vec<&Column> = table.columns.iter().filter(|column| column.merge != Merge::Key).collect();
        for column in &values {
            if !matches!(column.merge, Merge::Replace | Merge::ReplaceWhileNull(_) | Merge::First) {
                return refuse(format!(
                    "column {} is added up or computed, which only transactional stores do",
                    column.name
                ));
            }
        }
        if table.versioned_by.is_some() {
            return refuse("it is versioned, which transactional stores, ClickHouse and Redis can do".to_owned());
        }
        if let Some(column) = table.columns.iter().find(|column| column.kind == Kind::Single) {
            return refuse(format!("column {} has single precision, which is not kept here", column.name));
        }
        Ok(Self {
            name: format!("{}.{}", quoted(keyspace), quoted(&table.name)),
            partition: keys[..split].to_vec(),
            clustering: keys[split..].to_vec(),
            values,
        })
    }

    /// All columns, in the order of [`Table::written`].
    pub(super) fn columns(&self) -> impl Iterator<Item = &'a Column> {
        self.partition.iter().chain(&self.clustering).chain(&self.values).copied()
    }

    /// `CREATE TABLE IF NOT EXISTS …`.
    pub(super) fn create(&self) -> String {
        let columns: Vec<String> =
            self.columns().map(|column| format!("{} {}", quoted(&column.name), Storage::of(column).cql())).collect();
        let clustering: String = self.clustering.iter().map(|column| format!(", {}", quoted(&column.name))).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (({}){clustering}))",
            self.name,
            columns.join(", "),
            list(&self.partition)
        )
    }

    /// `INSERT INTO …` of all columns.
    pub(super) fn insert(&self) -> String {
        let columns: Vec<&Column> = self.columns().collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, list(&columns), vec!["?"; columns.len()].join(", "))
    }

    /// `key = ? AND …` of all key columns.
    pub(super) fn key_condition(&self) -> String {
        let keys = self.partition.iter().chain(&self.clustering);
        keys.map(|column| format!("{} = ?", quoted(&column.name))).collect::<Vec<_>>().join(" AND ")
    }

    /// `token(…)` of the partition columns.
    pub(super) fn token(&self) -> String {
        format!("token({})", list(&self.partition))
    }
}

/// A name between quotes, which keep its case and allow reserved words.
pub(super) fn quoted(name: &Ident) -> String {
    format!("\"{name}\"")
}

/// Names between quotes and commas.
pub(super) fn list(columns: &[&Column]) -> String {
    columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Merge, Table};
    use proptest::prelude::*;

    use super::{Layout, Storage};

    fn table() -> Table {
        let mut table = Table::new(Ident::new("By_hour").unwrap())
            .key("hour", Kind::DateTime)
            .unwrap()
            .key("event", Kind::TimeUuid)
            .unwrap()
            .value("at", Kind::DateTime)
            .unwrap();
        table.partition_columns = 1;
        table
    }

    #[test]
    fn texts_quote_names_and_place_keys() {
        let table = table();
        let layout = Layout::of(&Ident::new("ks").unwrap(), &table).unwrap();
        assert_eq!(
            layout.create(),
            "CREATE TABLE IF NOT EXISTS \"ks\".\"By_hour\" (\"hour\" timestamp, \"event\" timeuuid, \"at\" bigint, PRIMARY KEY ((\"hour\"), \"event\"))"
        );
        assert_eq!(layout.insert(), "INSERT INTO \"ks\".\"By_hour\" (\"hour\", \"event\", \"at\") VALUES (?, ?, ?)");
        assert_eq!(layout.token(), "token(\"hour\")");
    }

    #[test]
    fn refuses_what_needs_a_transaction() {
        let versioned = table().column("version", Kind::Int, false, Merge::Replace).unwrap();
        let versioned = versioned.versioned_by("version").unwrap();
        assert!(Layout::of(&Ident::new("ks").unwrap(), &versioned).err().unwrap().to_string().contains("versioned"));
        let table = table().column("clicks", Kind::Int, true, Merge::Add).unwrap();
        let error = Layout::of(&Ident::new("ks").unwrap(), &table).err().unwrap().to_string();
        assert!(error.contains("clicks"), "{error}");
    }

    proptest! {
        #[test]
        fn numbers_come_back_or_are_refused(value in any::<i64>(), whole in -5_000_000_i64..5_000_000) {
            for storage in [Storage::BigInt, Storage::Int, Storage::Timestamp, Storage::Date] {
                for value in [value, whole, whole * 3_600_000_000] {
                    if let Some(stored) = storage.store_number(value) {
                        prop_assert_eq!(storage.frame_number(stored), Some(value));
                    }
                }
            }
            prop_assert!(Storage::Date.store_number(whole).is_some());
            prop_assert!(Storage::Timestamp.store_number(whole * 3_600_000_000).is_some());
            prop_assert!(Storage::Timestamp.store_number(whole * 1_000 + 1).is_none());
        }
    }
}
