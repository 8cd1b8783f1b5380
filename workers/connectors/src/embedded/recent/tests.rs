//! A table that keeps rows apart is the same table as one that does not.

use std::collections::BTreeMap;

use headrace_core::Ident;
use headrace_core::store::Select;
use headrace_core::table::{Kind, Merge, Table, Value, time_uuid_from_sortable};
use polars::prelude::{BinaryChunked, DataFrame, IntoColumn, IntoSeries, NamedFrom, NewChunkedArray, Series};
use proptest::prelude::*;
use rusqlite::Connection;

use super::super::format::migrate;
use super::super::select::Query;
use super::super::tables;
use super::{Limits, delete, is_kept_apart, name, number, rows, upsert_within};

/// As small as can be, so that few rows go through everything.
const LIMITS: Limits = Limits { rows: 4, share: 2 };

fn table(wide: bool) -> Table {
    let mut table = Table::new(Ident::new("Events").unwrap());
    if !wide {
        table = table.key("hour", Kind::DateTime).unwrap();
    }
    table = table.key("id", Kind::TimeUuid).unwrap().value("n", Kind::Int).unwrap().value("text", Kind::Text).unwrap();
    for column in 0..if wide { 12 } else { 0 } {
        table = table.value(&format!("empty_{column}"), Kind::Double).unwrap();
    }
    table
}

fn connect(table: &Table) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, "here").unwrap();
    tables::create(&connection, table, "here").unwrap();
    connection
}

/// Version 1 UUIDs whose order is that of the numbers.
fn id(number: u8) -> [u8; 16] {
    let mut sortable = [0; 16];
    (sortable[0], sortable[7]) = (0x10, number);
    time_uuid_from_sortable(sortable)
}

fn hour(number: u8) -> i64 {
    i64::from(number / 8)
}

fn frame(table: &Table, rows: &[(u8, Option<i64>)]) -> DataFrame {
    let ids: Vec<[u8; 16]> = rows.iter().map(|(number, _)| id(*number)).collect();
    let ids = BinaryChunked::from_iter_values("id".into(), ids.iter().map(|id| id.as_slice()));
    let values: Vec<Option<i64>> = rows.iter().map(|(_, value)| *value).collect();
    let texts: Vec<Option<String>> = values.iter().map(|value| value.map(|value| value.to_string())).collect();
    let mut columns = vec![ids.into_series().into_column()];
    columns.push(Series::new("hour".into(), rows.iter().map(|(number, _)| hour(*number)).collect::<Vec<_>>()).into());
    columns.push(Series::new("n".into(), values).into());
    columns.push(Series::new("text".into(), texts).into());
    for column in table.columns.iter().filter(|column| column.name.as_str().starts_with("empty_")) {
        columns.push(Series::new(column.name.as_str().into(), vec![None::<f64>; rows.len()]).into());
    }
    DataFrame::new(rows.len(), columns).unwrap()
}

/// Reads a page behind a row, as numbers and values.
fn read(
    connection: &Connection,
    table: &Table,
    of_hour: Option<u8>,
    after: Option<u8>,
    limit: usize,
) -> Vec<Option<i64>> {
    let is_wide = table.find("hour").is_none();
    let equal = of_hour.filter(|_| !is_wide).map(|number| ("hour", Value::Int(hour(number))));
    let key = |number: u8| {
        let mut key = vec![Value::Bytes(id(number).to_vec())];
        if !is_wide {
            key.insert(0, Value::Int(hour(number)));
        }
        key
    };
    let after = after.map(key).unwrap_or_default();
    let select = Select { table, columns: vec!["text", "n"], equal: equal.into_iter().collect(), after, limit };
    let (frame, _) = Query::new(&select).unwrap().run(connection, "here", usize::MAX).unwrap();
    let texts: Vec<Option<i64>> = frame
        .column("text")
        .unwrap()
        .str()
        .unwrap()
        .iter()
        .map(|text| text.map(|text| text.parse().unwrap()))
        .collect();
    assert_eq!(frame.column("n").unwrap().i64().unwrap().iter().collect::<Vec<_>>(), texts);
    texts
}

