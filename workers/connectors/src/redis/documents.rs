//! Rows that other programs read: a plain key whose value is a JSON object, which holds the row's version.
//!
//! What is kept under such keys by others and is no such object is no row: reads leave it out, and writes replace it.

use std::borrow::Cow;
use std::fmt;

use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Lua's numbers are doubles: a greater version would not be exact.
const LARGEST_VERSION: i64 = 1 << 53;

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

    /// Checks a row before it is written, and gives key, text and version.
    ///
    /// # Errors
    /// A data error when the text is no JSON object or holds another version.
    pub(super) fn row<'b>(&self, row: &'b [Value]) -> Result<(&'b str, &'b str, Option<i64>)> {
        let wrong = |what: &str| Error::data(format!("cannot write to table `{}`: {what}", self.table.name));
        let (Some(Value::Text(key)), Some(Value::Text(text))) = (row.first(), row.get(1)) else {
            return Err(wrong("key and value must be texts"));
        };
        let version = match row.get(2) {
            Some(Value::Int(version)) => Some(*version),
            _ => None,
        };
        if version.is_some_and(|version| version.unsigned_abs() > LARGEST_VERSION.unsigned_abs()) {
            return Err(wrong("a version has more than 53 bits"));
        }
        if self.version_of(text).is_none_or(|found| found != version) {
            return Err(wrong(&format!("the value of `{key}` is no JSON object that holds its version")));
        }
        Ok((key, text, version))
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

/// A member's name; a bare `Cow` would always be copied.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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

    use super::Shape;

    fn cache() -> Table {
        let table = Table::new(Ident::new("cache").unwrap()).key("cache_key", Kind::Name(20)).unwrap();
        let table = table.column("value", Kind::Text, false, Merge::Replace).unwrap();
        let table = table.column("version", Kind::Int, false, Merge::Replace).unwrap();
        table.versioned_by("version").unwrap().documents()
    }

    #[test]
    fn rows_must_be_objects_with_their_version() {
        let table = cache();
        let shape = Shape::of(&table).unwrap();
        let row = |text: &str, version| [Value::Text("1".into()), Value::Text(text.into()), Value::Int(version)];
        let fitting = row("{\"version\":5}", 5);
        assert_eq!(shape.row(&fitting).unwrap(), ("1", "{\"version\":5}", Some(5)));
        for wrong in ["", "5", "[]", "{'version': 5}", "{\"version\":6}", "{\"version\":\"5\"}", "{}"] {
            assert!(shape.row(&row(wrong, 5)).is_err(), "{wrong}");
        }
        let large = (1_i64 << 53) + 1;
        assert!(shape.row(&row(&format!("{{\"version\":{large}}}"), large)).is_err());
        assert_eq!(shape.read("1", "{\"version\":5}".into()), Some(fitting.to_vec()));
        assert_eq!(shape.read("1", "{'old': 'text'}".into()), None);
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
