//! The defects of the original, D1 to D13: each has a test that fails when it comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use headrace_core::retry::Backoff;
use headrace_core::rows::Rows;
use headrace_core::store::Select;
use headrace_core::table::Table;
use headrace_core::{Error, ErrorKind, Result};
use headrace_pipelines::scoring::model::{Model, ModelFile};
use headrace_pipelines::scoring::targets::{Target, Targets};
use polars::prelude::DataFrame;
use serde_json::{Value, json};

use super::{Record, Urls, Written, assert_agrees, layouts, placed, score, scored_all, written};

fn built_in() -> Arc<dyn Model> {
    ModelFile::open(None).unwrap().current()
}

/// The constant registration with other members; null takes one out.
fn registration(changes: Value) -> Vec<u8> {
    let mut payload = json!({ "user_id": "1", "ip_country": "ru", "device_country": "ru", "device_language": "ru",
        "platform": "Android", "platform_store": "Google Play", "smartphone_brand": "xiaomi", "is_organic": 0,
        "child_age": 7, "child_smartphone_brand": "iphone", "timestamp": "2025-01-16T04:00:00Z" });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(payload.as_object_mut().unwrap().remove(name)),
            value => payload[name] = value.clone(),
        }
    }
    json!({ "schema": { "type": "string", "optional": false }, "payload": payload }).to_string().into_bytes()
}

/// Registrations in one partition, in order.
fn topic(registrations: &[Value]) -> Vec<Record> {
    placed(registrations.iter().map(|changes| ("k".to_owned(), Some(registration(changes.clone())))), 1)
}

/// Scores registrations everywhere and gives what was written to a check.
async fn each_layout(records: &[Record], check: impl Fn(&Written)) {
    for (layout, _directory, urls) in layouts() {
        eprintln!("{layout}");
        let targets = urls.open().await;
        scored_all(&targets, records, &[3], &built_in()).await;
        let found = written(&targets).await;
        assert_agrees(&found);
        check(&found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_restart_appends_nothing() {
    let records = topic(&[json!({}), json!({ "user_id": "2" })]);
    for (_, _directory, urls) in layouts() {
        let first = scored_all(&urls.open().await, &records, &[500], &built_in()).await;
        let second = scored_all(&urls.open().await, &records, &[500], &built_in()).await;
        assert_eq!((first.counts.read, second.counts.read), (2, 0));
        let found = written(&urls.open().await).await;
        assert_eq!((found.offers.len(), found.history.len()), (2, 2));
    }
}

/// Rows that fail to be written at one of their writes.
struct Failing {
    rows: Arc<dyn Rows>,
    /// Writes until all of them fail.
    left: AtomicUsize,
}

#[async_trait]
impl Rows for Failing {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        self.rows.create(tables).await
    }

    async fn write(&self, table: &Table, frame: &DataFrame, token: &str) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| Error::external(format!("cannot write to table `{}`", table.name), "the server is away"))?;
        self.rows.write(table, frame, token).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        self.rows.select(select).await
    }

    fn name(&self) -> String {
        self.rows.name()
    }
}

fn failing(target: &Target, left: usize) -> Target {
    match target {
        Target::Apart(rows) => Target::Apart(Arc::new(Failing { rows: rows.clone(), left: AtomicUsize::new(left) })),
        Target::Own(_) => panic!("it fails as a whole"),
    }
}

/// Every write fails once at each place: the step ends with an error, nothing is committed, and the next run loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn d2_a_failed_write_stops_without_commit() {
    let records =
        topic(&[json!({}), json!({ "user_id": "2" }), json!({ "user_id": "3" }), json!({ "child_age": 200 })]);
    let patient = Backoff { retries: 2, first: std::time::Duration::from_millis(1), ..Backoff::default() };
    for (offers, cache) in [(0, 9), (1, 9), (2, 9), (4, 9), (9, 0), (9, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let urls = Urls::apart(directory.path());
        let whole = urls.open().await;
        let broken =
            Targets { offers: failing(&whole.offers, offers), cache: failing(&whole.cache, cache), ..whole.clone() };
        let ended = score(&broken, &records, &[2], &built_in(), patient).await;
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        assert!(error.to_string().contains("cannot write to table"), "{error}");
        let counted = whole.ledger.counters(&whole.scope()).await.unwrap();
        let committed = if offers.min(cache) == 0 || offers < 3 { 0 } else { 2 };
        assert_eq!(counted.read, committed, "failing at {offers} {cache}");
        scored_all(&urls.open().await, &records, &[3], &built_in()).await;
        let found = written(&whole).await;
        assert_agrees(&found);
        assert_eq!((found.offers.len(), found.history.len(), found.letters.len()), (3, 3, 1));
    }
}

