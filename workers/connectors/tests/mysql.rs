//! The MySQL connector against real servers: MariaDB and MySQL.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod conformance;
mod mysql_support;

use std::time::Duration;

use conformance::{assert_same, frame, ident, ints, reached, read_all, texts, write};
use headrace_connectors::mysql::MySql;
use headrace_core::store::{Select, Store, Unit, is_committed};
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{Claim, Counts, Error, ErrorKind, Partition, Position, StoreUrl, clock};
use mysql_support::{Cut, Lab, Proxy, servers};
use polars::prelude::DataFrame;

/// Rows that count how often they were written.
fn counted(name: &str) -> Table {
    let table = Table::new(ident("t", name)).key("id", Kind::Int).unwrap();
    table.column("n", Kind::Int, true, Merge::Add).unwrap()
}

fn rows(ids: &[i64]) -> DataFrame {
    frame(vec![ints("id", ids.iter().copied()), ints("n", ids.iter().map(|_| 1))])
}

async fn claim(store: &dyn Store, scope: &str) -> Vec<Claim> {
    store.claim(scope, &[Partition::new("p")]).await.unwrap()
}

async fn counts_of(store: &dyn Store, table: &Table) -> Vec<(i64, i64)> {
    let all = read_all(store, table).await;
    let column = |name: &str| -> Vec<i64> { all.column(name).unwrap().i64().unwrap().iter().map(Option::unwrap).collect() };
    column("id").into_iter().zip(column("n")).collect()
}

async fn upsert(unit: &mut dyn Unit, table: &Table, ids: &[i64]) -> Result<(), Error> {
    unit.upsert(table, &rows(ids)).await
}

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
async fn tables_made_by_hand_are_checked() {
    for server in servers() {
        let lab = Lab::open(&server, "checked").await;
        let table = Table::new(ident("t", "hand")).key("id", Kind::Int).unwrap().key("name", Kind::Name(50)).unwrap();
        let table = table.value("money", Kind::Decimal { scale: 6 }).unwrap().value("moment", Kind::DateTime).unwrap();
        let table = table.column("twice", Kind::Int, true, Merge::Computed { mysql: "id * 2", sqlite: "id * 2" }).unwrap();
        let name = "`name` VARCHAR(60) COLLATE utf8mb4_bin NOT NULL";
        let rest = "money DECIMAL(20,6), moment DATETIME, twice BIGINT AS (id * 2) STORED, PRIMARY KEY (id, `name`)";
        let good = format!("id BIGINT NOT NULL, {name}, {rest}, remark TEXT, tag INT NOT NULL DEFAULT 3");
        let cases = [
            (good.clone(), "InnoDB", ""),
            (format!("{good}, UNIQUE KEY other (id, tag)"), "InnoDB", "unique key `other` (id, tag)"),
            (good.clone(), "MyISAM", "MyISAM"),
            (good.replace("id BIGINT", "id INT"), "InnoDB", "column `id` is int"),
            (good.replace("id BIGINT", "id BIGINT UNSIGNED"), "InnoDB", "unsigned"),
            (good.replace("DECIMAL(20,6)", "DECIMAL(20,2)"), "InnoDB", "column `money` is decimal(20,2), needed is DECIMAL(18,6)"),
            (good.replace("DECIMAL(20,6)", "DOUBLE"), "InnoDB", "column `money` is double"),
            (good.replace("moment DATETIME", "moment TIMESTAMP NULL"), "InnoDB", "column `moment` is timestamp"),
            (good.replace("money DECIMAL(20,6)", "money DECIMAL(20,6) NOT NULL"), "InnoDB", "column `money` must be nullable"),
            (good.replace(" AS (id * 2) STORED", ""), "InnoDB", "column `twice` is not generated always as (id * 2)"),
            (good.replace("utf8mb4_bin", "utf8mb4_general_ci"), "InnoDB", "collation utf8mb4_general_ci"),
            (good.replace("KEY (id, `name`)", "KEY (`name`, id)"), "InnoDB", "primary key is (name, id), needed is (id, name)"),
            (good.replace("NOT NULL DEFAULT 3", "NOT NULL"), "InnoDB", "column `tag` is unknown here"),
            (good.replace("VARCHAR(60)", "VARCHAR(40)"), "InnoDB", "column `name` is varchar(40), needed is VARCHAR(50)"),
        ];
        for (columns, engine, difference) in cases {
            lab.run("DROP TABLE IF EXISTS t_hand").await;
            lab.run(&format!("CREATE TABLE t_hand ({columns}) ENGINE={engine} DEFAULT CHARSET utf8mb4")).await;
            let checked = lab.store.create(&[&table]).await;
            if difference.is_empty() {
                checked.unwrap();
                let rows = frame(vec![ints("id", [1]), texts("name", ["x"]), ints("money", [2_005_000]), ints("moment", [0])]);
                write(&lab.store, "hand", 1, &table, &rows).await;
                continue;
            }
            let error = checked.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            let text = error.to_string();
            assert!(text.contains("`t_hand`") && text.contains(difference), "{text:?} does not say {difference:?}");
        }
        lab.close().await;
    }
}

