//! What every store must do with changes of rows: replace, merge, update, delete.
//!
//! Stores without transactions may show rows before the commit, and refuse or weaken some of it as their tables say.

use headrace_core::store::Store;
use headrace_core::table::{Kind, Merge, Table, Value};

use super::store::{simple, simple_rows};
use super::{assert_same, frame, ident, ints, read_all, texts, write};

/// The last upsert of a key wins; where nulls are written they win too.
pub async fn replaces_with_the_newest(store: &dyn Store, unique: &str) {
    let table = simple(unique, "replaced");
    let scope = format!("{unique} replaced");
    store.create(&[&table]).await.unwrap();
    write(store, &scope, 1, &table, &simple_rows(0..20, 1)).await;
    write(store, &scope, 2, &table, &simple_rows(10..30, 5)).await;
    let wanted = simple_rows(0..10, 1).vstack(&simple_rows(10..30, 5)).unwrap();
    assert_same(&read_all(store, &table).await, &wanted, "replaced");
    if store.is_transactional() {
        // Stores without transactions may leave nulls unset.
        let nulls =
            frame(vec![ints("id", [3]), texts("name", ["name 3"]), ints("amount", [None]), texts("note", ["x"])]);
        write(store, &scope, 3, &table, &nulls).await;
        assert_same(&read_all(store, &table).await.slice(3, 1), &nulls, "null replaces");
    }
}

/// `Merge::Add` adds, null adds nothing, and null plus null stays null.
pub async fn merge_add_is_null_aware(store: &dyn Store, unique: &str) {
    if !store.is_transactional() {
        return;
    }
    let table = Table::new(ident(unique, "added")).key("id", Kind::Int).unwrap();
    let table = table.column("clicks", Kind::Int, true, Merge::Add).unwrap();
    let table = table.column("spend", Kind::Decimal { scale: 6 }, true, Merge::Add).unwrap();
    let table = table.value("last", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let scope = format!("{unique} added");
    let rows = |clicks: [Option<i64>; 5], last: i64| {
        let spend = clicks.map(|value| value.map(|value| value * 1_500_000));
        frame(vec![ints("id", 1..=5), ints("clicks", clicks), ints("spend", spend), ints("last", [last; 5])])
    };
    write(store, &scope, 1, &table, &rows([None, None, Some(2), Some(2), Some(0)], 1)).await;
    write(store, &scope, 2, &table, &rows([None, Some(2), None, Some(3), None], 2)).await;
    let wanted = rows([None, Some(2), Some(2), Some(5), Some(0)], 2);
    assert_same(&read_all(store, &table).await, &wanted, "added");
}

/// `Merge::First` takes a value where there is none and keeps it when null comes; in transactional stores whatever comes.
pub async fn merge_first_keeps_what_is_there(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "first")).key("id", Kind::Int).unwrap();
    let table = table.column("at", Kind::DateTime, true, Merge::First).unwrap().value("n", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let scope = format!("{unique} first");
    let rows = |at: [Option<i64>; 2], n| frame(vec![ints("id", 1..=2), ints("at", at), ints("n", [n; 2])]);
    let day = Some(86_400_000_000);
    write(store, &scope, 1, &table, &rows([None, day], 1)).await;
    write(store, &scope, 2, &table, &rows([day, None], 2)).await;
    assert_same(&read_all(store, &table).await, &rows([day, day], 2), "null keeps what is there");
    if store.is_transactional() {
        write(store, &scope, 3, &table, &rows([Some(0), Some(0)], 3)).await;
        assert_same(&read_all(store, &table).await, &rows([day, day], 3), "the first value stays");
    }
}

