//! Each defect of the system that this one replaces has a test that fails when it comes back.

use std::collections::BTreeSet;

use headrace_connectors::lake::{Lake, LakePath};
use headrace_core::report::Outcome;
use headrace_core::{ErrorKind, StoreUrl};
use headrace_pipelines::commerce::archive::raw_schema;
use headrace_pipelines::commerce::file_source::Line;
use serde_json::{Value, json};

use super::place::{Place, quality};
use super::{exported, lines, own, rows_of, run, write_lines};

/// An event at a second of a fixed hour, arriving then.
fn event(second: i64, kind: &str, more: Value) -> Line {
    let at = format!("2025-03-10T12:{:02}:{:02}", second / 60, second % 60);
    let mut object =
        json!({ "event_type": kind, "user_id": 1, "product_id": 100, "category": "Tech", "timestamp": at });
    if kind == "purchase" {
        object["price"] = 10.into();
    }
    for (name, value) in more.as_object().unwrap() {
        object[name] = value.clone();
    }
    if object.get("event_id").is_none() {
        object["event_id"] = format!("{kind}-{second}").into();
    }
    let topic = match kind {
        "page_view" => "page_views",
        "add_to_cart" => "cart_events",
        _ => "orders",
    };
    let arrival = format!("{at}Z");
    Line {
        arrival,
        topic: topic.to_owned(),
        key: Some("1".to_owned()),
        value: Some(object.to_string()),
        ..Line::default()
    }
}

/// Streams lines with places of their own, in batches, and gives the place.
async fn streamed(mut events: Vec<Line>, batch_rows: u64) -> Place {
    for (line, offset) in events.iter_mut().zip(0..) {
        line.offset = offset;
    }
    let place = Place::new();
    let file = place.folder.path().join("events.jsonl");
    write_lines(&file, &events);
    place.stream(&file, batch_rows).await;
    place
}

async fn rows(place: &Place, table: &str) -> Vec<Vec<String>> {
    rows_of(&exported(&place.export().await, &format!("{table}.csv"))).1
}

#[tokio::test]
async fn d1_d2_a_key_has_one_row_however_many_batches_touch_it() {
    let events = (0..30).map(|second| event(second, "purchase", json!({}))).collect();
    let place = streamed(events, 1).await;
    assert_eq!(rows(&place, "sales_per_minute").await.len(), 1);
    assert_eq!(rows(&place, "orders_avg_ticket").await, [["1", "30", "300.00", "10.00"]]);
}

#[tokio::test]
async fn d3_what_was_sent_before_the_first_start_is_read() {
    let place = Place::new();
    run("simulate", json!({ "to": place.store, "events": 300 })).await.unwrap();
    let values = json!({ "from": place.store, "store": place.store, "archive": place.archive });
    assert_eq!(run("stream", values).await.unwrap().counts.read, 300);
}

#[tokio::test]
async fn d4_an_event_that_comes_again_is_not_counted_again() {
    let again = event(5, "purchase", json!({}));
    let place = streamed(vec![again.clone(), again.clone(), event(9, "purchase", json!({})), again], 2).await;
    assert_eq!(rows(&place, "orders_avg_ticket").await[0][1], "2");
    assert_eq!(quality(&place.export().await)["duplicate"], 2);
}

#[tokio::test]
async fn d5_a_late_purchase_is_kept_apart_and_not_dropped() {
    let late = Line { arrival: "2025-03-10T12:10:00Z".to_owned(), ..event(30, "purchase", json!({})) };
    let place = streamed(vec![event(0, "purchase", json!({})), event(599, "purchase", json!({})), late], 1).await;
    let first = &rows(&place, "sales_per_minute").await[0];
    assert_eq!(first[2..], ["10.00", "1", "10.00", "1", "true"]);
}

#[tokio::test]
async fn d6_an_event_from_the_future_closes_nothing() {
    let future = event(3, "purchase", json!({ "timestamp": "2999-01-01T00:00:00" }));
    let place = streamed(vec![event(0, "purchase", json!({})), future, event(10, "purchase", json!({}))], 1).await;
    assert_eq!(rows(&place, "sales_per_minute").await[0][2..], ["20.00", "2", "0.00", "0", "false"]);
    assert_eq!(quality(&place.export().await)["dead_letter:future_timestamp"], 1);
}

