//! One server and database: settings from the store URL, the pool of connections, and what the server can do.
//!
//! Every session runs in UTC, in strict mode and with READ COMMITTED (no gap locks, so that units of different scopes
//! do not block each other between rows). A session that idles longer than a minute is ended by the server, with its
//! transaction and its locks: a paused worker cannot hold up its successor for long.

use std::time::Duration;

use headrace_core::{Error, Ident, Result, StoreUrl};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, SslOpts, Transaction, TxOpts};

use super::dialect::{Dialect, quote};
use super::failure::{UNKNOWN_DATABASE, attempt, code, failure};

const DEFAULT_PORT: u16 = 3_306;
const DEFAULT_DATABASE: &str = "spark_stream";
const CONNECTIONS: usize = 8;
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A statement with more bytes than this gains nothing.
const STATEMENT_BYTES: usize = 8 << 20;
/// Below the session's `wait_timeout`, so that the pool does not hand out what the server is about to close.
const IDLE_SECONDS: usize = 50;
const SESSION: [&str; 2] = [
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', wait_timeout = 60, innodb_lock_wait_timeout = 20",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// A server, cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    pool: Pool,
    options: Opts,
    /// Which server it is.
    pub(super) dialect: Dialect,
    /// The database that holds the tables and the ledger.
    pub(super) database: Ident,
    /// The server's longest packet.
    pub(super) packet_bytes: usize,
    place: String,
}

impl Server {
    /// Reads the URL, connects once and asks the server what it is.
    pub(super) async fn connect(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&["tls", "tls_ca", "table"])?;
        let database = url.database(DEFAULT_DATABASE)?;
        let [(host, port)] = url.hosts.as_slice() else {
            return Err(Error::configuration(format!("{url}: name exactly one server")));
        };
        let Some(user) = url.user.as_deref() else {
            return Err(Error::configuration(format!("{url}: name a user, as in mysql://USER@HOST/DATABASE")));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.unwrap_or(DEFAULT_PORT);
        let place = url.host_list(DEFAULT_PORT);
        if let Err(error) = tokio::net::lookup_host((host.as_str(), port)).await {
            return Err(Error::configuration(format!("cannot find the MySQL server `{host}`: {error}")));
        }
        let builder = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass(url.password.as_ref().map(|password| password.reveal()))
            .ssl_opts(tls(url)?)
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .wait_timeout(Some(IDLE_SECONDS))
            .stmt_cache_size(64)
            .setup(SESSION.to_vec());
        let context = || format!("cannot connect to MySQL as `{user}` at {place}");
        let probe = tokio::time::timeout(CONNECT_LIMIT, probe(builder.clone().into()));
        let (version, packet_bytes) = match probe.await {
            Ok(Ok(found)) => found,
            Ok(Err(fault)) => return Err(failure(context(), fault)),
            Err(_) => return Err(Error::external(context(), "no answer within 15 s")),
        };
        let dialect = recognise(&version)?;
        // Idle connections stay in the pool without a task that watches them; the server ends those that idle too long.
        let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS).unwrap_or_default();
        let pool_options = PoolOpts::new()
            .with_constraints(constraints)
            .with_inactive_connection_ttl(Duration::ZERO)
            .with_reset_connection(false);
        let options: Opts = builder.db_name(Some(database.as_str())).pool_opts(pool_options).into();
        Ok(Self { pool: Pool::new(options.clone()), options, dialect, database, packet_bytes, place })
    }

    /// Names the server and database, without user.
    pub(super) fn name(&self) -> String {
        format!("mysql://{}/{}", self.place, self.database)
    }

    /// How many bytes of values one statement may hold.
    pub(super) fn statement_bytes(&self) -> usize {
        (self.packet_bytes / 2).min(STATEMENT_BYTES)
    }

    /// Takes a connection.
    pub(super) async fn connection(&self) -> Result<Conn> {
        attempt(|| self.context(), self.pool.get_conn()).await
    }

    /// Takes a connection, none when the database does not exist.
    pub(super) async fn connection_if_exists(&self) -> Result<Option<Conn>> {
        match self.pool.get_conn().await {
            Ok(connection) => Ok(Some(connection)),
            Err(fault) if code(&fault) == UNKNOWN_DATABASE => Ok(None),
            Err(fault) => Err(failure(self.context(), fault)),
        }
    }

    /// Begins a transaction that is rolled back when dropped.
    pub(super) async fn transaction(&self) -> Result<Transaction<'static>> {
        attempt(|| self.context(), self.pool.start_transaction(TxOpts::default())).await
    }

    /// Creates the database unless it is there, where the user may.
    pub(super) async fn create_database(&self) -> Result<()> {
        if self.connection_if_exists().await?.is_some() {
            return Ok(());
        }
        let options: Opts = OptsBuilder::from_opts(self.options.clone()).db_name(None::<String>).into();
        let context = || format!("cannot create database `{}` at {}", self.database, self.place);
        let work = async {
            let mut connection = Conn::new(options).await?;
            connection.query_drop(self.dialect.create_database(&self.database)).await?;
            connection.disconnect().await
        };
        attempt(context, work).await
    }

    fn context(&self) -> String {
        format!("cannot use database `{}` at {}", self.database, self.place)
    }

    /// The table's name with its database, for texts.
    pub(super) fn called(&self, table: &Ident) -> String {
        format!("table {}.{}", quote(&self.database), quote(table))
    }
}

