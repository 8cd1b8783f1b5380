//! What every store must do with tables: create, check, select, scan. How rows change is in `changes`.
//!
//! Stores without transactions may show rows before the commit; everything else holds for all of them.

use std::collections::BTreeSet;

use headrace_core::ErrorKind;
use headrace_core::store::{Select, Store};
use headrace_core::table::{Kind, Merge, Table, Value, View};
use polars::prelude::DataFrame;

use super::{assert_same, drain, frame, ident, ints, read_all, read_equal, texts, write};

/// Runs everything, one after another, and says what it runs.
pub async fn everything(store: &dyn Store, unique: &str) {
    without_expressions(store, unique).await;
    println!("conformance: computed_columns_and_views");
    computed_columns_and_views(store, unique).await;
}

/// The same for stores that compute nothing: they refuse computed columns, and ignore views.
pub async fn without_expressions(store: &dyn Store, unique: &str) {
    macro_rules! run {
        ($($module:ident :: $name:ident),* $(,)?) => {
            $(println!("conformance: {}", stringify!($name)); super::$module::$name(store, unique).await;)*
        };
    }
    run![
        store::creates_and_finds_tables,
        store::create_checks_existing_tables,
        store::written_twice_is_written_once,
        changes::replaces_with_the_newest,
        changes::merge_add_is_null_aware,
        changes::merge_first_keeps_what_is_there,
        changes::merge_while_null_ends_with_a_value,
        changes::update_changes_matching_rows,
        changes::deletes_rows_by_key,
        store::select_pages_in_key_order,
        store::select_from_nothing,
        store::scan_reads_every_row_once_and_resumes,
        store::quoting_of_reserved_words,
        values::all_kinds_round_trip,
        values::keys_are_exact,
        values::time_uuids_order_by_time,
        values::ten_megabyte_text,
        values::refuses_what_does_not_fit,
        versions::an_older_version_never_replaces,
        versions::the_greatest_version_wins_between_writers,
        versions::singles_round_trip,
        ledger::unit_dropped_changes_nothing_visible,
        ledger::positions_and_state_commit_together,
        ledger::stale_claim_is_fenced,
        ledger::claim_while_a_unit_is_open,
        ledger::counters_add_up,
        ledger::counts_are_taken_off,
        ledger::state_reads_after_sequence_and_drops,
        ledger::large_state,
        ledger::units_of_one_scope_follow_each_other,
        ledger::units_in_turn_build_on_each_other,
        ledger::scopes_and_partitions_are_apart,
        ledger::forget_forgets_one_scope,
    ];
}

/// A table of two keys and two values.
pub fn simple(unique: &str, name: &str) -> Table {
    Table::new(ident(unique, name))
        .key("id", Kind::Int)
        .unwrap()
        .key("name", Kind::Name(40))
        .unwrap()
        .value("amount", Kind::Int)
        .unwrap()
        .value("note", Kind::Text)
        .unwrap()
}

/// Rows of it.
pub fn simple_rows(ids: impl Iterator<Item = i64> + Clone, amount: i64) -> DataFrame {
    let names: Vec<String> = ids.clone().map(|id| format!("name {}", id % 7)).collect();
    frame(vec![
        ints("id", ids.clone()),
        texts("name", names.iter().map(String::as_str)),
        ints("amount", ids.clone().map(|id| id * amount)),
        texts("note", ids.map(|id| (id % 2 == 0).then_some("even"))),
    ])
}

/// `create` may be repeated and makes tables that `has_table` finds.
pub async fn creates_and_finds_tables(store: &dyn Store, unique: &str) {
    let (first, second) = (simple(unique, "made1"), simple(unique, "made2"));
    assert!(!store.has_table(&first.name).await.unwrap());
    store.create(&[&first, &second]).await.unwrap();
    store.create(&[&second, &first]).await.unwrap();
    assert!(store.has_table(&first.name).await.unwrap());
    assert!(store.has_table(&second.name).await.unwrap());
    assert!(!store.has_table(&ident(unique, "never_made")).await.unwrap());
}