#[tokio::test]
async fn an_average_can_be_generated_exactly() {
    const AVERAGE: &str = "((2 * CAST(spend_hour * 1000000 AS SIGNED) + 10000 * clicks) DIV NULLIF(20000 * clicks, 0)) / 100";
    for server in servers() {
        let lab = Lab::open(&server, "average").await;
        let table = Table::new(ident("t", "average")).key("id", Kind::Int).unwrap();
        let table = table.column("clicks", Kind::Int, true, Merge::Add).unwrap();
        let table = table.column("spend_hour", Kind::Decimal { scale: 6 }, true, Merge::Add).unwrap();
        let computed = Merge::Computed { mysql: AVERAGE, sqlite: AVERAGE };
        let table = table.column("bid_set", Kind::Decimal { scale: 2 }, true, computed).unwrap();
        lab.store.create(&[&table]).await.unwrap();
        lab.store.create(&[&table]).await.unwrap();
        let cases: [(Option<i64>, Option<i64>, Option<i64>); 11] = [
            (Some(1), Some(2_005_000), Some(201)),
            (Some(3), Some(2_000_000), Some(67)),
            (Some(6), Some(2_000_000), Some(33)),
            (Some(1), Some(0), Some(0)),
            (Some(2), Some(10_000), Some(1)),
            (Some(1), Some(4_999), Some(0)),
            (Some(1), Some(5_000), Some(1)),
            (Some(200), Some(1_005_000), Some(1)),
            (Some(7), Some(999_999_999_999_999_999), Some(14_285_714_285_714)),
            (None, None, None),
            (Some(0), Some(0), None),
        ];
        let ids = || ints("id", 0..11);
        let columns = |halves: i64| {
            let part = |value: Option<i64>| value.map(|value| if halves == 0 { 0 } else { value });
            vec![ids(), ints("clicks", cases.map(|case| part(case.0))), ints("spend_hour", cases.map(|case| part(case.1)))]
        };
        // Twice, so that the column follows an addition to a row that is there.
        write(&lab.store, "average", 1, &table, &frame(columns(0))).await;
        write(&lab.store, "average", 2, &table, &frame(columns(1))).await;
        let mut wanted = columns(1);
        wanted.push(ints("bid_set", cases.map(|case| case.2)));
        assert_same(&read_all(&lab.store, &table).await, &frame(wanted), "averages");
        let shown: Vec<Option<String>> = lab.rows("SELECT CAST(bid_set AS CHAR) FROM t_average WHERE id < 4 ORDER BY id").await;
        assert_eq!(shown, ["2.01", "0.67", "0.33", "0.00"].map(|text| Some(text.to_owned())));
        lab.close().await;
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    for server in servers() {
        let lab = Lab::open(&server, "unfit").await;
        let table = Table::new(ident("t", "unfit")).key("id", Kind::Int).unwrap().value("hour", Kind::Small).unwrap();
        let table = table.value("moment", Kind::DateTime).unwrap().column("name", Kind::Name(3), false, Merge::Replace).unwrap();
        let table = table.value("body", Kind::Text).unwrap();
        lab.store.create(&[&table]).await.unwrap();
        let claims = claim(&lab.store, "s").await;
        let packet: Vec<usize> = lab.rows("SELECT @@max_allowed_packet").await;
        let huge = "x".repeat(packet[0]);
        let row = |hour: i64, moment: i64, name: Option<&'static str>, body: &str| {
            let columns = vec![ints("id", [1]), ints("hour", [hour]), ints("moment", [moment]), texts("name", [name])];
            frame([columns, vec![texts("body", [body])]].concat())
        };
        for (rows, named) in [
            (row(300, 0, Some("x"), ""), "hour"),
            (row(0, i64::MAX, Some("x"), ""), "moment"),
            (row(0, 0, None, ""), "name"),
            (row(0, 0, Some("long"), ""), "name"),
            (row(0, 0, Some("x"), &huge), "max_allowed_packet"),
        ] {
            let mut unit = lab.store.begin("s", &claims).await.unwrap();
            let error = unit.upsert(&table, &rows).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            let text = error.to_string();
            assert!(text.contains("`t_unfit`") && text.contains(named), "{text:?} does not name {named}");
        }
        assert_eq!(read_all(&lab.store, &table).await.height(), 0);
        lab.close().await;
    }
}

