//! Creating tables, and checking those that are there.

use std::collections::BTreeMap;

use headrace_core::table::{Merge, Table};
use headrace_core::{Error, Ident, Result};

use super::ClickHouse;
use super::types::{Stored, quoted, since, type_of};

/// Creates what is missing, the database too, and checks what is there.
pub(super) async fn create(store: &ClickHouse, tables: &[&Table]) -> Result<()> {
    for table in tables {
        refuse_what_cannot_be_kept(store, table)?;
    }
    let context = format!("cannot create database `{}` at {}", store.database, store.http.place());
    let query = format!("SELECT count() FROM system.databases WHERE name = '{}'", store.database);
    if store.http.run(&context, &query, &[]).await?.trim_ascii() == b"0" {
        let query = format!("CREATE DATABASE IF NOT EXISTS {}", quoted(&store.database));
        store.http.run(&context, &query, &[]).await?;
    }
    for table in tables {
        let context = format!("cannot create {}", store.called(&table.name));
        store.http.run(&context, &definition(&store.database, table), &[]).await?;
        check(store, table).await?;
    }
    Ok(())
}

fn refuse_what_cannot_be_kept(store: &ClickHouse, table: &Table) -> Result<()> {
    let refuse = |what: String| Err(Error::configuration(format!("clickhouse: table `{}`: {what}", table.name)));
    if table.keys().next().is_none() {
        return refuse("it has no key".to_owned());
    }
    for column in &table.columns {
        if !matches!(column.merge, Merge::Key | Merge::Replace) {
            return refuse(format!(
                "column `{}` is merged or computed; only whole rows are replaced here",
                column.name
            ));
        }
        Stored::of(column)?;
        let (text, (major, minor)) = (type_of(column), since(&type_of(column)));
        if store.version < (major, minor) {
            let (has_major, has_minor) = store.version;
            return refuse(format!(
                "column `{}` is {text}, which needs ClickHouse {major}.{minor} or newer; the server is {has_major}.{has_minor}",
                column.name
            ));
        }
    }
    Ok(())
}

fn definition(database: &Ident, table: &Table) -> String {
    let own = table.columns.iter().map(|column| format!("{} {}", quoted(&column.name), type_of(column)));
    let further = table.clickhouse_columns.iter().map(|(name, definition)| format!("{} {definition}", quoted(name)));
    let columns: Vec<String> = own.chain(further).collect();
    let keys: Vec<String> = table.keys().map(|key| quoted(&key.name)).collect();
    let order = if let [key] = keys.as_slice() { key.clone() } else { format!("({})", keys.join(", ")) };
    let version = table.versioned_by.as_ref().map(|version| format!("({})", quoted(version))).unwrap_or_default();
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{} ({}) ENGINE = ReplacingMergeTree{version} ORDER BY {order}",
        quoted(database),
        quoted(&table.name),
        columns.join(", ")
    )
}

/// Checks that a table is there and can hold what will be written to it.
pub(super) async fn check(store: &ClickHouse, table: &Table) -> Result<()> {
    let context = format!("cannot look at {}", store.called(&table.name));
    let place = format!("database = '{}' AND", store.database);
    // Tab-separated text escapes tabs, newlines and backslashes, and nothing that is looked for has them.
    let query = format!("SELECT engine_full, sorting_key FROM system.tables WHERE {place} name = '{}'", table.name);
    let found = text(&store.http.run(&context, &query, &[]).await?);
    let Some((engine, sorting)) = found.lines().next().and_then(|line| line.split_once('\t')) else {
        return Err(Error::configuration(format!(
            "there is no {}; run the step that writes it first, or check the name in the URL",
            store.called(&table.name)
        )));
    };
    let query = format!("SELECT name, type, default_kind FROM system.columns WHERE {place} table = '{}'", table.name);
    let columns = text(&store.http.run(&context, &query, &[]).await?);
    let mut differences = column_differences(table, &columns)?;
    differences.extend(engine_difference(table, engine));
    let sorted_by = names(sorting);
    let needed: Vec<&str> = table.keys().map(|key| key.name.as_str()).collect();
    if sorted_by != needed {
        let (sorted_by, needed) = (sorted_by.join(", "), needed.join(", "));
        differences.push(format!("its key (ORDER BY) is ({sorted_by}), needed is ({needed})"));
    }
    if differences.is_empty() {
        store.checked().insert(table.name.clone());
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{} is there but does not fit: {}. Change it, or choose another table",
        store.called(&table.name),
        differences.join("; ")
    )))
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

/// The names in a list such as `(a, b)`.
fn names(list: &str) -> Vec<&str> {
    let inner = list.trim().trim_start_matches('(').trim_end_matches(')');
    inner.split(',').map(|name| name.trim().trim_matches('`')).collect()
}

