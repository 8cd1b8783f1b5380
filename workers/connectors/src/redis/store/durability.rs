//! What the server does to keep what it has answered, and whether that is enough for a ledger.
//!
//! The whole store is one line of commits: what an outage takes is the end of it, positions and state together. So what is in the
//! store always fits together; but what was committed last may have to be done again.

use std::collections::BTreeMap;

use headrace_core::{Error, ErrorKind, Result};

use crate::redis::link::{Link, Node};

/// How much of what it has answered a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redis) enum Durability {
    /// What it has on disk by chance.
    None,
    /// All but the last second or two, should the machine fail.
    EverySecond,
    /// Everything, as long as the disk lives.
    Always,
}

impl Durability {
    /// Reads the option of a URL.
    ///
    /// # Errors
    /// A configuration error when it is none of the three.
    pub(in crate::redis) fn parse(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "everysec" => Ok(Self::EverySecond),
            "always" => Ok(Self::Always),
            other => {
                Err(Error::configuration(format!("redis: durability={other} is none of always, everysec and none")))
            }
        }
    }
}

/// Refuses a server that keeps less than the URL asks for, or than `everysec` where it says nothing; warns where that is less than
/// everything, or cannot be found out.
///
/// # Errors
/// A configuration error that says what to set.
pub(super) async fn check(link: &Link) -> Result<()> {
    let place = link.options.name();
    let wanted = link.options.durability;
    if wanted == Some(Durability::None) {
        return Ok(());
    }
    for node in link.nodes(&format!("cannot look at {place}")).await? {
        let settings = settings(link, &node).await?;
        if let Some(problem) = problem(&settings, wanted.unwrap_or(Durability::EverySecond)) {
            return Err(Error::configuration(format!(
                "{place} cannot be a ledger: {problem}; or accept with durability=none that an outage takes what was committed"
            )));
        }
        match level(&settings) {
            None => {
                tracing::warn!("{place} does not tell whether it keeps what it answers; a ledger needs appendonly yes")
            }
            Some(level) if wanted.is_none() && level < Durability::Always => tracing::warn!(
                "{place} writes to disk every second: should its machine fail, the last commits have to be done again; \
                 set appendfsync always to lose none, or accept it with durability=everysec"
            ),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The settings that matter, as far as the server tells them.
async fn settings(link: &Link, node: &Node) -> Result<BTreeMap<String, String>> {
    let context = format!("cannot ask {} for its settings", link.options.place);
    let mut found = BTreeMap::new();
    for pattern in ["append*", "maxmemory*"] {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(pattern);
        match link.ask::<BTreeMap<String, String>>(&context, node, get).await {
            Ok(settings) => found.extend(settings),
            // Not permitted, or renamed, as by those who rent servers out.
            Err(error) if error.kind() == ErrorKind::Configuration => tracing::debug!("{error}"),
            Err(error) => return Err(error),
        }
    }
    if !found.contains_key("appendonly") {
        let mut info = redis::cmd("INFO");
        info.arg("persistence");
        match link.ask::<String>(&context, node, info).await {
            Ok(text) => {
                let is_on = text.lines().find_map(|line| line.strip_prefix("aof_enabled:"));
                found
                    .extend(is_on.map(|on| ("appendonly".to_owned(), if on == "1" { "yes" } else { "no" }.to_owned())));
            }
            Err(error) if error.kind() == ErrorKind::Configuration => tracing::debug!("{error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What a server keeps, none where it does not tell.
fn level(settings: &BTreeMap<String, String>) -> Option<Durability> {
    match (settings.get("appendonly")?.as_str(), settings.get("appendfsync").map(String::as_str)) {
        ("yes", Some("always")) => Some(Durability::Always),
        ("yes", Some("everysec")) => Some(Durability::EverySecond),
        ("yes", None) => None,
        _ => Some(Durability::None),
    }
}

/// Why a server does not keep enough.
fn problem(settings: &BTreeMap<String, String>, wanted: Durability) -> Option<String> {
    let of = |name: &str| settings.get(name).map_or("unknown", String::as_str);
    if level(settings).is_some_and(|level| level < wanted) {
        let needed = if wanted == Durability::Always { "always" } else { "always or everysec" };
        return Some(format!(
            "its settings are appendonly {} and appendfsync {}, needed are appendonly yes and appendfsync {needed}",
            of("appendonly"),
            of("appendfsync")
        ));
    }
    let policy = of("maxmemory-policy");
    if of("maxmemory") != "0" && policy.starts_with("allkeys") {
        return Some(format!("with maxmemory-policy {policy} it drops keys when memory runs short; set noeviction"));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Durability, level, problem};

    fn settings(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn servers_that_keep_too_little_are_found() {
        for (text, found, at_every_second, always) in [
            ("appendonly=yes appendfsync=always", Some(Durability::Always), None, None),
            ("appendonly=yes appendfsync=everysec", Some(Durability::EverySecond), None, Some("appendfsync always")),
            ("appendonly=yes appendfsync=no", Some(Durability::None), Some("everysec"), Some("appendfsync always")),
            ("appendonly=no appendfsync=always", Some(Durability::None), Some("appendonly no"), Some("appendonly no")),
            ("appendonly=no", Some(Durability::None), Some("unknown"), Some("unknown")),
            ("appendonly=yes", None, None, None),
            ("", None, None, None),
            ("maxmemory=0 maxmemory-policy=allkeys-lru", None, None, None),
            ("maxmemory=9 maxmemory-policy=noeviction", None, None, None),
            ("maxmemory=9 maxmemory-policy=allkeys-lru", None, Some("allkeys-lru"), Some("noeviction")),
        ] {
            let settings = settings(text);
            assert_eq!(level(&settings), found, "{text}");
            for (wanted, named) in [(Durability::EverySecond, at_every_second), (Durability::Always, always)] {
                match (problem(&settings, wanted), named) {
                    (None, None) => {}
                    (Some(problem), Some(named)) => assert!(problem.contains(named), "{text}: {problem}"),
                    other => panic!("{text}: {other:?}"),
                }
            }
        }
    }
}
