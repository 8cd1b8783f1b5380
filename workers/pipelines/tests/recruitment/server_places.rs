//! Places on real servers: a keyspace, a topic and a database of their own, dropped when a test has passed.
//!
//! `HEADRACE_TEST_CASSANDRA`, `HEADRACE_TEST_KAFKA` and `HEADRACE_TEST_MYSQL` name them; `HEADRACE_TEST_MYSQL9` adds a second
//! warehouse. Topics are left behind: they are small.

use std::sync::atomic::{AtomicU64, Ordering};

use headrace_core::{StoreUrl, clock};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use super::Place;

/// The databases of a place.
#[derive(Clone)]
pub struct Databases {
    cassandra: StoreUrl,
    mysql: StoreUrl,
    pub name: String,
}

/// The servers' URLs, one place for each warehouse; none, visibly, where they are not given.
pub fn servers() -> Option<(String, String, Vec<String>)> {
    let mut absent = Vec::new();
    let mut find = |name: &'static str| {
        let url = clock::environment(name);
        if url.is_none() {
            absent.push(name);
        }
        url
    };
    let names = ["HEADRACE_TEST_CASSANDRA", "HEADRACE_TEST_KAFKA", "HEADRACE_TEST_MYSQL"];
    let [cassandra, kafka, mysql] = names.map(&mut find);
    if !absent.is_empty() {
        eprintln!("SKIP: set {}", absent.join(", "));
    }
    let warehouses = [Some(mysql?), clock::environment("HEADRACE_TEST_MYSQL9")];
    Some((cassandra?, kafka?, warehouses.into_iter().flatten().collect()))
}

/// Makes a place for each warehouse.
pub fn places(test: &str) -> Vec<Place> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some((cassandra, kafka, warehouses)) = servers() else { return Vec::new() };
    let place = |warehouse: &String| {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("headrace_{test}_{:x}_{number}", clock::now_us() & 0xff_ffff_ffff);
        let mysql = StoreUrl::parse(warehouse).unwrap();
        // The URL's database is replaced: up to it everything is kept, the login too.
        let base =
            warehouse.rsplit_once('/').filter(|_| !mysql.path.is_empty()).map_or(warehouse.as_str(), |split| split.0);
        let database = format!("{base}/{name}");
        Place {
            raw: format!("{cassandra}/{name}"),
            log: format!("{kafka}/{name}"),
            jobs: database.clone(),
            result: database,
            directory: tempfile::tempdir().unwrap(),
            servers: Some(Databases { cassandra: StoreUrl::parse(&cassandra).unwrap(), mysql, name }),
        }
    };
    warehouses.iter().map(place).collect()
}

impl Databases {
    /// A session of the warehouse.
    pub async fn mysql(&self, database: Option<&str>) -> Conn {
        let (host, port) = &self.mysql.hosts[0];
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port.unwrap_or(3306))
            .user(self.mysql.user.as_deref())
            .pass(self.mysql.password.as_ref().map(|password| password.reveal()))
            .db_name(database)
            .prefer_socket(false);
        Conn::new(options).await.unwrap()
    }

    /// Runs a statement in the warehouse; tells how many rows it changed.
    pub async fn change(&self, sql: &str) -> u64 {
        let mut session = self.mysql(Some(&self.name)).await;
        session.query_drop(sql).await.unwrap();
        let rows = session.affected_rows();
        session.disconnect().await.unwrap();
        rows
    }

    /// Asks the warehouse.
    pub async fn rows<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        let mut session = self.mysql(Some(&self.name)).await;
        let rows = session.query(sql).await.unwrap();
        session.disconnect().await.unwrap();
        rows
    }

    /// A session of the raw store's server.
    pub async fn cassandra(&self) -> Session {
        SessionBuilder::new().known_node(self.cassandra.host_list(9042)).build().await.unwrap()
    }

    /// Drops keyspace and database.
    pub async fn drop(&self) {
        let mut session = self.mysql(None).await;
        session.query_drop(format!("DROP DATABASE IF EXISTS `{}`", self.name)).await.unwrap();
        session.disconnect().await.unwrap();
        let session = self.cassandra().await;
        session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {}", self.name), ()).await.unwrap();
    }
}

/// Runs a test in a place for each warehouse, and drops what it made when it has passed.
pub async fn everywhere(test: &str, run: impl AsyncFn(&Place)) {
    for place in places(test) {
        eprintln!("on {}", place.servers.as_ref().unwrap().name);
        run(&place).await;
        place.servers.as_ref().unwrap().drop().await;
    }
}
