//! The ClickHouse connector against real servers: the current engine, and the genuine server 18.16 for what it can do.

mod support;

use std::time::Duration;

use headrace_connectors::clickhouse::ClickHouse;
use headrace_core::rows::Rows;
use headrace_core::table::{Kind, Table};
use headrace_core::{ErrorKind, Ident, Secret, StoreUrl, clock};

use crate::conformance::rows::read_all;
use crate::conformance::versions::{rows as versions, versioned};
use crate::conformance::{self, assert_same, frame, ints};
use support::{Lab, Server, history, offer, offer_rows, server};

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE").await else { return };
    conformance::rows::everything(&lab.store, "c").await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_over_tls() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE_SECURE").await else { return };
    conformance::rows::written_twice_is_written_once(&lab.store, "c").await;
    conformance::rows::an_older_version_never_replaces(&lab.store, "c").await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_does_what_its_types_allow() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE_OLD").await else { return };
    let store = &lab.store;
    conformance::rows::creates_and_checks_tables(store, "c").await;
    conformance::rows::written_twice_is_written_once(store, "c").await;
    conformance::rows::an_older_version_never_replaces(store, "c").await;
    conformance::rows::the_greatest_version_wins_between_writers(store, "c").await;
    conformance::rows::texts_cannot_do_anything(store, "c").await;
    conformance::rows::reads_conditions_and_pages(store, "c").await;
    conformance::rows::refuses_what_does_not_fit(store, "c").await;
    conformance::rows::many_rows_at_once(store, "c").await;
    let days = Table::new(Ident::new("days").unwrap()).key("day", Kind::Date).unwrap();
    let moments = Table::new(Ident::new("moments").unwrap()).key("at", Kind::DateTime).unwrap();
    for (table, column, needed) in
        [(&offer(), "model_version", "19.1"), (&moments, "at", "20.1"), (&days, "day", "21.9")]
    {
        let error = store.create(&[table]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        assert!(text.contains(column) && text.contains(needed) && text.contains("18.16"), "{text}");
    }
    lab.close().await;
}

#[tokio::test]
async fn tables_are_those_of_the_contract() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE").await else { return };
    let (offer, history) = (offer(), history());
    // Made by hand as the contract says, then found to fit.
    for (name, definition) in support::CONTRACT {
        lab.run(&definition.replace("CREATE TABLE ", &format!("CREATE TABLE {}.", lab.database))).await;
        let by_hand = lab.run(&described(&lab.database, name)).await;
        let table = if name == "personal_offer" { &offer } else { &history };
        lab.store.create(&[table]).await.unwrap();
        lab.run(&format!("DROP TABLE {}.{name}", lab.database)).await;
        lab.store.create(&[table]).await.unwrap();
        assert_eq!(lab.run(&described(&lab.database, name)).await, by_hand, "{name}");
    }
    let rows = offer_rows(&[(1, 5), (4_294_967_295, 9_007_199_254_740_991)]);
    lab.store.write(&offer, &rows, "offers").await.unwrap();
    lab.store.write(&offer, &offer_rows(&[(1, 4)]), "older").await.unwrap();
    assert_same(&read_all(&lab.store, &offer).await, &rows, "offers");
    let query = format!(
        "SELECT user_id, predicted_cost, model_version, version, _inserted_datetime > now() - 600 FROM {}.personal_offer FINAL ORDER BY user_id",
        lab.database
    );
    assert_eq!(
        lab.run(&query).await,
        "1\t251.15944\tlinear-5\t5\t1\n4294967295\t251.15944\tlinear-9007199254740991\t9007199254740991\t1\n"
    );
    for (user, named) in [(-1, "-1"), (4_294_967_296, "4294967296")] {
        let error = lab.store.write(&offer, &offer_rows(&[(user, 1)]), "outside").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("user_id") && error.to_string().contains(named), "{error}");
    }
    // Digits that the column has not are cut off, before 1970 too.
    let table = Table::new(Ident::new("cut").unwrap()).key("id", Kind::Int).unwrap();
    let table = table.value("at", Kind::DateTime).unwrap().clickhouse("DateTime64(3)");
    lab.store.create(&[&table]).await.unwrap();
    lab.store.write(&table, &frame(vec![ints("id", [1, 2]), ints("at", [1_999, -1])]), "cut").await.unwrap();
    let wanted = frame(vec![ints("id", [1, 2]), ints("at", [1_000, -1_000])]);
    assert_same(&read_all(&lab.store, &table).await, &wanted, "milliseconds");
    lab.close().await;
}

fn described(database: &str, table: &str) -> String {
    format!(
        "SELECT position, name, type, default_kind, default_expression FROM system.columns WHERE database = '{database}' \
         AND table = '{table}' UNION ALL SELECT 0, engine_full, sorting_key, '', '' FROM system.tables \
         WHERE database = '{database}' AND name = '{table}' ORDER BY 1"
    )
}