/// `Merge::ReplaceWhileNull` keeps a row's values once another column has one, in transactional stores.
pub async fn merge_while_null_ends_with_a_value(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "open")).key("id", Kind::Int).unwrap();
    let table = table.column("n", Kind::Int, true, Merge::ReplaceWhileNull("at")).unwrap();
    let table = table.column("at", Kind::DateTime, true, Merge::First).unwrap();
    store.create(&[&table]).await.unwrap();
    let scope = format!("{unique} while null");
    let row = |n: Option<i64>, at: Option<i64>| frame(vec![ints("id", [1]), ints("n", [n]), ints("at", [at])]);
    let day = Some(86_400_000_000);
    for (at, (written, wanted)) in (1..).zip([
        (row(Some(1), None), row(Some(1), None)),
        (row(Some(2), None), row(Some(2), None)),
        (row(Some(3), day), row(Some(3), day)),
    ]) {
        write(store, &scope, at, &table, &written).await;
        assert_same(&read_all(store, &table).await, &wanted, "while null");
    }
    if store.is_transactional() {
        write(store, &scope, 4, &table, &row(Some(4), None)).await;
        assert_same(&read_all(store, &table).await, &row(Some(3), day), "not any more");
    }
}

/// `update` changes the rows that have the value and counts them.
pub async fn update_changes_matching_rows(store: &dyn Store, unique: &str) {
    if !store.is_transactional() {
        return;
    }
    let table = simple(unique, "updated");
    let scope = format!("{unique} updated");
    store.create(&[&table]).await.unwrap();
    write(store, &scope, 1, &table, &simple_rows(0..20, 1)).await;
    let claims = store.claim(&scope, &[headrace_core::Partition::new("only")]).await.unwrap();
    let mut unit = store.begin(&scope, &claims).await.unwrap();
    let even = ("note", Value::Text("even".into()));
    assert_eq!(unit.update(&table, ("amount", Value::Int(-7)), even).await.unwrap(), 10);
    assert_eq!(unit.update(&table, ("amount", Value::Null), ("id", Value::Int(4))).await.unwrap(), 1);
    assert_eq!(unit.update(&table, ("amount", Value::Int(1)), ("id", Value::Int(99))).await.unwrap(), 0);
    unit.commit(&super::reached("only", 2), &headrace_core::Counts::default()).await.unwrap();
    let amounts = read_all(store, &table).await.column("amount").unwrap().clone();
    let wanted = (0..20).map(|id| {
        if id == 4 {
            None
        } else if id % 2 == 0 {
            Some(-7)
        } else {
            Some(id)
        }
    });
    assert!(amounts.equals_missing(&ints("amount", wanted)), "{amounts:?}");
}

/// Rows are deleted by their whole key, and what the same unit writes afterwards stays.
pub async fn deletes_rows_by_key(store: &dyn Store, unique: &str) {
    let table = simple(unique, "deleted");
    store.create(&[&table]).await.unwrap();
    let rows = |ids: &[i64], amount: i64| {
        let names = ids.iter().map(|id| if id % 2 == 0 { "even" } else { "odd" });
        let amounts = vec![amount; ids.len()];
        let notes = ids.iter().map(|_| Some("old").filter(|_| amount == 1));
        frame(vec![
            ints("id", ids.iter().copied()),
            texts("name", names),
            ints("amount", amounts),
            texts("note", notes),
        ])
    };
    let scope = format!("{unique} deleted");
    write(store, &scope, 1, &table, &rows(&[1, 2, 3, 4, 5], 1)).await;
    let claims = store.claim(&scope, &[headrace_core::Partition::new("only")]).await.unwrap();
    let reached = super::reached("only", 2);
    let mut unit = store.begin_in_turn(&scope, &claims, &reached).await.unwrap();
    // Row 9 is not there, row 4 has another name.
    let keys = frame(vec![ints("id", [2, 3, 4, 9]), texts("name", ["even", "odd", "odd", "odd"])]);
    unit.delete(&table, &keys).await.unwrap();
    unit.delete(&table, &keys.head(Some(0))).await.unwrap();
    unit.upsert(&table, &rows(&[3], 2)).await.unwrap();
    unit.commit(&reached, &headrace_core::Counts::default()).await.unwrap();
    let mut wanted = rows(&[1], 1);
    for (id, amount) in [(3, 2), (4, 1), (5, 1)] {
        wanted.vstack_mut(&rows(&[id], amount)).unwrap();
    }
    assert_same(&read_all(store, &table).await, &wanted, "what is left");
}
