//! Tables as keys and fields.
//!
//! A row is a hash under `TABLE:KEY:KEY…`, with a field for each column that is not null, keys included. Numbers are texts of
//! digits; texts and bytes are as they are. In a key `%`, `:`, `{` and `}` are escaped, so that keys are apart and no part of one chooses its node.
//! What columns a table has is kept under `headrace-table:TABLE`. Tables of documents are other programs' too: see `documents`.

use std::collections::BTreeMap;

use headrace_core::table::{Column, Kind, Merge, Table, Value};
use headrace_core::{Error, Result};

use super::documents;
use super::link::Link;

/// Checks what can be kept, and notes the columns of tables that are new.
///
/// # Errors
/// A configuration error naming the table and the difference.
pub(super) async fn create(link: &Link, tables: &[&Table]) -> Result<()> {
    for table in tables {
        refuse_what_cannot_be_kept(table)?;
        if table.documents {
            continue;
        }
        let context = format!("cannot create table `{}` at {}", table.name, link.options.place);
        let mut note = redis::cmd("SET");
        note.arg(note_key(link, table)).arg(description(table)?).arg("NX");
        link.run(&context, &[note]).await?;
        check(link, table).await?;
    }
    Ok(())
}

/// Checks that a table is there and has the same columns.
///
/// # Errors
/// A configuration error naming the table and the difference.
pub(super) async fn check(link: &Link, table: &Table) -> Result<()> {
    let place = &link.options.place;
    let context = format!("cannot look for table `{}` at {place}", table.name);
    let mut get = redis::cmd("GET");
    get.arg(note_key(link, table));
    let Some(found) = link.ask::<Option<String>>(&context, &None, get).await? else {
        return Err(Error::configuration(format!(
            "there is no table `{}` at {place}; run the step that writes it first, or check the URL",
            table.name
        )));
    };
    if let Some(difference) = difference(&found, &description(table)?) {
        return Err(Error::configuration(format!(
            "table `{}` at {place} is there but does not fit: {difference}; choose another database, prefix or table",
            table.name
        )));
    }
    Ok(())
}

fn refuse_what_cannot_be_kept(table: &Table) -> Result<()> {
    let refuse = |what: String| Err(Error::configuration(format!("redis: table `{}`: {what}", table.name)));
    if table.keys().next().is_none() {
        return refuse("it has no key".to_owned());
    }
    if let Some(column) = table.columns.iter().find(|column| !matches!(column.merge, Merge::Key | Merge::Replace)) {
        return refuse(format!("column `{}` is merged or computed; only whole rows are replaced here", column.name));
    }
    if table.documents { documents::Shape::of(table).map(|_| ()) } else { Ok(()) }
}

pub(super) fn note_key(link: &Link, table: &Table) -> String {
    format!("{}headrace-table:{}", link.options.prefix, table.name)
}

/// A table's columns as text.
///
/// # Errors
/// A data error when it cannot be written.
fn description(table: &Table) -> Result<String> {
    described(table, &parts(table))
}

/// What describes a table, by name.
pub(super) fn parts(table: &Table) -> BTreeMap<String, String> {
    let keys: Vec<&str> = table.keys().map(|key| key.name.as_str()).collect();
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    parts.insert("its key".to_owned(), format!("({})", keys.join(", ")));
    for column in &table.columns {
        let null = if column.nullable { "" } else { ", never null" };
        parts.insert(format!("column `{}`", column.name), format!("{:?}{null}", column.kind));
    }
    if let Some(version) = &table.versioned_by {
        parts.insert("its version".to_owned(), version.to_string());
    }
    parts
}

/// What describes a table as text: JSON.
///
/// # Errors
/// A data error when it cannot be written.
pub(super) fn described(table: &Table, parts: &BTreeMap<String, String>) -> Result<String> {
    serde_json::to_string(parts)
        .map_err(|error| Error::data(format!("cannot describe table `{}`: {error}", table.name)))
}

/// What is different in two descriptions.
pub(super) fn difference(found: &str, needed: &str) -> Option<String> {
    let read = |text: &str| serde_json::from_str::<BTreeMap<String, String>>(text).unwrap_or_default();
    let (found, needed) = (read(found), read(needed));
    let names: std::collections::BTreeSet<&String> = found.keys().chain(needed.keys()).collect();
    let differing = names.into_iter().filter(|name| found.get(*name) != needed.get(*name)).map(|name| {
        let shown = |parts: &BTreeMap<String, String>| parts.get(name).map_or("nothing".to_owned(), Clone::clone);
        format!("{name} is {}, needed is {}", shown(&found), shown(&needed))
    });
    let differing: Vec<String> = differing.collect();
    (!differing.is_empty()).then(|| differing.join("; "))
}

