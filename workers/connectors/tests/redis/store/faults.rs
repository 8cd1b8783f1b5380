//! Lost answers, killed workers, killed servers, and servers that forget.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headrace_core::store::{Store, is_committed};
use headrace_core::{ErrorKind, Partition, clock};

use super::{claim, commit, fresh, open, rows, sums};
use crate::conformance::{assert_same, reached, read_all};
use crate::proxy::Proxy;
use crate::redis::support::{Server, raw};

/// Where the test `a_worker_that_is_killed` works.
const VICTIM: &str = "HEADRACE_TEST_REDIS_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_resolved_by_reading_the_position() {
    let Some(mut url) = fresh() else { return };
    let proxy = Proxy::to(url.host_list(6_379)).await;
    let (host, port) = proxy.address.rsplit_once(':').unwrap();
    url.hosts = vec![(host.to_owned(), port.parse().ok())];
    url.options.insert("timeout".to_owned(), "1s".to_owned());
    let (store, table) = (open(&url.to_string()).await, sums("lost"));
    store.create(&[&table]).await.unwrap();
    let claims = claim(&store, "s", "p").await;
    let mut made = 0;
    for at in 1..=4_i64 {
        let mut unit = store.begin("s", &claims).await.unwrap();
        unit.upsert(&table, &rows(0..5, at, "lost")).await.unwrap();
        unit.write_state("space", vec![(1, vec![at as u8])], Vec::new()).await.unwrap();
        proxy.hold_answers(true);
        let error = commit(unit, &reached("p", at)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        if at % 2 == 0 {
            proxy.break_connections();
        }
        proxy.hold_answers(false);
        // What the run loop does: look whether it happened, and do it again if not.
        let mut unit = store.begin("s", &claims).await.unwrap();
        if is_committed(&*unit, &reached("p", at)) {
            made += 1;
        } else {
            unit.upsert(&table, &rows(0..5, at, "lost")).await.unwrap();
            unit.write_state("space", vec![(1, vec![at as u8])], Vec::new()).await.unwrap();
            commit(unit, &reached("p", at)).await.unwrap();
        }
    }
    assert_eq!(made, 4, "each commit reached the server");
    // And one that never got there.
    let mut unit = store.begin("s", &claims).await.unwrap();
    unit.upsert(&table, &rows(0..5, 1_000, "lost")).await.unwrap();
    proxy.break_connections();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(commit(unit, &reached("p", 5)).await.unwrap_err().kind(), ErrorKind::External);
    let mut unit = store.begin("s", &claims).await.unwrap();
    assert!(!is_committed(&*unit, &reached("p", 5)));
    let state = unit.read_state("space", &[(1, 0)]).await.unwrap();
    assert_eq!(state.iter().map(|segment| segment.blob[0]).collect::<Vec<u8>>(), [1, 2, 3, 4]);
    commit(unit, &reached("p", 5)).await.unwrap();
    assert_eq!(store.counters("s").await.unwrap().read, 5);
    let found = read_all(&store, &table).await;
    assert!(found.column("sum").unwrap().i64().unwrap().iter().all(|sum| sum == Some(10)), "{found}");
}

