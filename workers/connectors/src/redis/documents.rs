//! Rows that other programs read: a plain key whose value is a JSON object, which holds the row's version.
//!
//! What is kept under such keys by others and is no such object is no row: reads leave it out, and writes replace it.

use std::fmt;

use headrace_core::json::Name;
use headrace_core::table::{Column, Kind, Merge, Table, Value};
use headrace_core::{Error, Result};
use polars::prelude::{DataFrame, Series};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::plain;

/// Lua's numbers are doubles: a greater version would not be exact.
const LARGEST_VERSION: i64 = 1 << 53;

/// A row to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    pub(super) key: &'a str,
    pub(super) text: &'a str,
    pub(super) version: Option<i64>,
}

/// Which columns a document is made of.
pub(super) struct Shape<'a> {
    table: &'a Table,
    /// The name of the version in the object.
    pub(super) version: Option<&'a str>,
}

impl<'a> Shape<'a> {
    /// Finds the columns.
    ///
    /// # Errors
    /// A configuration error when the table has another shape.
    pub(super) fn of(table: &'a Table) -> Result<Self> {
        let version = table.versioned_by.as_ref().map(headrace_core::Ident::as_str);
        let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
        let is_text = |kind: &Kind| matches!(kind, Kind::Text | Kind::Name(_));
        let fits = table.keys().count() == 1
            && table.columns.first().is_some_and(|column| column.merge == Merge::Key)
            && kinds.len() == 2 + usize::from(version.is_some())
            && kinds.iter().take(2).all(is_text)
            && table.columns.iter().all(|column| !column.nullable)
            && table.columns.get(2).is_none_or(|column| Some(column.name.as_str()) == version);
        if fits {
            Ok(Self { table, version })
        } else {
            Err(Error::configuration(format!(
                "redis: table `{}` is one of documents and needs a key of text, a value of text and at most a version, none of them null",
                table.name
            )))
        }
    }

    /// The rows of a frame, checked.
    ///
    /// # Errors
    /// A data error when a value does not fit, or a text is no JSON object or holds another version.
    pub(super) fn rows<'b>(&self, frame: &'b DataFrame) -> Result<Vec<Document<'b>>> {
        let (keys, texts) = (self.texts(frame, 0)?, self.texts(frame, 1)?);
        let versions: Vec<Option<i64>> = match self.table.columns.get(2) {
            Some(column) => {
                let series = self.series(frame, column)?;
                series.i64().map_err(|_| self.misfit(column, series))?.iter().collect()
            }
            None => vec![None; keys.len()],
        };
        let rows = keys.into_iter().zip(texts).zip(versions);
        rows.map(|((key, text), version)| self.checked(Document { key, text, version })).collect()
    }

    fn series<'b>(&self, frame: &'b DataFrame, column: &Column) -> Result<&'b Series> {
        let wrong = |what: &str| self.wrong(&format!("column `{}` {what}", column.name));
        let series = frame.column(column.name.as_str()).map_err(|_| wrong("is missing in the batch"))?;
        if series.null_count() > 0 {
            return Err(wrong("has a null, which it may not have"));
        }
        Ok(series.as_materialized_series())
    }

    fn texts<'b>(&self, frame: &'b DataFrame, place: usize) -> Result<Vec<&'b str>> {
        let column = &self.table.columns[place];
        let series = self.series(frame, column)?;
        let texts: Vec<&str> = series.str().map_err(|_| self.misfit(column, series))?.iter().flatten().collect();
        match column.kind {
            Kind::Name(most) if texts.iter().any(|text| text.chars().count() > usize::from(most)) => {
                Err(self.wrong(&format!("column `{}` has a text of more than {most} characters", column.name)))
            }
            _ => Ok(texts),
        }
    }

    fn checked<'b>(&self, row: Document<'b>) -> Result<Document<'b>> {
        if row.version.is_some_and(|version| version.unsigned_abs() > LARGEST_VERSION.unsigned_abs()) {
            return Err(self.wrong("a version has more than 53 bits"));
        }
        if self.version_of(row.text).is_none_or(|found| found != row.version) {
            return Err(self.wrong(&format!("the value of `{}` is no JSON object that holds its version", row.key)));
        }
        Ok(row)
    }

    fn wrong(&self, what: &str) -> Error {
        Error::data(format!("cannot write to table `{}`: {what}", self.table.name))
    }

    fn misfit(&self, column: &Column, series: &Series) -> Error {
        let (name, found, kind) = (&column.name, series.dtype(), column.kind);
        self.wrong(&format!("column `{name}` is {found} in the batch, which does not fit {kind:?}"))
    }

    /// The row of a key and its text; none when it is no row of this table.
    pub(super) fn read(&self, key: &str, text: String) -> Option<Vec<Value>> {
        let version = self.version_of(&text)?;
        let mut row = vec![Value::Text(key.to_owned()), Value::Text(text)];
        row.extend(version.map(Value::Int));
        Some(row)
    }

    /// The version in a JSON object, if the table has one; none when it is no such object.
    fn version_of(&self, text: &str) -> Option<Option<i64>> {
        if let Some(found) = self.version.and_then(|name| plain::whole_number(text, name)) {
            return Some(Some(found));
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let version = Top(self.version).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        match self.version {
            None => Some(None),
            Some(_) => version.map(Some),
        }
    }
}

