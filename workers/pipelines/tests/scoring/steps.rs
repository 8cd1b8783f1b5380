//! The steps of scoring on the embedded store, as Airflow runs them: by JSON values, each opening its own stores.

use std::path::Path;
use std::time::Duration;

use headrace_core::report::Outcome;
use headrace_core::step::{Parameters, Step};
use headrace_core::{Control, Report, Result, StoreUrl};
use headrace_pipelines::scoring::model::ModelFile;
use headrace_pipelines::scoring::offer::TARGETS;
use headrace_pipelines::scoring::schema::TOPIC;
use headrace_pipelines::scoring::steps::{Demo, Rescore, Score, Send, Verify};
use headrace_pipelines::stores::open_log;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Urls, assert_agrees, written};

async fn run<P: Parameters>(values: &Value, control: &Control) -> Result<Report> {
    Step::of::<P>().run_values(values.as_object().unwrap(), control.clone()).await
}

async fn done<P: Parameters>(values: Value) -> Report {
    let report = run::<P>(&values, &Control::default()).await;
    report.unwrap_or_else(|error| panic!("{} {values}: {error}", P::NAME))
}

/// A store in a directory of its own.
fn place() -> (TempDir, Urls) {
    let directory = tempfile::tempdir().unwrap();
    let urls = Urls::together(directory.path());
    (directory, urls)
}

