//! Conformance: what every store and every log must do, as functions that each connector's tests call.
//!
//! `unique` is a short text of letters, digits and underscores (at most 20 characters, starting with a letter) that makes names
//! of tables, topics and scopes unique to the run.

pub mod changes;
pub mod group;
pub mod ledger;
pub mod log;
pub mod rows;
pub mod store;
pub mod values;
pub mod versions;

use std::time::{Duration, Instant};

use headrace_core::position::{Claim, Partition, Position, Reached};
use headrace_core::source::{Event, Source};
use headrace_core::store::{Select, Store};
use headrace_core::table::{Table, Value};
use headrace_core::{Counts, Ident};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A table name unique to the run.
pub fn ident(unique: &str, name: &str) -> Ident {
    Ident::new(&format!("{unique}_{name}")).unwrap()
}

/// A frame of columns.
pub fn frame(columns: Vec<Column>) -> DataFrame {
    let height = columns.first().map_or(0, Column::len);
    DataFrame::new(height, columns).unwrap()
}

/// A column of whole numbers; an `Option` makes nulls.
pub fn ints(name: &str, values: impl IntoIterator<Item = impl Into<Option<i64>>>) -> Column {
    let values: Vec<Option<i64>> = values.into_iter().map(Into::into).collect();
    Series::new(name.into(), values).into_column()
}

/// A column of doubles.
pub fn doubles(name: &str, values: impl IntoIterator<Item = impl Into<Option<f64>>>) -> Column {
    let values: Vec<Option<f64>> = values.into_iter().map(Into::into).collect();
    Series::new(name.into(), values).into_column()
}

/// A column of numbers of single precision.
pub fn singles(name: &str, values: impl IntoIterator<Item = impl Into<Option<f32>>>) -> Column {
    let values: Vec<Option<f32>> = values.into_iter().map(Into::into).collect();
    Series::new(name.into(), values).into_column()
}

/// A column of texts.
pub fn texts<'a>(name: &str, values: impl IntoIterator<Item = impl Into<Option<&'a str>>>) -> Column {
    let values: Vec<Option<&str>> = values.into_iter().map(Into::into).collect();
    Series::new(name.into(), values).into_column()
}

/// A column of bytes.
pub fn bytes<'a>(name: &str, values: impl IntoIterator<Item = impl Into<Option<&'a [u8]>>>) -> Column {
    let values: Vec<Option<&[u8]>> = values.into_iter().map(Into::into).collect();
    Series::new(name.into(), values).into_column()
}

/// Positions of one partition.
pub fn reached(partition: &str, at: i64) -> Reached {
    Reached::from([(Partition::new(partition), Position::at(at))])
}

/// Commits one frame under a fresh claim of the partition `only`.
pub async fn write(store: &dyn Store, scope: &str, at: i64, table: &Table, rows: &DataFrame) {
    let claims = store.claim(scope, &[Partition::new("only")]).await.unwrap();
    let mut unit = store.begin(scope, &claims).await.unwrap();
    unit.upsert(table, rows).await.unwrap();
    unit.commit(&reached("only", at), &Counts::default()).await.unwrap();
}

/// All rows and columns of a table in key order.
pub async fn read_all(store: &dyn Store, table: &Table) -> DataFrame {
    read_equal(store, table, Vec::new()).await
}

/// The rows of a table that have given values, in key order.
pub async fn read_equal(store: &dyn Store, table: &Table, equal: Vec<(&str, Value)>) -> DataFrame {
    let columns = table.columns.iter().map(|column| column.name.as_str()).collect();
    store.select(&Select { table, columns, equal, after: Vec::new(), limit: 1_000_000 }).await.unwrap()
}

/// Fails with both frames when they differ in names, types, values or order.
pub fn assert_same(got: &DataFrame, wanted: &DataFrame, what: &str) {
    assert_eq!(got.schema(), wanted.schema(), "{what}: columns");
    assert!(got.equals_missing(wanted), "{what}: got {got} wanted {wanted}");
}

/// What a source gave.
#[derive(Default)]
pub struct Given {
    /// The frames of its batches.
    pub frames: Vec<DataFrame>,
    /// The positions reached.
    pub reached: Reached,
    /// Whether it said that there is no more.
    pub ended: bool,
}

impl Given {
    /// All whole numbers of a column over all frames.
    pub fn ints(&self, column: &str) -> Vec<i64> {
        let of = |frame: &DataFrame| -> Vec<i64> {
            frame.column(column).unwrap().i64().unwrap().iter().map(Option::unwrap).collect()
        };
        self.frames.iter().flat_map(of).collect()
    }
}

/// Starts partitions as the run loop does: claimed, and behind the given positions.
pub async fn start(source: &mut dyn Source, partitions: Vec<Partition>, from: &Reached) {
    let claim = |partition: Partition| Claim { position: from.get(&partition).cloned(), partition, epoch: 1 };
    let claims: Vec<Claim> = partitions.into_iter().map(claim).collect();
    source.start(&claims).await.unwrap();
}

/// Reads a source from given positions to its end, or until so many batches came.
pub async fn drain(source: &mut dyn Source, from: &Reached, batches: usize) -> Given {
    let mut given = Given { reached: from.clone(), ..Given::default() };
    let begun = Instant::now();
    while given.frames.len() < batches {
        assert!(begun.elapsed() < PATIENCE, "the source does not end");
        match source.next().await.unwrap() {
            Event::Assigned(partitions) => start(source, partitions, &given.reached).await,
            Event::Revoked(partitions) => source.release(&partitions).await.unwrap(),
            Event::Batch(batch) => {
                given.reached.extend(batch.reached);
                given.frames.push(batch.frame);
            }
            Event::Idle => {}
            Event::End => {
                given.ended = true;
                break;
            }
        }
    }
    given
}