#[tokio::test]
async fn d7_a_time_without_zone_is_utc_wherever_the_worker_runs() {
    // The zone of this process is whatever the machine says; the day would shift in most of them.
    let midnight = |text: &str| {
        let arrival = "2025-03-10T00:00:01Z".to_owned();
        Line { arrival, ..event(0, "page_view", json!({ "timestamp": text, "event_id": text })) }
    };
    let place = streamed(vec![midnight("2025-03-09T23:59:59.999999"), midnight("2025-03-10T00:00:00")], 9).await;
    let lake = Lake::open(&StoreUrl::parse(&place.archive).unwrap()).await.unwrap();
    let files = lake.list(&LakePath::new("views").unwrap()).await.unwrap();
    let days: Vec<String> = files.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(days, ["views/fecha=2025-03-09/part-00000.parquet", "views/fecha=2025-03-10/part-00000.parquet"]);
}

#[tokio::test]
async fn d8_what_cannot_be_read_is_a_dead_letter_with_its_bytes() {
    let broken = Line { value: Some("{\"event_type\":".to_owned()), ..event(1, "purchase", json!({})) };
    let place = streamed(vec![event(0, "purchase", json!({})), broken], 9).await;
    assert_eq!(exported(&place.export().await, "dead_letter.csv").lines().nth(1), Some("orders,0,1,bad_json"));
    let values = json!({ "from": place.store, "store": place.store });
    assert!(run("stream", values).await.unwrap_err().to_string().contains("page_views"), "its topics are not there");
}

