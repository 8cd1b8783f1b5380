//! What the tests of the Redis connector share: servers from the environment, and servers they start and kill themselves.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headrace_core::{StoreUrl, clock};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::ports::free_port;

/// The server of a variable; its certificate's authority is added where it has one.
pub(crate) fn server(variable: &str) -> Option<StoreUrl> {
    let Some(url) = clock::environment(variable) else {
        println!("SKIP: set {variable}");
        return None;
    };
    let mut url = StoreUrl::parse(&url).unwrap();
    if url.scheme == "rediss" {
        let folder = clock::environment("HEADRACE_TEST_CERTIFICATES").unwrap();
        url.options.insert("tls_ca".to_owned(), format!("{folder}/ca.crt"));
    }
    Some(url)
}

/// All servers to test against.
pub(crate) fn servers() -> Vec<StoreUrl> {
    ["HEADRACE_TEST_REDIS", "HEADRACE_TEST_REDIS_SECURE"].into_iter().filter_map(server).collect()
}

/// The same server with keys of its own.
pub(crate) fn apart(url: &StoreUrl) -> StoreUrl {
    let mut url = url.clone();
    url.options.insert("prefix".to_owned(), format!("t{}-", clock::now_us()));
    url
}

/// A plain session, as another program has it.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let bare = url.split('?').next().unwrap();
    redis::Client::open(bare).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A server that ends with its test.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    settings: Vec<String>,
    child: Child,
}

impl Server {
    /// Starts a server that keeps every write; none where no program is known.
    pub(crate) async fn start(settings: &[&str]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let child = spawn(port, &folder, &settings)?;
        let server = Self { port, folder, settings, child };
        server.wait().await;
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would kill the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.settings).unwrap();
        self.wait().await;
    }

    async fn wait(&self) {
        let begun = Instant::now();
        loop {
            let answer = async {
                let client = redis::Client::open(self.url())?;
                let mut session = client.get_multiplexed_async_connection().await?;
                redis::cmd("PING").query_async::<String>(&mut session).await
            };
            match answer.await {
                Ok(_) => return,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &TempDir, settings: &[String]) -> Option<Child> {
    let Some(program) = clock::environment("HEADRACE_TEST_REDIS_RUN") else {
        println!("SKIP: set HEADRACE_TEST_REDIS_RUN");
        return None;
    };
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
    command.arg("--dir").arg(folder.path()).args(settings).stdout(Stdio::null());
    Some(command.spawn().unwrap())
}

/// Starts a cluster of three nodes.
pub(crate) async fn cluster() -> Option<Vec<Server>> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let bus = free_port().to_string();
        nodes.push(Server::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await?);
        let node = nodes.last().unwrap();
        let first = [0, 5_461, 10_923][nodes.len() - 1];
        let last = [5_460, 10_922, 16_383][nodes.len() - 1];
        let mut session = raw(&node.url()).await;
        redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last).exec_async(&mut session).await.unwrap();
        if nodes.len() > 1 {
            let mut meet = redis::cmd("CLUSTER");
            meet.arg("MEET").arg("127.0.0.1").arg(node.port).arg(bus);
            meet.exec_async(&mut raw(&nodes[0].url()).await).await.unwrap();
        }
    }
    let begun = Instant::now();
    for node in &nodes {
        loop {
            let mut session = raw(&node.url()).await;
            let state: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut session).await.unwrap();
            let known: String = redis::cmd("CLUSTER").arg("NODES").query_async(&mut session).await.unwrap();
            if state.contains("cluster_state:ok")
                && known.lines().filter(|line| line.contains(" connected")).count() == 3
            {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{state} {known}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Some(nodes)
}