/// The beginning of all keys of a table.
pub(super) fn beginning(prefix: &str, table: &Table) -> String {
    format!("{prefix}{}:", table.name)
}

/// A row's key, of the values of its key columns.
pub(super) fn key(prefix: &str, table: &Table, values: &[Value]) -> String {
    let mut key = beginning(prefix, table);
    for (number, value) in values.iter().enumerate() {
        if number > 0 {
            key.push(':');
        }
        match value {
            Value::Null => key.push_str("%-"),
            Value::Int(value) => key.push_str(&value.to_string()),
            Value::Double(value) => key.push_str(&format!("{value:?}")),
            Value::Bytes(bytes) => bytes.iter().for_each(|byte| key.push_str(&format!("{byte:02x}"))),
            Value::Text(text) => key.push_str(&escaped(text)),
        }
    }
    key
}

/// A text as a part of a key.
pub(super) fn escaped(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '%' | ':' | '{' | '}' => part.push_str(&format!("%{:02x}", u32::from(letter))),
            letter => part.push(letter),
        }
    }
    part
}

/// A value as a field's; none for null.
pub(super) fn field(column: &Column, value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Int(value) => Some(value.to_string().into_bytes()),
        // The shortest text that reads back as the same number.
        Value::Double(value) if column.kind == Kind::Single => {
            #[expect(clippy::cast_possible_truncation, reason = "it was a single before")]
            let single = *value as f32;
            Some(format!("{single:?}").into_bytes())
        }
        Value::Double(value) => Some(format!("{value:?}").into_bytes()),
        Value::Text(text) => Some(text.clone().into_bytes()),
        Value::Bytes(bytes) => Some(bytes.clone()),
    }
}

/// A field's value.
///
/// # Errors
/// A data error naming the column when it is none of its kind.
pub(super) fn value(table: &Table, column: &Column, field: Option<Vec<u8>>) -> Result<Value> {
    let wrong = || Error::data(format!("table `{}`: column `{}` holds no {:?}", table.name, column.name, column.kind));
    let Some(bytes) = field else {
        return if column.nullable { Ok(Value::Null) } else { Err(wrong()) };
    };
    if matches!(column.kind, Kind::Bytes | Kind::TimeUuid) {
        return Ok(Value::Bytes(bytes));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    match column.kind {
        Kind::Text | Kind::Name(_) => Ok(Value::Text(text)),
        Kind::Double => text.parse().map(Value::Double).map_err(|_| wrong()),
        Kind::Single => text.parse::<f32>().map(|single| Value::Double(f64::from(single))).map_err(|_| wrong()),
        _ => text.parse().map(Value::Int).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use headrace_core::Ident;
    use headrace_core::table::{Kind, Table, Value};

    use super::{description, difference, key};

    fn table() -> Table {
        Table::new(Ident::new("t").unwrap()).key("a", Kind::Text).unwrap().key("b", Kind::Text).unwrap()
    }

    #[test]
    fn different_keys_are_different_texts() {
        let parts = ["", ":", "a", "a:", ":a", "%3a", "{a}", "%", "ä:日"];
        let texts = |one: &str, other: &str| [Value::Text(one.to_owned()), Value::Text(other.to_owned())];
        let keys: BTreeSet<String> =
            parts.iter().flat_map(|one| parts.map(|other| key("p-", &table(), &texts(one, other)))).collect();
        assert_eq!(keys.len(), parts.len() * parts.len());
        assert!(keys.iter().all(|key| key.starts_with("p-t:") && !key.contains(['{', '}'])));
        assert_eq!(key("", &table(), &[Value::Int(-5), Value::Text("x".into())]), "t:-5:x");
    }

    #[test]
    fn differences_are_named() {
        let there = description(&table()).unwrap();
        assert_eq!(difference(&there, &there), None);
        let other = description(&table().value("more", Kind::Int).unwrap()).unwrap();
        assert_eq!(difference(&there, &other).unwrap(), "column `more` is nothing, needed is Int");
    }
}
