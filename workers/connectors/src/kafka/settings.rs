//! What a `kafka://` URL says, and the client settings that follow from it.
//!
//! Options: `tls=true`, `tls_ca=FILE` (both turn TLS on), `tls_certificate=FILE` with `tls_key=FILE` (the client's own
//! certificate), `sasl=PLAIN|SCRAM-SHA-256|SCRAM-SHA-512` (SCRAM-SHA-256 when a user is given and nothing is said),
//! `topic`, `partitions` and `replication` (for topics that are created; the broker's default replication otherwise),
//! `group_protocol=classic|consumer`, `session_timeout` (classic only) and `max_poll_interval`.

use std::time::Duration;

use headrace_core::{Error, Result, StoreUrl, clock};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

const OPTIONS: [&str; 11] = [
    "group_protocol",
    "max_poll_interval",
    "partitions",
    "replication",
    "sasl",
    "session_timeout",
    "tls",
    "tls_ca",
    "tls_certificate",
    "tls_key",
    "topic",
];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// What the client reads ahead for all partitions of a source together; it may add what one more fetch unpacks to.
const READ_AHEAD_KIB: &str = "8192";
/// Messages it reads ahead for each partition. The library keeps some 400 bytes beside every one, more than a short message has itself.
const READ_AHEAD_MESSAGES: &str = "10000";

/// Everything a client needs to know.
pub(super) struct Settings {
    client: ClientConfig,
    /// The brokers, sorted, without secrets: the same place has the same name.
    pub(super) place: String,
    /// Partitions of created topics, when the URL says so.
    pub(super) partitions: Option<i32>,
    /// Replicas of created topics; -1 is the broker's default.
    pub(super) replication: i32,
    new_protocol: bool,
    session_timeout: Option<Duration>,
    max_poll_interval: Duration,
}

impl Settings {
    /// Reads a store URL.
    pub(super) fn read(url: &StoreUrl) -> Result<Self> {
        if url.scheme != "kafka" {
            return Err(Error::configuration(format!("{url} is no kafka:// URL")));
        }
        url.allow_options(&OPTIONS)?;
        url.topic("any")?;
        let mut brokers: Vec<String> = url.host_list(9092).split(',').map(str::to_owned).collect();
        brokers.sort_unstable();
        brokers.dedup();
        let new_protocol = match url.option("group_protocol") {
            None | Some("classic") => false,
            Some("consumer") => true,
            Some(other) => return Err(refused("group_protocol", other, "classic or consumer")),
        };
        let session_timeout = duration(url, "session_timeout")?;
        if new_protocol && session_timeout.is_some() {
            return Err(Error::configuration(
                "kafka: session_timeout is the broker's with group_protocol=consumer; leave it out",
            ));
        }
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Notice);
        client.set("client.id", "headrace");
        client.set("bootstrap.servers", brokers.join(","));
        client.set("allow.auto.create.topics", "false");
        client.set("log.connection.close", "false");
        client.set("socket.timeout.ms", "30000");
        client.set("socket.connection.setup.timeout.ms", "10000");
        client.set("reconnect.backoff.max.ms", "2000");
        client.set("isolation.level", "read_committed");
        secure(&mut client, url)?;
        Ok(Self {
            client,
            place: format!("kafka://{}", brokers.join(",")),
            partitions: number(url, "partitions", 1)?,
            replication: number(url, "replication", 1)?.unwrap_or(-1),
            new_protocol,
            session_timeout,
            max_poll_interval: duration(url, "max_poll_interval")?.unwrap_or(Duration::from_secs(300)),
        })
    }

    /// Settings of a client that only asks: no group, no messages.
    pub(super) fn inquirer(&self) -> ClientConfig {
        self.client.clone()
    }

    /// Settings of an administrator or producer, which do not know the settings of consumers.
    pub(super) fn administrator(&self) -> ClientConfig {
        let mut config = self.client.clone();
        config.remove("isolation.level");
        config.remove("allow.auto.create.topics");
        config
    }

    /// Settings of a producer: idempotent, all replicas, large batches, Java's partitioner.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.administrator();
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            ("linger.ms", "20"),
            ("batch.num.messages", "100000"),
            ("queue.buffering.max.messages", "300000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("message.max.bytes", "67108864"),
            ("message.timeout.ms", "120000"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// Settings of a group member that never commits offsets.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.client.clone();
        for (name, value) in [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("queued.max.messages.kbytes", READ_AHEAD_KIB),
            ("queued.min.messages", READ_AHEAD_MESSAGES),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.wait.max.ms", "200"),
            // Compressed: a fetch unpacks to several times as much.
            ("fetch.max.bytes", "1048576"),
            ("max.partition.fetch.bytes", "262144"),
        ] {
            config.set(name, value);
        }
        config.set("group.id", group);
        config.set("max.poll.interval.ms", self.max_poll_interval.as_millis().to_string());
        if self.new_protocol {
            config.set("group.protocol", "consumer");
        } else {
            config.set("partition.assignment.strategy", "cooperative-sticky");
            if let Some(timeout) = self.session_timeout {
                config.set("session.timeout.ms", timeout.as_millis().to_string());
                config.set("heartbeat.interval.ms", (timeout.as_millis() / 4).to_string());
            }
        }
        config
    }
}

