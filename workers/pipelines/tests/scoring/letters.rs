//! Refused registrations: listed, shown, and scored once more as they are or corrected, each at most once.

use std::path::{Path, PathBuf};

use headrace_core::report::Outcome;
use headrace_core::step::{Parameters, Step};
use headrace_core::{Control, ErrorKind, Report, Result};
use headrace_pipelines::scoring::steps::{ListDeadLetters, ReplayDeadLetters, Score, Send, ShowDeadLetters, Verify};
use serde_json::{Value, json};

use super::{Urls, layouts, written};

async fn run<P: Parameters>(values: Value) -> Result<Report> {
    Step::of::<P>().run_values(values.as_object().unwrap(), Control::default()).await
}

async fn done<P: Parameters>(values: Value) -> Report {
    run::<P>(values.clone()).await.unwrap_or_else(|error| panic!("{} {values}: {error}", P::NAME))
}

fn with(urls: &Urls, more: Value) -> Value {
    let mut values = json!({ "offers": urls.offers, "ledger": urls.ledger });
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    values
}

fn with_cache(urls: &Urls, more: Value) -> Value {
    let mut values = with(urls, more);
    values["cache"] = json!(urls.cache);
    values
}

async fn listed(urls: &Urls, more: Value) -> Vec<Vec<String>> {
    done::<ListDeadLetters>(with(urls, more)).await.table.unwrap().rows
}

/// Sends and scores registrations, many of them broken; gives how many were refused.
async fn scored(urls: &Urls, directory: &Path) -> u64 {
    let log = format!("embedded:{}", directory.join("log").display());
    done::<Send>(json!({ "to": log, "count": 1_500, "varied": true, "defects": 0.3, "start": "2025-01-16 04:00:00" }))
        .await;
    done::<Score>(with_cache(urls, json!({ "from": log }))).await.counts.dead_lettered
}

/// A file of letters whose children get another age.
async fn corrected(urls: &Urls, directory: &Path, age: impl Fn(usize) -> u8) -> (PathBuf, Vec<u64>) {
    let out = directory.join("letters.jsonl");
    listed(urls, json!({ "out": out, "limit": 1_000, "reason": "bad_child_age" })).await;
    let (mut lines, mut users) = (String::new(), Vec::new());
    for (number, line) in std::fs::read_to_string(&out).unwrap().lines().enumerate() {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        let mut envelope: Value = serde_json::from_str(letter["raw"].as_str().unwrap()).unwrap();
        envelope["payload"]["child_age"] = json!(age(number));
        users.push(envelope["payload"]["user_id"].as_str().unwrap().parse().unwrap());
        letter["raw"] = envelope.to_string().into();
        lines.push_str(&format!("{letter}\n"));
    }
    let fixed = directory.join("fixed.jsonl");
    std::fs::write(&fixed, lines).unwrap();
    (fixed, users)
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_and_shown() {
    for (_, directory, urls) in layouts() {
        let refused = scored(&urls, directory.path()).await;
        let all = listed(&urls, json!({ "limit": 1_000 })).await;
        assert!(refused > 100 && all.len() as u64 == refused, "{} of {refused}", all.len());
        assert_eq!(listed(&urls, json!({ "limit": 3 })).await.len(), 3);
        let reason = &all[0][1];
        let same = all.iter().filter(|row| row[1] == *reason).count();
        assert_eq!(listed(&urls, json!({ "limit": 1_000, "reason": reason })).await.len(), same);
        let ours = all.iter().find(|row| row[1] == "bad_child_age").unwrap();
        let shown = done::<ShowDeadLetters>(with(&urls, json!({ "position": ours[0] }))).await.table.unwrap().rows;
        let raw = shown.iter().find(|row| row[0] == "raw").unwrap();
        assert!(raw[1].contains("\"child_age\":"), "{raw:?}");
        let error = run::<ShowDeadLetters>(with(&urls, json!({ "position": "9-9" }))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn corrected_letters_become_offers_once() {
    for (_, directory, urls) in layouts() {
        let refused = scored(&urls, directory.path()).await;
        let before = written(&urls.open().await).await;

        // As they are, all are refused again, and nothing else changes.
        let report = done::<ReplayDeadLetters>(with_cache(&urls, json!({}))).await;
        assert_eq!((report.counts.read, report.counts.dead_lettered), (refused, refused));
        assert_eq!(written(&urls.open().await).await, before);
        assert!(listed(&urls, json!({ "limit": 1_000 })).await.iter().all(|row| row[4] == "1"));

        // The first of them gets an age that is still wrong.
        let (fixed, users) = corrected(&urls, directory.path(), |number| if number == 0 { 130 } else { 7 }).await;
        let replay = with_cache(&urls, json!({ "fixed": fixed }));
        let report = done::<ReplayDeadLetters>(replay.clone()).await;
        let (all, right) = (users.len() as u64, users.len() as u64 - 1);
        assert!(right > 2);
        assert_eq!((report.counts.read, report.counts.written, report.counts.dead_lettered), (all, right, 1));
        let after = written(&urls.open().await).await;
        assert!(after.counts.balances(), "{:?}", after.counts);
        assert_eq!(after.counts.written, before.counts.written + right);
        assert_eq!(after.counts.dead_lettered, refused - right);
        assert_eq!(after.counts.classes["dead_letter:bad_child_age"], 1);
        assert_eq!(after.history.len() as u64, before.history.len() as u64 + right);
        for user in &users[1..] {
            assert!(after.cache.contains_key(&user.to_string()), "user {user} has no offer");
        }
        assert!(!after.cache.contains_key(&users[0].to_string()));
        let verified = done::<Verify>(with_cache(&urls, json!({}))).await;
        assert_eq!((verified.outcome, &verified.facts["dead letters"]), (Outcome::Complete, &json!(refused - right)));

        // Settled letters are passed over, also with the same corrections; the other one has another try.
        let again = done::<ReplayDeadLetters>(replay).await;
        assert_eq!((again.counts.read, again.counts.dead_lettered), (1, 1));
        assert_eq!(written(&urls.open().await).await, after);
        assert_eq!(listed(&urls, json!({ "limit": 1_000 })).await.len() as u64, refused - right);
        assert_eq!(listed(&urls, json!({ "limit": 1_000, "all": true })).await.len() as u64, refused);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let urls = Urls::together(directory.path());
    let error = run::<ListDeadLetters>(with(&urls, json!({}))).await.unwrap_err();
    assert!(error.to_string().contains("scoring score"), "{error}");
    scored(&urls, directory.path()).await;
    let wrong = directory.path().join("wrong.jsonl");
    std::fs::write(&wrong, "{}\n").unwrap();
    let error = run::<ReplayDeadLetters>(with_cache(&urls, json!({ "fixed": wrong }))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("line 1"), "{error}");
}