#[tokio::test]
async fn the_original_table_is_refused_with_its_differences() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE").await else { return };
    let original = "CREATE TABLE {}.personal_offer (user_id UInt32, predicted_cost Float32, predicted_subscription Float32, \
                    predicted_function_map Float32, predicted_function_ignore_sound Float32, predicted_function_listen_sound Float32, \
                    predicted_function_detailed_routes Float32, predicted_function_sos_signal Float32, \
                    predicted_function_invite_second_parent Float64) ENGINE = MergeTree ORDER BY user_id";
    lab.run(&original.replace("{}", &lab.database)).await;
    let error = lab.store.create(&[&offer()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    for part in [
        "its engine is MergeTree, needed is ReplacingMergeTree(version)",
        "column `version` UInt64 is missing",
        "column `model_version` LowCardinality(String) is missing",
        "column `predicted_function_invite_second_parent` is Float64, needed is Float32",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains('\n'), "{text}");
    lab.close().await;
}

#[tokio::test]
async fn a_block_that_comes_again_is_dropped_where_the_table_keeps_names() {
    let Some(lab) = Lab::open("HEADRACE_TEST_CLICKHOUSE").await else { return };
    let table = Table::new(Ident::new("named").unwrap()).key("id", Kind::Int).unwrap();
    lab.run(&format!(
        "CREATE TABLE {}.named (id Int64) ENGINE = ReplacingMergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100",
        lab.database
    ))
    .await;
    lab.run(&format!("SYSTEM STOP MERGES {}.named", lab.database)).await;
    lab.store.create(&[&table]).await.unwrap();
    let rows = frame(vec![ints("id", 0..10)]);
    for (token, wanted) in [("a", "10\n"), ("a", "10\n"), ("b", "20\n"), ("b", "20\n"), ("a", "20\n")] {
        lab.store.write(&table, &rows, token).await.unwrap();
        assert_eq!(lab.run(&format!("SELECT count() FROM {}.named", lab.database)).await, wanted, "{token}");
    }
    assert_eq!(read_all(&lab.store, &table).await.height(), 10);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_written_again() {
    let Some(mut killed) = Server::start().await else { return };
    let store = ClickHouse::connect(&killed.url()).await.unwrap();
    let table = versioned("t", "killed");
    store.create(&[&table]).await.unwrap();
    let kill = async || {
        killed.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        killed.start_again().await;
    };
    conformance::rows::survives_kills(&store, &table, Duration::from_millis(20), (40, 2), kill).await;
    killed.kill();
    let error = store.write(&table, &versions(&[(0, 100)]), "dead").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains("cannot reach clickhouse://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn wrong_logins_and_places_are_one_clear_line() {
    let refused = async |url: &StoreUrl| {
        let error = ClickHouse::connect(url).await.err().unwrap();
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.contains("canary") && !text.contains("lab-secret"), "{text}");
        (error.kind(), text)
    };
    let closed = refused(&StoreUrl::parse("clickhouse://127.0.0.1:9").unwrap()).await;
    assert_eq!(closed.0, ErrorKind::External);
    assert!(closed.1.contains("cannot reach clickhouse://127.0.0.1:9"), "{}", closed.1);
    let nowhere = refused(&StoreUrl::parse("clickhouse://no-such-host.invalid").unwrap()).await;
    assert_eq!(nowhere.0, ErrorKind::Configuration);
    assert!(nowhere.1.contains("no-such-host.invalid"), "{}", nowhere.1);
    for variable in ["HEADRACE_TEST_CLICKHOUSE", "HEADRACE_TEST_CLICKHOUSE_OLD"] {
        let Some(url) = server(variable) else { continue };
        let mut wrong = url.clone();
        wrong.password = Some(Secret::new("canary"));
        let mut nobody = url.clone();
        nobody.user = Some("nobody".to_owned());
        let mut nothing = url.clone();
        (nothing.user, nothing.password) = (None, None);
        for url in [wrong, nobody, nothing] {
            let (kind, text) = refused(&url).await;
            assert_eq!(kind, ErrorKind::Configuration, "{text}");
            assert!(text.contains("password_file"), "{text}");
        }
        let mut missing = url.clone();
        missing.path = vec!["never_made".to_owned()];
        let store = ClickHouse::connect(&missing).await.unwrap();
        let table = versioned("t", "nothing");
        let error = store.write(&table, &versions(&[(1, 1)]), "nowhere").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("never_made") && !error.to_string().contains('\n'), "{error}");
    }
    let Some(secure) = server("HEADRACE_TEST_CLICKHOUSE_SECURE") else { return };
    let mut untrusted = secure.clone();
    let folder = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
    untrusted.options.insert("tls_ca".to_owned(), format!("{folder}/other-ca.crt"));
    let (kind, text) = refused(&untrusted).await;
    assert_eq!(kind, ErrorKind::Configuration, "{text}");
    assert!(text.contains("tls_ca"), "{text}");
}
