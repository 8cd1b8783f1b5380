//! Store URLs: `scheme://user:password@host:port,host/path?option=value`, and `embedded:DIRECTORY?option=value` or `file:DIRECTORY`.
//!
//! Passwords may be left out of the URL: `password_file=PATH`, `password_env=NAME` or the variable
//! `HEADRACE_<SCHEME>_PASSWORD` give them; schemes with TLS and other names of one system also take the variable of the plain
//! one. `Debug` and `Display` never show a password.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::{Error, Ident, Result, Secret, clock};

/// A parsed store URL.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// The kind of store: `cassandra`, `kafka`, `mysql`, `embedded`, …
    pub scheme: String,
    /// The user, if any.
    pub user: Option<String>,
    /// The password, if any.
    pub password: Option<Secret>,
    /// The servers: host and port.
    pub hosts: Vec<(String, Option<u16>)>,
    /// The path's segments; for `embedded` and `file` one, the directory.
    pub path: Vec<String>,
    /// The options after `?`.
    pub options: BTreeMap<String, String>,
}

impl StoreUrl {
    /// Parses a store URL and finds its password.
    ///
    /// # Errors
    /// A configuration error that says what is wrong, without showing a password.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).ok_or_else(|| {
            Error::configuration(format!(
                "{} is no store URL: expected e.g. cassandra://HOST/KEYSPACE/TABLE, kafka://HOST/TOPIC, mysql://USER@HOST/DATABASE/TABLE or embedded:DIRECTORY",
                mask(text)
            ))
        })?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self {
            scheme: scheme.to_ascii_lowercase(),
            user: None,
            password: None,
            hosts: Vec::new(),
            path: Vec::new(),
            options: parse_options(options)?,
        };
        if is_directory(&url.scheme) {
            let directory = place.strip_prefix("//").unwrap_or(place);
            if directory.is_empty() {
                return Err(Error::configuration(format!(
                    "{0}: needs a directory, as in {0}:./headrace-data",
                    url.scheme
                )));
            }
            url.path.push(decode(directory)?);
            return Ok(url);
        }
        let place = place
            .strip_prefix("//")
            .ok_or_else(|| Error::configuration(format!("{} needs // after the scheme", mask(text))))?;
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        if path.contains('@') {
            // The text is not shown: an unescaped / in a password ends the host there.
            return Err(Error::configuration(
                "a store URL has an @ behind its host (in users and passwords, write : / ? @ as %3A %2F %3F %40)",
            ));
        }
        let hosts = match authority.rsplit_once('@') {
            Some((login, hosts)) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
                url.user = Some(decode(user)?).filter(|user| !user.is_empty());
                url.password = password.map(decode).transpose()?.map(Secret::new);
                hosts
            }
            None => authority,
        };
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            url.hosts.push(parse_host(host)?);
        }
        if url.hosts.is_empty() {
            return Err(Error::configuration(format!("{} names no host", url)));
        }
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            url.path.push(decode(segment)?);
        }
        url.find_password()?;
        Ok(url)
    }

    fn find_password(&mut self) -> Result<()> {
        if let Some(path) = self.options.remove("password_file") {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Error::configuration(format!("cannot read password_file {path}: {error}")))?;
            self.password = Some(Secret::new(text.trim_end_matches(['\r', '\n'])));
        } else if let Some(name) = self.options.remove("password_env") {
            let text = clock::environment(&name)
                .ok_or_else(|| Error::configuration(format!("password_env {name} is not set")))?;
            self.password = Some(Secret::new(text));
        } else if self.password.is_none() && (self.user.is_some() || is_login_a_password(&self.scheme)) {
            let found = password_variables(&self.scheme).into_iter().find_map(|name| clock::environment(&name));
            self.password = found.map(Secret::new);
        }
        Ok(())
    }

    /// The path segment that names a database or keyspace, or the default.
    ///
    /// # Errors
    /// When it is not usable as a name.
    pub fn database(&self, default: &str) -> Result<Ident> {
        Ident::new(self.path.first().map_or(default, String::as_str))
    }

    /// The table: `?table=`, else the second path segment, else the default.
    ///
    /// # Errors
    /// When it is not usable as a name.
    pub fn table(&self, default: &str) -> Result<Ident> {
        let from_path = if is_directory(&self.scheme) { None } else { self.path.get(1) };
        Ident::new(self.options.get("table").or(from_path).map_or(default, String::as_str))
    }

    /// The topic: `?topic=`, else the first path segment, else the default.
    ///
    /// # Errors
    /// When it has characters that Kafka does not allow.
    pub fn topic(&self, default: &str) -> Result<String> {
        let from_path = if is_directory(&self.scheme) { None } else { self.path.first() };
        let topic = self.options.get("topic").or(from_path).map_or(default, String::as_str);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." || !topic.chars().all(fits) {
            return Err(Error::configuration(format!(
                "{topic:?} is no usable topic: letters, digits, points, underscores and hyphens, at most 249"
            )));
        }
        Ok(topic.to_owned())
    }

    /// An option's value.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Refuses options outside a list, so that a typing error does not pass unseen.
    ///
    /// # Errors
    /// A configuration error naming the option and what is known.
    pub fn allow_options(&self, known: &[&str]) -> Result<()> {
        for name in self.options.keys() {
            if !known.contains(&name.as_str()) {
                // With an unescaped question mark in a login, the "name" is part of a password.
                let shown = if name.contains(['@', ':', '/']) {
                    "(hidden; in users and passwords, write ? as %3F)"
                } else {
                    name
                };
                return Err(Error::configuration(format!(
                    "{}: unknown option {shown}; known are {}",
                    self.scheme,
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// The hosts as `host:port,host:port`, with a default port.
    pub fn host_list(&self, default_port: u16) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|(host, port)| format!("{host}:{}", port.unwrap_or(default_port))).collect();
        hosts.join(",")
    }
}

/// Whether URLs of a scheme are a directory's path and nothing else.
fn is_directory(scheme: &str) -> bool {
    matches!(scheme, "embedded" | "file")
}

/// The variables that may hold the password of a scheme: its own, and that of the plain scheme beside which it stands.
fn password_variables(scheme: &str) -> Vec<String> {
    let plain = match scheme {
        "rediss" => Some("redis"),
        "clickhouses" => Some("clickhouse"),
        "mariadb" => Some("mysql"),
        _ => None,
    };
    let schemes = std::iter::once(scheme).chain(plain);
    schemes
        .map(|scheme| format!("HEADRACE_{}_PASSWORD", scheme.to_ascii_uppercase().replace(['-', '+'], "_")))
        .collect()
}

/// Whether servers of a scheme ask for a password alone, without a user.
fn is_login_a_password(scheme: &str) -> bool {
    matches!(scheme, "redis" | "rediss")
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-')
}

fn decode(text: &str) -> Result<String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::configuration("a store URL has percent-escapes that are not UTF-8"))
}

fn parse_options(text: &str) -> Result<BTreeMap<String, String>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn parse_host(text: &str) -> Result<(String, Option<u16>)> {
    let after_bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text[after_bracket..].rfind(':') {
        None => Ok((text.to_owned(), None)),
        Some(at) => {
            let (host, port) = text.split_at(after_bracket + at);
            // The text is not shown: with an unescaped login it may be part of a password.
            let port = port[1..].parse().map_err(|_| {
                Error::configuration(
                    "a store URL has a port that is no number (in users and passwords, write : / ? @ as %3A %2F %3F %40)",
                )
            })?;
            Ok((host.to_owned(), Some(port)))
        }
    }
}

/// Hides what may be a password in a text that could not be parsed.
fn mask(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, after)) => format!("{:?}", format!("***@{after}")),
        None => format!("{text:?}"),
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_directory(&self.scheme) {
            write!(formatter, "{}:{}", self.scheme, self.path.join("/"))?;
        } else {
            write!(formatter, "{}://", self.scheme)?;
            if let Some(user) = &self.user {
                let hidden = if self.password.is_some() { ":***" } else { "" };
                write!(formatter, "{user}{hidden}@")?;
            }
            let hosts: Vec<String> = self
                .hosts
                .iter()
                .map(|(host, port)| port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
                .collect();
            write!(formatter, "{}", hosts.join(","))?;
            for segment in &self.path {
                write!(formatter, "/{segment}")?;
            }
        }
        let shown: Vec<String> = self
            .options
            .iter()
            .map(
                |(name, value)| {
                    if name.contains("password") { format!("{name}=***") } else { format!("{name}={value}") }
                },
            )
            .collect();
        if shown.is_empty() { Ok(()) } else { write!(formatter, "?{}", shown.join("&")) }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::{StoreUrl, password_variables};

    #[test]
    fn every_scheme_takes_the_variable_that_texts_name() {
        for (scheme, named) in
            [("redis", "REDIS"), ("rediss", "REDIS"), ("clickhouses", "CLICKHOUSE"), ("mariadb", "MYSQL")]
        {
            let variables = password_variables(scheme);
            assert!(variables.contains(&format!("HEADRACE_{named}_PASSWORD")), "{variables:?}");
            assert_eq!(variables[0], format!("HEADRACE_{}_PASSWORD", scheme.to_ascii_uppercase()));
        }
    }

    #[test]
    fn parses_servers_logins_and_options() {
        let url = StoreUrl::parse("mysql://lab:p%40ss@a:1,b/spark_stream/result?tls=true").unwrap();
        assert_eq!(url.user.as_deref(), Some("lab"));
        assert_eq!(url.password.as_ref().unwrap().reveal(), "p@ss");
        assert_eq!(url.host_list(3306), "a:1,b:3306");
        assert_eq!(url.database("x").unwrap().as_str(), "spark_stream");
        assert_eq!(url.table("x").unwrap().as_str(), "result");
        assert_eq!(url.option("tls"), Some("true"));
        assert_eq!(url.to_string(), "mysql://lab:***@a:1,b/spark_stream/result?tls=true");
    }

    #[test]
    fn embedded_takes_a_directory_and_options() {
        let url = StoreUrl::parse("embedded:///tmp/some where?topic=t.1").unwrap();
        assert_eq!(url.path, ["/tmp/some where"]);
        assert_eq!(url.topic("users_created").unwrap(), "t.1");
        assert_eq!(url.table("tracking").unwrap().as_str(), "tracking");
        assert_eq!(StoreUrl::parse("embedded:data").unwrap().path, ["data"]);
        let url = StoreUrl::parse("file:///tmp/lake").unwrap();
        assert_eq!(
            (url.path.as_slice(), url.to_string().as_str()),
            (["/tmp/lake".to_owned()].as_slice(), "file:/tmp/lake")
        );
    }

    #[test]
    fn never_shows_a_password() {
        let url = StoreUrl::parse("kafka://u:canary@h/t?sasl_password=canary").unwrap();
        assert!(!format!("{url} {url:?}").contains("canary"));
        for broken in [
            "u:canary@h",
            "mysql:/u:canary@h",
            "mysql://u:canary@h:x/db",
            "mysql://u:canary@/db",
            "mysql://u:canary/s@h/db",
            "mysql://u:canary?s@h",
        ] {
            let error = StoreUrl::parse(broken).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
