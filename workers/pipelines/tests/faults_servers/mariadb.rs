//! MariaDB killed, contended, and with answers lost, while messages are cleaned into it.

use std::sync::atomic::Ordering;

use headrace_pipelines::recruitment::steps::Clean;
use mysql_async::prelude::Queryable;
use serde_json::json;

use super::proxy::{Proxy, Rules};
use super::rival::{Rival, session};
use super::servers::{Server, given, place, random, unique};
use super::truth::Truth;
use super::under_way::UnderWay;
use crate::recruitment::Place;

/// Messages in a unit of work.
const UNIT: u64 = 100;

/// A place whose results are in MariaDB, and the rest of it in an embedded store.
async fn cleanable(warehouse: &str, seed: u64, rows: u64) -> (Place, Truth) {
    let place = place("", "", &format!("{warehouse}/{}", unique("faults")));
    let truth = Truth::of(&place, seed, rows).await;
    place.load(&truth.files.tracking).await;
    place.jobs(&truth.files.jobs).await;
    place.replay().await;
    (place, truth)
}

fn clean(place: &Place) -> UnderWay {
    UnderWay::start::<Clean>(place.clean_values(json!({ "batch_rows": UNIT })))
}

/// Killed while a unit has written its rows and waits to write its position, five times in one run.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_transaction() {
    let Some(url) = given("HEADRACE_FAULTS_MYSQL") else { return };
    let mut random = random();
    let server = Server::named("mariadb");
    let (place, truth) = cleanable(&url, random.next(), 20_000).await;
    let step = clean(&place);
    for strike in 1..=5 {
        assert!(step.reaches(truth.sent() * strike / 6 + random.below(500)).await);
        let mut rival = Rival::of(&place.result).await;
        let changed = rival.block("headrace_position", &step).await.unwrap();
        assert!(changed > 0, "it was not in the middle of changes");
        step.strike_at(0, &format!("kill -9 of MariaDB in a transaction with {changed} changed rows")).await;
        server.kill().await;
        tokio::time::sleep(random.millis(0, 3_000)).await;
        server.start().await;
    }
    step.done().await;
    truth.assert_exact(&place).await;
}

/// One unit in twenty is given up by the server: for a deadlock, or because it has waited too long.
#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_and_lock_waits_in_one_unit_of_twenty() {
    let Some(url) = given("HEADRACE_FAULTS_MYSQL") else { return };
    let mut random = random();
    let (place, truth) = cleanable(&url, random.next(), 20_000).await;
    let units = truth.sent() / UNIT;
    // One unit of each twenty, whichever; of five, the third waits and the others meet.
    let struck: Vec<u64> = (0..units / 20).map(|twenty| (twenty * 20 + random.between(2, 18)) * UNIT).collect();
    let step = clean(&place);
    assert!(step.reaches(UNIT).await);
    let mut rival = Rival::of(&place.result).await;
    let (mut deadlocks, mut waits) = (0, 0);
    for (number, rows) in struck.iter().enumerate() {
        let waits_too_long = number % 5 == 2;
        step.strike_at(*rows, if waits_too_long { "lock wait (1205)" } else { "deadlock (1213)" }).await;
        if waits_too_long {
            waits += u64::from(rival.outwait(&step).await);
        } else {
            deadlocks += u64::from(rival.deadlock(&step).await);
        }
    }
    step.done().await;
    eprintln!("seen: {deadlocks} deadlocks and {waits} lock waits in {units} units");
    let wanted = struck.len() as u64;
    assert!(waits > 0 && deadlocks > 0 && deadlocks + waits >= wanted - 1, "of {wanted}");
    truth.assert_exact(&place).await;
}

/// Commits that are made but whose answer is lost with the connection, and commits that are lost on the way.
#[tokio::test(flavor = "multi_thread")]
async fn committed_but_the_client_never_heard() {
    let Some(url) = given("HEADRACE_FAULTS_MYSQL") else { return };
    let mut random = random();
    let (login, server) = url.rsplit_once('@').unwrap();
    let proxy = Proxy::listen("127.0.0.1:0", server, random.next()).await;
    let (place, truth) = cleanable(&format!("{login}@{}", proxy.address), random.next(), 20_000).await;
    proxy.set(Rules { answers_lost: 4, commits_lost: 8, ..Rules::default() });
    clean(&place).done().await;
    proxy.set(Rules::default());
    let [answers, commits] =
        [&proxy.done.answers_lost, &proxy.done.commits_lost].map(|count| count.load(Ordering::Relaxed));
    let units = truth.sent() / UNIT;
    eprintln!("seen: of about {units} units, {answers} were committed unheard, {commits} lost on the way");
    assert!(answers >= units / 10 && commits >= units / 50);
    truth.assert_exact(&place).await;
    // Made once each, whatever was heard: the ledger counts commits.
    let mut session = session(&place.result).await;
    let sequences: Vec<i64> = session.query("SELECT sequence FROM headrace_scope").await.unwrap();
    eprintln!("seen: commits counted by the ledger {sequences:?}");
}
