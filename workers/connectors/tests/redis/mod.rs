//! The Redis connector against real servers: alone, with TLS and password, and a cluster.

mod store;
mod support;

use std::time::Duration;

use headrace_connectors::redis::Redis;
use headrace_core::rows::Rows;
use headrace_core::store::Select;
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{ErrorKind, Ident, StoreUrl, clock};
use polars::prelude::DataFrame;

use crate::conformance::rows::read_all;
use crate::conformance::versions::{rows as versions, versioned};
use crate::conformance::{self, assert_same, frame, ints, texts};
use support::{Server, apart, cluster, raw, server, servers};

/// The cache of another program: plain keys, JSON texts that hold their version.
fn documents() -> Table {
    let table = Table::new(Ident::new("cache").unwrap()).key("cache_key", Kind::Name(20)).unwrap();
    let table = table.column("value", Kind::Text, false, Merge::Replace).unwrap();
    let table = table.column("version", Kind::Int, false, Merge::Replace).unwrap();
    table.versioned_by("version").unwrap().documents()
}

fn text(version: i64) -> String {
    format!(
        "{{\"user_id\":1,\"text\":\"version {version} — ü\",\"version\":{version},\"list\":[\"a\",{{\"version\":1}}]}}"
    )
}

fn document_rows(of: &[(&str, i64)]) -> DataFrame {
    let values: Vec<String> = of.iter().map(|row| text(row.1)).collect();
    frame(vec![
        texts("cache_key", of.iter().map(|row| row.0)),
        texts("value", values.iter().map(String::as_str)),
        ints("version", of.iter().map(|row| row.1)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    for url in servers() {
        conformance::rows::everything(&Redis::connect(&apart(&url)).await.unwrap(), "c").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_conforms() {
    let Some(nodes) = cluster().await else { return };
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = StoreUrl::parse(&format!("redis://{}?cluster=true", hosts.join(","))).unwrap();
    let store = Redis::connect(&url).await.unwrap();
    conformance::rows::everything(&store, "c").await;
    check_documents(&store).await;
    // Each of the nodes holds some of the rows.
    for node in &nodes {
        let size: i64 = redis::cmd("DBSIZE").query_async(&mut raw(&node.url()).await).await.unwrap();
        assert!(size > 1_000, "{size} keys on one of three nodes");
    }
    let alone = Redis::connect(&StoreUrl::parse(&nodes[0].url()).unwrap()).await.unwrap();
    let table = versioned("c", "moved");
    let rows: Vec<(i64, i64)> = (0..50).map(|id| (id, 1)).collect();
    let error = match alone.create(&[&table]).await {
        Ok(()) => alone.write(&table, &versions(&rows), "moved").await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("cluster=true"), "{error}");
}

async fn check_documents(store: &Redis) {
    let table = documents();
    store.create(&[&table]).await.unwrap();
    store.create(&[&table]).await.unwrap();
    let largest = 9_007_199_254_740_992;
    store.write(&table, &document_rows(&[("1", 5), ("2", 5), ("3", largest)]), "").await.unwrap();
    store
        .write(&table, &document_rows(&[("1", 4), ("2", 6), ("3", largest - 1), ("4294967295", 0)]), "")
        .await
        .unwrap();
    let wanted = document_rows(&[("1", 5), ("2", 6), ("3", largest), ("4294967295", 0)]);
    assert_same(&read_all(store, &table).await, &wanted, "documents");
    let columns = vec!["version", "value"];
    let equal = vec![("cache_key", Value::Text("2".into()))];
    let found = store.select(&Select { table: &table, columns, equal, after: vec![], limit: 1 }).await.unwrap();
    assert_same(&found, &wanted.slice(1, 1).select(["version", "value"]).unwrap(), "one document");
    let writer = async |stride: i64| {
        for step in 0..24 {
            store.write(&table, &document_rows(&[("raced", step * stride % 24)]), "").await.unwrap();
        }
    };
    futures::future::join_all([5, 7, 11, 13].map(writer)).await;
    let equal = vec![("cache_key", Value::Text("raced".into()))];
    let select =
        Select { table: &table, columns: vec!["cache_key", "value", "version"], equal, after: vec![], limit: 1 };
    assert_same(&store.select(&select).await.unwrap(), &document_rows(&[("raced", 23)]), "the greatest");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_plain_keys_and_older_ones_never_replace() {
    for url in servers() {
        check_documents(&Redis::connect(&apart(&url)).await.unwrap()).await;
    }
}

#[tokio::test]
async fn other_programs_see_plain_json_and_their_leavings_give_way() {
    let Some(url) = server("HEADRACE_TEST_REDIS") else { return };
    let url = apart(&url);
    let prefix = url.options["prefix"].clone();
    let mut session = raw(&url.to_string()).await;
    let key = |name: &str| format!("{prefix}{name}");
    for (name, left) in [("1", "{'user_id': 1, 'version': 9}"), ("2", "[1]"), ("3", "{\"version\":\"9\"}"), ("4", "")] {
        redis::cmd("SET").arg(key(name)).arg(left).exec_async(&mut session).await.unwrap();
    }
    redis::cmd("SET").arg(key("9")).arg(&b"\xff"[..]).exec_async(&mut session).await.unwrap();
    let (store, table) = (Redis::connect(&url).await.unwrap(), documents());
    store.create(&[&table]).await.unwrap();
    assert_eq!(read_all(&store, &table).await.height(), 0, "what others left is no row");
    store.write(&table, &document_rows(&[("1", 1), ("2", 1), ("3", 1), ("4", 1)]), "").await.unwrap();
    for name in ["1", "2", "3", "4"] {
        let found: String = redis::cmd("GET").arg(key(name)).query_async(&mut session).await.unwrap();
        assert_eq!(found, text(1), "{name}");
        let expires: i64 = redis::cmd("TTL").arg(key(name)).query_async(&mut session).await.unwrap();
        assert_eq!(expires, -1, "no expiry by default");
    }
    // A key of another type is not overwritten, and said so.
    redis::cmd("HSET").arg(key("5")).arg("a").arg("b").exec_async(&mut session).await.unwrap();
    let error = store.write(&table, &document_rows(&[("5", 1)]), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("something else is kept under a key"), "{error}");
    let broken = frame(vec![texts("cache_key", ["6"]), texts("value", ["{'a': 1}"]), ints("version", [1])]);
    assert_eq!(store.write(&table, &broken, "").await.unwrap_err().kind(), ErrorKind::Data);
}

#[tokio::test]
async fn rows_expire_when_told_so() {
    let Some(url) = server("HEADRACE_TEST_REDIS") else { return };
    let mut url = apart(&url);
    url.options.insert("expire".to_owned(), "1h".to_owned());
    let (store, cache, table) = (Redis::connect(&url).await.unwrap(), documents(), versioned("t", "expiring"));
    store.create(&[&cache, &table]).await.unwrap();
    store.write(&cache, &document_rows(&[("1", 1)]), "").await.unwrap();
    store.write(&table, &versions(&[(7, 1)]), "").await.unwrap();
    let mut session = raw(&url.to_string()).await;
    for name in ["1", "t_expiring:7"] {
        let key = format!("{}{name}", url.options["prefix"]);
        let seconds: i64 = redis::cmd("TTL").arg(key).query_async(&mut session).await.unwrap();
        assert!((3_500..=3_600).contains(&seconds), "{name}: {seconds}");
    }
}

#[tokio::test]
async fn two_prefixes_are_apart() {
    let Some(url) = server("HEADRACE_TEST_REDIS") else { return };
    let (one, mut other) = (apart(&url), apart(&url));
    // Patterns of the server's language in a prefix are only letters.
    other.options.insert("prefix".to_owned(), format!("{}*", &one.options["prefix"]));
    let table = versioned("t", "apart");
    let (one, other) = (Redis::connect(&one).await.unwrap(), Redis::connect(&other).await.unwrap());
    one.create(&[&table]).await.unwrap();
    other.create(&[&table]).await.unwrap();
    assert_ne!(one.name(), other.name());
    one.write(&table, &versions(&[(1, 1)]), "").await.unwrap();
    other.write(&table, &versions(&[(2, 2)]), "").await.unwrap();
    assert_same(&read_all(&one, &table).await, &versions(&[(1, 1)]), "one");
    assert_same(&read_all(&other, &table).await, &versions(&[(2, 2)]), "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_written_again() {
    let Some(mut killed) = Server::start(&[]).await else { return };
    let store = Redis::connect(&StoreUrl::parse(&killed.url()).unwrap()).await.unwrap();
    let table = versioned("t", "killed");
    store.create(&[&table]).await.unwrap();
    let kill = async || {
        killed.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        killed.start_again().await;
    };
    conformance::rows::survives_kills(&store, &table, Duration::from_millis(10), (60, 3), kill).await;
    // Idle connections die too; nobody notices.
    killed.kill();
    killed.start_again().await;
    assert_eq!(read_all(&store, &table).await.height(), 6_200);
    // The server forgets its scripts; nobody notices.
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut raw(&killed.url()).await).await.unwrap();
    store.write(&table, &versions(&[(0, 99)]), "").await.unwrap();
    killed.kill();
    let error = store.write(&table, &versions(&[(0, 100)]), "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains(&format!("cannot reach Redis at redis://127.0.0.1:{}", killed.port)), "{error}");
}

#[tokio::test]
async fn wrong_logins_and_places_are_one_clear_line() {
    let refused = async |url: &StoreUrl| {
        let error = Redis::connect(url).await.err().unwrap();
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.contains("canary") && !text.contains("redis-secret"), "{text}");
        (error.kind(), text)
    };
    let closed = refused(&StoreUrl::parse("redis://127.0.0.1:9").unwrap()).await;
    assert_eq!(closed.0, ErrorKind::External);
    assert!(closed.1.contains("cannot reach Redis at redis://127.0.0.1:9"), "{}", closed.1);
    if let Some(url) = server("HEADRACE_TEST_REDIS") {
        let mut number = url.clone();
        number.path = vec!["60000".to_owned()];
        assert_eq!(refused(&number).await.0, ErrorKind::Configuration);
        let mut cluster = url.clone();
        cluster.options.insert("cluster".to_owned(), "true".to_owned());
        let (kind, text) = refused(&cluster).await;
        assert_eq!(kind, ErrorKind::Configuration, "{text}");
    }
    let Some(secure) = server("HEADRACE_TEST_REDIS_SECURE") else { return };
    let mut untrusted = secure.clone();
    let other = clock::environment("HEADRACE_TEST_CERTIFICATES").map(|folder| format!("{folder}/other-ca.crt"));
    untrusted.options.insert("tls_ca".to_owned(), other.unwrap());
    let (kind, text) = refused(&untrusted).await;
    assert_eq!(kind, ErrorKind::Configuration, "{text}");
    assert!(text.contains("tls_ca"), "{text}");
    let mut wrong = secure.clone();
    wrong.password = Some(headrace_core::Secret::new("canary"));
    let mut nobody = secure.clone();
    nobody.user = Some("nobody".to_owned());
    let mut nothing = secure.clone();
    (nothing.user, nothing.password) = (None, None);
    for url in [wrong, nobody, nothing] {
        let (kind, text) = refused(&url).await;
        assert_eq!(kind, ErrorKind::Configuration, "{text}");
        assert!(text.contains("password_file"), "{text}");
    }
}
