//! Reading rows in key order: conditions, the place to go on behind, and a limit.
//!
//! "Behind a key" is written out as a chain of ORs, which both servers read as ranges of the primary key: a page costs
//! the rows it returns, not those before it.

use headrace_core::store::Select;
use headrace_core::table::{Column, Table, Value};
use headrace_core::{Error, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value as Sql};
use polars::prelude::DataFrame;

use super::dialect::{commas, quote};
use super::failure::attempt;
use super::server::Server;
use super::values;

/// Reads the rows of a selection.
pub(super) async fn select(server: &Server, select: &Select<'_>) -> Result<DataFrame> {
    let table = select.table;
    let columns = find_columns(table, &select.columns)?;
    let rows = rows(server, table, &columns, &select.equal, &select.after, select.limit).await?;
    frame(&columns, rows)
}

/// The columns of these names.
pub(super) fn find_columns<'a>(table: &'a Table, names: &[&str]) -> Result<Vec<&'a Column>> {
    names.iter().map(|name| find_column(table, name)).collect()
}

/// The column of this name.
pub(super) fn find_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.find(name).ok_or_else(|| Error::configuration(format!("table `{}` has no column `{name}`", table.name)))
}

/// Puts values given column by column into a frame.
pub(super) fn frame(columns: &[&Column], values: Vec<Vec<Value>>) -> Result<DataFrame> {
    let height = values.first().map_or(0, Vec::len);
    let columns = columns.iter().zip(values).map(|(column, values)| values::frame_column(column, values)).collect();
    Ok(DataFrame::new(height, columns)?)
}

/// Reads rows in key order, their values column by column.
pub(super) async fn rows(
    server: &Server,
    table: &Table,
    columns: &[&Column],
    equal: &[(&str, Value)],
    after: &[Value],
    limit: usize,
) -> Result<Vec<Vec<Value>>> {
    let (text, parameters) = statement(table, columns, equal, after, limit)?;
    let mut connection = server.connection().await?;
    let context = || format!("cannot read {}", server.called(&table.name));
    let found: Vec<Row> = attempt(context, connection.exec(text, Params::Positional(parameters))).await?;
    drop(connection);
    let mut values: Vec<Vec<Value>> = columns.iter().map(|_| Vec::with_capacity(found.len())).collect();
    for row in found {
        for ((column, into), value) in columns.iter().zip(&mut values).zip(row.unwrap()) {
            into.push(values::read(table, column, value)?);
        }
    }
    Ok(values)
}

fn statement(
    table: &Table,
    columns: &[&Column],
    equal: &[(&str, Value)],
    after: &[Value],
    limit: usize,
) -> Result<(String, Vec<Sql>)> {
    let mut parameters = Vec::new();
    let mut conditions = Vec::new();
    for (name, value) in equal {
        let column = find_column(table, name)?;
        if *value == Value::Null {
            conditions.push(format!("{} IS NULL", quote(&column.name)));
        } else {
            conditions.push(format!("{} = ?", quote(&column.name)));
            parameters.push(values::parameter(table, column, value)?);
        }
    }
    let keys: Vec<&Column> = table.keys().collect();
    if !after.is_empty() {
        if after.len() != keys.len() {
            return Err(Error::data(format!(
                "table `{}` has {} key columns, not {}",
                table.name,
                keys.len(),
                after.len()
            )));
        }
        let mut chain = Vec::new();
        for last in 0..keys.len() {
            let same = keys[..last].iter().map(|key| format!("{} = ?", quote(&key.name)));
            let parts: Vec<String> = same.chain([format!("{} > ?", quote(&keys[last].name))]).collect();
            chain.push(format!("({})", parts.join(" AND ")));
            for (key, value) in keys.iter().zip(after).take(last + 1) {
                parameters.push(values::parameter(table, key, value)?);
            }
        }
        conditions.push(format!("({})", chain.join(" OR ")));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    parameters.push(Sql::UInt(u64::try_from(limit).unwrap_or(u64::MAX)));
    let text = format!(
        "SELECT {} FROM {}{filter} ORDER BY {} LIMIT ?",
        commas(columns.iter().map(|column| quote(&column.name))),
        quote(&table.name),
        commas(keys.iter().map(|key| quote(&key.name)))
    );
    Ok((text, parameters))
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Table, Value};
    use mysql_async::Value as Sql;

    use super::statement;

    #[test]
    fn texts_of_statements() {
        let table = Table::new(Ident::new("t").unwrap()).key("a", Kind::Int).unwrap().key("b", Kind::Name(9)).unwrap();
        let table = table.value("v", Kind::Int).unwrap();
        let columns = [&table.columns[2]];
        let (text, parameters) = statement(&table, &columns, &[], &[], 5).unwrap();
        assert_eq!(text, "SELECT `v` FROM `t` ORDER BY `a`, `b` LIMIT ?");
        assert_eq!(parameters, [Sql::UInt(5)]);
        let equal = [("v", Value::Null), ("b", Value::Text("x".into()))];
        let after = [Value::Int(7), Value::Text("y".into())];
        let (text, parameters) = statement(&table, &columns, &equal, &after, 5).unwrap();
        assert_eq!(
            text,
            "SELECT `v` FROM `t` WHERE `v` IS NULL AND `b` = ? AND ((`a` > ?) OR (`a` = ? AND `b` > ?)) \
             ORDER BY `a`, `b` LIMIT ?"
        );
        let wanted = [Sql::from("x"), Sql::Int(7), Sql::Int(7), Sql::from("y"), Sql::UInt(5)];
        assert_eq!(parameters, wanted);
        assert!(statement(&table, &columns, &[("nowhere", Value::Null)], &[], 5).is_err());
        assert!(statement(&table, &columns, &[], &after[..1], 5).is_err());
        assert!(statement(&table, &columns, &[("v", Value::Text("no number".into()))], &[], 5).is_err());
    }
}