/// A table that is there with other columns, types or keys is refused by name.
pub async fn create_checks_existing_tables(store: &dyn Store, unique: &str) {
    let name = ident(unique, "checked");
    store.create(&[&simple(unique, "checked")]).await.unwrap();
    let key = |kind| Table::new(name.clone()).key("id", kind).unwrap();
    let missing = simple(unique, "checked").value("surplus", Kind::Int).unwrap();
    let retyped = key(Kind::Int).key("name", Kind::Name(40)).unwrap().value("amount", Kind::Text).unwrap();
    let retyped = retyped.value("note", Kind::Text).unwrap();
    let rekeyed = key(Kind::Int).column("name", Kind::Name(40), false, Merge::Replace).unwrap();
    let rekeyed = rekeyed.value("amount", Kind::Int).unwrap().value("note", Kind::Text).unwrap();
    for (table, named) in [(missing, "surplus"), (retyped, "amount"), (rekeyed, "key")] {
        let error = store.create(&[&table]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        assert!(text.contains(name.as_str()) && text.contains(named), "{text:?} does not name {name} and {named}");
    }
}

/// Upserting the same rows again, whole or in other cuts, leaves the same table.
pub async fn written_twice_is_written_once(store: &dyn Store, unique: &str) {
    let table = simple(unique, "twice");
    let scope = format!("{unique} twice");
    store.create(&[&table]).await.unwrap();
    let rows = simple_rows(0..250, 3);
    write(store, &scope, 1, &table, &rows).await;
    assert_same(&read_all(store, &table).await, &rows, "once");
    write(store, &scope, 2, &table, &rows).await;
    write(store, &scope, 3, &table, &rows.slice(100, 90)).await;
    write(store, &scope, 4, &table, &rows.reverse()).await;
    assert_same(&read_all(store, &table).await, &rows, "again");
}

/// Pages by key give every row once in key order, texts in byte order, also under a condition.
pub async fn select_pages_in_key_order(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "paged")).key("grp", Kind::Int).unwrap();
    let table = table.key("name", Kind::Name(20)).unwrap().key("n", Kind::Small).unwrap();
    let table = table.value("v", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let mut rows = Vec::new();
    for grp in [-3_i64, 0, 5] {
        for name in ["", "B", "a", "ab", "b", "ä", "日本"] {
            rows.extend((0..5_i64).map(|n| (grp, name, n)));
        }
    }
    let all = frame(vec![
        ints("grp", rows.iter().map(|row| row.0)),
        texts("name", rows.iter().map(|row| row.1)),
        ints("n", rows.iter().map(|row| row.2)),
        ints("v", 0..i64::try_from(rows.len()).unwrap()),
    ]);
    write(store, &format!("{unique} paged"), 1, &table, &all.reverse()).await;
    for (equal, wanted) in [(Vec::new(), all.clone()), (vec![("grp", Value::Int(0))], all.slice(35, 35))] {
        let mut after = Vec::new();
        let mut seen: Option<DataFrame> = None;
        loop {
            let columns = vec!["grp", "name", "n", "v"];
            let select = Select { table: &table, columns, equal: equal.clone(), after, limit: 8 };
            let page = store.select(&select).await.unwrap();
            assert!(page.height() <= 8);
            let Some(last) = page.height().checked_sub(1) else { break };
            let int = |name: &str| Value::Int(page.column(name).unwrap().i64().unwrap().get(last).unwrap());
            let name = page.column("name").unwrap().str().unwrap().get(last).unwrap().to_owned();
            after = vec![int("grp"), Value::Text(name), int("n")];
            seen = Some(seen.map_or_else(|| page.clone(), |seen| seen.vstack(&page).unwrap()));
        }
        assert_same(&seen.unwrap(), &wanted, "pages");
    }
    let two = Select { table: &table, columns: vec!["v", "grp"], equal: Vec::new(), after: Vec::new(), limit: 2 };
    let wanted = frame(vec![ints("v", [0, 1]), ints("grp", [-3, -3])]);
    assert_same(&store.select(&two).await.unwrap(), &wanted, "columns in the order asked for");
}

/// An empty table gives a typed frame of no rows; a missing one a configuration error that names it.
pub async fn select_from_nothing(store: &dyn Store, unique: &str) {
    let table = simple(unique, "nothing");
    store.create(&[&table]).await.unwrap();
    assert_same(&read_all(store, &table).await, &simple_rows(0..0, 1), "empty");
    let given = drain(&mut *store.scan(&table, &["id"], 3, &[]).await.unwrap(), &Default::default(), usize::MAX).await;
    assert!(given.ended && given.frames.iter().all(|frame| frame.height() == 0));
    let missing = simple(unique, "not_there");
    let select = Select { table: &missing, columns: vec!["id"], equal: Vec::new(), after: Vec::new(), limit: 1 };
    let error = store.select(&select).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(missing.name.as_str()), "{error}");
    let error = store.scan(&missing, &["id"], 1, &[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains(missing.name.as_str()), "{error}");
}

