//! Connections: one, shared by all tasks, made when needed and made anew when lost.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use headrace_core::Result;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult, Value};
use tokio::sync::Mutex;

use super::failure::{failure, is_lost, is_unknown_script};
use super::options::Options;
use super::scripts::Scripts;

/// Commands in one pipeline.
pub(super) const PIPELINE: usize = 512;
/// Commands on their way to the nodes of a cluster.
const IN_FLIGHT: usize = 128;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A node of a cluster by its address, or the server that stands alone.
pub(super) type Node = Option<(String, u16)>;

/// A server or cluster.
pub(super) struct Link {
    pub(super) options: Options,
    pub(super) scripts: Scripts,
    current: Mutex<Option<Connection>>,
}

impl Link {
    /// Connects once, so that a wrong address or login is known at once.
    ///
    /// # Errors
    /// What [`failure`] makes of it.
    pub(super) async fn connect(options: Options) -> Result<Self> {
        let link = Self { options, scripts: Scripts::new(), current: Mutex::default() };
        link.connection(&format!("cannot connect to {}", link.options.place)).await?;
        Ok(link)
    }

    async fn connection(&self, context: &str) -> Result<Connection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        let opened = async {
            let mut connection = self.open().await?;
            for load in self.scripts.load() {
                connection.send(&load).await?;
            }
            Ok::<_, RedisError>(connection)
        };
        let connection = opened.await.map_err(|error| failure(context, &self.options.place, error))?;
        Ok(current.insert(connection).clone())
    }

    async fn open(&self) -> RedisResult<Connection> {
        let configuration = |error: headrace_core::Error| {
            RedisError::from((redis::ErrorKind::InvalidClientConfig, "cannot use the URL", error.to_string()))
        };
        let mut servers = self.options.servers().map_err(configuration)?;
        if self.options.is_cluster {
            let mut builder = ClusterClientBuilder::new(servers)
                .connection_timeout(CONNECT_LIMIT)
                .response_timeout(self.options.timeout)
                .retries(3);
            if let Some(certificates) = self.options.tls.clone() {
                builder = builder.certs(certificates);
            }
            return Ok(Connection::Cluster(builder.build()?.get_async_connection().await?));
        }
        let server = servers.swap_remove(0);
        let client = match self.options.tls.clone() {
            Some(certificates) => Client::build_with_tls(server, certificates)?,
            None => Client::open(server)?,
        };
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(self.options.timeout));
        Ok(Connection::Single(client.get_multiplexed_async_connection_with_config(&limits).await?))
    }

    /// Sends commands that may be sent twice, at most [`PIPELINE`] of them, and gives their answers in order.
    ///
    /// # Errors
    /// What [`failure`] makes of the first fault; other commands may have been carried out.
    pub(super) async fn run(&self, context: &str, commands: &[Cmd]) -> Result<Vec<Value>> {
        self.run_at(context, &None, commands).await
    }

    /// The same at one node of a cluster.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn run_at(&self, context: &str, node: &Node, commands: &[Cmd]) -> Result<Vec<Value>> {
        let mut is_again = false;
        loop {
            let mut connection = self.connection(context).await?;
            match connection.send_all(node, commands).await {
                Ok(answers) => return Ok(answers),
                Err(error) => {
                    let lost = is_lost(&error);
                    if lost {
                        *self.current.lock().await = None;
                    }
                    if !lost || is_again {
                        return Err(failure(context, &self.options.place, error));
                    }
                    is_again = true;
                }
            }
        }
    }

    /// Sends one command that must not be sent twice. After an external error it may have been carried out, or will be.
    ///
    /// # Errors
    /// What [`failure`] makes of the fault.
    pub(super) async fn once(&self, context: &str, command: &Cmd) -> Result<Value> {
        let mut is_again = false;
        loop {
            let mut connection = self.connection(context).await?;
            let error = match connection.send(command).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if is_lost(&error) {
                *self.current.lock().await = None;
            }
            // A script the server does not know was not run.
            if !is_unknown_script(&error) || is_again {
                return Err(failure(context, &self.options.place, error));
            }
            is_again = true;
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As [`Self::run`], or when the answer is of another type.
    pub(super) async fn ask<T: FromRedisValue>(&self, context: &str, node: &Node, command: Cmd) -> Result<T> {
        let answer = self.run_at(context, node, &[command]).await?.pop().unwrap_or(Value::Nil);
        self.read(context, answer)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// An external error when it is of another type.
    pub(super) fn read<T: FromRedisValue>(&self, context: &str, answer: Value) -> Result<T> {
        redis::from_redis_value(answer).map_err(|error| failure(context, &self.options.place, error.into()))
    }

    /// The nodes that hold keys.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn nodes(&self, context: &str) -> Result<Vec<Node>> {
        if !self.options.is_cluster {
            return Ok(vec![None]);
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        // Of each range of slots: first, last, then the nodes that hold it, the one for writing first.
        let ranges: Vec<Vec<Value>> = self.ask(context, &None, command).await?;
        let mut nodes = BTreeSet::new();
        for mut range in ranges.into_iter().filter(|range| range.len() > 2) {
            let mut node: Vec<Value> = self.read(context, range.swap_remove(2))?;
            node.truncate(2);
            let (host, port): (String, u16) = self.read(context, Value::Array(node))?;
            nodes.insert((host, port));
        }
        Ok(nodes.into_iter().map(Some).collect())
    }
}

impl Connection {
    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    async fn send_all(&mut self, node: &Node, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                pipeline.query_async(connection).await
            }
            // A pipeline goes to one node only. Commands that are under way together share their packets all the same.
            Self::Cluster(connection) => {
                let sent: Vec<_> = commands
                    .iter()
                    .map(|command| {
                        let (mut connection, command, node) = (connection.clone(), command.clone(), node.clone());
                        async move {
                            match node {
                                None => command.query_async(&mut connection).await,
                                Some((host, port)) => {
                                    let place = SingleNodeRoutingInfo::ByAddress { host, port };
                                    connection.route_command(command, RoutingInfo::SingleNode(place)).await
                                }
                            }
                        }
                    })
                    .collect();
                futures::stream::iter(sent).buffered(IN_FLIGHT).try_collect().await
            }
        }
    }
}
