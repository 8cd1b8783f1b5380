//! The MySQL connector and its setting: tables made by hand, computed columns, values that do not fit, wrong URLs, TLS.

use headrace_connectors::mysql::MySql;
use headrace_core::store::{Select, Store};
use headrace_core::table::{Kind, Merge, Table, Value};
use headrace_core::{Counts, ErrorKind, Partition, StoreUrl, clock};

use super::support::{Lab, claim, counted, servers};
use crate::conformance::{assert_same, frame, ident, ints, read_all, texts, write};

#[tokio::test]
async fn tables_made_by_hand_are_checked() {
    for server in servers() {
        let lab = Lab::open(&server, "checked").await;
        let table = Table::new(ident("t", "hand")).key("id", Kind::Int).unwrap().key("name", Kind::Name(50)).unwrap();
        let table = table.value("money", Kind::Decimal { scale: 6 }).unwrap().value("moment", Kind::DateTime).unwrap();
        let table =
            table.column("twice", Kind::Int, true, Merge::Computed { mysql: "id * 2", sqlite: "id * 2" }).unwrap();
        let name = "`name` VARCHAR(60) COLLATE utf8mb4_bin NOT NULL";
        let rest = "money DECIMAL(20,6), moment DATETIME, twice BIGINT AS (id * 2) STORED, PRIMARY KEY (id, `name`)";
        let good = format!("id BIGINT NOT NULL, {name}, {rest}, remark TEXT, tag INT NOT NULL DEFAULT 3");
        let cases = [
            (good.clone(), "InnoDB", ""),
            (format!("{good}, UNIQUE KEY other (id, tag)"), "InnoDB", "unique key `other` (id, tag)"),
            (good.clone(), "MyISAM", "MyISAM"),
            (good.replace("id BIGINT", "id INT"), "InnoDB", "column `id` is int"),
            (good.replace("id BIGINT", "id BIGINT UNSIGNED"), "InnoDB", "unsigned"),
            (
                good.replace("DECIMAL(20,6)", "DECIMAL(20,2)"),
                "InnoDB",
                "column `money` is decimal(20,2), needed is DECIMAL(18,6)",
            ),
            (good.replace("DECIMAL(20,6)", "DOUBLE"), "InnoDB", "column `money` is double"),
            (good.replace("moment DATETIME", "moment TIMESTAMP NULL"), "InnoDB", "column `moment` is timestamp"),
            (
                good.replace("money DECIMAL(20,6)", "money DECIMAL(20,6) NOT NULL"),
                "InnoDB",
                "column `money` must be nullable",
            ),
            (good.replace(" AS (id * 2) STORED", ""), "InnoDB", "column `twice` is not generated always as (id * 2)"),
            (good.replace("utf8mb4_bin", "utf8mb4_general_ci"), "InnoDB", "collation utf8mb4_general_ci"),
            (
                good.replace("KEY (id, `name`)", "KEY (`name`, id)"),
                "InnoDB",
                "primary key is (name, id), needed is (id, name)",
            ),
            (good.replace("NOT NULL DEFAULT 3", "NOT NULL"), "InnoDB", "column `tag` is unknown here"),
            (
                good.replace("VARCHAR(60)", "VARCHAR(40)"),
                "InnoDB",
                "column `name` is varchar(40), needed is VARCHAR(50)",
            ),
        ];
        for (columns, engine, difference) in cases {
            lab.run("DROP TABLE IF EXISTS t_hand").await;
            lab.run(&format!("CREATE TABLE t_hand ({columns}) ENGINE={engine} DEFAULT CHARSET utf8mb4")).await;
            let checked = lab.store.create(&[&table]).await;
            if difference.is_empty() {
                checked.unwrap();
                let rows =
                    frame(vec![ints("id", [1]), texts("name", ["x"]), ints("money", [2_005_000]), ints("moment", [0])]);
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
    const AVERAGE: &str =
        "((2 * CAST(spend_hour * 1000000 AS SIGNED) + 10000 * clicks) DIV NULLIF(20000 * clicks, 0)) / 100";
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
            vec![
                ids(),
                ints("clicks", cases.map(|case| part(case.0))),
                ints("spend_hour", cases.map(|case| part(case.1))),
            ]
        };
        // Twice, so that the column follows an addition to a row that is there.
        write(&lab.store, "average", 1, &table, &frame(columns(0))).await;
        write(&lab.store, "average", 2, &table, &frame(columns(1))).await;
        let mut wanted = columns(1);
        wanted.push(ints("bid_set", cases.map(|case| case.2)));
        assert_same(&read_all(&lab.store, &table).await, &frame(wanted), "averages");
        let shown: Vec<Option<String>> =
            lab.rows("SELECT CAST(bid_set AS CHAR) FROM t_average WHERE id < 4 ORDER BY id").await;
        assert_eq!(shown, ["2.01", "0.67", "0.33", "0.00"].map(|text| Some(text.to_owned())));
        lab.close().await;
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    for server in servers() {
        let lab = Lab::open(&server, "unfit").await;
        let table = Table::new(ident("t", "unfit")).key("id", Kind::Int).unwrap().value("hour", Kind::Small).unwrap();
        let table = table
            .value("moment", Kind::DateTime)
            .unwrap()
            .column("name", Kind::Name(3), false, Merge::Replace)
            .unwrap();
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
        let select =
            Select { table: &table, columns: vec!["id"], equal: Vec::new(), after: vec![Value::Int(1)], limit: 1 };
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
