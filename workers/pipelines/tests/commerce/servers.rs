//! The stream on real servers: events in Kafka, tables in MariaDB, MySQL and Redis, the archive on HDFS and S3.
//!
//! `HEADRACE_TEST_KAFKA`, `HEADRACE_TEST_MYSQL` and the others switch these tests on.

use headrace_core::clock;
use headrace_core::report::Outcome;
use headrace_pipelines::commerce::alerts::time_text;
use serde_json::json;

use super::place::{Place, quality, tables};
use super::run;

const ORDER_FREE: [&str; 5] =
    ["sales_per_minute", "sales_by_product", "orders_avg_ticket", "views_by_category", "top_products"];

fn server(variable: &str) -> Option<String> {
    let url = clock::environment(variable);
    if url.is_none() {
        println!("SKIP: set {variable}");
    }
    url
}

/// A place on servers; names of its own keep it apart from others.
fn on_servers(store: &str, lake: &str, unique: &str) -> Place {
    let place = Place::new();
    Place { store: format!("{store}/{unique}"), archive: format!("{lake}/{unique}"), ..place }
}

/// Streams the same events from Kafka by some workers, with batches of so many rows, into servers, and by one from the embedded log into the embedded store.
async fn same_as_embedded(kafka: &str, place: &Place, unique: &str, workers: &[u64]) {
    let start = time_text(clock::now_us() - 2_000 * 1_000_000);
    let simulate =
        |to: &str| json!({ "to": to, "events": 20_000, "seed": 3, "start": start, "users": 60, "spread": "33m" });
    let events = format!("{kafka}/{unique}");
    let embedded = Place::new();
    run("simulate", simulate(&events)).await.unwrap();
    run("simulate", simulate(&embedded.store)).await.unwrap();
    let stream = |from: &str, place: &Place, rows: u64| json!({ "from": from, "store": place.store, "archive": place.archive, "batch_rows": rows, "group": unique });
    run("stream", stream(&embedded.store, &embedded, 50_000)).await.unwrap();
    let workers: Vec<_> =
        workers.iter().map(|rows| tokio::spawn(run("stream", stream(&events, place, *rows)))).collect();
    for worker in workers {
        assert_eq!(worker.await.unwrap().unwrap().outcome, Outcome::Complete);
    }
    // The second time there is nothing new.
    run("stream", stream(&events, place, 50_000)).await.unwrap();
    let (found, wanted) = (place.export().await, embedded.export().await);
    assert_eq!(tables(&found, &ORDER_FREE), tables(&wanted, &ORDER_FREE));
    let (found, wanted) = (quality(&found), quality(&wanted));
    for name in ["read", "accepted", "duplicate", "dead_letter"] {
        assert_eq!(found[name], wanted[name], "{name}");
    }
}

fn unique(name: &str) -> String {
    format!("{name}{:x}", clock::now_us() & 0xffff_ffff)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_mariadb_and_hdfs() {
    let (Some(kafka), Some(mariadb), Some(hdfs)) =
        (server("HEADRACE_TEST_KAFKA"), server("HEADRACE_TEST_MYSQL"), server("HEADRACE_TEST_HDFS"))
    else {
        return;
    };
    let unique = unique("shop");
    same_as_embedded(&kafka, &on_servers(&mariadb, &hdfs, &unique), &unique, &[1_000, 1_700]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_mysql_and_s3() {
    let (Some(kafka), Some(mysql), Some(s3)) =
        (server("HEADRACE_TEST_KAFKA"), server("HEADRACE_TEST_MYSQL9"), server("HEADRACE_TEST_S3"))
    else {
        return;
    };
    let unique = unique("store");
    let (bucket, options) = s3.split_once('?').unwrap_or((&s3, ""));
    let place = on_servers(&mysql, bucket, &unique);
    let place = Place { archive: format!("{}?{options}", place.archive), ..place };
    // One worker: S3Proxy may answer a conditional read with another version, which S3 promises not to.
    same_as_embedded(&kafka, &place, &unique, &[1_000]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_and_redis() {
    let (Some(kafka), Some(redis)) = (server("HEADRACE_TEST_KAFKA"), server("HEADRACE_TEST_REDIS")) else { return };
    let unique = unique("cache");
    let place = Place { store: format!("{redis}?prefix={unique}:"), ..Place::new() };
    same_as_embedded(&kafka, &place, &unique, &[1_000, 1_700]).await;
}
