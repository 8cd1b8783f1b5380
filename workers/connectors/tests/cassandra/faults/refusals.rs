//! What is refused, and how it is said: one clear line, without a password.

use headrace_connectors::cassandra::Cassandra;
use headrace_core::store::{Select, Store};
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{ErrorKind, Partition, StoreUrl, clock};

use crate::cassandra::{KEYSPACE, claim, connect, store, unique, url};
use crate::conformance::{frame, ident, ints, read_all, write};

async fn refused(url: &str) -> headrace_core::Error {
    Cassandra::connect(&StoreUrl::parse(url).unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn says_what_cannot_be_done() {
    let Some(store) = store().await else { return };
    let unique = unique("e");
    let table = Table::new(ident(&unique, "t")).key("a", Kind::Int).unwrap().key("b", Kind::Int).unwrap();
    let table = table.value("c", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    let select =
        Select { table: &table, columns: vec!["c"], equal: vec![("b", Value::Int(1))], after: vec![], limit: 1 };
    let error = store.select(&select).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("reads by a"), "{error}");
    let added = Table::new(ident(&unique, "u")).key("a", Kind::Int).unwrap();
    let added = added.column("c", Kind::Int, true, Merge::Add).unwrap();
    assert_eq!(store.create(&[&added]).await.unwrap_err().kind(), ErrorKind::Configuration);
    let claims = claim(&store, &unique, "p").await;
    let mut unit = store.begin(&unique, &claims).await.unwrap();
    let error = unit.update(&table, ("c", Value::Int(1)), ("b", Value::Int(2))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let half = Table::new(ident(&unique, "v")).key("at", Kind::DateTime).unwrap();
    store.create(&[&half]).await.unwrap();
    let error = unit.upsert(&half, &frame(vec![ints("at", [1_001])])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("whole millisecond"), "{error}");
}

#[tokio::test]
async fn a_missing_keyspace_is_said_by_name() {
    let Some(url) = clock::environment("HEADRACE_TEST_CASSANDRA") else {
        println!("SKIP: set HEADRACE_TEST_CASSANDRA");
        return;
    };
    let store = connect(&format!("{url}/nowhere_at_all")).await;
    let error = store.claim("scope", &[Partition::new("p")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("nowhere_at_all"), "{error}");
    assert!(!store.has_table(&ident("no", "table")).await.unwrap());
}

#[tokio::test]
async fn an_unknown_data_center_is_refused_and_a_known_one_preferred() {
    let Some(url) = url("HEADRACE_TEST_CASSANDRA", "") else { return };
    let error = refused(&format!("{url}?datacenter=nowhere")).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    let text = error.to_string();
    let known = text.rsplit(' ').next().unwrap();
    assert!(text.contains("nowhere") && known != "are", "{text}");
    let store = connect(&format!("{url}?datacenter={known}&consistency=quorum")).await;
    assert!(!store.has_table(&ident("no", "table")).await.unwrap());
}

#[tokio::test]
async fn no_server_is_said_with_its_address() {
    let error = refused("cassandra://127.0.0.1:1/ks").await;
    assert_eq!(error.kind(), ErrorKind::External, "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn logs_in_over_tls_and_says_why_not() {
    let Some(url) = url("HEADRACE_TEST_CASSANDRA_SECURE", "") else { return };
    let certificates = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
    let parsed = StoreUrl::parse(&url).unwrap();
    let (user, hosts) = (parsed.user.clone().unwrap(), parsed.host_list(9042));
    let secure = format!("{url}?tls_ca={certificates}/ca.crt");
    let store = connect(&secure).await;
    let table = Table::new(ident(&unique("t"), "tls")).key("id", Kind::Int).unwrap();
    store.create(&[&table]).await.unwrap();
    write(&store, &unique("tls"), 1, &table, &frame(vec![ints("id", [1, 2])])).await;
    assert_eq!(read_all(&store, &table).await.height(), 2);
    assert!(
        !format!("{store:?} {}", store.name()).contains(parsed.password.as_ref().unwrap().reveal())
            || user == "cassandra"
    );
    for (wrong, kind, part) in [
        (
            format!("cassandra://{user}:canary@{hosts}/{KEYSPACE}?tls_ca={certificates}/ca.crt"),
            ErrorKind::Configuration,
            "wrong user or password",
        ),
        (format!("cassandra://{hosts}/{KEYSPACE}?tls_ca={certificates}/ca.crt"), ErrorKind::Configuration, "login"),
        (format!("{url}?tls_ca={certificates}/other-ca.crt"), ErrorKind::Configuration, "tls_ca"),
        (format!("{url}?tls_ca={certificates}/nowhere.crt"), ErrorKind::Configuration, "nowhere.crt"),
    ] {
        let error = refused(&wrong).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