#[derive(Clone, Debug)]
enum Act {
    Upsert(BTreeMap<u8, Option<i64>>),
    Delete(Vec<u8>),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let upsert =
        proptest::collection::btree_map(0_u8..40, proptest::option::of(0_i64..1_000), 0..7).prop_map(Act::Upsert);
    let delete = proptest::collection::vec(0_u8..40, 0..5).prop_map(Act::Delete);
    proptest::collection::vec(prop_oneof![3 => upsert, 1 => delete], 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn reads_what_one_table_would_hold(wide: bool, acts in acts(), after in proptest::option::of(0_u8..40), limit in 1_usize..50) {
        let table = table(wide);
        let connection = connect(&table);
        let mut model: BTreeMap<u8, Option<i64>> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Upsert(rows) => {
                    // Not in the order of keys.
                    let given: Vec<(u8, Option<i64>)> = rows.iter().rev().map(|(id, value)| (*id, *value)).collect();
                    upsert_within(&connection, &table, &frame(&table, &given), LIMITS).unwrap();
                    model.extend(rows);
                }
                Act::Delete(ids) => {
                    let keys: Vec<(u8, Option<i64>)> = ids.iter().map(|id| (*id, None)).collect();
                    delete(&connection, &table, &frame(&table, &keys)).unwrap();
                    for id in &ids {
                        model.remove(id);
                    }
                }
            }
            let behind = |id: &u8| after.is_none_or(|after| *id > after);
            let wanted: Vec<Option<i64>> =
                model.iter().filter(|(id, _)| behind(id)).map(|(_, value)| *value).take(limit).collect();
            prop_assert_eq!(read(&connection, &table, None, after, limit), wanted);
            if !wide {
                let one = after.unwrap_or(17);
                let in_hour = |id: &u8| hour(*id) == hour(one) && behind(id);
                let wanted: Vec<Option<i64>> =
                    model.iter().filter(|(id, _)| in_hour(id)).map(|(_, value)| *value).take(limit).collect();
                prop_assert_eq!(read(&connection, &table, Some(one), after, limit), wanted);
            }
        }
    }
}

#[test]
fn the_second_tree_comes_and_goes_with_the_size() {
    let table = table(true);
    let connection = connect(&table);
    let count = |name: &str| number(&connection, &format!("SELECT COUNT(*) FROM {name}")).unwrap();
    let mut next = 0;
    let mut add = |count: u8| {
        let rows: Vec<(u8, Option<i64>)> = (next..next + count).map(|number| (number, Some(1))).collect();
        next += count;
        upsert_within(&connection, &table, &frame(&table, &rows), LIMITS).unwrap();
    };
    add(3);
    add(3);
    assert_eq!((count("events"), rows(&connection, &table.name).unwrap()), (6, 0), "small tables take their rows");
    add(3);
    let recent = name(&table.name);
    assert_eq!((count("events"), count(&recent), rows(&connection, &table.name).unwrap()), (6, 3, 3));
    add(2);
    assert_eq!((count("events"), count(&recent)), (11, 0), "four are enough for six");
    add(4);
    assert_eq!((count("events"), count(&recent)), (11, 4), "but not for eleven");
    add(1);
    assert_eq!((count("events"), count(&recent)), (16, 0));
    add(1);
    // A table that is dropped by hand and made again begins anew.
    connection.execute_batch("DROP TABLE events").unwrap();
    tables::create(&connection, &table, "here").unwrap();
    assert_eq!((rows(&connection, &table.name).unwrap(), read(&connection, &table, None, None, 9)), (0, Vec::new()));
}

#[test]
fn a_table_of_an_older_version_is_counted_first() {
    let table = table(false);
    let connection = connect(&table);
    upsert_within(&connection, &table, &frame(&table, &[(1, None), (2, None), (3, None), (4, None)]), LIMITS).unwrap();
    connection.execute_batch("DELETE FROM headrace_recent").unwrap();
    upsert_within(&connection, &table, &frame(&table, &[(5, None)]), LIMITS).unwrap();
    assert_eq!(rows(&connection, &table.name).unwrap(), 1);
}

#[test]
fn rows_that_add_up_are_never_apart() {
    assert!(is_kept_apart(&table(true)) && is_kept_apart(&table(false)));
    let sums = table(true).column("sum", Kind::Int, true, Merge::Add).unwrap();
    let by_hour = Table::new(Ident::new("hours").unwrap()).key("hour", Kind::DateTime).unwrap();
    assert!(!is_kept_apart(&sums) && !is_kept_apart(&by_hour));
}

#[test]
fn rows_are_put_into_the_table_in_key_order_without_sorting_them() {
    for wide in [false, true] {
        let table = table(wide);
        let connection = connect(&table);
        let definition = tables::definition(&name(&table.name), &table);
        connection.execute_batch(&definition).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", super::settling(&table));
        let mut statement = connection.prepare(&sql).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "all rows would be held in memory: {plan:?}");
    }
}