fn secure(client: &mut ClientConfig, url: &StoreUrl) -> Result<()> {
    let tls = match url.option("tls") {
        None => url.option("tls_ca").is_some() || url.option("tls_certificate").is_some(),
        Some("true") => true,
        Some("false") => false,
        Some(other) => return Err(refused("tls", other, "true or false")),
    };
    let files = [
        ("tls_ca", "ssl.ca.location"),
        ("tls_certificate", "ssl.certificate.location"),
        ("tls_key", "ssl.key.location"),
    ];
    for (option, setting) in files {
        if let Some(path) = url.option(option) {
            if !tls {
                return Err(Error::configuration(format!("kafka: {option} needs tls=true")));
            }
            std::fs::File::open(path)
                .map_err(|error| Error::configuration(format!("kafka: cannot read {option} {path}: {error}")))?;
            client.set(setting, path);
        }
    }
    if url.option("tls_certificate").is_some() != url.option("tls_key").is_some() {
        return Err(Error::configuration("kafka: tls_certificate and tls_key belong together"));
    }
    let protocol = match (&url.user, url.option("sasl")) {
        (None, None) => {
            if tls {
                "ssl"
            } else {
                "plaintext"
            }
        }
        (None, Some(_)) => return Err(Error::configuration("kafka: sasl needs a user, as in kafka://USER@HOST")),
        (Some(user), mechanism) => {
            let mechanism = mechanism.unwrap_or("SCRAM-SHA-256");
            if !MECHANISMS.contains(&mechanism) {
                return Err(refused("sasl", mechanism, &MECHANISMS.join(", ")));
            }
            let password = url.password.as_ref().ok_or_else(|| {
                Error::configuration(format!(
                    "kafka: user {user} needs a password: set HEADRACE_KAFKA_PASSWORD, password_file=PATH or password_env=NAME"
                ))
            })?;
            if mechanism == "PLAIN" && !tls {
                tracing::warn!("kafka: sasl=PLAIN without tls=true sends the password readable over the network");
            }
            client.set("sasl.mechanism", mechanism);
            client.set("sasl.username", user);
            client.set("sasl.password", password.reveal());
            if tls { "sasl_ssl" } else { "sasl_plaintext" }
        }
    };
    client.set("security.protocol", protocol);
    Ok(())
}

fn refused(option: &str, value: &str, wanted: &str) -> Error {
    Error::configuration(format!("kafka: {option}={value} is not known; it is {wanted}"))
}

fn number(url: &StoreUrl, option: &str, least: i32) -> Result<Option<i32>> {
    let parse = |text: &str| text.parse().ok().filter(|number| *number >= least);
    url.option(option).map(|text| parse(text).ok_or_else(|| refused(option, text, "a whole number from 1"))).transpose()
}

fn duration(url: &StoreUrl, option: &str) -> Result<Option<Duration>> {
    let parse =
        |text| clock::parse_duration(text).map_err(|reason| Error::configuration(format!("kafka: {option}: {reason}")));
    url.option(option).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use headrace_core::StoreUrl;

    use super::Settings;

    fn read(text: &str) -> headrace_core::Result<Settings> {
        Settings::read(&StoreUrl::parse(text).unwrap())
    }

    #[test]
    fn the_same_brokers_are_the_same_place() {
        let one = read("kafka://b:1,a/topic").unwrap();
        assert_eq!(one.place, "kafka://a:9092,b:1");
        assert_eq!(one.place, read("kafka://user:word@a:9092,b:1?topic=t").unwrap().place);
    }

    #[test]
    fn logins_and_tls_choose_the_protocol() {
        for (text, protocol, mechanism) in [
            ("kafka://h", "plaintext", None),
            ("kafka://h?tls=true", "ssl", None),
            ("kafka://u:p@h", "sasl_plaintext", Some("SCRAM-SHA-256")),
            ("kafka://u:p@h?tls=true&sasl=SCRAM-SHA-512", "sasl_ssl", Some("SCRAM-SHA-512")),
        ] {
            let config = read(text).unwrap().member("g");
            assert_eq!(config.get("security.protocol"), Some(protocol), "{text}");
            assert_eq!(config.get("sasl.mechanism"), mechanism, "{text}");
        }
    }

    #[test]
    fn offsets_are_never_committed_or_reset() {
        for text in ["kafka://h", "kafka://h?group_protocol=consumer"] {
            let config = read(text).unwrap().member("g");
            for (name, value) in
                [("enable.auto.commit", "false"), ("auto.offset.reset", "error"), ("allow.auto.create.topics", "false")]
            {
                assert_eq!(config.get(name), Some(value), "{text} {name}");
            }
            config.create_native_config().unwrap();
        }
        let settings = read("kafka://h").unwrap();
        settings.producer().create_native_config().unwrap();
        settings.administrator().create_native_config().unwrap();
    }

    #[test]
    fn refuses_what_it_does_not_know_without_showing_passwords() {
        for (text, part) in [
            ("kafka://u:canary@h?tsl=true", "unknown option tsl"),
            ("kafka://u:canary@h?sasl=MD5", "sasl=MD5"),
            ("kafka://h?sasl=PLAIN", "needs a user"),
            ("kafka://h?tls=maybe", "tls=maybe"),
            ("kafka://h?tls_ca=/nowhere/ca.crt", "/nowhere/ca.crt"),
            ("kafka://h?tls=true&tls_key=/dev/null", "belong together"),
            ("kafka://h?partitions=0", "partitions=0"),
            ("kafka://h?group_protocol=new", "group_protocol=new"),
            ("kafka://h?group_protocol=consumer&session_timeout=6s", "session_timeout"),
            ("kafka://h/no topic", "no usable topic"),
            ("mysql://u:canary@h/db", "no kafka:// URL"),
        ] {
            let error = read(text).err().unwrap();
            assert_eq!(error.kind(), headrace_core::ErrorKind::Configuration, "{text}");
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