#[tokio::test]
async fn d9_numbers_and_texts_are_one_id_and_amounts_are_exact() {
    let mut events: Vec<Line> = (0..10).map(|second| event(second, "purchase", json!({ "price": 0.1 }))).collect();
    events.push(event(20, "purchase", json!({ "user_id": "1", "price": 18.005 })));
    let place = streamed(events, 3).await;
    // In binary ten times 0.1 is not 1.
    assert_eq!(rows(&place, "orders_avg_ticket").await, [["1", "11", "19.01", "1.73"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_readers_never_find_a_table_half_or_empty() {
    let place =
        streamed((0..50).map(|second| event(second, "page_view", json!({ "product_id": second }))).collect(), 50).await;
    let lake = Lake::open(&StoreUrl::parse(&place.archive).unwrap()).await.unwrap();
    let path = LakePath::new("tables/top_products.parquet").unwrap();
    let compacting = async {
        for _ in 0..10 {
            run("compact", json!({ "store": place.store, "archive": place.archive })).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..200 {
            assert_eq!(lake.info(&path).await.unwrap().expect("the file is always there").rows, 5);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::join!(compacting, reading);
}

#[tokio::test]
async fn d11_funnel_and_products_are_written() {
    let events = vec![
        event(0, "page_view", json!({})),
        event(10, "add_to_cart", json!({})),
        event(20, "purchase", json!({})),
        event(21, "add_to_cart", json!({ "product_id": 7, "category": null })),
    ];
    let place = streamed(events, 1).await;
    assert_eq!(rows(&place, "sales_by_product").await.len(), 1);
    assert_eq!(
        rows(&place, "funnel").await,
        [
            ["*", "1", "2", "1", "1", "1", "0.5000"],
            ["Tech", "1", "1", "1", "1", "1", "1.0000"],
            ["unknown", "0", "1", "0", "0", "0", "0.0000"]
        ]
    );
}

/// Bytes of state the ledger holds.
fn state_bytes(place: &Place) -> i64 {
    let connection = rusqlite::Connection::open(place.folder.path().join("store/headrace.sqlite")).unwrap();
    let spaces = "'peak minutes', 'peaks', 'funnel', 'timers', 'stream'";
    let query = format!("SELECT coalesce(sum(length(blob)), 0) FROM headrace_state WHERE space IN ({spaces})");
    connection.query_row(&query, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_state_follows_event_time_and_not_the_length_of_the_stream() {
    // The same rate for five and for fifteen days: views count for a day, carts and purchases for an hour.
    let mut sizes = Vec::new();
    for days in [5_u64, 15] {
        let place = Place::new();
        let file = place.folder.path().join("events.jsonl");
        let (spread, events) = (format!("{}h", 24 * days), days * 1_500);
        let simulate = json!({ "to": file_url(&file), "events": events, "spread": spread, "start": "2025-03-01 00:00:00",
            "users": 50, "products": 5 });
        run("simulate", simulate).await.unwrap();
        place.stream(&file, 2_000).await;
        sizes.push(state_bytes(&place));
    }
    assert!(sizes[1] < sizes[0] * 3 / 2, "{sizes:?}");
}

fn file_url(path: &std::path::Path) -> String {
    format!("file:{}", path.display())
}

#[tokio::test]
async fn d13_many_batches_make_few_files() {
    let place = Place::new();
    let values = json!({ "from": own().join("events.jsonl"), "store": place.store, "archive": place.archive,
        "batch_rows": 20, "archive_every": "0s" });
    run("stream", values).await.unwrap();
    let lake = Lake::open(&StoreUrl::parse(&place.archive).unwrap()).await.unwrap();
    for dataset in ["orders", "cart", "views"] {
        let files = lake.list(&LakePath::new(dataset).unwrap()).await.unwrap();
        assert!(files.len() <= 3, "{dataset}: {files:?}");
    }
}

#[tokio::test]
async fn d14_a_part_that_fails_fails_the_step() {
    let place = Place::new();
    // The archive's folder is a file.
    let blocked = place.folder.path().join("blocked");
    std::fs::write(&blocked, "").unwrap();
    let values =
        json!({ "from": own().join("events.jsonl"), "store": place.store, "archive": file_url(&blocked.join("lake")) });
    let error = run("stream", values).await.unwrap_err();
    assert!(error.kind() != ErrorKind::Fenced && error.to_string().contains("blocked"), "{error}");
}

#[tokio::test]
async fn d15_the_place_is_kept_and_names_are_in_one_place() {
    let place =
        streamed(vec![event(0, "page_view", json!({ "location": { "lat": -2.1708, "lon": -79.9224 } }))], 1).await;
    let lake = Lake::open(&StoreUrl::parse(&place.archive).unwrap()).await.unwrap();
    let file = lake.list(&LakePath::new("views").unwrap()).await.unwrap().remove(0);
    let rows = lake.read(&file.path, &raw_schema().unwrap()).await.unwrap().unwrap();
    assert_eq!(rows.column("lat").unwrap().f64().unwrap().get(0), Some(-2.1708));
    let topics: BTreeSet<String> = lines(&own().join("events.jsonl")).into_iter().map(|line| line.topic).collect();
    let known = headrace_pipelines::commerce::event::Kind::ALL.map(|kind| kind.topic().to_owned());
    assert_eq!(topics, known.into());
}

#[tokio::test]
async fn a_day_is_counted_again_from_the_archive_and_corrected() {
    let place = streamed((0..90).map(|second| event(second, "purchase", json!({}))).collect(), 40).await;
    let values =
        |apply: bool| json!({ "date": "2025-03-10", "store": place.store, "archive": place.archive, "apply": apply });
    assert_eq!(run("recompute", values(false)).await.unwrap().outcome, Outcome::Complete);
    let connection = rusqlite::Connection::open(place.folder.path().join("store/headrace.sqlite")).unwrap();
    connection.execute("UPDATE sales_per_minute SET total_orders = total_orders - 7", []).unwrap();
    connection.execute("DELETE FROM sales_by_product", []).unwrap();
    let report = run("recompute", values(false)).await.unwrap();
    assert_eq!((report.outcome, &report.facts["differences"]), (Outcome::Different, &json!(6)));
    run("recompute", values(true)).await.unwrap();
    assert_eq!(run("recompute", values(false)).await.unwrap().outcome, Outcome::Complete);
    assert_eq!(rows(&place, "sales_by_product").await.len(), 2);
}