/// A scan gives every row once, whole, by chosen parts, and stopped and resumed by position.
pub async fn scan_reads_every_row_once_and_resumes(store: &dyn Store, unique: &str) {
    let table = simple(unique, "scanned");
    store.create(&[&table]).await.unwrap();
    let total = 20_000;
    for (at, first) in (0..total).step_by(2_500).enumerate() {
        let rows = simple_rows(first..first + 2_500, 1);
        write(store, &format!("{unique} scanned"), i64::try_from(at).unwrap(), &table, &rows).await;
    }
    let every: Vec<i64> = (0..total).collect();
    let sorted = |mut ids: Vec<i64>| {
        ids.sort_unstable();
        ids
    };
    let columns = ["amount", "id"];
    let nowhere = Default::default();
    for parts in [1, 3] {
        let given = drain(&mut *store.scan(&table, &columns, parts, &[]).await.unwrap(), &nowhere, usize::MAX).await;
        assert!(given.ended);
        assert!(given.frames.iter().all(|frame| frame.get_column_names() == columns));
        assert_eq!(given.ints("id"), given.ints("amount"), "rows stay together");
        assert_eq!(sorted(given.ints("id")), every, "{parts} parts");
    }
    let mut parted = Vec::new();
    for only in [vec![1, 3], vec![0, 2]] {
        let given = drain(&mut *store.scan(&table, &columns, 4, &only).await.unwrap(), &nowhere, usize::MAX).await;
        parted.extend(given.ints("id"));
    }
    assert_eq!(sorted(parted), every, "chosen parts");
    // Stopped after every batch: the positions alone carry the reading on.
    let mut ids = Vec::new();
    let mut at = Default::default();
    let mut rounds = 0;
    loop {
        let given = drain(&mut *store.scan(&table, &columns, 2, &[]).await.unwrap(), &at, 1).await;
        ids.extend(given.ints("id"));
        at = given.reached;
        rounds += 1;
        assert!(rounds <= total, "the scan does not advance");
        if given.ended {
            break;
        }
    }
    let distinct: BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "a resumed scan repeats rows");
    assert_eq!(sorted(ids), every, "a resumed scan leaves rows out");
}

/// Columns may be called like words of the store's language.
pub async fn quoting_of_reserved_words(store: &dyn Store, unique: &str) {
    let table = Table::new(ident(unique, "select")).key("order", Kind::Int).unwrap();
    let table = table.key("from", Kind::Name(10)).unwrap().value("group", Kind::Int).unwrap();
    let table = table.value("select", Kind::Text).unwrap().value("key", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let rows = frame(vec![
        ints("order", [1, 2]),
        texts("from", ["a'b", "c\"d`e"]),
        ints("group", [3, 4]),
        texts("select", ["'; DROP TABLE x; --", "\\' OR 1=1"]),
        ints("key", [Some(5), None]),
    ]);
    write(store, &format!("{unique} 'quoted\" `scope`"), 1, &table, &rows).await;
    write(store, &format!("{unique} 'quoted\" `scope`"), 2, &table, &rows).await;
    assert_same(&read_all(store, &table).await, &rows, "reserved words");
    let one = read_equal(store, &table, vec![("order", Value::Int(2))]).await;
    assert_same(&one, &rows.slice(1, 1), "condition on a reserved word");
    let given =
        drain(&mut *store.scan(&table, &["group", "order"], 2, &[]).await.unwrap(), &Default::default(), usize::MAX)
            .await;
    assert_eq!(given.ints("order").len(), 2);
}

/// Computed columns follow their expression, and views can be replaced and read.
pub async fn computed_columns_and_views(store: &dyn Store, unique: &str) {
    if !store.is_transactional() {
        return;
    }
    let computed = Merge::Computed { mysql: "`amount` * 2", sqlite: "\"amount\" * 2" };
    let table = Table::new(ident(unique, "computed")).key("id", Kind::Int).unwrap();
    let table = table.value("amount", Kind::Int).unwrap().column("twice", Kind::Int, true, computed).unwrap();
    store.create(&[&table]).await.unwrap();
    store.create(&[&table]).await.unwrap();
    let rows = frame(vec![ints("id", [1, 2]), ints("amount", [Some(21), None])]);
    write(store, &format!("{unique} computed"), 1, &table, &rows).await;
    let wanted = frame(vec![ints("id", [1, 2]), ints("amount", [Some(21), None]), ints("twice", [Some(42), None])]);
    assert_same(&read_all(store, &table).await, &wanted, "computed");
    let name = ident(unique, "seen");
    for factor in [0, 1] {
        let query = |quote: &str| {
            let q = |name: &str| format!("{quote}{name}{quote}");
            format!(
                "SELECT {0}, COALESCE({1}, 0) + {factor} AS {1} FROM {2}",
                q("id"),
                q("amount"),
                q(table.name.as_str())
            )
        };
        store.create_view(&View { name: name.clone(), mysql: query("`"), sqlite: query("\"") }).await.unwrap();
        let seen = Table::new(name.clone()).key("id", Kind::Int).unwrap().value("amount", Kind::Int).unwrap();
        let wanted = frame(vec![ints("id", [1, 2]), ints("amount", [21 + factor, factor])]);
        assert_same(&read_all(store, &seen).await, &wanted, "view");
    }
}
