//! How each kind of column is stored in ClickHouse, and how its values travel in RowBinary.
//!
//! - `Int` is `Int64`, `Small` `Int16`, `Double` `Float64`, `Single` `Float32`, `Decimal` `Decimal(18, scale)`; texts and bytes are `String`.
//! - `DateTime` is `DateTime64(6, 'UTC')` and `Date` `Date32`, both for the years 1900 to 2299; a value outside is refused.
//! - `TimeUuid` is a `FixedString(16)` whose order is that of time.
//! - A column may have another type of its own; digits of a time that it has not are cut off.

use headrace_core::table::{Column, Kind};
use headrace_core::{Error, Ident, Result};

/// A name between backticks; an [`Ident`] cannot hold one.
pub(super) fn quoted(name: &Ident) -> String {
    format!("`{name}`")
}

/// How a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// A whole number of so many bytes.
    Signed(usize),
    /// The same without a sign; of eight bytes, the upper half is out of reach.
    Unsigned(usize),
    /// A decimal of 18 digits, so many of them behind the point.
    Decimal(u8),
    Double,
    Single,
    /// Text or bytes of any length.
    Text,
    /// So many bytes.
    Fixed(usize),
    /// Seconds since 1970.
    Seconds,
    /// A point in time with so many digits behind the seconds' point.
    Moment(u32),
    /// Days since 1970.
    Days,
}

/// A column as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) wire: Wire,
    pub(super) nullable: bool,
}

impl Stored {
    /// How one of our columns is stored.
    ///
    /// # Errors
    /// A configuration error when its own type is unknown or does not fit its kind.
    pub(super) fn of(column: &Column) -> Result<Self> {
        let text = type_of(column);
        let fits = |stored: &Self| {
            let whole = matches!(stored.wire, Wire::Signed(_) | Wire::Unsigned(_));
            match column.kind {
                Kind::Int | Kind::Small => whole,
                Kind::Double => stored.wire == Wire::Double,
                Kind::Single => stored.wire == Wire::Single,
                Kind::Text | Kind::Name(_) | Kind::Bytes => stored.wire == Wire::Text,
                Kind::Decimal { scale } => stored.wire == Wire::Decimal(scale),
                Kind::DateTime => matches!(stored.wire, Wire::Seconds | Wire::Moment(0..=6)),
                Kind::Date => stored.wire == Wire::Days,
                Kind::TimeUuid => stored.wire == Wire::Fixed(16),
            }
        };
        Self::parse(&text).filter(fits).ok_or_else(|| {
            Error::configuration(format!("column `{}` cannot be kept as {text} in ClickHouse", column.name))
        })
    }

    /// Reads a type as the server writes it; none when it is not known here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(inner) = inside("Nullable") {
            return Self::parse(inner).map(|stored| Self { nullable: true, ..stored });
        }
        if let Some(inner) = inside("LowCardinality") {
            return Self::parse(inner).filter(|stored| stored.wire == Wire::Text);
        }
        let bits =
            |name: &str| text.strip_prefix(name)?.parse::<usize>().ok().filter(|bits| [8, 16, 32, 64].contains(bits));
        let arguments = |name| inside(name).map(|inner| inner.split(',').map(str::trim).collect::<Vec<_>>());
        let wire = if let Some(bits) = bits("Int") {
            Wire::Signed(bits / 8)
        } else if let Some(bits) = bits("UInt") {
            Wire::Unsigned(bits / 8)
        } else if let Some(length) = inside("FixedString") {
            Wire::Fixed(length.parse().ok()?)
        } else if let Some([digits, ..]) = arguments("DateTime64").as_deref() {
            Wire::Moment(digits.parse().ok()?)
        } else if let Some(["18", scale]) = arguments("Decimal").as_deref() {
            Wire::Decimal(scale.parse().ok()?)
        } else {
            match text {
                "Float64" => Wire::Double,
                "Float32" => Wire::Single,
                "String" => Wire::Text,
                "DateTime" => Wire::Seconds,
                "Date32" => Wire::Days,
                _ if inside("DateTime").is_some() => Wire::Seconds,
                _ => return None,
            }
        };
        Some(Self { wire, nullable: false })
    }
}

/// The column's type as the server's.
pub(super) fn type_of(column: &Column) -> String {
    let text = match (column.clickhouse, column.kind) {
        (Some(own), _) => own.to_owned(),
        (None, Kind::Int) => "Int64".to_owned(),
        (None, Kind::Small) => "Int16".to_owned(),
        (None, Kind::Double) => "Float64".to_owned(),
        (None, Kind::Single) => "Float32".to_owned(),
        (None, Kind::Text | Kind::Name(_) | Kind::Bytes) => "String".to_owned(),
        (None, Kind::Decimal { scale }) => format!("Decimal(18, {scale})"),
        (None, Kind::DateTime) => "DateTime64(6, 'UTC')".to_owned(),
        (None, Kind::Date) => "Date32".to_owned(),
        (None, Kind::TimeUuid) => "FixedString(16)".to_owned(),
    };
    match text.strip_prefix("LowCardinality(").and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) if column.nullable => format!("LowCardinality(Nullable({inner}))"),
        None if column.nullable => format!("Nullable({text})"),
        _ => text,
    }
}

/// The first version of the server that has a type.
pub(super) fn since(text: &str) -> (u32, u32) {
    if text.contains("Date32") {
        (21, 9)
    } else if text.contains("DateTime64") {
        (20, 1)
    } else if text.contains("LowCardinality") {
        (19, 1)
    } else {
        (18, 16)
    }
}

#[cfg(test)]
mod tests {
    use super::{Stored, Wire, since};

    #[test]
    fn types_as_the_server_writes_them() {
        let parse = |text| Stored::parse(text).map(|stored| (stored.wire, stored.nullable));
        assert_eq!(parse("UInt32"), Some((Wire::Unsigned(4), false)));
        assert_eq!(parse("Int8"), Some((Wire::Signed(1), false)));
        assert_eq!(parse("LowCardinality(Nullable(String))"), Some((Wire::Text, true)));
        assert_eq!(parse("Nullable(DateTime64(3, 'Europe/Berlin'))"), Some((Wire::Moment(3), true)));
        assert_eq!(parse("DateTime('UTC')"), Some((Wire::Seconds, false)));
        assert_eq!(parse("Decimal(18, 6)"), Some((Wire::Decimal(6), false)));
        assert_eq!(parse("FixedString(16)"), Some((Wire::Fixed(16), false)));
        for unknown in
            ["Int128", "UInt7", "Decimal(38, 6)", "Array(String)", "Date", "Nullable(", "LowCardinality(UInt8)"]
        {
            assert_eq!(parse(unknown), None, "{unknown}");
        }
        assert_eq!(since("LowCardinality(String)"), (19, 1));
        assert_eq!(since("UInt64"), (18, 16));
    }
}