/// Reads an object whose members do not matter but for one whole number, without keeping any of them.
struct Top<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Option<i64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = members.next_key()? {
            if self.0 == Some(&*name) {
                found = members.next_value::<serde_json::Value>()?.as_i64();
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Merge, Table, Value};
    use polars::prelude::{DataFrame, NamedFrom, Series};

    use super::{Document, Shape};

    fn cache() -> Table {
        let table = Table::new(Ident::new("cache").unwrap()).key("cache_key", Kind::Name(20)).unwrap();
        let table = table.column("value", Kind::Text, false, Merge::Replace).unwrap();
        let table = table.column("version", Kind::Int, false, Merge::Replace).unwrap();
        table.versioned_by("version").unwrap().documents()
    }

    fn frame(text: &str, version: i64) -> DataFrame {
        let texts = |name: &str, text: &str| Series::new(name.into(), [text]).into();
        let columns =
            vec![texts("cache_key", "1"), texts("value", text), Series::new("version".into(), [version]).into()];
        DataFrame::new(1, columns).unwrap()
    }

    #[test]
    fn rows_must_be_objects_with_their_version() {
        let table = cache();
        let shape = Shape::of(&table).unwrap();
        let fitting = Document { key: "1", text: "{\"version\":5}", version: Some(5) };
        assert_eq!(shape.rows(&frame(fitting.text, 5)).unwrap(), [fitting]);
        for wrong in ["", "5", "[]", "{'version': 5}", "{\"version\":6}", "{\"version\":\"5\"}", "{}"] {
            assert!(shape.rows(&frame(wrong, 5)).is_err(), "{wrong}");
        }
        let large = (1_i64 << 53) + 1;
        assert!(shape.rows(&frame(&format!("{{\"version\":{large}}}"), large)).is_err());
        let read = vec![Value::Text("1".into()), Value::Text(fitting.text.into()), Value::Int(5)];
        assert_eq!(shape.read("1", fitting.text.into()), Some(read));
        assert_eq!(shape.read("1", "{'old': 'text'}".into()), None);
    }

    #[test]
    fn columns_must_be_there_and_fit() {
        let table = cache();
        let shape = Shape::of(&table).unwrap();
        let right = frame("{\"version\":5}", 5);
        let error = |frame: &DataFrame| shape.rows(frame).unwrap_err().to_string();
        assert!(error(&right.drop("value").unwrap()).contains("`value` is missing"));
        let with = |series: Series| right.clone().with_column(series.into()).unwrap().clone();
        assert!(error(&with(Series::new("value".into(), [5]))).contains("`value` is i32"));
        assert!(error(&with(Series::new("version".into(), [None::<i64>]))).contains("`version` has a null"));
        assert!(error(&with(Series::new("cache_key".into(), ["k".repeat(21)]))).contains("more than 20 characters"));
    }

    #[test]
    fn other_shapes_are_refused() {
        for table in [cache().value("more", Kind::Int).unwrap(), cache().key("second", Kind::Text).unwrap()] {
            assert!(Shape::of(&table).is_err());
        }
        let number = Table::new(Ident::new("t").unwrap()).key("id", Kind::Int).unwrap().documents();
        assert!(Shape::of(&number).is_err());
    }
}
