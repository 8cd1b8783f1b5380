//! What the tests of the MySQL connector share: servers from the environment, a database of their own, a proxy that cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use headrace_connectors::mysql::MySql;
use headrace_core::store::{Store, Unit};
use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Claim, Error, Partition, StoreUrl, clock};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use polars::prelude::DataFrame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::conformance::{frame, ident, ints, read_all};

/// Rows that count how often they were written.
pub(crate) fn counted(name: &str) -> Table {
    let table = Table::new(ident("t", name)).key("id", Kind::Int).unwrap();
    table.column("n", Kind::Int, true, Merge::Add).unwrap()
}

pub(crate) fn rows(ids: &[i64]) -> DataFrame {
    frame(vec![ints("id", ids.iter().copied()), ints("n", ids.iter().map(|_| 1))])
}

pub(crate) async fn claim(store: &dyn Store, scope: &str) -> Vec<Claim> {
    store.claim(scope, &[Partition::new("p")]).await.unwrap()
}

pub(crate) async fn counts_of(store: &dyn Store, table: &Table) -> Vec<(i64, i64)> {
    let all = read_all(store, table).await;
    let column =
        |name: &str| -> Vec<i64> { all.column(name).unwrap().i64().unwrap().iter().map(Option::unwrap).collect() };
    column("id").into_iter().zip(column("n")).collect()
}

pub(crate) async fn upsert(unit: &mut dyn Unit, table: &Table, ids: &[i64]) -> Result<(), Error> {
    unit.upsert(table, &rows(ids)).await
}

/// The servers to test against: `HEADRACE_TEST_MYSQL`, one or more URLs, and `HEADRACE_TEST_MYSQL9`.
pub(crate) fn servers() -> Vec<StoreUrl> {
    let urls: Vec<String> =
        ["HEADRACE_TEST_MYSQL", "HEADRACE_TEST_MYSQL9"].into_iter().filter_map(clock::environment).collect();
    let urls: Vec<StoreUrl> =
        urls.iter().flat_map(|urls| urls.split_whitespace()).map(|url| StoreUrl::parse(url).unwrap()).collect();
    if urls.is_empty() {
        println!("SKIP: set HEADRACE_TEST_MYSQL");
    }
    urls
}

/// A store on a database of its own, and a plain session beside it.
pub(crate) struct Lab {
    pub(crate) url: StoreUrl,
    pub(crate) store: MySql,
    pub(crate) database: String,
}

impl Lab {
    pub(crate) async fn open(server: &StoreUrl, name: &str) -> Self {
        let mut url = server.clone();
        let database = format!("headrace_{name}_{}", clock::now_us());
        url.path = vec![database.clone()];
        let store = MySql::connect(&url).await.unwrap();
        store.create(&[]).await.unwrap();
        Self { url, store, database }
    }

    /// Another store on the same database.
    pub(crate) async fn again(&self) -> MySql {
        MySql::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn session(&self) -> Conn {
        Conn::new(options(&self.url).db_name(Some(&self.database))).await.unwrap()
    }

    pub(crate) async fn run(&self, text: &str) {
        let mut session = self.session().await;
        session.query_drop(text).await.unwrap();
        session.disconnect().await.unwrap();
    }

    pub(crate) async fn rows<T: FromRow + Send + 'static>(&self, text: &str) -> Vec<T> {
        let mut session = self.session().await;
        let rows = session.query(text).await.unwrap();
        session.disconnect().await.unwrap();
        rows
    }

    /// Kills all other sessions of the database.
    pub(crate) async fn kill(&self) -> usize {
        let mut session = self.session().await;
        let query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let sessions: Vec<u64> = session.query(query).await.unwrap();
        for id in &sessions {
            session.query_drop(format!("KILL CONNECTION {id}")).await.unwrap();
        }
        session.disconnect().await.unwrap();
        sessions.len()
    }

    pub(crate) async fn close(self) {
        drop(self.store);
        let mut session = Conn::new(options(&self.url)).await.unwrap();
        session.query_drop(format!("DROP DATABASE `{}`", self.database)).await.unwrap();
        session.disconnect().await.unwrap();
    }
}

fn options(url: &StoreUrl) -> OptsBuilder {
    let (host, port) = &url.hosts[0];
    OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port.unwrap_or(3306))
        .user(url.user.as_deref())
        .pass(url.password.as_ref().map(|password| password.reveal()))
        .prefer_socket(false)
}

/// Where the proxy cuts the next connection that commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nowhere = 0,
    BeforeCommit = 1,
    AfterCommit = 2,
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cut: Arc<AtomicU8>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(url: &StoreUrl) -> Self {
        let target = url.host_list(3306);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicU8::new(0));
        let shared = Arc::clone(&cut);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, cut, accepting }
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    pub(crate) fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == Cut::Nowhere as u8
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut client: TcpStream, target: String, cut: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(target).await.unwrap();
    let (mut upward, mut downward) = (vec![0_u8; 65_536], vec![0_u8; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut upward) => {
                let Ok(read @ 1..) = read else { return };
                let commits = upward[..read].windows(7).any(|bytes| bytes == b"\x03COMMIT");
                let wanted = if commits { cut.swap(0, Ordering::SeqCst) } else { 0 };
                if wanted == Cut::BeforeCommit as u8 {
                    return;
                }
                if server.write_all(&upward[..read]).await.is_err() {
                    return;
                }
                if wanted == Cut::AfterCommit as u8 {
                    // The answer shows that the commit is done; nobody hears of it.
                    let answered = server.read(&mut downward).await.unwrap();
                    assert!(answered > 0);
                    return;
                }
            }
            read = server.read(&mut downward) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&downward[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
