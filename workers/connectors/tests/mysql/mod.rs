//! The MySQL connector against real servers: MariaDB and MySQL.

mod setup;
mod support;

use std::time::Duration;

use headrace_connectors::mysql::MySql;
use headrace_core::store::{Store, is_committed};
use headrace_core::{Counts, ErrorKind, Partition, Position};

use crate::conformance::{self, reached, read_all, write};
use support::{Cut, Lab, Proxy, claim, counted, counts_of, rows, servers, upsert};

#[tokio::test]
async fn conforms() {
    for server in servers() {
        let lab = Lab::open(&server, "conforms").await;
        conformance::store::everything(&lab.store, "c").await;
        lab.close().await;
    }
}

#[tokio::test]
async fn a_deadlock_is_external_and_applied_once_after_a_new_try() {
    for server in servers() {
        let lab = Lab::open(&server, "deadlock").await;
        let table = counted("deadlock");
        lab.store.create(&[&table]).await.unwrap();
        let (first, second) = (claim(&lab.store, "first").await, claim(&lab.store, "second").await);
        let mut one = lab.store.begin("first", &first).await.unwrap();
        let mut two = lab.store.begin("second", &second).await.unwrap();
        upsert(&mut *one, &table, &[1]).await.unwrap();
        upsert(&mut *two, &table, &[2]).await.unwrap();
        let (got_one, got_two) = tokio::join!(upsert(&mut *one, &table, &[2]), upsert(&mut *two, &table, &[1]));
        let victim_is_one = got_one.is_err();
        let (error, victim, survivor) = match (got_one, got_two) {
            (Err(error), Ok(())) => (error, one, two),
            (Ok(()), Err(error)) => (error, two, one),
            other => panic!("no deadlock: {other:?}"),
        };
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        assert!(error.to_string().contains("t_deadlock"), "{error}");
        // The server has ended the victim's transaction: committing the rest of it must not work.
        assert_eq!(victim.commit(&reached("p", 1), &Counts::default()).await.unwrap_err().kind(), ErrorKind::External);
        survivor.commit(&reached("p", 1), &Counts::default()).await.unwrap();
        assert_eq!(counts_of(&lab.store, &table).await, [(1, 1), (2, 1)]);
        let (scope, claims) = if victim_is_one { ("first", &first) } else { ("second", &second) };
        let mut again = lab.store.begin(scope, claims).await.unwrap();
        assert!(!is_committed(&*again, &reached("p", 1)));
        upsert(&mut *again, &table, &[1, 2]).await.unwrap();
        again.commit(&reached("p", 1), &Counts::default()).await.unwrap();
        assert_eq!(counts_of(&lab.store, &table).await, [(1, 2), (2, 2)]);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_killed_connection_changes_nothing_and_the_next_unit_works() {
    for server in servers() {
        let lab = Lab::open(&server, "killed").await;
        let table = counted("killed");
        lab.store.create(&[&table]).await.unwrap();
        let claims = claim(&lab.store, "s").await;
        for before_commit in [false, true] {
            let mut unit = lab.store.begin("s", &claims).await.unwrap();
            upsert(&mut *unit, &table, &[1]).await.unwrap();
            assert!(lab.kill().await >= 1);
            let error = if before_commit {
                unit.commit(&reached("p", 1), &Counts::default()).await.unwrap_err()
            } else {
                upsert(&mut *unit, &table, &[2]).await.unwrap_err()
            };
            assert_eq!(error.kind(), ErrorKind::External, "{error}");
            assert_eq!(read_all(&lab.store, &table).await.height(), 0);
            assert!(lab.store.positions("s").await.unwrap().is_empty());
        }
        // Idle connections of the pool die too; nobody notices.
        assert_eq!(counts_of(&lab.store, &table).await, []);
        lab.kill().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        write(&lab.store, "s", 1, &table, &rows(&[7])).await;
        assert_eq!(counts_of(&lab.store, &table).await, [(7, 1)]);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_recognised() {
    for server in servers() {
        let lab = Lab::open(&server, "lost").await;
        let proxy = Proxy::start(&server).await;
        let mut url = lab.url.clone();
        url.hosts = vec![("127.0.0.1".into(), Some(proxy.port))];
        let store = MySql::connect(&url).await.unwrap();
        let table = counted("lost");
        store.create(&[&table]).await.unwrap();
        let claims = claim(&store, "s").await;
        for (at, cut, tries) in [(1, Cut::AfterCommit, 1), (2, Cut::BeforeCommit, 2)] {
            proxy.cut(cut);
            let mut applied = 0;
            loop {
                let mut unit = store.begin("s", &claims).await.unwrap();
                if is_committed(&*unit, &reached("p", at)) {
                    break;
                }
                applied += 1;
                assert!(applied <= 2, "{cut:?} is tried for ever");
                upsert(&mut *unit, &table, &[at]).await.unwrap();
                match unit.commit(&reached("p", at), &Counts { read: 1, ..Counts::default() }).await {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::External, "{error}"),
                }
            }
            assert!(proxy.has_cut());
            assert_eq!(applied, tries, "{cut:?}");
        }
        assert_eq!(counts_of(&store, &table).await, [(1, 1), (2, 1)]);
        assert_eq!(store.counters("s").await.unwrap().read, 2);
        drop(store);
        lab.close().await;
    }
}

#[tokio::test]
async fn a_statement_given_up_breaks_its_unit_and_nothing_else() {
    for server in servers() {
        let lab = Lab::open(&server, "given_up").await;
        let table = counted("given_up");
        lab.store.create(&[&table]).await.unwrap();
        let (first, second) = (claim(&lab.store, "first").await, claim(&lab.store, "second").await);
        let mut holder = lab.store.begin("first", &first).await.unwrap();
        upsert(&mut *holder, &table, &[1]).await.unwrap();
        let mut waiter = lab.store.begin("second", &second).await.unwrap();
        upsert(&mut *waiter, &table, &[2]).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(200), upsert(&mut *waiter, &table, &[1])).await;
        assert!(waiting.is_err(), "the row of the other unit was not locked");
        let error = waiter.commit(&reached("p", 1), &Counts::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        holder.commit(&reached("p", 1), &Counts::default()).await.unwrap();
        assert_eq!(counts_of(&lab.store, &table).await, [(1, 1)]);
        write(&lab.store, "second", 1, &table, &rows(&[2])).await;
        assert_eq!(counts_of(&lab.store, &table).await, [(1, 1), (2, 1)]);
        lab.close().await;
    }
}

#[test]
fn a_runtime_may_end_with_a_unit_open() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for server in servers() {
        let table = counted("ended");
        let (lab, unit) = runtime().block_on(async {
            let lab = Lab::open(&server, "ended").await;
            lab.store.create(&[&table]).await.unwrap();
            let claims = claim(&lab.store, "s").await;
            let mut unit = lab.store.begin("s", &claims).await.unwrap();
            upsert(&mut *unit, &table, &[1]).await.unwrap();
            (lab, unit)
        });
        drop(unit);
        runtime().block_on(async {
            let store = lab.again().await;
            write(&store, "s", 1, &table, &rows(&[2])).await;
            assert_eq!(counts_of(&store, &table).await, [(2, 1)]);
            drop(store);
            lab.close().await;
        });
    }
}

#[tokio::test]
async fn names_may_be_longer_than_a_key() {
    for server in servers() {
        let lab = Lab::open(&server, "long").await;
        let scope = format!("step /{}", "ä".repeat(700));
        let partitions: Vec<Partition> =
            (0..700).map(|n| Partition::new(format!("/{}/{n}.csv", "d".repeat(400)))).collect();
        let claims = lab.store.claim(&scope, &partitions).await.unwrap();
        assert_eq!(claims.iter().map(|claim| claim.partition.clone()).collect::<Vec<_>>(), partitions);
        let reached = partitions.iter().zip(0..).map(|(partition, at)| (partition.clone(), Position::at(at))).collect();
        let unit = lab.store.begin(&scope, &claims).await.unwrap();
        unit.commit(&reached, &Counts::default()).await.unwrap();
        assert_eq!(lab.store.positions(&scope).await.unwrap(), reached);
        assert!(lab.store.positions(&format!("{scope}x")).await.unwrap().is_empty());
        assert_eq!(*lab.store.begin(&scope, &claims).await.unwrap().positions(), reached);
        lab.close().await;
    }
}
