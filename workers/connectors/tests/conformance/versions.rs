//! What every store must do with versioned tables: an older row never replaces a newer one, whoever writes it and when.
//! Stores that cannot do so refuse such tables.

use headrace_core::store::Store;
use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Counts, ErrorKind, Partition};
use polars::prelude::DataFrame;

use super::{assert_same, frame, ident, ints, reached, read_all, singles, texts, write};

/// A table whose rows tell by each of their columns which version they are.
pub fn versioned(unique: &str, name: &str) -> Table {
    let table = Table::new(ident(unique, name)).key("id", Kind::Int).unwrap();
    // The version stands before other columns, so that a change from left to right would be seen.
    let table = table.column("version", Kind::Int, false, Merge::Replace).unwrap();
    let table = table.value("amount", Kind::Int).unwrap().value("score", Kind::Single).unwrap();
    table.value("note", Kind::Text).unwrap().versioned_by("version").unwrap()
}

/// Rows of ids and versions.
pub fn rows(of: &[(i64, i64)]) -> DataFrame {
    let notes: Vec<Option<String>> =
        of.iter().map(|(_, version)| (version % 3 != 0).then(|| format!("version {version}"))).collect();
    frame(vec![
        ints("id", of.iter().map(|row| row.0)),
        ints("version", of.iter().map(|row| row.1)),
        ints("amount", of.iter().map(|row| (row.1 % 2 == 0).then_some(row.1 * 10))),
        singles("score", of.iter().map(|row| Some(row.1 as f32 / 7.0))),
        texts("note", notes.iter().map(Option::as_deref)),
    ])
}

/// The greatest version of a row stays as a whole, nulls included; an equal one replaces.
pub async fn an_older_version_never_replaces(store: &dyn Store, unique: &str) {
    let table = versioned(unique, "versioned");
    if !store.is_transactional() {
        let error = store.create(&[&table]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("versioned"), "{error}");
        return;
    }
    store.create(&[&table]).await.unwrap();
    store.create(&[&table]).await.unwrap();
    let scope = format!("{unique} versioned");
    let largest = 9_007_199_254_740_992;
    write(store, &scope, 1, &table, &rows(&[(1, 5), (2, 5), (3, 5), (4, largest)])).await;
    write(store, &scope, 2, &table, &rows(&[(1, 4), (2, 6), (3, 5), (4, largest - 1), (5, 0)])).await;
    assert_same(&read_all(store, &table).await, &rows(&[(1, 5), (2, 6), (3, 5), (4, largest), (5, 0)]), "second");
    write(store, &scope, 3, &table, &rows(&[(2, 5), (1, 9), (4, 1), (5, -1)])).await;
    assert_same(&read_all(store, &table).await, &rows(&[(1, 9), (2, 6), (3, 5), (4, largest), (5, 0)]), "third");
    let same_version = frame(vec![
        ints("id", [1]),
        ints("version", [9]),
        ints("amount", [None]),
        singles("score", [None]),
        texts("note", [Some("again")]),
    ]);
    write(store, &scope, 4, &table, &same_version).await;
    assert_same(&read_all(store, &table).await.head(Some(1)), &same_version, "an equal version replaces");
}

/// Workers of several scopes write versions of the same rows in different orders; the greatest stays of each.
pub async fn the_greatest_version_wins_between_writers(store: &dyn Store, unique: &str) {
    if !store.is_transactional() {
        return;
    }
    const IDS: i64 = 40;
    const VERSIONS: i64 = 24;
    let table = versioned(unique, "raced");
    store.create(&[&table]).await.unwrap();
    let writer = async |number: i64| {
        let scope = format!("{unique} raced {number}");
        let claims = store.claim(&scope, &[Partition::new("only")]).await.unwrap();
        for step in 0..VERSIONS {
            // Each writer goes through all versions in an order of its own; 5, 7, 11 and 13 have no factor in common with 24.
            let stride = [5, 7, 11, 13][usize::try_from(number).unwrap()];
            let batch: Vec<(i64, i64)> = (0..IDS).map(|id| (id, (id + step * stride) % VERSIONS)).collect();
            loop {
                let work = async {
                    let mut unit = store.begin(&scope, &claims).await?;
                    unit.upsert(&table, &rows(&batch)).await?;
                    unit.commit(&reached("only", step), &Counts::default()).await
                };
                match work.await {
                    Ok(()) => break,
                    // Two transactions may have met in a deadlock.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::External, "{error}"),
                }
            }
        }
    };
    futures::future::join_all((0..4).map(writer)).await;
    let wanted: Vec<(i64, i64)> = (0..IDS).map(|id| (id, VERSIONS - 1)).collect();
    assert_same(&read_all(store, &table).await, &rows(&wanted), "the greatest");
}

/// Numbers of single precision come back bit by bit.
pub async fn singles_round_trip(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "singles")).key("id", Kind::Int).unwrap();
    let table = table.value("score", Kind::Single).unwrap();
    if !store.is_transactional() {
        assert_eq!(store.create(&[&table]).await.unwrap_err().kind(), ErrorKind::Configuration);
        return;
    }
    store.create(&[&table]).await.unwrap();
    let extremes = [Some(f32::MAX), Some(f32::MIN), Some(f32::MIN_POSITIVE), Some(0.1), Some(-1.0 / 3.0), None];
    let wanted = frame(vec![ints("id", 0..6), singles("score", extremes)]);
    write(store, &format!("{unique} singles"), 1, &table, &wanted).await;
    assert_same(&read_all(store, &table).await, &wanted, "singles");
}
