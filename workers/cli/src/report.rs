//! The report of a step as a table for people.

use headrace_core::Report;
use headrace_core::progress::thousands;
use headrace_core::report::Outcome;
use serde_json::Value;

use crate::table;

/// Writes the report; `colour` is for terminals.
pub(crate) fn render(report: &Report, colour: bool) -> String {
    let counts = &report.counts;
    let mut lines = Lines::default();
    let fates = [
        ("rows read", counts.read),
        ("rows written", counts.written),
        ("rows duplicate", counts.duplicate),
        ("rows dead-lettered", counts.dead_lettered),
        ("rows ignored", counts.ignored),
    ];
    if fates.iter().any(|(_, count)| *count > 0) || report.facts.is_empty() {
        fates.iter().for_each(|(label, count)| lines.pair(0, label, &thousands(*count)));
        lines.pair(0, "rows/s", &thousands(report.rows_per_second.round() as u64));
    }
    if counts.bytes > 0 {
        lines.pair(0, "bytes read", &thousands(counts.bytes));
    }
    lines.pair(0, "seconds", &format!("{:.2}", report.seconds));
    if !report.positions.is_empty() {
        lines.title(0, "position");
        for (partition, position) in &report.positions {
            lines.pair(1, partition, &u64::try_from(*position).map_or_else(|_| position.to_string(), thousands));
        }
    }
    if !counts.classes.is_empty() {
        lines.title(0, "classes");
        let classes = counts.classes.iter().map(|(name, count)| (name.as_str(), Value::from(*count)));
        named(&mut lines, 1, classes);
    }
    named(&mut lines, 0, report.facts.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let mut text = format!("{}\n{}", heading(report, colour), lines.align());
    if let Some(shown) = &report.table {
        text.push_str(&format!("\n{}\n", shown.title));
        let rows: Vec<Vec<String>> = [&shown.columns].into_iter().chain(&shown.rows).cloned().collect();
        table::align(&rows).iter().for_each(|row| text.push_str(&format!("  {row}\n")));
    }
    if !report.notes.is_empty() {
        text.push('\n');
        report.notes.iter().for_each(|note| text.push_str(&format!("{}\n", note.trim_end())));
    }
    text
}

/// Writes named values; `a:b` stands under `a`, which comes before it in the order of names.
fn named<'a>(lines: &mut Lines, depth: usize, values: impl Iterator<Item = (&'a str, Value)>) {
    let mut parent = None;
    for (name, value) in values {
        let (depth, label) = match name.split_once(':') {
            Some((before, after)) => {
                if parent != Some(before) {
                    lines.title(depth, &before.replace('_', " "));
                    parent = Some(before);
                }
                (depth + 1, after)
            }
            None => {
                parent = Some(name);
                (depth, name)
            }
        };
        fact(lines, depth, &label.replace('_', " "), &value);
    }
}

fn heading(report: &Report, colour: bool) -> String {
    let (word, code) = match report.outcome {
        Outcome::Complete if report.counts.dead_lettered > 0 => ("complete, with dead letters", 33),
        Outcome::Complete => ("complete", 32),
        Outcome::Stopped => ("stopped, to be continued", 33),
        Outcome::Different => ("DIFFERENCES FOUND", 31),
    };
    if colour {
        format!("\x1b[1m{}\x1b[0m: \x1b[{code}m{word}\x1b[0m\n", report.step)
    } else {
        format!("{}: {word}\n", report.step)
    }
}

fn fact(lines: &mut Lines, depth: usize, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            lines.title(depth, name);
            for (field, inner) in fields {
                fact(lines, depth + 1, &field.replace('_', " "), inner);
            }
        }
        Value::Array(values) if values.is_empty() => lines.pair(depth, name, "none"),
        Value::Array(values) => {
            lines.title(depth, name);
            match table::of_objects(values) {
                Some(rows) => rows.into_iter().for_each(|row| lines.text(depth + 1, row)),
                None => values.iter().for_each(|value| lines.text(depth + 1, table::scalar(value))),
            }
        }
        scalar => lines.pair(depth, name, &table::scalar(scalar)),
    }
}

/// Lines of labels and values, and of running text.
#[derive(Default)]
struct Lines(Vec<(String, Option<String>)>);

impl Lines {
    fn pair(&mut self, depth: usize, label: &str, value: &str) {
        self.0.push((format!("{}{label}", "  ".repeat(depth)), Some(value.to_owned())));
    }

    fn title(&mut self, depth: usize, label: &str) {
        self.text(depth, label.to_owned());
    }

    fn text(&mut self, depth: usize, text: String) {
        self.0.push((format!("{}{text}", "  ".repeat(depth)), None));
    }

    /// Numbers end in one column, other values begin in one.
    fn align(self) -> String {
        let is_number = |value: &str| value.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '-'));
        let labels = self.0.iter().filter(|(_, value)| value.is_some()).map(|(label, _)| label.chars().count());
        let label_width = labels.max().unwrap_or(0);
        let numbers = self.0.iter().filter_map(|(_, value)| value.as_deref()).filter(|value| is_number(value));
        let number_width = numbers.map(str::len).max().unwrap_or(0);
        let mut text = String::new();
        for (label, value) in self.0 {
            match value {
                None => text.push_str(&label),
                Some(value) if is_number(&value) => {
                    text.push_str(&format!("{label:<label_width$}  {value:>number_width$}"))
                }
                Some(value) => text.push_str(&format!("{label:<label_width$}  {value}")),
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use headrace_core::Report;
    use headrace_core::report::{Outcome, TextTable};
    use serde_json::json;

    fn sample() -> Report {
        let mut report = Report::new("recruitment load");
        report.counts.read = 1_234_567;
        report.counts.written = 1_234_560;
        report.counts.dead_lettered = 7;
        report.counts.class("counted", 1_000_000);
        report.counts.class("counted:click", 999_999);
        report.counts.class("dead_letter:bad_number", 7);
        report.seconds = 1.5;
        report.rows_per_second = 823_044.7;
        report.positions.insert("users_created-0".to_owned(), 4_096);
        report.fact("out", "result.csv");
        report.fact("tables", json!([{"name": "result", "rows": 167}, {"name": "job", "rows": 1868}]));
        report.fact("missing", json!([]));
        report.note("7 rows were refused.");
        let rows = vec![vec!["76".to_owned(), "2.00".to_owned()], vec!["188".to_owned(), "86.00".to_owned()]];
        let columns = vec!["job".to_owned(), "spend".to_owned()];
        report.table = Some(TextTable { title: "Highest spend".to_owned(), columns, rows });
        report
    }

    #[test]
    fn a_report_is_a_table() {
        insta::assert_snapshot!(render(&sample(), false), @"
        recruitment load: complete, with dead letters

        rows read           1,234,567
        rows written        1,234,560
        rows duplicate              0
        rows dead-lettered          7
        rows ignored                0
        rows/s                823,045
        seconds                  1.50
        position
          users_created-0       4,096
        classes
          counted           1,000,000
            click             999,999
          dead letter
            bad number              7
        missing             none
        out                 result.csv
        tables
          name    rows
          result   167
          job     1868

        Highest spend
          job  spend
           76   2.00
          188  86.00

        7 rows were refused.
        ");
    }

    #[test]
    fn differences_are_loud_and_colours_only_on_request() {
        let mut report = sample();
        report.outcome = Outcome::Different;
        assert!(render(&report, false).starts_with("recruitment load: DIFFERENCES FOUND\n"));
        assert!(!render(&report, false).contains('\x1b') && render(&report, true).contains("\x1b[31m"));
    }
}
