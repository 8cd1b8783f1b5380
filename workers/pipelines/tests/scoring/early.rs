//! Offers in the cache before their commit: they are there while tables stand still, and however such runs end, cache and tables agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::ledger_sink::LedgerSink;
use headrace_core::report::Outcome;
use headrace_core::retry::Backoff;
use headrace_core::rows::Rows;
use headrace_core::run::{Finished, Pipeline};
use headrace_core::source::Source;
use headrace_core::step::{Parameters, Step};
use headrace_core::store::Select;
use headrace_core::table::Table;
use headrace_core::{Control, Report, Result, StoreUrl, clock};
use headrace_pipelines::random::Random;
use headrace_pipelines::scoring::early_cache::EarlyCache;
use headrace_pipelines::scoring::gathered::{Gather, run_gathered};
use headrace_pipelines::scoring::model::ModelFile;
use headrace_pipelines::scoring::score_sink::ScoreWork;
use headrace_pipelines::scoring::scored;
use headrace_pipelines::scoring::simulate::Simulation;
use headrace_pipelines::scoring::steps::{Score, Send, Verify};
use headrace_pipelines::scoring::targets::{Target, Targets};
use polars::prelude::DataFrame;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Record, TOPIC, Urls, assert_agrees, followed, placed, scored_all, written};

const BASE_MS: i64 = 1_737_000_000_000;

/// Users who register again, late registrations, broken messages, and values that come again under the same key.
fn topic(seed: u64, length: u64) -> Vec<Record> {
    let mut random = Random::new(seed, u64::MAX);
    let mut messages: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    for number in 0..length {
        if number > 0 && random.below(8) == 0 {
            messages.push(messages[random.below(number) as usize].clone());
            continue;
        }
        let simulation = Simulation { seed, varied: true, defects: 0.1, first_user: 1 };
        let late_ms = BASE_MS + 1_000 * random.below(50) as i64;
        let message = simulation.message(1 + random.below(40), late_ms);
        messages.push((message.key, message.value));
    }
    placed(messages, 3)
}

async fn follow(targets: &Targets, source: Box<dyn Source>, rows: usize, control: &Control) -> Result<Finished> {
    targets.create().await?;
    let model = Arc::new(ModelFile::open(None)?);
    let Target::Apart(cache) = targets.cache.clone() else { panic!("the cache is apart") };
    let early = EarlyCache::new(cache, targets.cache_table.clone(), model.clone(), 500);
    let work = ScoreWork::new(targets.clone(), TOPIC.to_owned(), "memory".to_owned(), None);
    let pipeline = Pipeline {
        source,
        transform: Arc::new(move |batch| scored::score(&batch.frame, model.current(), None)),
        sink: Box::new(LedgerSink::new(targets.ledger.clone(), work.with_known_values(early.known()))),
        parallel: 1,
        backoff: Backoff::default(),
    };
    let gather = Gather { rows, apart: Duration::from_millis(30), interval: Duration::from_millis(5) };
    run_gathered(pipeline, early, gather, control).await
}

/// A store that stands still until it is let go.
struct Halted(Arc<dyn Rows>, watch::Receiver<bool>);