/// The built-in model under another name, its prices so many roubles higher.
fn dearer(directory: &Path, name: &str, roubles: f64) -> std::path::PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scoring/model/simulated.json");
    let mut model: Value = serde_json::from_str(&std::fs::read_to_string(built_in).unwrap()).unwrap();
    model["name"] = json!(name);
    let intercept = &mut model["weights"]["cost"][0];
    *intercept = json!(intercept.as_f64().unwrap() + roubles);
    let path = directory.join(format!("{name}.json"));
    std::fs::write(&path, model.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_scored_once() {
    let (_directory, urls) = place();
    let send =
        json!({ "to": urls.offers, "count": 500, "varied": true, "defects": 0.1, "start": "2025-01-16 04:00:00" });
    let sent = done::<Send>(send.clone()).await;
    let broken: u64 =
        sent.facts.iter().filter(|(name, _)| name.starts_with("broken:")).map(|it| it.1.as_u64().unwrap()).sum();
    assert!(sent.counts.written == 500 && broken > 20, "{broken}");
    let score = json!({ "from": urls.offers, "offers": urls.offers });
    let scored = done::<Score>(score.clone()).await;
    assert_eq!((scored.counts.written, scored.counts.dead_lettered), (500 - broken, broken));
    for (reason, count) in sent.facts.iter().filter(|(name, _)| name.starts_with("broken:")) {
        assert_eq!(scored.counts.classes[&reason.replace("broken:", "dead_letter:")], count.as_u64().unwrap());
    }
    // The same bytes again: every accepted one is known.
    done::<Send>(send).await;
    let again = done::<Score>(score).await;
    assert_eq!((again.counts.written, again.counts.duplicate, again.counts.dead_lettered), (0, 500 - broken, broken));
    assert_agrees(&written(&urls.open().await).await);
    let verified = done::<Verify>(json!({ "offers": urls.offers })).await;
    assert_eq!((verified.outcome, &verified.facts["differences"]), (Outcome::Complete, &json!(0)), "{verified:?}");
    let letters = open_log(&StoreUrl::parse(&urls.offers).unwrap()).await.unwrap();
    let extents = letters.extents(&format!("{TOPIC}.dlq")).await.unwrap().unwrap();
    assert_eq!(extents.iter().map(|extent| extent.end).sum::<i64>().unsigned_abs(), 2 * broken);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_constant_sender_gives_every_user_the_same_offer() {
    let (_directory, urls) = place();
    done::<Send>(json!({ "to": urls.offers, "count": 50 })).await;
    done::<Score>(json!({ "from": urls.offers, "offers": urls.offers })).await;
    let found = written(&urls.open().await).await;
    assert_eq!(found.offers.iter().map(|offer| offer.user_id).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    assert!(found.offers.iter().all(|offer| offer.scores == found.offers[0].scores));
    assert!(found.offers.iter().all(|offer| offer.version / 1_000 == 1_737_000_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    let (_directory, urls) = place();
    let began = std::time::Instant::now();
    done::<Send>(json!({ "to": urls.offers, "count": 100, "rate": 200 })).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rescoring_brings_every_offer_to_the_new_model_once() {
    let (directory, urls) = place();
    done::<Send>(json!({ "to": urls.offers, "count": 300, "varied": true })).await;
    done::<Score>(json!({ "from": urls.offers, "offers": urls.offers })).await;
    let before = written(&urls.open().await).await;
    let path = dearer(directory.path(), "dearer", 10.0);
    let values = json!({ "offers": urls.offers, "model": path, "batch_rows": 70 });
    let report = done::<Rescore>(values.clone()).await;
    assert_eq!((report.counts.read, report.counts.written), (300, 300));
    let after = written(&urls.open().await).await;
    assert_agrees(&after);
    let version = ModelFile::open(Some(&path)).unwrap().current().version().to_owned();
    let mut expected = 0.0;
    for (old, new) in before.offers.iter().zip(&after.offers) {
        assert_eq!((&new.model_version, new.version, new.user_id), (&version, old.version, old.user_id));
        assert!((new.scores.cost() - old.scores.cost() - 10.0).abs() < 1e-3);
        expected += 10.0 * f64::from(old.scores.subscription());
    }
    assert_eq!(after.history, before.history, "the history keeps what was offered");
    let change = report.facts["expected revenue change"].as_f64().unwrap();
    assert!((change - expected).abs() < 1.0, "{change} {expected}");
    let again = done::<Rescore>(values.clone()).await;
    assert_eq!((again.counts.written, again.counts.duplicate), (0, 300));
    assert_eq!(again.facts["expected revenue change"], 0.0);
    assert_eq!(written(&urls.open().await).await.cache, after.cache);
    assert_eq!(done::<Verify>(json!({ "offers": urls.offers })).await.outcome, Outcome::Complete);
    let mut forced = values;
    forced["again"] = json!(true);
    assert_eq!(done::<Rescore>(forced).await.counts.written, 300);
}

/// A cache that was lost is written anew from the offers' registrations.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_cache_is_filled() {
    let (directory, urls) = place();
    done::<Send>(json!({ "to": urls.offers, "count": 40, "varied": true })).await;
    done::<Score>(json!({ "from": urls.offers, "offers": urls.offers })).await;
    let cache = format!("embedded:{}", directory.path().join("cache").display());
    let moved = json!({ "offers": urls.offers, "cache": cache });
    let mut rescore = moved.clone();
    rescore["again"] = json!(true);
    done::<Rescore>(rescore).await;
    let verified = done::<Verify>(moved).await;
    assert_eq!((verified.outcome, &verified.facts["cached"]), (Outcome::Complete, &json!(40)));
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_what_differs() {
    let (directory, urls) = place();
    done::<Send>(json!({ "to": urls.offers, "count": 30, "varied": true })).await;
    done::<Score>(json!({ "from": urls.offers, "offers": urls.offers })).await;
    let path = directory.path().join("store").join("headrace.sqlite");
    let connection = rusqlite::Connection::open(path).unwrap();
    let change = |sql: &str| assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
    change("DELETE FROM offer_cache WHERE cache_key = '3'");
    change("UPDATE personal_offer SET predicted_cost = 1 WHERE user_id = 5");
    change("DELETE FROM personal_offer_history WHERE user_id = 7");
    change("UPDATE offer_cache SET value = '{''user_id'': 9}' WHERE cache_key = '9'");
    drop(connection);
    let report = done::<Verify>(json!({ "offers": urls.offers })).await;
    assert_eq!(report.outcome, Outcome::Different);
    let wrong: Vec<(&str, u64)> =
        report.facts.iter().filter_map(|(name, count)| Some((name.strip_prefix("wrong:")?, count.as_u64()?))).collect();
    let expected = [
        ("cache missing", 2),
        ("cache unreadable", 1),
        ("cache with other scores", 1),
        ("counters wrong", 1),
        ("offers with other scores", 1),
        ("offers without history", 1),
    ];
    assert_eq!(wrong, expected);
    assert!(report.notes.iter().any(|note| note.contains("user 7")), "{:?}", report.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_model_is_compared_and_stores_nothing() {
    let (directory, urls) = place();
    done::<Send>(json!({ "to": urls.offers, "count": 200, "varied": true, "defects": 0.05 })).await;
    let shadow = dearer(directory.path(), "candidate", 10.0);
    let report = done::<Score>(json!({ "from": urls.offers, "offers": urls.offers, "shadow": shadow })).await;
    let differences = &report.facts["shadow"];
    let counted: u64 =
        differences["registrations by model"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(counted, report.counts.written);
    let cost = &differences["differences"][0];
    assert!((cost["mean absolute"].as_f64().unwrap() - 10.0).abs() < 0.01, "{cost}");
    assert_eq!(differences["differences"].as_array().unwrap().len(), TARGETS.len());
    assert_eq!(differences["price differs by more than 1"], counted);
    let found = written(&urls.open().await).await;
    assert!(found.offers.iter().all(|offer| offer.model_version.starts_with("simulated-")));
}

/// A step that follows takes a new model up without a restart, and nothing is scored twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_model_is_taken_up_while_following() {
    let (directory, urls) = place();
    let path = dearer(directory.path(), "first", 0.0);
    done::<Send>(json!({ "to": urls.offers, "count": 10, "varied": true })).await;
    let control = Control::default();
    let values =
        json!({ "from": urls.offers, "offers": urls.offers, "model": path, "follow": true, "interval": "10ms" });
    let following = {
        let control = control.clone();
        tokio::spawn(async move { run::<Score>(&values, &control).await })
    };
    let offers = async |wanted: usize| {
        let asked = std::time::Instant::now();
        loop {
            let targets = urls.open().await;
            targets.create().await.unwrap();
            let found = written(&targets).await;
            if found.offers.len() >= wanted {
                return found;
            }
            assert!(asked.elapsed() < Duration::from_secs(30), "{} of {wanted} offers", found.offers.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let first = offers(10).await;
    assert!(first.offers.iter().all(|offer| offer.model_version.starts_with("first-")));
    std::fs::rename(dearer(directory.path(), "second", 50.0), &path).unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    done::<Send>(json!({ "to": urls.offers, "count": 10, "varied": true, "first_user": 101 })).await;
    let second = offers(20).await;
    control.stop();
    let report = following.await.unwrap().unwrap();
    assert_eq!((report.outcome, report.counts.read), (Outcome::Stopped, 20));
    let models: Vec<bool> = second.offers.iter().map(|offer| offer.model_version.starts_with("second-")).collect();
    assert_eq!(models, [vec![false; 10], vec![true; 10]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_offers_twice() {
    let directory = tempfile::tempdir().unwrap();
    let values = json!({ "dir": directory.path().join("demo"), "count": 400 });
    let first = done::<Demo>(values.clone()).await;
    assert_eq!(first.outcome, Outcome::Complete, "{first:?}");
    let table = first.table.unwrap();
    assert_eq!((table.columns.len(), table.rows.len()), (7, 12));
    assert!(first.counts.written > 380 && first.counts.dead_lettered > 0);
    let second = done::<Demo>(values).await;
    assert_eq!((second.counts.written, second.counts.duplicate), (0, first.counts.written));
    assert_eq!(second.table.unwrap(), table);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told() {
    let (directory, urls) = place();
    let refused = async |values: Value, step: &str| {
        let control = Control::default();
        let ended = match step {
            "score" => run::<Score>(&values, &control).await,
            _ => run::<Verify>(&values, &control).await,
        };
        ended.unwrap_err().to_string()
    };
    let both = json!({ "from": urls.offers, "offers": urls.offers });
    assert!(refused(both, "score").await.contains("scoring send"));
    assert!(refused(json!({ "offers": urls.offers }), "verify").await.contains("scoring score"));
    let model = directory.path().join("model.txt");
    std::fs::write(&model, "x").unwrap();
    assert!(refused(json!({ "model": model }), "score").await.contains("model.txt"));
    assert!(
        refused(json!({ "offers": "cassandra://h/k", "ledger": urls.offers }), "verify").await.contains("cassandra")
    );
}
