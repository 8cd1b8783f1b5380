//! Creating tables, and checking those that are there: a table made by hand is welcome when it can hold what will be
//! written to it, exactly and under the same key, and refused with all its differences named otherwise.

use std::collections::BTreeMap;

use headrace_core::table::{Column, Kind, Merge, Table, View};
use headrace_core::{Error, Ident, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::dialect::{column_type, commas, quote};
use super::failure::attempt;
use super::ledger;
use super::server::Server;

/// Creates what is missing, the ledger's tables too, and checks what is there.
pub(super) async fn create(server: &Server, tables: &[&Table]) -> Result<()> {
    server.create_database().await?;
    let mut connection = server.connection().await?;
    let own = ledger::tables()?;
    for table in own.iter().chain(tables.iter().copied()) {
        let context = || format!("cannot create {}", server.called(&table.name));
        if !exists(&mut connection, &table.name).await? {
            let text = server.dialect.create_table(table) + &ledger::comment(&table.name);
            attempt(context, connection.query_drop(text)).await?;
        }
        check(server, &mut connection, table).await?;
    }
    Ok(())
}

/// Creates or replaces a view.
pub(super) async fn create_view(server: &Server, view: &View) -> Result<()> {
    let mut connection = server.connection().await?;
    let context = || format!("cannot create view {}.{}", quote(&server.database), quote(&view.name));
    let text = format!("CREATE OR REPLACE VIEW {} AS {}", quote(&view.name), view.mysql);
    attempt(context, connection.query_drop(text)).await
}

/// Tells whether the database has a table or view of that name.
pub(super) async fn has_table(server: &Server, table: &Ident) -> Result<bool> {
    match server.connection_if_exists().await? {
        Some(mut connection) => exists(&mut connection, table).await,
        None => Ok(false),
    }
}

async fn exists(connection: &mut Conn, table: &Ident) -> Result<bool> {
    let query = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";
    let context = || format!("cannot look for table `{table}`");
    let found: Option<u8> = attempt(context, connection.exec_first(query, (table.as_str(),))).await?;
    Ok(found.is_some())
}

/// A column as information_schema tells it.
struct Actual {
    data_type: String,
    full_type: String,
    nullable: bool,
    characters: Option<u64>,
    digits: Option<u64>,
    scale: Option<u64>,
    collation: Option<String>,
    generated: bool,
    fills_itself: bool,
}

async fn check(server: &Server, connection: &mut Conn, table: &Table) -> Result<()> {
    let mut differences = Vec::new();
    let context = || format!("cannot look at {}", server.called(&table.name));
    let name = (table.name.as_str(),);
    let query = "SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";
    let engine: Option<Option<String>> = attempt(context, connection.exec_first(query, name)).await?;
    match engine.flatten() {
        Some(engine) if engine.eq_ignore_ascii_case("InnoDB") => {}
        Some(engine) => {
            differences.push(format!("its engine is {engine}, which has no transactions; needed is InnoDB"))
        }
        None => differences.push("it is no base table".to_owned()),
    }
    let actual = columns(server, connection, table).await?;
    for column in &table.columns {
        match actual.get(column.name.as_str()) {
            None => differences.push(format!("column `{}` {} is missing", column.name, column_type(column.kind))),
            Some(found) => differences.extend(column_difference(column, found)),
        }
    }
    for (name, found) in &actual {
        if table.find(name).is_none() && !found.fills_itself {
            differences.push(format!("column `{name}` is unknown here and would need a value; let it be nullable"));
        }
    }
    differences.extend(key_differences(server, connection, table).await?);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{} is there but does not fit: {}. Change it, or choose another table",
        server.called(&table.name),
        differences.join("; ")
    )))
}