#[async_trait]
impl Rows for Halted {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        self.0.create(tables).await
    }

    async fn write(&self, table: &Table, frame: &DataFrame, token: &str) -> Result<()> {
        self.1.clone().wait_for(|goes| *goes).await.unwrap();
        self.0.write(table, frame, token).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        self.0.select(select).await
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// While a commit waits for the tables, later offers are in the cache; a stop then commits all of them.
#[tokio::test(flavor = "multi_thread")]
async fn offers_do_not_wait_for_tables() {
    let directory = tempfile::tempdir().unwrap();
    let whole = Urls::apart(directory.path()).open().await;
    let simulation = Simulation { seed: 5, varied: true, defects: 0.0, first_user: 1 };
    let messages = (1..=600).map(|user| simulation.message(user, BASE_MS));
    let records = placed(messages.map(|message| (message.key, message.value)), 3);
    whole.create().await.unwrap();
    let (go, goes) = watch::channel(false);
    let Target::Apart(offers) = whole.offers.clone() else { panic!("the offers are apart") };
    let halted = Targets { offers: Target::Apart(Arc::new(Halted(offers, goes))), ..whole.clone() };
    let control = Control::default();
    let following = {
        let control = control.clone();
        tokio::spawn(async move { follow(&halted, followed(&records, &[1]), 400, &control).await })
    };
    let began = std::time::Instant::now();
    let early = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let found = written(&whole).await;
        assert_eq!((found.offers.len(), found.history.len(), found.counts.read), (0, 0, 0));
        if found.cache.len() >= 25 {
            break found.cache;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{} offers in the cache", found.cache.len());
    };
    control.stop();
    go.send_replace(true);
    let finished = following.await.unwrap().unwrap();
    assert_eq!((finished.outcome, finished.counts.read), (Outcome::Stopped, finished.counts.written));
    let found = written(&whole).await;
    assert_agrees(&found);
    for (user, offer) in &early {
        assert_eq!(found.cache.get(user), Some(offer), "what was early is what was committed");
    }
}

/// Runs that die at any moment, and a last one: what one straight run writes, in the cache as in the tables.
#[tokio::test(flavor = "multi_thread")]
async fn killed_runs_write_what_a_straight_run_writes() {
    for seed in 0..6 {
        let mut random = Random::new(seed, u64::MAX);
        let records = topic(seed, 400);
        let model = ModelFile::open(None).unwrap().current();
        let straight = tempfile::tempdir().unwrap();
        let expected = Urls::apart(straight.path()).open().await;
        scored_all(&expected, &records, &[500], &model).await;
        let directory = tempfile::tempdir().unwrap();
        let targets = Urls::apart(directory.path()).open().await;
        for _ in 0..8 {
            let sizes = [1 + random.below(7) as usize, 1 + random.below(3) as usize];
            let life = Duration::from_millis(20 + random.below(250));
            let control = Control::default();
            // Dropped as it stands, wherever that is.
            let ended = tokio::time::timeout(life, follow(&targets, followed(&records, &sizes), 40, &control)).await;
            assert!(ended.is_err(), "{ended:?}");
        }
        scored_all(&targets, &records, &[7], &model).await;
        let found = written(&targets).await;
        assert_agrees(&found);
        assert_eq!(found, written(&expected).await, "seed {seed}");
    }
}

async fn step<P: Parameters>(values: Value, control: &Control) -> Report {
    Step::of::<P>().run_values(values.as_object().unwrap(), control.clone()).await.unwrap()
}

/// The whole step, where there is a Redis: what is in the cache when it stops is in the tables, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_follows_leaves_cache_and_tables_alike() {
    let Some(redis) = clock::environment("HEADRACE_TEST_REDIS") else {
        eprintln!("SKIP: set HEADRACE_TEST_REDIS");
        return;
    };
    let hosts = StoreUrl::parse(&redis).unwrap().host_list(6379);
    let directory = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}?sync=normal", directory.path().join("store").display());
    let cache = format!("redis://{hosts}/7?prefix=early-{:x}-&expire=10m", clock::now_us());
    let urls = Urls { offers: store.clone(), cache: Some(cache.clone()), ledger: None };
    let idle = Control::default();
    let send = async |first: u64| {
        step::<Send>(json!({ "to": store, "count": 50, "varied": true, "first_user": first }), &idle).await
    };
    urls.open().await.create().await.unwrap();
    send(1).await;
    let control = Control::default();
    let following = {
        let (values, control) =
            (json!({ "from": store, "offers": store, "cache": cache, "follow": true }), control.clone());
        tokio::spawn(async move { step::<Score>(values, &control).await })
    };
    let began = std::time::Instant::now();
    for round in 1..=5 {
        while written(&urls.open().await).await.cache.len() < 50 * round {
            assert!(began.elapsed() < Duration::from_secs(60), "not all offers are in the cache");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if round < 5 {
            send(50 * round as u64 + 1).await;
        }
    }
    control.stop();
    let report = following.await.unwrap();
    assert_eq!((report.outcome, report.counts.read, report.counts.written), (Outcome::Stopped, 250, 250));
    assert_agrees(&written(&urls.open().await).await);
    let verified = step::<Verify>(json!({ "offers": store, "cache": cache }), &idle).await;
    assert_eq!((verified.outcome, &verified.facts["cached"]), (Outcome::Complete, &json!(250)));
}
