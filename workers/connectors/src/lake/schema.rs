//! The columns of a file: what they are in Parquet and in frames.

use std::sync::Arc;

use headrace_core::{Error, Ident, Result};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type, TypePtr};

/// The type of a column. All columns may hold nulls. The Polars type of the frame column is in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LakeKind {
    /// UTF-8 text (`String`).
    Text,
    /// An exact decimal of at most 18 digits, given as a whole number scaled by 10^scale (`Int64`).
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// A point in time, microseconds since 1970 in UTC (`Int64`).
    Timestamp,
    /// A double (`Float64`).
    Double,
    /// A whole number of 32 bits (`Int64`).
    Int,
    /// A whole number of 64 bits (`Int64`).
    BigInt,
    /// True or false (`Boolean`; written from `Int64` too: 0 and 1).
    Bool,
}

/// The columns of a file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeSchema {
    columns: Vec<(Ident, LakeKind)>,
}

impl LakeSchema {
    /// Checks names and kinds.
    ///
    /// # Errors
    /// A configuration error for an unusable or repeated name, no column, or a decimal without room for its digits.
    pub fn new(columns: &[(&str, LakeKind)]) -> Result<Self> {
        let mut checked: Vec<(Ident, LakeKind)> = Vec::with_capacity(columns.len());
        for (name, kind) in columns {
            if let LakeKind::Decimal { precision, scale } = kind
                && (!(1..=18).contains(precision) || scale > precision)
            {
                return Err(Error::configuration(format!(
                    "column `{name}`: decimal({precision},{scale}) is not possible, only 1 to 18 digits with the scale among them"
                )));
            }
            if checked.iter().any(|(other, _)| other.as_str() == *name) {
                return Err(Error::configuration(format!("column `{name}` is there twice")));
            }
            checked.push((Ident::new(name)?, *kind));
        }
        if checked.is_empty() {
            return Err(Error::configuration("a file of a lake needs at least one column"));
        }
        Ok(Self { columns: checked })
    }

    /// The names and kinds, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, LakeKind)> {
        self.columns.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// The schema as Parquet has it.
    pub(super) fn to_parquet(&self) -> Result<TypePtr, ParquetError> {
        let fields: Result<Vec<TypePtr>, ParquetError> =
            self.columns().map(|(name, kind)| field(name, kind).map(Arc::new)).collect();
        Type::group_type_builder("schema").with_fields(fields?).build().map(Arc::new)
    }

    /// Where the columns are in a file.
    ///
    /// # Errors
    /// A text naming the column that is missing or of another type.
    pub(super) fn find_in(&self, file: &SchemaDescriptor) -> Result<Vec<usize>, String> {
        let find = |(name, kind): (&str, LakeKind)| {
            let at = file.columns().iter().position(|column| column.path().parts() == [name]);
            let at = at.ok_or_else(|| format!("it has no column `{name}`"))?;
            if kind.is(&file.columns()[at]) { Ok(at) } else { Err(format!("its column `{name}` is not {kind:?}")) }
        };
        self.columns().map(find).collect()
    }

    /// Whether a file has exactly these columns in this order.
    pub(super) fn is_of(&self, file: &SchemaDescriptor) -> bool {
        self.find_in(file).is_ok_and(|found| found.into_iter().eq(0..file.num_columns()))
    }
}

impl LakeKind {
    pub(super) fn physical(self) -> Physical {
        match self {
            Self::Text => Physical::BYTE_ARRAY,
            Self::Decimal { .. } | Self::Timestamp | Self::BigInt => Physical::INT64,
            Self::Double => Physical::DOUBLE,
            Self::Int => Physical::INT32,
            Self::Bool => Physical::BOOLEAN,
        }
    }

    fn logical(self) -> Option<LogicalType> {
        match self {
            Self::Text => Some(LogicalType::String),
            Self::Decimal { precision, scale } => Some(LogicalType::decimal(i32::from(scale), i32::from(precision))),
            Self::Timestamp => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            Self::Double | Self::Int | Self::BigInt | Self::Bool => None,
        }
    }

    fn is(self, column: &ColumnDescriptor) -> bool {
        column.physical_type() == self.physical()
            && column.logical_type_ref() == self.logical().as_ref()
            && column.max_rep_level() == 0
            && column.max_def_level() <= 1
    }
}

fn field(name: &str, kind: LakeKind) -> Result<Type, ParquetError> {
    let mut builder = Type::primitive_type_builder(name, kind.physical())
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(kind.logical());
    if let LakeKind::Decimal { precision, scale } = kind {
        builder = builder.with_precision(i32::from(precision)).with_scale(i32::from(scale));
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use parquet::schema::types::SchemaDescriptor;

    use super::{LakeKind, LakeSchema};

    #[test]
    fn refuses_what_cannot_be() {
        for wrong in [
            vec![],
            vec![("a b", LakeKind::Text)],
            vec![("a", LakeKind::Text), ("a", LakeKind::Int)],
            vec![("a", LakeKind::Decimal { precision: 19, scale: 4 })],
            vec![("a", LakeKind::Decimal { precision: 2, scale: 4 })],
        ] {
            assert!(LakeSchema::new(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn types_are_compared_with_those_of_a_file() {
        let money = LakeKind::Decimal { precision: 18, scale: 4 };
        let written = LakeSchema::new(&[("a", LakeKind::Text), ("b", money), ("c", LakeKind::Timestamp)]).unwrap();
        let file = SchemaDescriptor::new(written.to_parquet().unwrap());
        assert!(written.is_of(&file));
        let find = |columns: &[(&str, LakeKind)]| LakeSchema::new(columns).unwrap().find_in(&file);
        assert_eq!(find(&[("c", LakeKind::Timestamp), ("a", LakeKind::Text)]), Ok(vec![2, 0]));
        assert_eq!(find(&[("c", LakeKind::BigInt)]), Err("its column `c` is not BigInt".to_owned()));
        let other = LakeKind::Decimal { precision: 18, scale: 2 };
        assert!(find(&[("b", other)]).unwrap_err().contains("`b`"));
        assert_eq!(find(&[("d", LakeKind::Int)]), Err("it has no column `d`".to_owned()));
    }
}
