//! What a Cassandra URL says: servers, login, TLS, consistency, replication, limits.

use std::time::Duration;

use headrace_core::{Error, Ident, Result, Secret, StoreUrl, clock};
use scylla::statement::Consistency;

/// The names of all options, `table` included, which the steps read themselves.
const KNOWN: [&str; 9] =
    ["table", "tls", "tls_ca", "consistency", "datacenter", "replication", "timeout", "concurrency", "lease"];

const CONSISTENCIES: [(&str, Consistency); 7] = [
    ("one", Consistency::One),
    ("two", Consistency::Two),
    ("three", Consistency::Three),
    ("quorum", Consistency::Quorum),
    ("all", Consistency::All),
    ("local_quorum", Consistency::LocalQuorum),
    ("local_one", Consistency::LocalOne),
];

/// A checked Cassandra URL.
#[derive(Debug)]
pub(super) struct Options {
    /// `host:port` of every given server.
    pub(super) hosts: Vec<String>,
    pub(super) login: Option<(String, Secret)>,
    pub(super) keyspace: Ident,
    pub(super) tls: bool,
    pub(super) tls_ca: Option<String>,
    pub(super) consistency: Consistency,
    pub(super) datacenter: Option<String>,
    /// The `replication` map of a keyspace to create, as CQL.
    pub(super) replication: String,
    /// How long one request may take.
    pub(super) timeout: Duration,
    /// The most writes in flight at once.
    pub(super) concurrency: usize,
    /// How long a worker that gives no sign of life keeps others waiting.
    pub(super) lease: Duration,
}

impl Options {
    /// Reads a URL.
    ///
    /// # Errors
    /// A configuration error that names the option and says what it takes.
    pub(super) fn from_url(url: &StoreUrl) -> Result<Self> {
        if url.scheme != "cassandra" {
            return Err(Error::configuration(format!("{url} is no Cassandra URL: expected cassandra://HOST/KEYSPACE")));
        }
        url.allow_options(&KNOWN)?;
        let login = match (&url.user, &url.password) {
            (Some(user), Some(password)) => Some((user.clone(), password.clone())),
            (None, _) => None,
            (Some(user), None) => {
                return Err(Error::configuration(format!(
                    "cassandra: user {user} has no password: set HEADRACE_CASSANDRA_PASSWORD, ?password_file= or ?password_env="
                )));
            }
        };
        let tls_ca = url.option("tls_ca").map(str::to_owned);
        let datacenter =
            url.option("datacenter").map(|name| checked_datacenter(name).map(str::to_owned)).transpose()?;
        Ok(Self {
            hosts: url.host_list(9042).split(',').map(str::to_owned).collect(),
            login,
            keyspace: url.database("kafka_stream")?,
            tls: flag(url.option("tls"), tls_ca.is_some())?,
            tls_ca,
            consistency: consistency(url.option("consistency").unwrap_or("local_quorum"))?,
            replication: replication(url.option("replication").unwrap_or("1"), datacenter.as_deref())?,
            datacenter,
            timeout: time(url, "timeout", "12s")?,
            lease: time(url, "lease", "30s")?,
            concurrency: url
                .option("concurrency")
                .map_or(Ok(256), str::parse)
                .ok()
                .filter(|most| (1..=16_384).contains(most))
                .ok_or_else(|| Error::configuration("cassandra: concurrency must be a number from 1 to 16384"))?,
        })
    }
}

fn time(url: &StoreUrl, option: &str, default: &str) -> Result<Duration> {
    let text = url.option(option).unwrap_or(default);
    let time = clock::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| {
        Error::configuration(format!("cassandra: {option} must be a length of time such as 500ms or {default}"))
    })
}

fn flag(text: Option<&str>, default: bool) -> Result<bool> {
    match text {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Error::configuration(format!("cassandra: tls is true or false, not {other:?}"))),
    }
}

fn consistency(name: &str) -> Result<Consistency> {
    let wanted = name.to_ascii_lowercase();
    CONSISTENCIES.iter().find(|(known, _)| *known == wanted).map(|(_, level)| *level).ok_or_else(|| {
        let known: Vec<&str> = CONSISTENCIES.iter().map(|(known, _)| *known).collect();
        Error::configuration(format!("cassandra: unknown consistency {name:?}; known are {}", known.join(", ")))
    })
}

/// Data center names stand between quotes in CQL, so nothing that could end the quotes gets in.
fn checked_datacenter(name: &str) -> Result<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.is_empty() && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(Error::configuration(format!("cassandra: {name:?} is no usable data center name")))
    }
}

/// `3`, or `first:3,second:2` by data center.
fn replication(text: &str, datacenter: Option<&str>) -> Result<String> {
    let copies = |text: &str| {
        text.parse::<u8>().ok().filter(|copies| *copies > 0).ok_or_else(|| {
            Error::configuration(format!(
                "cassandra: replication must be a number of copies or DATACENTER:COPIES,…, not {text:?}"
            ))
        })
    };
    if !text.contains(':') {
        let copies = copies(text)?;
        return Ok(match datacenter {
            None => format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}"),
            Some(name) => format!("{{'class': 'NetworkTopologyStrategy', '{name}': {copies}}}"),
        });
    }
    let mut map = "{'class': 'NetworkTopologyStrategy'".to_owned();
    for pair in text.split(',') {
        let (name, count) = pair.split_once(':').unwrap_or((pair, ""));
        map.push_str(&format!(", '{}': {}", checked_datacenter(name)?, copies(count)?));
    }
    map.push('}');
    Ok(map)
}

#[cfg(test)]
mod tests {
    use headrace_core::StoreUrl;
    use scylla::statement::Consistency;

    use super::Options;

    fn options(text: &str) -> headrace_core::Result<Options> {
        Options::from_url(&StoreUrl::parse(text).unwrap())
    }

    #[test]
    fn reads_every_option() {
        let read = options(
            "cassandra://a:9,b/ks?consistency=QUORUM&datacenter=dc1&replication=3&timeout=2s&concurrency=9&tls_ca=/ca.pem&table=t",
        )
        .unwrap();
        assert_eq!(read.hosts, ["a:9", "b:9042"]);
        assert_eq!(read.keyspace.as_str(), "ks");
        assert_eq!(read.consistency, Consistency::Quorum);
        assert_eq!(read.replication, "{'class': 'NetworkTopologyStrategy', 'dc1': 3}");
        assert!(read.tls);
        let plain = options("cassandra://a").unwrap();
        assert_eq!(plain.keyspace.as_str(), "kafka_stream");
        assert_eq!(plain.replication, "{'class': 'SimpleStrategy', 'replication_factor': 1}");
        assert!(!plain.tls);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, part) in [
            ("cassandra://a?consistancy=one", "unknown option consistancy"),
            ("cassandra://a?consistency=some", "local_quorum"),
            ("cassandra://a?replication=0", "replication"),
            ("cassandra://a?replication=dc'1:1", "data center"),
            ("cassandra://a?datacenter=a'b", "data center"),
            ("cassandra://a?timeout=0", "timeout"),
            ("cassandra://a?lease=long", "lease"),
            ("cassandra://a?concurrency=0", "concurrency"),
            ("cassandra://a?tls=yes", "tls"),
            ("mysql://a", "Cassandra"),
        ] {
            let error = options(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