/// An outage that ends within the back-off is nobody's concern.
#[tokio::test(flavor = "multi_thread")]
async fn d2_a_write_that_fails_once_is_tried_again() {
    struct Once(Arc<dyn Rows>, AtomicUsize);

    #[async_trait]
    impl Rows for Once {
        async fn create(&self, tables: &[&Table]) -> Result<()> {
            self.0.create(tables).await
        }

        async fn write(&self, table: &Table, frame: &DataFrame, token: &str) -> Result<()> {
            // Every second write is done, and its answer lost.
            self.0.write(table, frame, token).await?;
            if self.1.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                return Err(Error::external("cannot write", "the answer is lost"));
            }
            Ok(())
        }

        async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
            self.0.select(select).await
        }

        fn name(&self) -> String {
            self.0.name()
        }
    }

    let records = topic(&[json!({}), json!({ "user_id": "2" }), json!({ "user_id": "3" })]);
    let directory = tempfile::tempdir().unwrap();
    let whole = Urls::apart(directory.path()).open().await;
    let Target::Apart(cache) = whole.cache.clone() else { panic!("the cache is apart") };
    let cache = Target::Apart(Arc::new(Once(cache, AtomicUsize::new(0))));
    let finished = scored_all(&Targets { cache, ..whole.clone() }, &records, &[1], &built_in()).await;
    assert_eq!(finished.counts.written, 3);
    let found = written(&whole).await;
    assert_agrees(&found);
    assert_eq!(found.counts.written, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_batches_are_as_large_as_asked_for() {
    let users: Vec<Value> = (1..=1_000).map(|user| json!({ "user_id": user })).collect();
    let directory = tempfile::tempdir().unwrap();
    let targets = Urls::together(directory.path()).open().await;
    scored_all(&targets, &topic(&users), &[500], &built_in()).await;
    // One unit for every batch: after two batches the next unit is the third.
    let unit = targets.ledger.begin(&targets.scope(), &[]).await.unwrap();
    assert_eq!(unit.sequence(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_the_cache_holds_json() {
    let directory = tempfile::tempdir().unwrap();
    let targets = Urls::together(directory.path()).open().await;
    scored_all(&targets, &topic(&[json!({})]), &[500], &built_in()).await;
    let columns = vec!["cache_key", "value"];
    let table = &targets.cache_table;
    let select = Select { table, columns, equal: Vec::new(), after: Vec::new(), limit: 10 };
    let rows = targets.cache.select(&select).await.unwrap();
    let text = rows.column("value").unwrap().str().unwrap().get(0).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&value["user_id"], &value["version"]), (&json!(1), &json!(1_737_000_000_000_000_i64)));
    assert!(value["inserted_datetime"].is_i64() && value["selected_functions"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_what_is_invalid_is_a_dead_letter_with_its_reason() {
    let records = topic(&[json!({ "platform": null }), json!({ "child_age": "7" }), json!({})]);
    each_layout(&records, |found| {
        let reasons: Vec<&str> = found.letters.iter().map(|letter| letter.2.as_str()).collect();
        assert_eq!(reasons, ["missing_platform", "bad_child_age"]);
        assert!(found.letters.iter().all(|letter| letter.3.is_some()));
        assert_eq!(found.counts.read, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d6_large_ids_stay_and_negative_ones_are_refused() {
    let ids = ["2147483648", "4294967295", "4294967296", "-1", "0"];
    let records = topic(&ids.map(|id| json!({ "user_id": id })));
    each_layout(&records, |found| {
        let users: Vec<u32> = found.offers.iter().map(|offer| offer.user_id).collect();
        assert_eq!(users, [2_147_483_648, u32::MAX]);
        assert!(found.letters.iter().all(|letter| letter.2 == "bad_user_id"));
        assert_eq!(found.letters.len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d7_a_late_older_registration_overwrites_nothing() {
    let at = |second: u32, age: u8| json!({ "child_age": age, "timestamp": format!("2025-01-16T04:00:{second:02}Z") });
    // In one batch, and in batches of their own.
    for size in [1, 500] {
        for (_, _directory, urls) in layouts() {
            let targets = urls.open().await;
            scored_all(&targets, &topic(&[at(10, 5), at(5, 9), at(20, 15), at(15, 1)]), &[size], &built_in()).await;
            let found = written(&targets).await;
            assert_agrees(&found);
            assert_eq!(found.offers[0].version, 1_737_000_020_000_002);
            assert_eq!(found.offers[0].scores, found.history[2].2.scores);
            assert_eq!((found.counts.classes["stale"], found.counts.classes["replaced"]), (2, 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d8_an_id_of_the_old_sender_is_the_user() {
    each_layout(&topic(&[json!({ "user_id": null, "id": "3" })]), |found| assert_eq!(found.offers[0].user_id, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d9_the_time_of_registration_makes_the_version() {
    let records =
        topic(&[json!({ "timestamp": "2025-01-16T04:00:01Z" }), json!({ "user_id": "2", "timestamp": null })]);
    each_layout(&records, |found| {
        let versions: Vec<i64> = found.offers.iter().map(|offer| offer.version).collect();
        // Without one it is the broker's.
        assert_eq!(versions, [1_737_000_001_000_000, 1_737_000_000_000_001]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_a_category_the_model_never_saw_fails_nothing() {
    let records = topic(&[json!({ "smartphone_brand": "nokia" }), json!({ "user_id": "2" })]);
    each_layout(&records, |found| {
        assert_eq!((found.offers.len(), found.counts.classes["unseen_category"]), (2, 1));
        assert_ne!(found.offers[0].scores, found.offers[1].scores);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_cache_keys_are_user_ids() {
    let records = topic(&[json!({ "user_id": "0042" }), json!({ "user_id": 7 })]);
    each_layout(&records, |found| assert_eq!(found.cache.keys().collect::<Vec<_>>(), ["42", "7"])).await;
}

/// Model, hosts, ports and topic are parameters of the step, and the topic's name comes from the URL.
#[tokio::test(flavor = "multi_thread")]
async fn d12_everything_can_be_configured() {
    use headrace_core::step::Step;
    use headrace_pipelines::scoring::steps::Score;
    let described = Step::of::<Score>().describe();
    let names: Vec<&str> =
        described["parameters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    for name in ["from", "offers", "cache", "ledger", "model"] {
        assert!(names.contains(&name), "{name}");
    }
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}?topic=other", directory.path().display());
    let values = json!({ "from": url, "offers": url });
    let error = Step::of::<Score>().run_values(values.as_object().unwrap(), headrace_core::Control::default()).await;
    assert!(error.unwrap_err().to_string().contains("topic other does not exist"));
    let model = directory.path().join("absent.json");
    let values = json!({ "model": model });
    let error = Step::of::<Score>().run_values(values.as_object().unwrap(), headrace_core::Control::default()).await;
    assert!(error.unwrap_err().to_string().contains("absent.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_every_prediction_names_its_model() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("model.json");
    let built_in_file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/scoring/model/simulated.json");
    let mut other: Value = serde_json::from_str(&std::fs::read_to_string(built_in_file).unwrap()).unwrap();
    other["name"] = json!("other");
    std::fs::write(&path, other.to_string()).unwrap();
    let other = ModelFile::open(Some(&path)).unwrap().current();
    assert!(other.version().starts_with("other-"));
    let urls = Urls::apart(directory.path());
    let records = topic(&[json!({}), json!({ "user_id": "2" })]);
    scored_all(&urls.open().await, &records[..1], &[500], &built_in()).await;
    scored_all(&urls.open().await, &records, &[500], &other).await;
    let found = written(&urls.open().await).await;
    assert_agrees(&found);
    let models: Vec<&str> = found.history.iter().map(|row| row.2.model_version.as_str()).collect();
    assert_eq!(models, [built_in().version(), other.version()]);
    assert_eq!(found.cache["2"].model_version, other.version());
}
