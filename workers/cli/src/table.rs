//! Text tables: columns as wide as their widest cell, numbers to the right.

use serde_json::{Map, Value};

use headrace_core::progress::thousands;

/// Aligns rows of cells; the first row is the header.
pub(crate) fn align(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).map(|text| visible(text)).unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let numeric: Vec<bool> =
        (0..columns).map(|column| rows.iter().skip(1).all(|row| is_number(&cell(row, column)))).collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = (0..columns)
                .map(|column| {
                    let (text, width) = (cell(row, column), widths[column]);
                    if numeric[column] { format!("{text:>width$}") } else { format!("{text:<width$}") }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// A text without control characters: data must not command the terminal, nor break the table.
pub(crate) fn visible(text: &str) -> String {
    let letter = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    if text.contains(char::is_control) { text.chars().map(letter).collect() } else { text.to_owned() }
}

fn is_number(text: &str) -> bool {
    text.is_empty() || text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '-'))
}

/// Objects as the rows of one table, none when the values are something else.
pub(crate) fn of_objects(values: &[Value]) -> Option<Vec<String>> {
    let objects: Vec<&Map<String, Value>> = values.iter().map(Value::as_object).collect::<Option<_>>()?;
    let mut names: Vec<&String> = Vec::new();
    for name in objects.iter().flat_map(|object| object.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut rows = vec![names.iter().map(|name| (*name).clone()).collect::<Vec<_>>()];
    for object in objects {
        rows.push(names.iter().map(|name| object.get(*name).map(plain).unwrap_or_default()).collect());
    }
    Some(align(&rows))
}

/// A value as a person writes it, without separators (identifiers are numbers too).
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A single value; whole numbers with separators.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => thousands(whole),
            (None, Some(float)) if float.fract() != 0.0 => format!("{float:.3}"),
            _ => number.to_string(),
        },
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_objects, scalar};
    use serde_json::json;

    #[test]
    fn objects_become_aligned_rows() {
        let rows = [json!({"job": 7, "name": "a"}), json!({"job": 12345, "name": null, "zone": "x"})];
        let lines = of_objects(&rows).unwrap_or_default();
        assert_eq!(lines, ["  job  name  zone", "    7  a", "12345        x"]);
        assert!(of_objects(&[json!(1)]).is_none());
    }

    #[test]
    fn data_does_not_command_the_terminal() {
        let rows = [json!({"name": "a\u{1b}[2J\nb", "x": "é"})];
        assert_eq!(of_objects(&rows).unwrap_or_default(), ["name           x", "a\\u{1b}[2J\\nb  é"]);
    }

    #[test]
    fn scalars_read_well() {
        let texts: Vec<String> =
            [json!(1234567), json!(0.12345), json!(true), json!("x"), json!(-3)].iter().map(scalar).collect();
        assert_eq!(texts, ["1,234,567", "0.123", "yes", "x", "-3"]);
    }
}