fn column_differences(table: &Table, description: &str) -> Result<Vec<String>> {
    let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in description.lines() {
        let mut parts = line.split('\t');
        if let (Some(name), Some(stored)) = (parts.next(), parts.next()) {
            found.insert(name, (stored, parts.next().unwrap_or_default()));
        }
    }
    let mut differences = Vec::new();
    for column in &table.columns {
        let (called, needed) = (format!("column `{}`", column.name), type_of(column));
        match found.get(column.name.as_str()) {
            None => differences.push(format!("{called} {needed} is missing")),
            Some((stored, kind)) => {
                // Types that hold and send the same are as good: a text with a dictionary or without, another time zone.
                if Stored::parse(&stored.replace("\\'", "'")) != Some(Stored::of(column)?) {
                    differences.push(format!("{called} is {stored}, needed is {needed}"));
                } else if matches!(*kind, "MATERIALIZED" | "ALIAS" | "EPHEMERAL") {
                    differences.push(format!("{called} is {kind} and cannot be written"));
                }
            }
        }
    }
    for (name, definition) in &table.clickhouse_columns {
        if !found.contains_key(name.as_str()) {
            differences.push(format!("column `{name}` {definition} is missing"));
        }
    }
    Ok(differences)
}

/// Compares the engine, replicated or not, and the column it goes by.
fn engine_difference(table: &Table, engine: &str) -> Option<String> {
    let version = table.versioned_by.as_ref().map(Ident::as_str);
    let (name, rest) = engine.split_at(engine.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(engine.len()));
    let arguments = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let by = names(arguments).last().copied().filter(|name| !name.is_empty() && !name.contains('\''));
    if name.ends_with("ReplacingMergeTree") && by == version {
        return None;
    }
    let shown = engine.split(" ORDER BY").next().unwrap_or(engine).split(" PARTITION BY").next().unwrap_or(engine);
    let needed = version.map(|version| format!("({version})")).unwrap_or_default();
    Some(format!("its engine is {shown}, needed is ReplacingMergeTree{needed}"))
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Merge, Table};

    use super::{column_differences, definition, engine_difference, names};

    fn table() -> Table {
        let table = Table::new(Ident::new("offer").unwrap()).key("user_id", Kind::Int).unwrap().clickhouse("UInt32");
        let table =
            table.column("model", Kind::Text, false, Merge::Replace).unwrap().clickhouse("LowCardinality(String)");
        let table = table.value("note", Kind::Text).unwrap().column("v", Kind::Int, false, Merge::Replace).unwrap();
        table
            .clickhouse("UInt64")
            .clickhouse_column("_at", "DateTime MATERIALIZED now()")
            .unwrap()
            .versioned_by("v")
            .unwrap()
    }

    #[test]
    fn definitions() {
        assert_eq!(
            definition(&Ident::new("d").unwrap(), &table()),
            "CREATE TABLE IF NOT EXISTS `d`.`offer` (`user_id` UInt32, `model` LowCardinality(String), `note` Nullable(String), \
             `v` UInt64, `_at` DateTime MATERIALIZED now()) ENGINE = ReplacingMergeTree(`v`) ORDER BY `user_id`"
        );
    }

    #[test]
    fn engines_that_fit_and_those_that_do_not() {
        for fitting in [
            "ReplacingMergeTree(v) ORDER BY user_id SETTINGS index_granularity = 8192",
            "ReplicatedReplacingMergeTree('/t/{shard}', '{replica}', v) ORDER BY user_id",
        ] {
            assert_eq!(engine_difference(&table(), fitting), None, "{fitting}");
        }
        for other in [
            "MergeTree ORDER BY user_id",
            "ReplacingMergeTree ORDER BY user_id",
            "ReplacingMergeTree(w) ORDER BY x",
            "Log",
        ] {
            assert!(engine_difference(&table(), other).unwrap().contains("needed is ReplacingMergeTree(v)"), "{other}");
        }
        let unversioned = Table { versioned_by: None, ..table() };
        assert_eq!(engine_difference(&unversioned, "ReplacingMergeTree ORDER BY a"), None);
        assert_eq!(engine_difference(&unversioned, "ReplicatedReplacingMergeTree('/t', 'r') ORDER BY a"), None);
        assert!(engine_difference(&unversioned, "ReplacingMergeTree(v) ORDER BY a").is_some());
        assert_eq!(names("(a, `b`)"), ["a", "b"]);
        assert_eq!(names("a"), ["a"]);
    }

    #[test]
    fn columns_that_fit_and_those_that_do_not() {
        let fitting = "user_id\tUInt32\t\nmodel\tString\t\nnote\tNullable(String)\t\nv\tUInt64\tDEFAULT\n_at\tDateTime\tMATERIALIZED\nmore\tInt8\t\n";
        assert_eq!(column_differences(&table(), fitting).unwrap(), Vec::<String>::new());
        let other = "user_id\tUInt64\t\nmodel\tString\t\nnote\tString\t\nv\tUInt64\tALIAS\n";
        let found = column_differences(&table(), other).unwrap();
        for (difference, part) in found.iter().zip(["`user_id` is UInt64", "`note` is String", "`v` is ALIAS", "`_at`"])
        {
            assert!(difference.contains(part), "{difference}");
        }
        assert_eq!(found.len(), 4);
    }
}
