//! The recruitment steps through a real Cassandra, a real Kafka and a real MariaDB (and MySQL 9): golden files, dead letters,
//! verification and errors.

use std::time::Duration;

use headrace_core::report::Outcome;
use headrace_core::{Control, ErrorKind, StoreUrl};
use headrace_pipelines::recruitment::steps::{Clean, Jobs, List, Load, Replay};
use headrace_pipelines::stores::open_log;
use serde_json::{Value, json};

use super::messages::{keyed, produce, sorted_lines, stored_in};
use super::server_places::{everywhere, places};
use super::{done, fates, golden, golden_text, is_complete};

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_set_gives_its_expected_files() {
    everywhere("edge", async |place| {
        let cleaned = place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
        assert_eq!(fates(&cleaned), [18, 14, 0, 0, 4]);
        assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
        assert_eq!(place.export("unattributed").await, golden_text("edge_expected_unattributed_hourly.csv"));
        assert_eq!(place.export("dead-letters").await, golden_text("edge_expected_dead_letter.csv"));
        assert_eq!(place.export("messages").await, golden_text("edge_expected_messages.jsonl"));
        assert_eq!(sorted_lines(&place.log).await, golden_text("edge_expected_messages.jsonl"));
        assert!(is_complete(&place.verify().await));
        // Again from everywhere: nothing new, nothing doubled.
        for report in [place.load(&golden("edge_tracking.csv")).await, place.replay().await, place.clean().await] {
            assert_eq!(fates(&report), [0; 5]);
        }
        let restarted = done::<Load>(place.load_values(&golden("edge_tracking.csv"), json!({ "restart": true }))).await;
        assert_eq!(fates(&restarted), [28, 0, 19, 9, 0]);
        assert_eq!(fates(&done::<Replay>(place.replay_values(json!({ "again": true }))).await)[1], 18);
        assert_eq!(fates(&done::<Replay>(place.replay_values(json!({ "order": "token" }))).await)[1], 18);
        assert_eq!(fates(&place.clean().await), [36, 0, 36, 0, 0]);
        assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));

        let databases = place.servers.as_ref().unwrap();
        let filled: Vec<(i64, String, Option<String>, i64, String, i64)> = databases
            .rows("SELECT job_id, DATE_FORMAT(ts, '%Y-%m-%d %H:%i:%s'), CAST(bid_set AS CHAR), clicks, CAST(spend_hour AS CHAR), conversion FROM result_filled WHERE group_id = 34")
            .await;
        assert_eq!(filled, [(10, "2024-02-29 22:00:00".to_owned(), Some("1.25".to_owned()), 1, "1.250000".to_owned(), 0)]);

        // Empty fields are nulls (that they leave no tombstones is a test of the connector).
        let session = databases.cassandra().await;
        let cql = format!("SELECT bid, WRITETIME(dl), WRITETIME(utm_term), WRITETIME(bn) FROM {}.tracking", databases.name);
        let rows = session.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
        type Row = (Option<f64>, Option<i64>, Option<i64>, Option<i64>);
        let rows: Vec<Row> = rows.rows().unwrap().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), 18);
        assert!(rows.iter().all(|(_, _, term, bn)| term.is_none() && bn.is_some()));
        assert_eq!(rows.iter().filter(|(_, dl, ..)| dl.is_some()).count(), 1);
        assert_eq!(rows.iter().filter(|(bid, ..)| bid.is_none()).count(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supplied_files_give_the_stated_numbers() {
    let Some(directory) = super::supplied() else { return };
    everywhere("supplied", async |place| {
        let cleaned = place.whole(&directory.join("tracking.csv"), &directory.join("job.csv")).await;
        assert_eq!(fates(&cleaned), [6_766, 1_024, 0, 0, 5_742]);
        super::assert_supplied(place, &directory).await;
        assert!(is_complete(&place.verify().await));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_jobs_are_in_the_next_run() {
    everywhere("jobs", async |place| {
        place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
        let changed = place.write("changed.csv", "id,company_id\n10,\n11,7\n999999,8\n");
        assert_eq!(fates(&place.jobs(&changed).await), [3, 3, 0, 0, 0]);
        assert_eq!(place.hourly().await, golden_text("edge_expected_hourly.csv"));
        place.clean().await;
        let expected = golden_text("edge_expected_hourly.csv")
            .replace(",33,Cassandra", ",,Cassandra")
            .replace(
                "11,2024-02-29 23:00:00,2024-02-29,23,1,5,0,0.67,3,2.00,,,,,",
                "11,2024-02-29 23:00:00,2024-02-29,23,1,5,0,0.67,3,2.00,,,,7,",
            )
            .replace("1.00,1,1.00,,,,,", "1.00,1,1.00,,,,8,");
        assert_eq!(place.hourly().await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_and_come_back_once() {
    everywhere("letters", async |place| {
        place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
        let out = place.file("letters.jsonl");
        done::<List>(json!({ "from": place.raw, "out": out, "reason": "bad_number" })).await;
        let fixed = place.write("fixed.jsonl", std::fs::read_to_string(&out).unwrap().replace(",abc,", ",3.5,"));
        assert_eq!(fates(&place.replay_letters("load", Some(&fixed)).await), [2, 1, 0, 1, 0]);
        assert_eq!(fates(&place.replay_letters("load", Some(&fixed)).await), [1, 0, 0, 1, 0]);
        let letters = place.letters("load", json!({ "reason": "bad_number", "all": true })).await;
        let replays: Vec<_> =
            letters.iter().map(|row| (row["replays"].as_str().unwrap(), row["settled at"] != "")).collect();
        assert_eq!(replays, [("1", true), ("2", false)]);
        assert_eq!((fates(&place.replay().await)[1], fates(&place.clean().await)[1]), (1, 1));
        assert!(is_complete(&place.verify().await));

        let bad = [super::messages::text_message(Some("k"), "no json"), (None, b"\xff".to_vec())];
        produce(&place.log, 3, &bad).await;
        assert_eq!(fates(&place.clean().await), [2, 0, 0, 2, 0]);
        let url = StoreUrl::parse(&place.log).unwrap();
        let topic = url.topic("").unwrap();
        let sent = stored_in(&*open_log(&url).await.unwrap(), &format!("{topic}.dlq")).await;
        assert_eq!(sent.len(), 2);
        for message in &sent {
            let value: Value = serde_json::from_slice(message.value.as_ref().unwrap()).unwrap();
            assert_eq!((&value["source"], message.key.is_some()), (&json!(topic), value["reason"] == "bad_json"));
        }
        let letters = place.letters("clean", json!({ "reason": "bad_json" })).await;
        let fix = json!({ "source": topic, "position": letters[0]["position"],
            "raw": r#"{"ts":"2024-02-29 10:00:00","job_id":11,"custom_track":"click","bid":2}"# });
        let fixed = place.write("message.jsonl", format!("{fix}\n"));
        assert_eq!(fates(&place.replay_letters("clean", Some(&fixed)).await), [1, 1, 0, 0, 0]);
        assert_eq!(fates(&place.replay_letters("clean", Some(&fixed)).await), [0; 5]);
        assert!(
            place.hourly().await.contains("11,2024-02-29 10:00:00,2024-02-29,10,0,0,0,2.00,1,2.00,,,,,Cassandra\n")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_is_wrong() {
    everywhere("verify", async |place| {
        place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
        let databases = place.servers.as_ref().unwrap();
        assert_eq!(databases.change("DELETE FROM result WHERE job_id = 999999").await, 1);
        assert_eq!(databases.change("UPDATE result SET clicks = clicks * 2 WHERE job_id = 11").await, 1);
        assert_eq!(databases.change("UPDATE result SET spend_hour = spend_hour + 0.01 WHERE group_id = 34").await, 1);
        let one = golden_text("edge_tracking.csv").lines().nth(1).unwrap().replace("-000000000001,", "-0000000000aa,");
        let header = golden_text("edge_tracking.csv").lines().next().unwrap().to_owned();
        place.load(&place.write("one.csv", format!("{header}\n{one}\n"))).await;
        produce(&place.log, 3, &keyed(golden_text("edge_expected_messages.jsonl").lines().next().unwrap())).await;
        let report = place.verify().await;
        assert_eq!(report.outcome, Outcome::Different);
        for (name, count) in [
            ("topic missing", 1),
            ("topic unexpected", 0),
            ("topic different", 0),
            ("topic doubled", 1),
            ("result rows missing", 1),
            ("result rows unexpected", 0),
            ("result rows different", 2),
        ] {
            assert_eq!(report.facts[name], count, "{name}");
        }
    })
    .await;
}

/// Wrong logins, hosts and names are told soon, in one line, without the password.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_servers_logins_and_names() {
    let Some(place) = places("wrong").into_iter().next() else { return };
    let (file, jobs) = (golden("edge_tracking.csv"), golden("edge_job.csv"));
    let with = |url: &str, from: &str, to: &str| {
        assert!(url.contains(from), "{url} {from}");
        url.replacen(from, to, 1)
    };
    let port = |url: &str| StoreUrl::parse(url).unwrap().hosts[0].1.unwrap().to_string();
    let raw_down = with(&place.raw, &port(&place.raw), "1");
    let log_down = with(&place.log, &port(&place.log), "1");
    let result_down = with(&place.result, &port(&place.result), "1");
    let login = place.servers.as_ref().unwrap();
    let user = place.result.split_once("://").unwrap().1.split_once('@').unwrap().0.to_owned();
    let wrong_login = with(&place.result, &user, "lab:canary");
    place.load(&file).await;
    let load = |to: &str| json!({ "file": file, "to": to });
    let load_jobs = |to: &str| json!({ "file": jobs, "to": to });
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("load", load(&raw_down), &["127.0.0.1:1"]),
        ("load", load(&with(&place.raw, "127.0.0.1", "no-such-host.invalid")), &["no-such-host.invalid"]),
        ("jobs", load_jobs(&result_down), &["127.0.0.1:1"]),
        ("jobs", load_jobs(&with(&place.jobs, "127.0.0.1", "no-such-host.invalid")), &["no-such-host.invalid"]),
        ("jobs", load_jobs(&wrong_login), &["lab", "password"]),
        ("replay", json!({ "from": place.raw, "to": log_down }), &["127.0.0.1:1"]),
        (
            "replay",
            json!({ "from": format!("{}/nowhere", place.raw), "to": place.log }),
            &["`nowhere` does not exist", "load"],
        ),
        ("clean", json!({ "from": place.log, "to": place.result }), &["does not exist", "replay"]),
        ("clean", json!({ "from": log_down, "to": place.result }), &["127.0.0.1:1"]),
    ];
    for (step, values, words) in cases {
        let began = std::time::Instant::now();
        let control = Control::default();
        let ended = match step {
            "load" => super::run::<Load>(&values, &control).await,
            "jobs" => super::run::<Jobs>(&values, &control).await,
            "replay" => super::run::<Replay>(&values, &control).await,
            _ => super::run::<Clean>(&values, &control).await,
        };
        let error = ended.unwrap_err();
        let text = error.to_string();
        eprintln!("{step}: {:?} after {:?}: {text}", error.kind(), began.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Configuration | ErrorKind::External), "{text}");
        assert!(!text.contains('\n') && !text.contains("canary"), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} not in: {text}");
        assert!(began.elapsed() < Duration::from_secs(40), "{text}");
    }
    login.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_told_rightly() {
    everywhere("lag", async |place| super::lag::is_told_rightly(place).await).await;
}
