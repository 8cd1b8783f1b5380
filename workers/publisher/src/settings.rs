//! How the publisher listens and what it allows.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use headrace_core::{Error, Result, Secret, clock};

/// The variable that may hold the token.
pub const TOKEN_VARIABLE: &str = "HEADRACE_SERVE_TOKEN";
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Address, token and limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What a client must send as `Authorization: Bearer …`, if anything.
    pub token: Option<Secret>,
    /// The longest body of a request.
    pub body_bytes: usize,
    /// The longest time for an answer.
    pub timeout: Duration,
    /// Requests that are worked on at a time; more are refused at once.
    pub requests: usize,
    /// How long open requests may go on after a stop.
    pub grace: Duration,
}

impl Settings {
    /// Usual limits at an address.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            token: None,
            body_bytes: 16 * 1024,
            timeout: Duration::from_secs(10),
            requests: 256,
            grace: Duration::from_secs(5),
        }
    }

    /// Makes sure that nobody is let in from outside unasked.
    ///
    /// # Errors
    /// A configuration error when the address is not loopback and there is no token, or when the token is too short.
    pub fn check(&self) -> Result<()> {
        match &self.token {
            Some(token) if token.reveal().len() < SHORTEST_TOKEN => Err(Error::configuration(format!(
                "the token is too short: {SHORTEST_TOKEN} characters or more are needed"
            ))),
            None if !self.listen.ip().is_loopback() => Err(Error::configuration(format!(
                "{} can be reached from elsewhere, which needs a token: --token-file FILE or {TOKEN_VARIABLE}; or listen on 127.0.0.1",
                self.listen
            ))),
            _ => Ok(()),
        }
    }
}

/// Finds the token: the first line of a file if one is given, else the variable.
///
/// # Errors
/// A configuration error when the file cannot be read or is empty.
pub fn token(file: Option<&Path>) -> Result<Option<Secret>> {
    let Some(path) = file else {
        return Ok(clock::environment(TOKEN_VARIABLE).filter(|token| !token.is_empty()).map(Secret::new));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::configuration(format!("cannot read the token file {}: {error}", path.display())))?;
    match text.lines().next().map(str::trim) {
        Some(token) if !token.is_empty() => Ok(Some(Secret::new(token))),
        _ => Err(Error::configuration(format!("the token file {} is empty", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, token};
    use headrace_core::Secret;

    #[test]
    fn only_loopback_needs_no_token() {
        let settings = |listen: &str, token: Option<&str>| Settings {
            token: token.map(Secret::new),
            ..Settings::at(listen.parse().unwrap())
        };
        let long = Some("0123456789abcdef");
        for (listen, given, fits) in [
            ("127.0.0.1:0", None, true),
            ("[::1]:0", None, true),
            ("0.0.0.0:0", None, false),
            ("[::]:0", None, false),
            ("192.0.2.1:80", None, false),
            ("0.0.0.0:0", long, true),
            ("127.0.0.1:0", Some("short"), false),
        ] {
            let checked = settings(listen, given).check();
            assert_eq!(checked.is_ok(), fits, "{listen} {given:?}");
            if let Err(error) = checked {
                assert!(error.to_string().contains("token"), "{error}");
            }
        }
    }

    #[test]
    fn a_token_is_the_first_line_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, " 0123456789abcdef \nsecond\n").unwrap();
        assert_eq!(token(Some(&path)).unwrap().unwrap().reveal(), "0123456789abcdef");
        std::fs::write(&path, "\n").unwrap();
        assert!(token(Some(&path)).unwrap_err().to_string().contains("empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(token(Some(&path)).unwrap_err().to_string().contains("cannot read"));
    }
}
