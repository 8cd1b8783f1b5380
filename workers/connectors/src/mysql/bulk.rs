//! Many rows in few statements: sorted by key, so that two writers meet in one order, and cut into powers of two, so
//! that a connection prepares few statements however many rows come.
//!
//! Memory: the parameters of the frame at hand, plus those of one statement.

use std::cmp::Ordering;

use headrace_core::table::{Merge, Table};
use headrace_core::{Error, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value as Sql};

use super::failure::attempt;
use super::server::Server;

/// Between 32 and 512 rows both servers were about equally fast; at 2,048 MySQL was several times slower.
const ROWS_IN_A_STATEMENT: usize = 256;
/// The protocol counts placeholders in 16 bits.
const PLACEHOLDERS: usize = 65_535;
/// What a packet holds beside its values.
const PACKET_OVERHEAD_BYTES: usize = 1_024;

/// Upserts rows given column by column in the order of [`Table::written`].
pub(super) async fn upsert<C: Queryable>(
    connection: &mut C,
    server: &Server,
    table: &Table,
    mut columns: Vec<Vec<Sql>>,
) -> Result<()> {
    let order = key_order(table, &columns);
    let sizes: Vec<usize> = order.iter().map(|row| columns.iter().map(|column| bytes(&column[*row])).sum()).collect();
    if let Some(size) = sizes.iter().find(|size| **size + PACKET_OVERHEAD_BYTES > server.packet_bytes) {
        return Err(Error::data(format!(
            "cannot write to {}: a row has {size} bytes, the server takes {} (raise its max_allowed_packet)",
            server.called(&table.name),
            server.packet_bytes
        )));
    }
    let most = ROWS_IN_A_STATEMENT.min(PLACEHOLDERS / columns.len().max(1)).max(1);
    let mut done = 0;
    while done < order.len() {
        let rows = cut(&sizes[done..], most, server.statement_bytes());
        let mut values = Vec::with_capacity(rows * columns.len());
        for row in &order[done..done + rows] {
            values.extend(columns.iter_mut().map(|column| std::mem::replace(&mut column[*row], Sql::NULL)));
        }
        let text = server.dialect.upsert(table, rows);
        let context = || format!("cannot write to {}", server.called(&table.name));
        attempt(context, connection.exec_drop(text, Params::Positional(values))).await?;
        done += rows;
    }
    Ok(())
}

/// The rows' numbers in key order.
fn key_order(table: &Table, columns: &[Vec<Sql>]) -> Vec<usize> {
    let keys: Vec<&Vec<Sql>> = table
        .written()
        .zip(columns)
        .filter(|(column, _)| column.merge == Merge::Key)
        .map(|(_, values)| values)
        .collect();
    let mut order: Vec<usize> = (0..columns.first().map_or(0, Vec::len)).collect();
    order.sort_unstable_by(|left, right| {
        let compared = keys.iter().map(|key| key[*left].partial_cmp(&key[*right]).unwrap_or(Ordering::Equal));
        compared.fold(Ordering::Equal, Ordering::then)
    });
    order
}

/// How many of the next rows go into one statement: a power of two that keeps to the limits, at least one.
fn cut(sizes: &[usize], most_rows: usize, most_bytes: usize) -> usize {
    let mut rows = 1_usize << sizes.len().min(most_rows).max(1).ilog2();
    while rows > 1 && sizes[..rows].iter().sum::<usize>() > most_bytes {
        rows /= 2;
    }
    rows
}

/// About how many bytes a value takes on the wire.
fn bytes(value: &Sql) -> usize {
    match value {
        Sql::Bytes(bytes) => bytes.len() + 12,
        _ => 14,
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::Ident;
    use headrace_core::table::{Kind, Table};
    use mysql_async::Value as Sql;
    use proptest::prelude::*;

    use super::{cut, key_order};

    #[test]
    fn rows_come_in_the_order_of_all_key_columns() {
        let table = Table::new(Ident::new("t").unwrap()).key("a", Kind::Int).unwrap().key("b", Kind::Name(9)).unwrap();
        let a = [2, 1, -1, 1].map(Sql::Int).to_vec();
        let b = ["x", "b", "z", "a"].map(Sql::from).to_vec();
        assert_eq!(key_order(&table, &[a, b]), [2, 3, 1, 0]);
        assert!(key_order(&table, &[Vec::new(), Vec::new()]).is_empty());
    }

    proptest! {
        #[test]
        fn cuts_cover_all_rows_within_the_limits(
            sizes in proptest::collection::vec(1_usize..500, 1..2_000),
            most_rows in 1_usize..700,
            most_bytes in 1_usize..20_000,
        ) {
            let mut done = 0;
            let mut statements = std::collections::BTreeSet::new();
            while done < sizes.len() {
                let rows = cut(&sizes[done..], most_rows, most_bytes);
                prop_assert!(rows >= 1 && rows <= most_rows && rows.is_power_of_two());
                prop_assert!(rows == 1 || sizes[done..done + rows].iter().sum::<usize>() <= most_bytes);
                statements.insert(rows);
                done += rows;
            }
            prop_assert_eq!(done, sizes.len());
            prop_assert!(statements.len() <= 10);
        }
    }
}
