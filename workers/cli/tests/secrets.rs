//! A canary in the place of every password: in the URL, a file and the environment, right and wrong, on all stores, with all logs
//! of all drivers on. It is in no output, no process list, no ledger and no result.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headrace_core::{StoreUrl, clock};
use mysql_async::prelude::Queryable;
use tempfile::TempDir;

const CANARY: &str = "c4n4ry-of-some-length";
/// Every target at its most talkative, drivers too (the bare word `trace` would quieten them).
const EVERYTHING: &str = "trace,headrace=trace";

/// Runs the command with all logs on; gives its exit code and everything it said. The canary is in none of it.
fn run(directory: &Path, canary: &str, line: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headrace"));
    command.args(line).args(["--log-level", EVERYTHING]).current_dir(directory).stdin(Stdio::null());
    for store in ["CASSANDRA", "KAFKA", "MYSQL"] {
        command.env(format!("HEADRACE_{store}_PASSWORD"), canary);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let at = said.lines().find(|line| line.contains(canary));
    assert!(at.is_none(), "{line:?} shows the password: {at:?}");
    (output.status.code(), said)
}

/// A directory with files to load and the canary in a file.
fn place(canary: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("password"), format!("{canary}\n")).unwrap();
    let simulate = ["recruitment", "simulate", "in", "--rows", "300", "--jobs", "20", "--defects", "0.01"];
    assert_eq!(run(directory.path(), canary, &simulate).0, Some(0));
    directory
}

#[test]
fn where_nobody_answers() {
    let directory = place(CANARY);
    let give = |scheme: &str, rest: &str| -> Vec<String> {
        vec![
            format!("{scheme}://app:{CANARY}@127.0.0.1:1/{rest}"),
            format!("{scheme}://app@127.0.0.1:1/{rest}"),
            format!("{scheme}://app@127.0.0.1:1/{rest}?password_file=password"),
            format!("{scheme}://app@127.0.0.1:1/{rest}?password_env=HEADRACE_KAFKA_PASSWORD"),
            // Written wrong: what stands where is anybody's guess, and is not shown.
            format!("{scheme}://app:{CANARY}@127.0.0.1:port/{rest}"),
            format!("{scheme}:/app:{CANARY}@127.0.0.1/{rest}"),
            format!("{scheme}://app:1/{CANARY}@127.0.0.1:1/{rest}"),
            format!("{scheme}://app:1?{CANARY}@127.0.0.1:1/{rest}"),
            format!("{scheme}://app:a@{CANARY}@127.0.0.1:1/{rest}"),
            format!("{scheme}://app@127.0.0.1:1/{rest}?password={CANARY}"),
            format!("{scheme}://app@127.0.0.1:1/{rest}?sasl_password={CANARY}"),
        ]
    };
    for url in give("cassandra", "ks/t") {
        let (code, said) =
            run(directory.path(), CANARY, &["recruitment", "load", "in/tracking.csv", "--to", &url, "--json"]);
        assert!(matches!(code, Some(1 | 2)), "{url}: {said}");
    }
    for url in give("mysql", "db/t") {
        let (code, said) = run(directory.path(), CANARY, &["recruitment", "jobs", "in/job.csv", "--to", &url]);
        assert!(matches!(code, Some(1 | 2)), "{url}: {said}");
    }
    for url in give("kafka", "t") {
        let line = ["recruitment", "clean", "--from", &url, "--to", "embedded:store", "--json"];
        let (code, said) = run(directory.path(), CANARY, &line);
        assert!(matches!(code, Some(1 | 2)), "{url}: {said}");
    }
}

/// The servers with logins, none (visibly) where they are not given.
fn servers() -> Option<[StoreUrl; 3]> {
    let names = ["HEADRACE_TEST_CASSANDRA_SECURE", "HEADRACE_TEST_KAFKA_SECURE", "HEADRACE_TEST_MYSQL"];
    let urls = names.map(clock::environment);
    if urls.iter().any(Option::is_none) {
        println!("SKIP: set {}", names.join(", "));
        return None;
    }
    Some(urls.map(|url| StoreUrl::parse(&url.unwrap()).unwrap()))
}

/// What an administrator does on the servers of a test.
struct Administrator {
    cassandra: scylla::client::session::Session,
    mysql: mysql_async::Conn,
}

impl Administrator {
    async fn connect(cassandra: &StoreUrl, mysql: &StoreUrl) -> Self {
        let word = |url: &StoreUrl| url.password.as_ref().unwrap().reveal().to_owned();
        let builder = scylla::client::session_builder::SessionBuilder::new()
            .known_node(cassandra.host_list(9042))
            .user(cassandra.user.clone().unwrap(), word(cassandra));
        let options = mysql_async::OptsBuilder::default()
            .ip_or_hostname(mysql.hosts[0].0.clone())
            .tcp_port(mysql.hosts[0].1.unwrap_or(3306))
            .user(mysql.user.clone())
            .pass(Some(word(mysql)))
            .prefer_socket(false);
        Self { cassandra: builder.build().await.unwrap(), mysql: mysql_async::Conn::new(options).await.unwrap() }
    }

    async fn cql(&self, text: &str) {
        self.cassandra.query_unpaged(text, ()).await.unwrap();
    }

