//! Connections between every step and every server, cut and delayed at random by proxies in between.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headrace_core::step::Parameters;
use headrace_core::{Control, ErrorKind, StoreUrl};
use headrace_pipelines::recruitment::steps::{Clean, Jobs, Load, Replay};
use serde_json::{Value, json};

use super::proxy::{Proxy, Rules};
use super::servers::{given, place, random, unique};
use super::truth::Truth;
use crate::recruitment::run;

/// A step may be started again so often, as a scheduler does.
const STARTS: u32 = 10;

/// Proxies to Cassandra, to each broker and to MariaDB, with the URLs that lead through them.
struct Ways {
    proxies: Vec<(String, Proxy)>,
    cassandra: String,
    kafka: String,
    mysql: String,
}

impl Ways {
    async fn open(mut seed: impl FnMut() -> u64) -> Option<Self> {
        let cassandra = StoreUrl::parse(&given("HEADRACE_FAULTS_CASSANDRA_ALONE")?).unwrap();
        let kafka = StoreUrl::parse(&given("HEADRACE_FAULTS_KAFKA")?).unwrap();
        let mysql = given("HEADRACE_FAULTS_MYSQL")?;
        // The driver finds other nodes by the address it was given, with its port: alone, the node is where the proxy is.
        let raw = Proxy::listen("127.0.0.1:0", &cassandra.host_list(9_042), seed()).await;
        let (login, server) = mysql.rsplit_once('@').unwrap();
        let result = Proxy::listen("127.0.0.1:0", server, seed()).await;
        let mut ways = Self {
            cassandra: format!("cassandra://{}", raw.address),
            kafka: String::new(),
            mysql: format!("{login}@{}", result.address),
            proxies: vec![("Cassandra".to_owned(), raw), ("MariaDB".to_owned(), result)],
        };
        let mut hosts = Vec::new();
        for (host, port) in &kafka.hosts {
            // A broker tells its clients who came by the second port that it is found at the third.
            let port = port.unwrap();
            let broker = Proxy::listen(&format!("{host}:{}", port + 2), &format!("{host}:{}", port + 1), seed()).await;
            hosts.push(broker.address.to_string());
            ways.proxies.push((format!("Kafka {host}:{port}"), broker));
        }
        ways.kafka = format!("kafka://{}", hosts.join(","));
        Some(ways)
    }

    fn set(&self, rules: Rules) {
        self.proxies.iter().for_each(|(_, proxy)| proxy.set(rules));
    }

    /// Shows what was done, and gives the fewest cuts of a way.
    fn show(&self) -> u64 {
        let cuts = self.proxies.iter().map(|(name, proxy)| {
            let [cuts, delays] = [&proxy.done.cuts, &proxy.done.delays].map(|count| count.load(Ordering::Relaxed));
            eprintln!("seen: {name}: {cuts} connections cut, {delays} pieces delayed");
            cuts
        });
        cuts.min().unwrap()
    }
}

/// Runs a step to its end. One that gives up because the servers do not do their part is started again.
async fn persist<P: Parameters>(values: Value) {
    for start in 1..=STARTS {
        let began = std::time::Instant::now();
        match run::<P>(&values, &Control::default()).await {
            Ok(_) => {
                eprintln!("seen: {} ended well after {:?}, started {start} times", P::NAME, began.elapsed());
                return;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::External, "{}: {error}", P::NAME);
                eprintln!("seen: {} gave up after {:?}: {error}", P::NAME, began.elapsed());
            }
        }
    }
    panic!("{} does not come to an end", P::NAME);
}

async fn through_bad_ways(life: (Duration, Duration), delay: (u64, Duration)) {
    if given("HEADRACE_FAULTS_KAFKA").is_none() {
        return;
    }
    let mut random = random();
    let Some(ways) = Ways::open(|| random.next()).await else { return };
    let name = unique("faults");
    let place = place(
        &format!("{}/{name}", ways.cassandra),
        &format!("{}/{name}", ways.kafka),
        &format!("{}/{name}", ways.mysql),
    );
    let truth = Truth::of(&place, random.next(), 15_000).await;
    ways.set(Rules { life: Some(life), delay, ..Rules::default() });
    persist::<Load>(place.load_values(&truth.files.tracking, json!({ "batch_rows": 500 }))).await;
    persist::<Jobs>(json!({ "file": truth.files.jobs, "to": place.jobs })).await;
    persist::<Replay>(place.replay_values(json!({ "batch_rows": 200 }))).await;
    persist::<Clean>(place.clean_values(json!({ "batch_rows": 200 }))).await;
    let fewest = ways.show();
    ways.set(Rules::default());
    assert!(fewest > 0, "a way was never cut");
    truth.assert_exact(&place).await;
}

/// Every connection lives some seconds.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_now_and_then() {
    through_bad_ways((Duration::from_millis(500), Duration::from_secs(6)), (100, Duration::from_millis(100))).await;
}

/// Pieces are late, by up to a second and a half.
#[tokio::test(flavor = "multi_thread")]
async fn answers_late_and_connections_cut() {
    through_bad_ways((Duration::from_secs(2), Duration::from_secs(12)), (60, Duration::from_millis(1_500))).await;
}