async fn probe(options: Opts) -> mysql_async::Result<(String, usize)> {
    let mut connection = Conn::new(options).await?;
    let found = connection.query_first("SELECT VERSION(), @@max_allowed_packet").await?;
    connection.disconnect().await?;
    Ok(found.unwrap_or_default())
}

fn recognise(version: &str) -> Result<Dialect> {
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let found = (next(), next(), next());
    let (dialect, name, oldest) = if version.contains("MariaDB") {
        (Dialect::MariaDb, "MariaDB", (10, 5, 0))
    } else {
        (Dialect::MySql, "MySQL", (8, 0, 20))
    };
    if found < oldest {
        return Err(Error::configuration(format!(
            "the server is {name} {version}; {}.{}.{} or newer is needed",
            oldest.0, oldest.1, oldest.2
        )));
    }
    Ok(dialect)
}

fn tls(url: &StoreUrl) -> Result<Option<SslOpts>> {
    let authority = url.option("tls_ca");
    let wanted = match url.option("tls") {
        None => authority.is_some(),
        Some("true") => true,
        Some("false") if authority.is_none() => false,
        Some("false") => return Err(Error::configuration("mysql: tls=false and tls_ca exclude each other")),
        Some(other) => return Err(Error::configuration(format!("mysql: tls={other} is neither true nor false"))),
    };
    if !wanted {
        return Ok(None);
    }
    // The process may hold two providers of cryptography; a choice made earlier stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = SslOpts::default();
    let Some(path) = authority else { return Ok(Some(options)) };
    let certificates =
        std::fs::read(path).map_err(|error| Error::configuration(format!("cannot read tls_ca {path}: {error}")))?;
    Ok(Some(options.with_root_certs(vec![certificates.into()]).with_disable_built_in_roots(true)))
}

#[cfg(test)]
mod tests {
    use super::{Dialect, recognise};

    #[test]
    fn recognises_servers_by_their_version() {
        assert_eq!(recognise("10.11.18-MariaDB-0+deb12u1-log").ok(), Some(Dialect::MariaDb));
        assert_eq!(recognise("9.7.4-2").ok(), Some(Dialect::MySql));
        assert_eq!(recognise("8.0.20").ok(), Some(Dialect::MySql));
        assert!(recognise("8.0.19").is_err());
        assert!(recognise("5.7.44-log").is_err());
        assert!(recognise("10.2.1-MariaDB").is_err());
    }
}