    async fn sql(&mut self, text: &str) {
        self.mysql.query_drop(text).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_the_right_one_and_where_it_is_not() {
    let Some([cassandra, kafka, mysql]) = servers() else { return };
    let certificates = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
    // Kafka's user is there already, so his password is the canary of all three.
    let canary = kafka.password.as_ref().unwrap().reveal().to_owned();
    let name = format!("secret_{:x}", clock::now_us());
    let mut administrator = Administrator::connect(&cassandra, &mysql).await;
    administrator
        .cql(&format!("CREATE ROLE {name} WITH PASSWORD = '{canary}' AND LOGIN = true AND SUPERUSER = true"))
        .await;
    administrator.sql(&format!("CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{canary}'")).await;
    administrator.sql(&format!("GRANT ALL ON `{name}`.* TO {name}@'127.0.0.1'")).await;

    let directory = place(&canary);
    let tls = format!("tls_ca={certificates}/ca.crt");
    let raw = format!("cassandra://{name}@{}/{name}/tracking?{tls}&password_file=password", cassandra.host_list(9042));
    let log = format!("kafka://{}@{}/{name}?{tls}", kafka.user.as_ref().unwrap(), kafka.host_list(9092));
    let result = format!("mysql://{name}:{canary}@{}/{name}/result", mysql.host_list(3306));
    let jobs = format!("mysql://{name}@{}/{name}/job?password_env=HEADRACE_MYSQL_PASSWORD", mysql.host_list(3306));
    let recruitment = |line: &[&str]| run(directory.path(), &canary, &[&["recruitment"], line].concat());
    for (line, code) in [
        (vec!["load", "in/tracking.csv", "--to", &raw], 3),
        (vec!["jobs", "in/job.csv", "--to", &jobs, "--json"], 0),
        (vec!["replay", "--from", &raw, "--to", &log], 0),
        (vec!["clean", "--from", &log, "--jobs", &jobs, "--to", &result, "--json"], 0),
        (vec!["verify", "--raw", &raw, "--log", &log, "--result", &result], 0),
        (vec!["dead-letters", "list", "--from", &raw, "--out", "letters.jsonl"], 0),
        (vec!["export", "--from", &result, "--out", "hourly.csv", "--json"], 0),
    ] {
        let (found, said) = recruitment(&line);
        assert_eq!(found, Some(code), "{line:?}: {}", &said[said.len().saturating_sub(2_000)..]);
    }
    assert_nothing_in_the_process_list(directory.path(), &canary, &log, &format!("{jobs}&table=result"));
    for file in ["letters.jsonl", "hourly.csv", "followed"] {
        assert!(!std::fs::read_to_string(directory.path().join(file)).unwrap().contains(&canary), "{file}");
    }
    let ledger: Vec<(String, String, String)> = administrator
        .mysql
        .query(format!("SELECT p.scope, p.name, s.counters FROM `{name}`.headrace_position p JOIN `{name}`.headrace_scope s USING (scope)"))
        .await
        .unwrap();
    assert!(!ledger.is_empty() && !format!("{ledger:?}").contains(&canary));

    // And where it is wrong, neither the wrong one nor the right one.
    let wrong = |url: &str| {
        url.replacen(&format!(":{canary}@"), "@", 1)
            .replace("password_file=password", "")
            .replace("password_env=HEADRACE_MYSQL_PASSWORD", "")
    };
    for line in [
        vec!["load", "in/tracking.csv", "--to", &wrong(&raw)],
        vec!["jobs", "in/job.csv", "--to", &wrong(&jobs)],
        vec!["clean", "--from", &wrong(&log), "--to", "embedded:store"],
    ] {
        let (code, said) = run(directory.path(), CANARY, &[&["recruitment"], line.as_slice()].concat());
        assert_eq!(code, Some(1), "{line:?}");
        assert!(
            !said.contains(&canary) && said.contains("password"),
            "{line:?}: {}",
            &said[said.len().saturating_sub(2_000)..]
        );
    }
    administrator.sql(&format!("DROP DATABASE `{name}`")).await;
    administrator.sql(&format!("DROP USER {name}@'127.0.0.1'")).await;
    administrator.cql(&format!("DROP KEYSPACE {name}")).await;
    administrator.cql(&format!("DROP ROLE {name}")).await;
}

/// Follows the topic in the background, with the password given by the environment, and looks at it as `ps` does.
fn assert_nothing_in_the_process_list(directory: &Path, canary: &str, log: &str, result: &str) {
    let followed = std::fs::File::create(directory.join("followed")).unwrap();
    let line = ["recruitment", "clean", "--from", log, "--to", result, "--follow", "--log-level", EVERYTHING];
    let mut child = Command::new(env!("CARGO_BIN_EXE_headrace"))
        .args(line)
        .current_dir(directory)
        .env("HEADRACE_KAFKA_PASSWORD", canary)
        .env("HEADRACE_MYSQL_PASSWORD", canary)
        .stdin(Stdio::null())
        .stdout(followed.try_clone().unwrap())
        .stderr(followed)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let text = || std::fs::read_to_string(directory.join("followed")).unwrap();
    while !text().contains("claim") && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let listed = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(listed.starts_with(env!("CARGO_BIN_EXE_headrace").as_bytes()));
    assert!(!String::from_utf8_lossy(&listed).contains(canary));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    assert!(!text().contains(canary), "the logs show the password");
}