/// Stages a large unit and tells; it is killed then.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed() {
    let Some(url) = clock::environment(VICTIM) else { return };
    let (store, table) = (open(&url).await, sums("victim"));
    let claims = claim(&store, "s", "p").await;
    let mut unit = store.begin("s", &claims).await.unwrap();
    unit.upsert(&table, &rows(0..30_000, 1, "never committed")).await.unwrap();
    unit.write_state("space", vec![(1, vec![7; 3_000_000])], Vec::new()).await.unwrap();
    unit.delete(&table, &rows(0..1, 0, "").select(["id"]).unwrap()).await.unwrap();
    store.claim("told", &[Partition::new("staged")]).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_staging_and_commit_leaves_nothing() {
    let Some(mut url) = fresh() else { return };
    url.options.insert("lease".to_owned(), "3s".to_owned());
    let (store, table) = (open(&url.to_string()).await, sums("victim"));
    store.create(&[&table]).await.unwrap();
    crate::conformance::write(&store, "before", 1, &table, &rows(0..3, 1, "before")).await;
    let (x, prefix) = (claim(&store, "s", "x").await, url.options["prefix"].clone());
    let told = format!("{prefix}{{headrace:{prefix}}}:scope:told");
    let mut session = raw(&url.to_string()).await;
    let name = "redis::store::faults::a_worker_that_is_killed";
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(VICTIM, url.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        let is_told: bool = redis::cmd("EXISTS").arg(&told).query_async(&mut session).await.unwrap();
        if is_told {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the worker does not get there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let staged = async |session: &mut redis::aio::MultiplexedConnection| -> Vec<String> {
        redis::cmd("KEYS").arg(format!("{prefix}*:unit:*")).query_async(session).await.unwrap()
    };
    let left = staged(&mut session).await;
    assert_eq!(left.len(), 1, "something was staged");
    let parts: Vec<Vec<u8>> = redis::cmd("HVALS").arg(&left[0]).query_async(&mut session).await.unwrap();
    assert!(parts.len() > 1 && parts.iter().map(Vec::len).sum::<usize>() > 3_000_000, "{} parts", parts.len());
    assert!(store.positions("s").await.unwrap().is_empty());
    assert_same(&read_all(&store, &table).await, &rows(0..3, 1, "before"), "nothing is seen");
    // Another partition waits for the lease, at most.
    let begun = Instant::now();
    let mut unit = store.begin("s", &x).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(unit.read_state("space", &[(1, 0)]).await.unwrap().is_empty());
    commit(unit, &reached("x", 1)).await.unwrap();
    // So does what is left.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    assert_eq!(staged(&mut session).await, Vec::<String>::new());
    assert_same(&read_all(&store, &table).await, &rows(0..3, 1, "before"), "nothing is seen later");
    assert_eq!(store.positions("s").await.unwrap(), reached("x", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_commit_outlives_a_killed_server_and_counts_once() {
    for settings in [["--appendfsync", "always"], ["--appendfsync", "everysec"]] {
        let Some(mut killed) = Server::start(&settings).await else { return };
        let (store, table) = (open(&killed.url()).await, sums("killed"));
        store.create(&[&table]).await.unwrap();
        let claims = claim(&store, "s", "p").await;
        let total = 150_i64;
        let worker = async {
            let (mut failures, mut unknown) = (0, 0);
            for at in 1..=total {
                let mut sent = false;
                loop {
                    let work = async {
                        let mut unit = store.begin("s", &claims).await?;
                        if sent && is_committed(&*unit, &reached("p", at)) {
                            unknown += 1;
                            return Ok(());
                        }
                        assert_eq!(
                            unit.positions().values().next().map(|position| position.at),
                            (at > 1).then_some(at - 1)
                        );
                        unit.upsert(&table, &rows(0..200, 1, "killed")).await?;
                        unit.write_state("space", vec![(1, vec![at as u8])], Vec::new()).await?;
                        sent = true;
                        commit(unit, &reached("p", at)).await
                    };
                    let Err(error) = work.await else { break };
                    assert_eq!(error.kind(), ErrorKind::External, "{error}");
                    failures += 1;
                    assert!(failures < 2_000, "{error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (failures, unknown)
        };
        let killer = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(170)).await;
                killed.kill();
                tokio::time::sleep(Duration::from_millis(50)).await;
                killed.start_again().await;
            }
        };
        let ((failures, unknown), ()) = tokio::join!(worker, killer);
        println!("{settings:?}: {failures} failures, {unknown} commits whose answer was lost");
        assert!(failures > 0, "no unit met the dead server");
        let mut wanted = rows(0..200, total, "killed");
        wanted.with_column(crate::conformance::ints("first", vec![1; 200])).unwrap();
        assert_same(&read_all(&store, &table).await, &wanted, "after the kills");
        assert_eq!(store.counters("s").await.unwrap().read, total as u64);
        let mut unit = store.begin("s", &claims).await.unwrap();
        assert_eq!(unit.sequence(), total);
        assert_eq!(unit.read_state("space", &[(1, 0)]).await.unwrap().len(), 150);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_commits_is_noticed() {
    let Some(mut forgetful) = Server::start(&["--appendonly", "no"]).await else { return };
    let url = format!("{}?durability=none", forgetful.url());
    let (store, other, table) = (open(&url).await, open(&url).await, sums("forgot"));
    store.create(&[&table]).await.unwrap();
    let claims = claim(&store, "s", "p").await;
    let others = claim(&other, "s", "q").await;
    for at in 1..=2 {
        commit(store.begin("s", &claims).await.unwrap(), &reached("p", at)).await.unwrap();
        if at == 1 {
            redis::cmd("SAVE").exec_async(&mut raw(&url).await).await.unwrap();
        }
    }
    forgetful.kill();
    forgetful.start_again().await;
    // As many commits as before do not hide it from the worker whose commit is lost.
    for at in 1..=2 {
        commit(other.begin("s", &others).await.unwrap(), &reached("q", at)).await.unwrap();
        let error = store.begin("s", &claims).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        assert!(error.to_string().contains("lost") && error.to_string().contains("appendfsync always"), "{error}");
    }
    // Started again, it goes on from what is there.
    let again = open(&url).await;
    let claims = claim(&again, "s", "p").await;
    assert_eq!(claims[0].position.as_ref().map(|position| position.at), Some(1));
    commit(again.begin("s", &claims).await.unwrap(), &reached("p", 2)).await.unwrap();
    // Everything gone: the claims as well.
    forgetful.kill();
    forgetful.start_again().await;
    redis::cmd("FLUSHALL").exec_async(&mut raw(&url).await).await.unwrap();
    assert_eq!(again.begin("s", &claims).await.err().unwrap().kind(), ErrorKind::Fenced);
}
