//! What the tests of the MySQL connector share: servers from the environment, a database of their own, a proxy that cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use headrace_connectors::mysql::MySql;
use headrace_core::{StoreUrl, clock};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The servers to test against: `HEADRACE_TEST_MYSQL`, one or more URLs, and `HEADRACE_TEST_MYSQL9`.
pub fn servers() -> Vec<StoreUrl> {
    let urls: Vec<String> = ["HEADRACE_TEST_MYSQL", "HEADRACE_TEST_MYSQL9"].into_iter().filter_map(clock::environment).collect();
    let urls: Vec<StoreUrl> = urls.iter().flat_map(|urls| urls.split_whitespace()).map(|url| StoreUrl::parse(url).unwrap()).collect();
    if urls.is_empty() {
        println!("SKIP: set HEADRACE_TEST_MYSQL");
    }
    urls
}

/// A store on a database of its own, and a plain session beside it.
pub struct Lab {
    pub url: StoreUrl,
    pub store: MySql,
    pub database: String,
}

impl Lab {
    pub async fn open(server: &StoreUrl, name: &str) -> Self {
        let mut url = server.clone();
        let database = format!("headrace_{name}_{}", clock::now_us());
        url.path = vec![database.clone()];
        let store = MySql::connect(&url).await.unwrap();
        headrace_core::store::Store::create(&store, &[]).await.unwrap();
        Self { url, store, database }
    }

    /// Another store on the same database.
    pub async fn again(&self) -> MySql {
        MySql::connect(&self.url).await.unwrap()
    }

    pub async fn session(&self) -> Conn {
        Conn::new(options(&self.url).db_name(Some(&self.database))).await.unwrap()
    }

    pub async fn run(&self, text: &str) {
        let mut session = self.session().await;
        session.query_drop(text).await.unwrap();
        session.disconnect().await.unwrap();
    }

    pub async fn rows<T: FromRow + Send + 'static>(&self, text: &str) -> Vec<T> {
        let mut session = self.session().await;
        let rows = session.query(text).await.unwrap();
        session.disconnect().await.unwrap();
        rows
    }

    /// Kills all other sessions of the database.
    pub async fn kill(&self) -> usize {
        let mut session = self.session().await;
        let query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
        let sessions: Vec<u64> = session.query(query).await.unwrap();
        for id in &sessions {
            session.query_drop(format!("KILL CONNECTION {id}")).await.unwrap();
        }
        session.disconnect().await.unwrap();
        sessions.len()
    }

    pub async fn close(self) {
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
pub enum Cut {
    Nowhere = 0,
    BeforeCommit = 1,
    AfterCommit = 2,
}

/// A proxy in front of a server.
pub struct Proxy {
    pub port: u16,
    cut: Arc<AtomicU8>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn start(url: &StoreUrl) -> Self {
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

    pub fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    pub fn has_cut(&self) -> bool {
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
