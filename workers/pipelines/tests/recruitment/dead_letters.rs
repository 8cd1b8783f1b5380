//! Dead letters: kept verbatim, listed, shown, and put through their step again, each at most once.

use headrace_core::{Control, ErrorKind, StoreUrl};
use headrace_pipelines::recruitment::dead_letter_replay::{Choice, read};
use headrace_pipelines::recruitment::schema::RawSchema;
use headrace_pipelines::recruitment::steps::{Clean, List, Load, ReplayDeadLetters, Show};
use headrace_pipelines::stores::{open_log, open_raw};
use serde_json::{Value, json};

use super::messages::{keyed, produce, stored_in, text_message};
use super::random::cases;
use super::{Place, cells, done, dropped, fates, golden, golden_text, is_complete, simulate};

/// The letters of the load step as they are stored.
async fn kept(place: &Place) -> Vec<headrace_core::dead_letter::DeadLetter> {
    let url = StoreUrl::parse(&place.raw).unwrap();
    let store = open_raw(&url).await.unwrap();
    let choice = Choice { settled: true, limit: usize::MAX, ..Choice::default() };
    read(&*store, &RawSchema::of(&url).unwrap().dead_letters, &choice).await.unwrap()
}

/// Writes corrections of some records of the edge set, made from the letters as `list --out` writes them.
async fn corrected(place: &Place, fix: impl Fn(&str, &str) -> Option<String>) -> std::path::PathBuf {
    let out = place.file("letters.jsonl");
    done::<List>(json!({ "from": place.raw, "step": "load", "out": out })).await;
    let mut lines = String::new();
    for line in std::fs::read_to_string(&out).unwrap().lines() {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        let raw = letter["raw"].as_str().unwrap().to_owned();
        if let Some(fixed) = fix(letter["position"].as_str().unwrap(), &raw) {
            letter["raw"] = fixed.into();
            lines.push_str(&format!("{letter}\n"));
        }
    }
    place.write("fixed.jsonl", lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_and_shown_with_their_text() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    let letters = place.letters("load", json!({})).await;
    let listed: Vec<String> = letters
        .iter()
        .map(|row| ["position", "reason", "detail"].map(|name| row[name].as_str().unwrap()).join(","))
        .collect();
    assert_eq!(listed.join("\n") + "\n", golden_text("edge_expected_dead_letter.csv").split_once('\n').unwrap().1);
    assert!(letters.iter().all(|row| row["source"].as_str().unwrap().contains("/edge_tracking.csv#")));
    assert_eq!(place.letters("load", json!({ "reason": "bad_number" })).await.len(), 2);
    assert_eq!(place.letters("load", json!({ "limit": 3 })).await.len(), 3);
    let shown = cells(&place.show_letter("load", "23").await);
    let raw = shown.iter().find(|row| row["field"] == "raw").unwrap()["value"].as_str().unwrap().to_owned();
    assert_eq!(golden_text("edge_tracking.csv").lines().find(|line| line.starts_with("22,")).unwrap(), raw);
    let error = super::refused::<Show>(json!({ "position": "99", "from": place.raw })).await;
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

/// A file that is replaced every day under the same name does not overwrite what was refused yesterday; one that only grew is
/// still the same file.
#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_replaced_file_are_kept_apart() {
    let place = Place::embedded();
    let text = golden_text("edge_tracking.csv");
    let header = text.lines().next().unwrap();
    let day = |day: u32| format!("{header}\n{day},bad\n");
    let file = place.write("daily.csv", day(1));
    assert_eq!(fates(&place.load(&file).await), [1, 0, 0, 1, 0]);
    std::fs::write(&file, day(2)).unwrap();
    assert_eq!(fates(&place.load(&file).await), [1, 0, 0, 1, 0]);
    let again = done::<Load>(place.load_values(&file, json!({ "restart": true }))).await;
    assert_eq!((fates(&again), kept(&place).await.len()), ([1, 0, 0, 1, 0], 2));
    std::fs::write(&file, day(2) + "3,bad\n").unwrap();
    assert_eq!(fates(&place.load(&file).await), [1, 0, 0, 1, 0]);
    let letters = kept(&place).await;
    let mut raw: Vec<&[u8]> = letters.iter().filter_map(|letter| letter.raw.as_deref()).collect();
    raw.sort_unstable();
    assert_eq!(raw, [&b"1,bad"[..], b"2,bad", b"3,bad"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_kept_as_they_came() {
    let place = Place::embedded();
    let mut file = golden_text("edge_tracking.csv").into_bytes();
    let record = b"99,\xff\xfe caf\xe9,\"a,b\",,,\n";
    file.extend_from_slice(record);
    place.load(&place.write("bytes.csv", file)).await;
    let letters = kept(&place).await;
    let letter = letters.iter().find(|letter| letter.reason == "not_utf8").unwrap();
    assert_eq!((letter.position.as_str(), letter.raw.as_deref()), ("29", Some(&record[..record.len() - 1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn corrected_records_enter_once_and_others_stay() {
    let place = Place::embedded();
    place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    // As they are, all are refused again, and nothing else changes.
    let report = place.replay_letters("load", None).await;
    assert_eq!((fates(&report), &report.facts["refused again"]), ([9, 0, 0, 9, 0], &json!(9)));
    assert_eq!(place.export("messages").await, golden_text("edge_expected_messages.jsonl"));
    assert_eq!(place.export("dead-letters").await, golden_text("edge_expected_dead_letter.csv"));
    assert!(place.letters("load", json!({})).await.iter().all(|row| row["replays"] == "1"));

    // 20: `abc` becomes a price; 21: `NaN` becomes something that is still wrong.
    let fixed = corrected(&place, |position, raw| match position {
        "20" => Some(raw.replace(",abc,", ",3.5,")),
        "21" => Some(raw.replace(",NaN,", ",-4,")),
        _ => None,
    });
    let report = place.replay_letters("load", Some(&fixed.await)).await;
    assert_eq!(fates(&report), [2, 1, 0, 1, 0]);
    // The counters of the step follow: what was settled is no dead letter, what is refused for another reason is counted there.
    let counters = place.counters("load").await;
    assert!(counters.balances(), "{counters:?}");
    assert_eq!((counters.read, counters.written, counters.dead_lettered), (28, 19, 8));
    let golden_reasons = golden_text("edge_expected_dead_letter.csv");
    let refused = |reason: &str| golden_reasons.matches(&format!(",{reason},")).count() as u64;
    assert_eq!(counters.classes.get("dead_letter:bad_number").copied().unwrap_or_default(), refused("bad_number") - 2);
    assert_eq!(counters.classes["dead_letter:negative_bid"], refused("negative_bid") + 1);
    let letters = place.letters("load", json!({ "all": true })).await;
    let of = |position: &str| letters.iter().find(|row| row["position"] == position).unwrap();
    assert_eq!((&of("20")["replays"], of("20")["settled at"] != ""), (&json!("2"), true));
    assert_eq!(
        (&of("21")["replays"], &of("21")["reason"], &of("21")["settled at"]),
        (&json!("2"), &json!("negative_bid"), &json!(""))
    );
    assert_eq!((&of("16")["replays"], &of("16")["reason"]), (&json!("1"), &json!("conflicting_duplicate")));
    assert_eq!(place.letters("load", json!({})).await.len(), 8);

    // Settled is never replayed, however often and with whatever correction.
    for fixed in [None, Some(place.file("fixed.jsonl"))] {
        let again = place.replay_letters("load", fixed.as_deref()).await;
        assert_eq!(fates(&again)[1..3], [0, 0]);
    }
    assert_eq!(fates(&place.replay().await)[1], 1);
    assert_eq!(fates(&place.clean().await)[1], 1);
    let hour = place.hourly().await;
    assert_ne!(hour, golden_text("edge_expected_hourly.csv"));
    assert!(is_complete(&place.verify().await));
}

/// A corrected record that is in the store already is settled as what it is: a copy, or a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn a_correction_cannot_replace_a_stored_row() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    let before = place.export("messages").await;
    let text = golden_text("edge_tracking.csv");
    let first = text.lines().nth(2).unwrap().to_owned();
    let fixed = corrected(&place, |position, _| match position {
        "17" => Some(first.clone()),
        "18" => Some(first.replace(",2.0,Chrome 103,", ",2.5,Chrome 103,")),
        _ => None,
    });
    let report = place.replay_letters("load", Some(&fixed.await)).await;
    assert_eq!(fates(&report), [2, 0, 1, 1, 0]);
    let letters = place.letters("load", json!({})).await;
    let still = letters.iter().find(|row| row["position"] == "18").unwrap();
    assert_eq!(still["reason"], "conflicting_duplicate");
    assert!(letters.iter().all(|row| row["position"] != "17"));
    assert_eq!(place.export("messages").await, before);
}

/// Killed at any moment and started again, several at once: each corrected record is there once.
#[tokio::test(flavor = "multi_thread")]
async fn replays_may_be_killed_and_run_at_once() {
    cases(5, async |mut random| {
        let place = Place::embedded();
        let files = simulate(&place, random.next(), 200, 0.0);
        let text = std::fs::read_to_string(&files.tracking).unwrap();
        let (header, records) = text.split_once('\n').unwrap();
        // A field too many in every record.
        let broken: Vec<String> = records.lines().map(|record| format!("{record},more")).collect();
        let file = place.write("broken.csv", format!("{header}\n{}\n", broken.join("\n")));
        let lines = place.load(&file).await.counts.dead_lettered;
        assert!(lines >= 200);
        let out = place.file("letters.jsonl");
        done::<List>(json!({ "from": place.raw, "step": "load", "out": out, "limit": 1000 })).await;
        let fixed = place.write("fixed.jsonl", std::fs::read_to_string(&out).unwrap().replace(",more\"", "\""));
        let values = place.letter_values("load", Some(&fixed));
        for _ in 0..random.below(3) {
            dropped::<ReplayDeadLetters>(&values, random.millis(0, 30)).await;
        }
        let at_once: Vec<_> = (0..2)
            .map(|_| {
                let values = values.clone();
                tokio::spawn(async move { super::run::<ReplayDeadLetters>(&values, &Control::default()).await })
            })
            .collect();
        for ended in at_once {
            if let Err(error) = ended.await.unwrap() {
                assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            }
        }
        done::<ReplayDeadLetters>(values).await;
        let straight = Place::embedded();
        straight.load(&files.tracking).await;
        assert_eq!(place.export("messages").await, straight.export("messages").await);
    })
    .await;
}

/// The messages of the dead-letter topic, and letters of clean put through again.
#[tokio::test(flavor = "multi_thread")]
async fn refused_messages_go_to_topic_and_table_and_come_back() {
    let place = Place::embedded();
    place.jobs(&golden("edge_job.csv")).await;
    let id = "a5957ff6-d75e-11ee-8000-000000000001";
    let good =
        format!(r#"{{"event_id":"{id}","ts":"2024-02-29 23:59:59","job_id":10,"custom_track":"click","bid":1.5}}"#);
    let late = good.replace("23:59:59", "23:59:57");
    let old = r#"{"ts":"2024-02-29 10:00:00","job_id":"x","custom_track":"click","bid":2}"#;
    let mut messages = [&late, "no json", old].map(|value| text_message(Some("10"), value)).to_vec();
    messages.push((None, b"\xff{}".to_vec()));
    produce(&place.log, 1, &messages).await;
    assert_eq!(fates(&place.clean().await), [4, 0, 0, 4, 0]);

    let log = open_log(&StoreUrl::parse(&place.log).unwrap()).await.unwrap();
    let sent = stored_in(&*log, "users_created.dlq").await;
    let values: Vec<Value> =
        sent.iter().map(|sent| serde_json::from_slice(sent.value.as_ref().unwrap()).unwrap()).collect();
    assert_eq!(
        sent.iter().map(|sent| sent.key.as_deref()).collect::<Vec<_>>(),
        [Some(&b"10"[..]), Some(b"10"), Some(b"10"), None]
    );
    assert_eq!(
        values.iter().map(|value| &value["reason"]).collect::<Vec<_>>(),
        ["time_mismatch", "bad_json", "bad_identifier", "not_utf8"]
    );
    for (number, value) in values.iter().enumerate() {
        assert_eq!((&value["source"], &value["position"]), (&json!("users_created"), &json!(format!("0-{number}"))));
        assert!(value["failed_at"].is_string() && value["detail"].is_string());
    }
    assert_eq!(values[0]["raw"], json!(late));
    assert_eq!(values[3]["raw_hex"], json!("ff7b7d"));

    let fix = |position: &str, raw: &str| json!({ "source": "users_created", "position": position, "raw": raw });
    let fixes = [fix("0-0", &good), fix("0-1", &good), fix("0-2", &old.replace("\"x\"", "11"))];
    let fixed = place.write("fixed.jsonl", fixes.map(|fix| format!("{fix}\n")).concat());
    let report = place.replay_letters("clean", Some(&fixed)).await;
    // Two corrections became the same event.
    assert_eq!(fates(&report), [3, 2, 1, 0, 0]);
    assert_eq!(fates(&place.replay_letters("clean", Some(&fixed)).await), [0; 5]);
    let expected = "10,2024-02-29 23:00:00,2024-02-29,23,0,0,0,1.50,1,1.50,,,,33,Cassandra\n\
                    11,2024-02-29 10:00:00,2024-02-29,10,0,0,0,2.00,1,2.00,,,,,Cassandra\n";
    assert_eq!(place.hourly().await.split_once('\n').unwrap().1, expected);

    // Read again from the beginning, the letters are there again; put through again, they add nothing.
    let again = done::<Clean>(place.clean_values(json!({ "restart": true }))).await;
    assert_eq!(fates(&again), [4, 0, 0, 4, 0]);
    assert_eq!(fates(&place.replay_letters("clean", Some(&fixed)).await)[1], 0);
    assert_eq!(place.hourly().await.split_once('\n').unwrap().1, expected);
    assert_eq!(place.letters("clean", json!({})).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_of_corrections_changes_nothing() {
    let place = Place::embedded();
    place.load(&golden("edge_tracking.csv")).await;
    let fixed = place.write("fixed.jsonl", "{\"source\":\"a\",\"position\":\"20\",\"raw\":\"x\"}\n{\"position\": 3}\n");
    let error = super::refused::<ReplayDeadLetters>(place.letter_values("load", Some(&fixed))).await;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("fixed.jsonl, line 2"), "{error}");
    let missing = place.file("nowhere.jsonl");
    let error = super::refused::<ReplayDeadLetters>(place.letter_values("load", Some(&missing))).await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(place.letters("load", json!({})).await.iter().all(|row| row["replays"] == "0"));
    done::<Load>(place.load_values(&golden("edge_tracking.csv"), json!({ "restart": true }))).await;
    assert_eq!(kept(&place).await.len(), 9);
}

/// A file that is read again from its beginning leaves settled letters settled, with the text that settled them.
#[tokio::test(flavor = "multi_thread")]
async fn settled_letters_stay_settled() {
    let place = Place::embedded();
    let file = golden("edge_tracking.csv");
    place.load(&file).await;
    let fixed = corrected(&place, |position, raw| (position == "20").then(|| raw.replace(",abc,", ",3.5,")));
    assert_eq!(fates(&place.replay_letters("load", Some(&fixed.await)).await), [1, 1, 0, 0, 0]);
    let settled = async || kept(&place).await.into_iter().find(|letter| letter.position == "20").unwrap();
    let before = settled().await;
    assert!(before.settled_at_us.is_some() && String::from_utf8_lossy(before.raw.as_ref().unwrap()).contains(",3.5,"));
    let again = done::<Load>(place.load_values(&file, json!({ "restart": true }))).await;
    assert_eq!(fates(&again)[1], 0);
    let after = settled().await;
    assert_eq!((after.settled_at_us, &after.raw, after.reason), (before.settled_at_us, &before.raw, before.reason));
    assert_eq!(place.letters("load", json!({})).await.len(), 8);
    assert_eq!(fates(&place.replay_letters("load", None).await)[0], 8);
}

/// Messages that another producer sent wrong, corrected: `verify` knows that they are in the result and not in the topic.
#[tokio::test(flavor = "multi_thread")]
async fn verify_knows_corrected_messages() {
    let place = Place::embedded();
    place.whole(&golden("edge_tracking.csv"), &golden("edge_job.csv")).await;
    let good = r#"{"event_id":"a5957ff6-d75e-11ee-8000-0000000000ff","ts":"2024-02-29 23:59:59","job_id":10,"custom_track":"click","bid":1.5}"#;
    let known = keyed(&golden_text("edge_expected_messages.jsonl")).remove(0).1;
    let wrong = [("10", "no json"), ("10", "none either")].map(|(key, value)| text_message(Some(key), value));
    produce(&place.log, 3, &wrong).await;
    assert_eq!(fates(&place.clean().await), [2, 0, 0, 2, 0]);
    let letters = place.letters("clean", json!({})).await;
    let positions: Vec<&str> = letters.iter().map(|letter| letter["position"].as_str().unwrap()).collect();
    let texts = [good.to_owned(), String::from_utf8(known).unwrap()];
    let fix =
        |(position, raw): (&&str, &String)| json!({ "source": "users_created", "position": position, "raw": raw });
    let lines: String = positions.iter().zip(&texts).map(fix).map(|fix| format!("{fix}\n")).collect();
    let fixed = place.write("fixed.jsonl", lines);
    // One is a new event, the other a copy of one that the topic has.
    assert_eq!(fates(&place.replay_letters("clean", Some(&fixed)).await), [2, 1, 1, 0, 0]);
    let report = place.verify().await;
    assert!(is_complete(&report), "{:?}", report.notes);
    assert_eq!(report.facts["topic corrected"], json!(2));
    let counters = place.counters("clean").await;
    assert!(counters.balances() && counters.dead_lettered == 0, "{counters:?}");
    // Also after the topic was read again from its beginning.
    done::<Clean>(place.clean_values(json!({ "restart": true }))).await;
    assert!(is_complete(&place.verify().await));
    assert_eq!(place.letters("clean", json!({})).await.len(), 0);
}

/// Letters of the job dimension are listed, shown and put through again like the others.
#[tokio::test(flavor = "multi_thread")]
async fn refused_jobs_come_back() {
    let place = Place::embedded();
    let file = place.write("job.csv", "title,company_id,id\nfirst,33,10\nsecond,x,11\nthird,55,12,more\n");
    assert_eq!(fates(&place.jobs(&file).await), [3, 1, 0, 2, 0]);
    let letters = place.letters("jobs", json!({})).await;
    let reasons: Vec<_> = letters.iter().map(|letter| [&letter["position"], &letter["reason"]]).collect();
    assert_eq!(reasons, [[&json!("2"), &json!("bad_identifier")], [&json!("3"), &json!("column_count")]]);
    let shown = cells(&place.show_letter("jobs", "3").await);
    assert_eq!(shown.iter().find(|row| row["field"] == "raw").unwrap()["value"], "third,55,12,more");
    assert_eq!(fates(&place.replay_letters("jobs", None).await), [2, 0, 0, 2, 0]);
    let source = letters[0]["source"].as_str().unwrap();
    let fix = json!({ "source": source, "position": "2", "raw": "second,44,11" });
    let fixed = place.write("fixed.jsonl", format!("{fix}\n"));
    assert_eq!(fates(&place.replay_letters("jobs", Some(&fixed)).await), [1, 1, 0, 0, 0]);
    assert_eq!(fates(&place.replay_letters("jobs", Some(&fixed)).await), [0; 5]);
    let database = rusqlite::Connection::open(place.file("store").join("headrace.sqlite")).unwrap();
    let company = |job: i64| -> Option<i64> {
        database.query_row("SELECT company_id FROM job WHERE id = ?", [job], |row| row.get(0)).unwrap()
    };
    assert_eq!((company(10), company(11)), (Some(33), Some(44)));
    assert_eq!(place.letters("jobs", json!({})).await.len(), 1);
}