#[tokio::test]
async fn names_may_be_longer_than_a_key() {
    for server in servers() {
        let lab = Lab::open(&server, "long").await;
        let scope = format!("step /{}", "ä".repeat(700));
        let partitions: Vec<Partition> = (0..700).map(|n| Partition::new(format!("/{}/{n}.csv", "d".repeat(400)))).collect();
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

#[tokio::test]
async fn wrong_settings_say_what_to_do() {
    for server in servers() {
        let lab = Lab::open(&server, "settings").await;
        let user = format!("reader_{}", clock::now_us());
        lab.run(&format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'canary'")).await;
        lab.run(&format!("GRANT SELECT ON `{}`.* TO {user}@'127.0.0.1'", lab.database)).await;
        let reader = |change: fn(&mut StoreUrl)| {
            let place = server.host_list(3306);
            let mut url = StoreUrl::parse(&format!("mysql://{user}:canary@{place}/{}", lab.database)).unwrap();
            change(&mut url);
            url
        };
        let table = counted("settings");
        lab.store.create(&[&table]).await.unwrap();
        let store = MySql::connect(&reader(|_| ())).await.unwrap();
        assert_eq!(read_all(&store, &table).await.height(), 0);
        let mut errors = vec![
            (store.claim("s", &[Partition::new("p")]).await.unwrap_err(), "denied"),
            (store.create(&[&counted("other")]).await.unwrap_err(), "t_other"),
        ];
        let nowhere = MySql::connect(&reader(|url| url.path = vec!["headrace_nowhere".into()])).await.unwrap();
        errors.push((nowhere.create(&[]).await.unwrap_err(), "headrace_nowhere"));
        let mut missing = server.clone();
        missing.path = vec!["headrace_nowhere".into()];
        let missing = MySql::connect(&missing).await.unwrap();
        assert!(!missing.has_table(&table.name).await.unwrap());
        assert!(missing.positions("s").await.unwrap().is_empty());
        assert_eq!(missing.counters("s").await.unwrap(), Counts::default());
        let select = Select { table: &table, columns: vec!["id"], equal: Vec::new(), after: vec![Value::Int(1)], limit: 1 };
        errors.push((missing.select(&select).await.unwrap_err(), "headrace_nowhere"));
        for (change, named) in [
            (set(|url| url.password = Some(headrace_core::Secret::new("canary2"))), "HEADRACE_MYSQL_PASSWORD"),
            (set(|url| url.hosts[0].0 = "no-such-host.invalid".into()), "no-such-host.invalid"),
            (set(|url| url.hosts.push(("other".into(), None))), "exactly one"),
            (set(|url| url.user = None), "USER@HOST"),
            (set(|url| option(url, "tabel", "x")), "tabel"),
            (set(|url| option(url, "tls", "maybe")), "tls"),
            (set(|url| option(url, "tls_ca", "/nowhere/ca.crt")), "/nowhere/ca.crt"),
        ] {
            errors.push((MySql::connect(&reader(change)).await.err().unwrap(), named));
        }
        for (error, named) in errors {
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(named) && !text.contains("canary"), "{text}");
        }
        let refused = MySql::connect(&reader(|url| url.hosts[0].1 = Some(1))).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::External, "{refused}");
        lab.run(&format!("DROP USER {user}@'127.0.0.1'")).await;
        lab.close().await;
    }
}

fn set(change: fn(&mut StoreUrl)) -> fn(&mut StoreUrl) {
    change
}

fn option(url: &mut StoreUrl, name: &str, value: &str) {
    url.options.insert(name.into(), value.into());
}

#[tokio::test]
async fn tls_checks_the_certificate() {
    let (Some(url), Some(certificates)) =
        (clock::environment("HEADRACE_TEST_MYSQL_SECURE"), clock::environment("HEADRACE_TEST_CERTIFICATES"))
    else {
        println!("SKIP: set HEADRACE_TEST_MYSQL_SECURE and HEADRACE_TEST_CERTIFICATES");
        return;
    };
    let with = |options: &[(&str, String)]| {
        let mut url = StoreUrl::parse(&url).unwrap();
        options.iter().for_each(|(name, value)| option(&mut url, name, value));
        url
    };
    let store = MySql::connect(&with(&[("tls_ca", format!("{certificates}/ca.crt"))])).await.unwrap();
    assert!(!store.has_table(&ident("t", "never_made")).await.unwrap());
    for (options, named) in [
        (vec![("tls_ca", format!("{certificates}/other-ca.crt"))], "tls_ca"),
        (vec![("tls", "true".to_owned())], "tls_ca"),
        // The user of the test must use TLS.
        (vec![], "password"),
    ] {
        let error = MySql::connect(&with(&options)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn zz_temporary() {
    use conformance::ledger;
    for server in servers().into_iter().rev() {
        let lab = Lab::open(&server, "tmp").await;
        let s = &lab.store;
        ledger::unit_dropped_changes_nothing_visible(s, "d").await;
        ledger::positions_and_state_commit_together(s, "d").await;
        ledger::stale_claim_is_fenced(s, "d").await;
        ledger::claim_while_a_unit_is_open(s, "d").await;
        ledger::counters_add_up(s, "d").await;
        ledger::state_reads_after_sequence_and_drops(s, "d").await;
        ledger::large_state(s, "d").await;
        ledger::units_of_one_scope_follow_each_other(s, "d").await;
        ledger::scopes_and_partitions_are_apart(s, "d").await;
        ledger::forget_forgets_one_scope(s, "d").await;
        println!("ledger fine for {}", s.name());
        conformance::values::all_kinds_round_trip(s, "d").await;
        conformance::values::keys_are_exact(s, "d").await;
        conformance::values::time_uuids_order_by_time(s, "d").await;
        conformance::values::ten_megabyte_text(s, "dd").await;
        conformance::values::refuses_what_does_not_fit(s, "d").await;
        println!("values fine");
        // throughput
        let table = Table::new(ident("t", "speed")).key("job_id", Kind::Int).unwrap().key("dates", Kind::Date).unwrap();
        let table = table.key("hours", Kind::Small).unwrap().key("publisher_id", Kind::Int).unwrap().key("campaign_id", Kind::Int).unwrap().key("group_id", Kind::Int).unwrap();
        let table = table.column("ts", Kind::DateTime, false, Merge::Replace).unwrap();
        let table = table.column("clicks", Kind::Int, true, Merge::Add).unwrap().column("spend_hour", Kind::Decimal { scale: 6 }, true, Merge::Add).unwrap();
        let table = table.column("conversion", Kind::Int, true, Merge::Add).unwrap().column("sources", Kind::Name(255), false, Merge::Replace).unwrap();
        s.create(&[&table]).await.unwrap();
        let claims = claim(s, "speed").await;
        for round in 0..2 {
            let begun = std::time::Instant::now();
            for batch in 0..5_i64 {
                let n = 20_000;
                let r = batch * n..(batch + 1) * n;
                let f = frame(vec![
                    ints("job_id", r.clone().map(|i| i % 997)), ints("dates", r.clone().map(|i| 19_000 + i % 300)), ints("hours", r.clone().map(|i| i % 24)),
                    ints("publisher_id", r.clone().map(|i| i % 38)), ints("campaign_id", r.clone()), ints("group_id", r.clone().map(|_| 0)),
                    ints("ts", r.clone().map(|i| i * 1_000_000)), ints("clicks", r.clone().map(|_| 1)), ints("spend_hour", r.clone().map(|_| 2_005_000)),
                    ints("conversion", r.clone().map(|_| None::<i64>)), texts("sources", r.clone().map(|_| "Cassandra")),
                ]);
                let mut unit = s.begin("speed", &claims).await.unwrap();
                unit.upsert(&table, &f).await.unwrap();
                unit.commit(&reached("p", round * 5 + batch + 1), &Counts::default()).await.unwrap();
            }
            println!("round {round}: {:.0} upserts/s", 100_000.0 / begun.elapsed().as_secs_f64());
        }
        let begun = std::time::Instant::now();
        for i in 0..200 {
            let unit = s.begin("speed", &claims).await.unwrap();
            unit.commit(&reached("p", 100 + i), &Counts::default()).await.unwrap();
        }
        println!("{:.2} ms per empty unit", begun.elapsed().as_secs_f64() * 1000.0 / 200.0);
        let begun = std::time::Instant::now();
        let given = conformance::drain(&mut *s.scan(&table, &["job_id", "ts", "clicks"], 1, &[]).await.unwrap(), &Default::default(), usize::MAX).await;
        println!("scan {} rows in {:?}", given.ints("job_id").len(), begun.elapsed());
        lab.close().await;
    }
}