async fn columns(server: &Server, connection: &mut Conn, table: &Table) -> Result<BTreeMap<String, Actual>> {
    type Row = (String, String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<String>, String, bool);
    let query = "SELECT column_name, LOWER(data_type), LOWER(column_type), is_nullable, character_maximum_length, numeric_precision, \
                 numeric_scale, collation_name, UPPER(extra), column_default IS NOT NULL FROM information_schema.columns \
                 WHERE table_schema = DATABASE() AND table_name = ?";
    let context = || format!("cannot look at {}", server.called(&table.name));
    let rows: Vec<Row> = attempt(context, connection.exec(query, (table.name.as_str(),))).await?;
    let entry =
        |(name, data_type, full_type, nullable, characters, digits, scale, collation, extra, has_default): Row| {
            let generated = extra.contains("STORED GENERATED") || extra.contains("VIRTUAL GENERATED");
            let nullable = nullable == "YES";
            let fills_itself = nullable || generated || has_default || extra.contains("AUTO_INCREMENT");
            (
                name,
                Actual {
                    data_type,
                    full_type,
                    nullable,
                    characters,
                    digits,
                    scale,
                    collation,
                    generated,
                    fills_itself,
                },
            )
        };
    Ok(rows.into_iter().map(entry).collect())
}

fn column_difference(column: &Column, found: &Actual) -> Option<String> {
    let data_type = found.data_type.as_str();
    let fits = match column.kind {
        Kind::Int => data_type == "bigint" && !found.full_type.contains("unsigned"),
        Kind::Small => matches!(data_type, "tinyint" | "smallint" | "mediumint" | "int" | "bigint"),
        Kind::Double => data_type == "double",
        Kind::Single => data_type == "float",
        Kind::Text => matches!(data_type, "longtext" | "mediumtext" | "text" | "varchar"),
        Kind::Name(needed) => {
            matches!(data_type, "varchar" | "longtext" | "mediumtext" | "text")
                && found.characters.is_some_and(|characters| characters >= u64::from(needed))
        }
        Kind::Bytes => matches!(data_type, "longblob" | "mediumblob" | "blob" | "varbinary"),
        // The same scale, or values would be rounded; as many digits before the point.
        Kind::Decimal { scale } => {
            data_type == "decimal"
                && found.scale == Some(u64::from(scale))
                && found.digits.is_some_and(|digits| digits >= 18)
        }
        Kind::DateTime => data_type == "datetime",
        Kind::Date => data_type == "date",
        Kind::TimeUuid => found.full_type == "binary(16)",
    };
    let called = format!("column `{}`", column.name);
    if !fits {
        return Some(format!("{called} is {}, needed is {}", found.full_type, column_type(column.kind)));
    }
    let collation = found.collation.as_deref().unwrap_or_default();
    if matches!(column.kind, Kind::Text | Kind::Name(_)) {
        if !collation.starts_with("utf8mb4") {
            return Some(format!("{called} has the collation {collation}, needed is one of utf8mb4"));
        }
        if column.merge == Merge::Key && !collation.ends_with("_bin") {
            return Some(format!(
                "key {called} has the collation {collation}, under which different keys are equal; needed is a binary one"
            ));
        }
    }
    match column.merge {
        Merge::Computed { mysql, .. } if !found.generated => {
            Some(format!("{called} is not generated always as ({mysql})"))
        }
        Merge::Key | Merge::Replace | Merge::Add if found.generated => {
            Some(format!("{called} is generated and cannot be written"))
        }
        Merge::Replace | Merge::Add if column.nullable && !found.nullable => Some(format!("{called} must be nullable")),
        _ => None,
    }
}

async fn key_differences(server: &Server, connection: &mut Conn, table: &Table) -> Result<Vec<String>> {
    type Row = (String, Option<String>, Option<u64>);
    let query = "SELECT index_name, column_name, sub_part FROM information_schema.statistics \
                 WHERE table_schema = DATABASE() AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index";
    let context = || format!("cannot look at the keys of {}", server.called(&table.name));
    let rows: Vec<Row> = attempt(context, connection.exec(query, (table.name.as_str(),))).await?;
    let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, column, prefix) in rows {
        let part = column.unwrap_or_else(|| "an expression".to_owned());
        let part = prefix.map_or(part.clone(), |characters| format!("{part}({characters})"));
        indexes.entry(index).or_default().push(part);
    }
    let mut differences = Vec::new();
    let primary = indexes.remove("PRIMARY").unwrap_or_default();
    let needed: Vec<&str> = table.keys().map(|column| column.name.as_str()).collect();
    if primary != needed {
        differences.push(format!("its primary key is ({}), needed is ({})", commas(&primary), commas(&needed)));
    }
    // An upsert that meets another unique key changes a row of another primary key.
    for (index, parts) in indexes {
        differences.push(format!(
            "it has a further unique key `{index}` ({}); upserts need the primary key alone",
            commas(&parts)
        ));
    }
    Ok(differences)
}
