//! Reads a target's table page by page, in key order.

use headrace_core::store::Select;
use headrace_core::table::{Kind, Table, Value};
use headrace_core::{Control, Result};
use polars::prelude::DataFrame;

use super::targets::Target;
use crate::steps::Tries;

/// A table of a target, in pages. Memory: one page.
pub struct TargetPages<'a> {
    target: &'a Target,
    table: &'a Table,
    control: &'a Control,
    rows: usize,
    after: Vec<Value>,
    done: bool,
}

impl<'a> TargetPages<'a> {
    /// Begins before the first row.
    pub fn new(target: &'a Target, table: &'a Table, rows: usize, control: &'a Control) -> Self {
        Self { target, table, control, rows, after: Vec::new(), done: false }
    }

    /// Reads the next page, all written columns; none after the last.
    ///
    /// # Errors
    /// What the store says, after external errors were tried again.
    pub async fn next(&mut self) -> Result<Option<DataFrame>> {
        if self.done {
            return Ok(None);
        }
        let columns = self.table.written().map(|column| column.name.as_str()).collect();
        let after = self.after.clone();
        let select = Select { table: self.table, columns, equal: Vec::new(), after, limit: self.rows };
        let mut tries = Tries::new(self.control);
        let page = loop {
            match self.target.select(&select).await {
                Ok(page) => break page,
                Err(error) => tries.again(error).await?,
            }
        };
        self.done = page.height() < self.rows;
        let Some(last) = page.height().checked_sub(1) else { return Ok(None) };
        let value = |name: &str, kind: Kind| -> Result<Value> {
            let column = page.column(name)?;
            Ok(match kind {
                Kind::Text | Kind::Name(_) => Value::Text(column.str()?.get(last).unwrap_or_default().to_owned()),
                _ => Value::Int(column.i64()?.get(last).unwrap_or_default()),
            })
        };
        self.after = self.table.keys().map(|key| value(key.name.as_str(), key.kind)).collect::<Result<_>>()?;
        Ok(Some(page))
    }
}
