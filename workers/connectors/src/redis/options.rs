//! What a URL says.

use std::time::Duration;

use headrace_core::{Error, Result, Secret, StoreUrl};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates};

use super::store::durability::Durability;

const DEFAULT_PORT: u16 = 6_379;
/// Longer than any command should take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(10);

/// The settings of a store.
pub(super) struct Options {
    hosts: Vec<(String, u16)>,
    login: (Option<String>, Option<Secret>),
    database: i64,
    /// The authorities of TLS, if it is wanted: a file's content, or else the system's.
    pub(super) tls: Option<TlsCertificates>,
    pub(super) is_cluster: bool,
    /// What all keys begin with.
    pub(super) prefix: String,
    /// After how many seconds a row is gone; 0 for never.
    pub(super) expire_seconds: u64,
    /// After so long without an answer the server counts as lost.
    pub(super) timeout: Duration,
    /// How long a unit without a sign of life keeps others waiting.
    pub(super) lease: Duration,
    /// What the server must do to keep a ledger; none where the URL does not say.
    pub(super) durability: Option<Durability>,
    /// What texts call the server.
    pub(super) place: String,
}

impl Options {
    /// Reads a URL.
    ///
    /// # Errors
    /// A configuration error naming what is wrong, or the host that cannot be found.
    pub(super) async fn from_url(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&["tls_ca", "cluster", "prefix", "expire", "table", "timeout", "lease", "durability"])?;
        let is_cluster = match url.option("cluster") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(Error::configuration(format!("redis: cluster={other} is neither true nor false")));
            }
        };
        if url.hosts.len() > 1 && !is_cluster {
            return Err(Error::configuration(format!("{url}: several servers need cluster=true")));
        }
        let database = match url.path.first() {
            None => 0,
            Some(number) => number.parse::<u16>().map(i64::from).map_err(|_| {
                Error::configuration(format!("redis: {number:?} is no number of a database, as in redis://HOST/0"))
            })?,
        };
        if is_cluster && database != 0 {
            return Err(Error::configuration("redis: a cluster has only database 0"));
        }
        let prefix = url.option("prefix").unwrap_or_default().to_owned();
        if prefix.contains(['{', '}']) {
            return Err(Error::configuration(
                "redis: a prefix with { or } would put all rows on one node of a cluster",
            ));
        }
        let mut hosts = Vec::new();
        for (host, port) in &url.hosts {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = port.unwrap_or(DEFAULT_PORT);
            if let Err(error) = tokio::net::lookup_host((host.as_str(), port)).await {
                return Err(Error::configuration(format!("cannot find the Redis server `{host}`: {error}")));
            }
            hosts.push((host, port));
        }
        Ok(Self {
            hosts,
            login: (url.user.clone(), url.password.clone()),
            database,
            tls: tls(url)?,
            is_cluster,
            prefix,
            expire_seconds: url.option("expire").map_or(Ok(0), |text| seconds("expire", text))?,
            timeout: url.option("timeout").map_or(Ok(ANSWER_LIMIT), |text| duration("timeout", text))?,
            lease: url.option("lease").map_or(Ok(LEASE), |text| duration("lease", text))?,
            durability: url.option("durability").map(Durability::parse).transpose()?,
            place: format!("{}://{}", url.scheme, url.host_list(DEFAULT_PORT)),
        })
    }

    /// Names the place without secrets.
    pub(super) fn name(&self) -> String {
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("?prefix={}", self.prefix) };
        format!("{}/{}{prefix}", self.place, self.database)
    }

    /// How to connect to each of the servers.
    ///
    /// # Errors
    /// A configuration error when the driver cannot use it.
    pub(super) fn servers(&self) -> Result<Vec<ConnectionInfo>> {
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.login.0 {
            login = login.set_username(user);
        }
        if let Some(password) = &self.login.1 {
            login = login.set_password(password.reveal());
        }
        let server = |(host, port): &(String, u16)| {
            let (host, port) = (host.clone(), *port);
            let address = match self.tls {
                None => ConnectionAddr::Tcp(host, port),
                Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            };
            let info = address.into_connection_info().map_err(|error| Error::configuration(error.to_string()))?;
            Ok(info.set_redis_settings(login.clone()))
        };
        self.hosts.iter().map(server).collect()
    }
}

fn tls(url: &StoreUrl) -> Result<Option<TlsCertificates>> {
    let root_cert = match url.option("tls_ca") {
        None => None,
        Some(_) if url.scheme != "rediss" => {
            return Err(Error::configuration("redis: tls_ca is for rediss://, which is with TLS"));
        }
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.map_err(|error| Error::configuration(format!("cannot read tls_ca {path}: {error}")))?)
        }
    };
    // The process may hold two providers of cryptography; a choice made earlier stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok((url.scheme == "rediss").then_some(TlsCertificates { client_tls: None, root_cert }))
}

fn duration(option: &str, text: &str) -> Result<Duration> {
    seconds(option, text).map(Duration::from_secs)
}

/// Reads a time such as `90s`, `15m`, `12h` or `30d`.
fn seconds(option: &str, text: &str) -> Result<u64> {
    let wrong = || Error::configuration(format!("redis: {option}={text} is no time such as 90s, 15m, 12h or 30d"));
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u32>().map_err(|_| wrong())?;
    if seconds == 0 { Err(wrong()) } else { Ok(u64::from(seconds) * unit) }
}

#[cfg(test)]
mod tests {
    use headrace_core::{ErrorKind, StoreUrl};

    use super::{Options, seconds};

    #[test]
    fn times() {
        assert_eq!(seconds("expire", "90s").ok(), Some(90));
        assert_eq!(seconds("expire", "30d").ok(), Some(2_592_000));
        for wrong in ["", "s", "30", "0s", "-1s", "1w", "1ä"] {
            assert!(seconds("expire", wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn wrong_urls_are_configuration_errors() {
        for (url, named) in [
            ("redis://127.0.0.1/x", "\"x\""),
            ("redis://127.0.0.1,127.0.0.1", "cluster=true"),
            ("redis://127.0.0.1/1?cluster=true", "database 0"),
            ("redis://127.0.0.1?cluster=maybe", "maybe"),
            ("redis://127.0.0.1?prefix=%7Ba%7D", "prefix"),
            ("redis://127.0.0.1?tls_ca=x", "rediss"),
            ("redis://127.0.0.1?lease=soon", "lease=soon"),
            ("redis://127.0.0.1?durability=some", "everysec"),
            ("rediss://127.0.0.1?tls_ca=/no/such/file", "/no/such/file"),
            ("redis://no-such-host.invalid", "no-such-host.invalid"),
        ] {
            let error = Options::from_url(&StoreUrl::parse(url).unwrap()).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
        let named =
            Options::from_url(&StoreUrl::parse("redis://u:canary@127.0.0.1/2?prefix=a").unwrap()).await.unwrap();
        assert_eq!(named.name(), "redis://127.0.0.1:6379/2?prefix=a");
    }
}
