//! Reads: rows by condition behind a key, in key order, of each key the one that counts (`FINAL`).
//!
//! Values stand in the query as digits and as hexadecimal, which cannot carry anything else.

use headrace_core::store::Select;
use headrace_core::table::{Column, Table, Value, time_uuid_to_sortable};
use headrace_core::{Error, Ident, Result};

use super::types::{Stored, Wire, quoted};

/// The columns of a read and its text.
///
/// # Errors
/// A configuration error when a column is unknown or a value does not fit.
pub(super) fn statement<'a>(database: &Ident, select: &Select<'a>) -> Result<(Vec<&'a Column>, String)> {
    let table = select.table;
    let columns = select.columns.iter().map(|name| find(table, name)).collect::<Result<Vec<&Column>>>()?;
    let mut conditions = Vec::new();
    for (name, value) in &select.equal {
        let column = find(table, name)?;
        conditions.push(match value {
            Value::Null => format!("isNull({})", quoted(&column.name)),
            value => format!("{} = {}", quoted(&column.name), literal(table, column, value)?),
        });
    }
    let keys: Vec<&Column> = table.keys().collect();
    if !select.after.is_empty() {
        if select.after.len() != keys.len() {
            let given = select.after.len();
            return Err(Error::data(format!("table `{}` has {} key columns, not {given}", table.name, keys.len())));
        }
        let values = keys.iter().zip(&select.after).map(|(key, value)| literal(table, key, value));
        let values = values.collect::<Result<Vec<String>>>()?;
        let chain = (0..keys.len()).map(|last| {
            let same = (0..last).map(|at| format!("{} = {}", quoted(&keys[at].name), values[at]));
            let behind = format!("{} > {}", quoted(&keys[last].name), values[last]);
            format!("({})", same.chain([behind]).collect::<Vec<_>>().join(" AND "))
        });
        conditions.push(format!("({})", chain.collect::<Vec<_>>().join(" OR ")));
    }
    let list = |columns: &[&Column]| columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT {} FROM {}.{} FINAL{filter} ORDER BY {} LIMIT {} FORMAT RowBinary",
        list(&columns),
        quoted(database),
        quoted(&table.name),
        list(&keys),
        i64::try_from(select.limit).unwrap_or(i64::MAX)
    );
    Ok((columns, sql))
}

fn find<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table.find(name).ok_or_else(|| Error::configuration(format!("table `{}` has no column `{name}`", table.name)))
}

fn literal(table: &Table, column: &Column, value: &Value) -> Result<String> {
    let fitting = match (Stored::of(column)?.wire, value) {
        (Wire::Signed(_) | Wire::Unsigned(_), Value::Int(value)) => Some(format!("toInt64('{value}')")),
        (Wire::Decimal(scale), Value::Int(value)) => {
            let scale = usize::from(scale);
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, rest) = digits.split_at(digits.len() - scale);
            let (sign, point) = (if *value < 0 { "-" } else { "" }, if rest.is_empty() { "" } else { "." });
            Some(format!("toDecimal64('{sign}{whole}{point}{rest}', {scale})"))
        }
        (Wire::Seconds, Value::Int(value)) => Some(format!("toDateTime({})", value.div_euclid(1_000_000))),
        (Wire::Moment(_), Value::Int(value)) => Some(format!("fromUnixTimestamp64Micro(toInt64('{value}'), 'UTC')")),
        (Wire::Days, Value::Int(value)) => Some(format!("addDays(toDate32('1970-01-01'), toInt32({value}))")),
        (Wire::Double | Wire::Single, Value::Double(value)) => {
            Some(format!("reinterpretAsFloat64(unhex('{}'))", hex(&value.to_le_bytes())))
        }
        (Wire::Text, Value::Text(value)) => Some(format!("unhex('{}')", hex(value.as_bytes()))),
        (Wire::Text, Value::Bytes(value)) => Some(format!("unhex('{}')", hex(value))),
        (Wire::Fixed(16), Value::Bytes(value)) => value
            .as_slice()
            .try_into()
            .ok()
            .map(|uuid| format!("toFixedString(unhex('{}'), 16)", hex(&time_uuid_to_sortable(uuid)))),
        _ => None,
    };
    fitting.ok_or_else(|| {
        Error::configuration(format!(
            "table `{}`: {value:?} is no value for column `{}` ({:?})",
            table.name, column.name, column.kind
        ))
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::store::Select;
    use headrace_core::table::{Kind, Table, Value};

    use super::statement;

    #[test]
    fn texts_of_statements() {
        let table = Table::new(Ident::new("t").unwrap()).key("a", Kind::Int).unwrap().key("b", Kind::Name(9)).unwrap();
        let table = table.value("money", Kind::Decimal { scale: 2 }).unwrap();
        let text = |equal: Vec<(&str, Value)>, after: Vec<Value>| {
            let select = Select { table: &table, columns: vec!["money"], equal, after, limit: 5 };
            statement(&Ident::new("d").unwrap(), &select).map(|(_, sql)| sql)
        };
        assert_eq!(
            text(Vec::new(), Vec::new()).unwrap(),
            "SELECT `money` FROM `d`.`t` FINAL ORDER BY `a`, `b` LIMIT 5 FORMAT RowBinary"
        );
        assert_eq!(
            text(
                vec![("money", Value::Null), ("b", Value::Text("'".into()))],
                vec![Value::Int(-7), Value::Text("y".into())]
            )
            .unwrap(),
            "SELECT `money` FROM `d`.`t` FINAL WHERE isNull(`money`) AND `b` = unhex('27') AND ((`a` > toInt64('-7')) OR \
             (`a` = toInt64('-7') AND `b` > unhex('79'))) ORDER BY `a`, `b` LIMIT 5 FORMAT RowBinary"
        );
        assert!(text(vec![("money", Value::Int(-5))], Vec::new()).unwrap().contains("= toDecimal64('-0.05', 2)"));
        assert!(text(vec![("nowhere", Value::Null)], Vec::new()).is_err());
        assert!(text(vec![("a", Value::Text("x".into()))], Vec::new()).is_err());
        assert!(text(Vec::new(), vec![Value::Int(1)]).is_err());
    }
}
