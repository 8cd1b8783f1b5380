//! What the tests of the ClickHouse connector share: servers from the environment, a database of their own, and a server that
//! they start and kill themselves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headrace_connectors::clickhouse::ClickHouse;
use headrace_core::rows::Rows;
use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Ident, StoreUrl, clock};
use polars::prelude::DataFrame;
use tempfile::TempDir;

use crate::conformance::{frame, ints, singles, texts};
use crate::ports::free_port;

/// The tables of the tariff offers, as their readers know them.
pub(crate) const CONTRACT: [(&str, &str); 2] = [
    (
        "personal_offer",
        "CREATE TABLE personal_offer (user_id UInt32, predicted_cost Float32, predicted_subscription Float32, \
         predicted_function_map Float32, predicted_function_ignore_sound Float32, predicted_function_listen_sound Float32, \
         predicted_function_detailed_routes Float32, predicted_function_sos_signal Float32, predicted_function_invite_second_parent Float32, \
         model_version LowCardinality(String), version UInt64, _inserted_datetime DateTime MATERIALIZED now()) \
         ENGINE = ReplacingMergeTree(version) ORDER BY user_id",
    ),
    (
        "personal_offer_history",
        "CREATE TABLE personal_offer_history (kafka_partition Int32, kafka_offset Int64, user_id UInt32, \
         predicted_cost Float32, predicted_subscription Float32, predicted_function_map Float32, predicted_function_ignore_sound Float32, \
         predicted_function_listen_sound Float32, predicted_function_detailed_routes Float32, predicted_function_sos_signal Float32, \
         predicted_function_invite_second_parent Float32, model_version LowCardinality(String), version UInt64, scored_at DateTime64(3)) \
         ENGINE = ReplacingMergeTree(scored_at) ORDER BY (kafka_partition, kafka_offset)",
    ),
];

const SCORES: [&str; 8] = [
    "predicted_cost",
    "predicted_subscription",
    "predicted_function_map",
    "predicted_function_ignore_sound",
    "predicted_function_listen_sound",
    "predicted_function_detailed_routes",
    "predicted_function_sos_signal",
    "predicted_function_invite_second_parent",
];

fn scored(table: Table) -> Table {
    let whole =
        |table: Table, name, stored| table.column(name, Kind::Int, false, Merge::Replace).unwrap().clickhouse(stored);
    let add = |table: Table, name: &&str| table.column(name, Kind::Single, false, Merge::Replace).unwrap();
    let table = SCORES.iter().fold(table, add);
    let table = table.column("model_version", Kind::Name(100), false, Merge::Replace).unwrap();
    whole(table.clickhouse("LowCardinality(String)"), "version", "UInt64")
}

pub(crate) fn offer() -> Table {
    let table = Table::new(Ident::new("personal_offer").unwrap()).key("user_id", Kind::Int).unwrap();
    let table = scored(table.clickhouse("UInt32")).versioned_by("version").unwrap();
    table.clickhouse_column("_inserted_datetime", "DateTime MATERIALIZED now()").unwrap()
}

pub(crate) fn history() -> Table {
    let table = Table::new(Ident::new("personal_offer_history").unwrap()).key("kafka_partition", Kind::Int).unwrap();
    let table = table.clickhouse("Int32").key("kafka_offset", Kind::Int).unwrap();
    let table = scored(table.column("user_id", Kind::Int, false, Merge::Replace).unwrap().clickhouse("UInt32"));
    let table = table.column("scored_at", Kind::DateTime, false, Merge::Replace).unwrap().clickhouse("DateTime64(3)");
    table.versioned_by("scored_at").unwrap()
}

/// Offers of users and versions.
pub(crate) fn offer_rows(of: &[(i64, i64)]) -> DataFrame {
    let models: Vec<String> = of.iter().map(|row| format!("linear-{}", row.1)).collect();
    let mut columns = vec![ints("user_id", of.iter().map(|row| row.0))];
    columns.extend(SCORES.iter().map(|name| singles(name, of.iter().map(|_| Some(251.159_44_f32)))));
    columns.push(texts("model_version", models.iter().map(String::as_str)));
    columns.push(ints("version", of.iter().map(|row| row.1)));
    frame(columns)
}

/// The server of a variable; its certificate's authority is added where it has one.
pub(crate) fn server(variable: &str) -> Option<StoreUrl> {
    let Some(url) = clock::environment(variable) else {
        println!("SKIP: set {variable}");
        return None;
    };
    let mut url = StoreUrl::parse(&url).unwrap();
    if url.scheme == "clickhouses" {
        let folder = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
        url.options.insert("tls_ca".to_owned(), format!("{folder}/ca.crt"));
    }
    Some(url)
}

/// A store on a database of its own.
pub(crate) struct Lab {
    pub(crate) store: ClickHouse,
    pub(crate) database: String,
    url: StoreUrl,
}

impl Lab {
    pub(crate) async fn open(variable: &str) -> Option<Self> {
        let mut url = server(variable)?;
        let database = format!("headrace_{}", clock::now_us());
        url.path = vec![database.clone()];
        let store = ClickHouse::connect(&url).await.unwrap();
        store.create(&[]).await.unwrap();
        Some(Self { store, database, url })
    }

    /// Runs a query as another program does, and gives its answer.
    pub(crate) async fn run(&self, query: &str) -> String {
        let (status, answer) = post(&self.url, query).unwrap();
        assert!(status.contains(" 200 "), "{query}: {answer}");
        answer
    }

    pub(crate) async fn close(self) {
        if self.url.scheme == "clickhouse" {
            self.run(&format!("DROP DATABASE {}", self.database)).await;
        }
    }
}

fn post(url: &StoreUrl, query: &str) -> std::io::Result<(String, String)> {
    let login = format!("{}:{}", url.user.as_deref().unwrap(), url.password.as_ref().unwrap().reveal());
    let mut stream = TcpStream::connect(("127.0.0.1", url.hosts[0].1.unwrap()))?;
    write!(
        stream,
        "POST / HTTP/1.0\r\nAuthorization: Basic {}\r\nContent-Length: {}\r\n\r\n{query}",
        BASE64_STANDARD.encode(login),
        query.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// A server of the current engine that ends with its test.
pub(crate) struct Server {
    port: u16,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// Starts a server; none where no program is known.
    pub(crate) async fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let server = Self { child: spawn(port, &folder)?, port, folder };
        server.wait().await;
        Some(server)
    }

    pub(crate) fn url(&self) -> StoreUrl {
        StoreUrl::parse(&format!("clickhouse://lab:lab-secret@127.0.0.1:{}/killed", self.port)).unwrap()
    }

    /// Kills it as a power cut would kill the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder).unwrap();
        self.wait().await;
    }

    async fn wait(&self) {
        let begun = Instant::now();
        while !post(&self.url(), "SELECT 1").is_ok_and(|(status, _)| status.contains(" 200 ")) {
            assert!(begun.elapsed() < Duration::from_secs(120), "the server does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &TempDir) -> Option<Child> {
    let Some(program) = clock::environment("HEADRACE_TEST_CLICKHOUSE_RUN") else {
        println!("SKIP: set HEADRACE_TEST_CLICKHOUSE_RUN");
        return None;
    };
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(folder.path()).arg(port.to_string()).stdout(Stdio::null());
    Some(command.spawn().unwrap())
}
