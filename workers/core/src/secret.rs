//! A value that must not be seen: it has no readable `Debug` and no `Display`.

use std::fmt;

/// A password or key; only [`Secret::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text, for handing it to a client library only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Hides logins and passwords in a text that may hold store URLs, word by word. A last guard for texts that come from
/// elsewhere (drivers, argument parsers); what Headrace writes itself hides them where it is made.
pub fn mask(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(mask_word).collect()
}

/// Hides logins and passwords in a text that is one value, blanks included.
pub fn mask_word(text: &str) -> String {
    let mut shown = text.to_owned();
    if let (Some(colon), Some(at)) = (shown.find(':'), shown.rfind('@')) {
        let after = colon + 1;
        let start = match shown[after..].strip_prefix("//") {
            Some(login) => login.find(':').map(|colon| after + 2 + colon + 1),
            // Without slashes there is no telling user from password.
            None => Some(after),
        };
        if let Some(start) = start.filter(|start| *start < at) {
            shown.replace_range(start..at, "***");
        }
    }
    let mut from = 0;
    while let Some(found) = shown[from..].find("password=") {
        let start = from + found + "password=".len();
        let end = shown[start..].find(['&', '\'', '"', '\n']).map_or(shown.len(), |length| start + length);
        shown.replace_range(start..end, "***");
        from = start;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{mask, mask_word};

    #[test]
    fn logins_and_passwords_are_hidden() {
        assert_eq!(mask("cannot open 'mysql://u:canary@h/d': no"), "cannot open 'mysql://u:***@h/d': no");
        assert_eq!(mask("mysql:/u:canary@h and a:canary@b"), "mysql:***@h and a:***@b");
        assert_eq!(mask("kafka://h/t?sasl_password=canary&tls=true x"), "kafka://h/t?sasl_password=***&tls=true x");
        assert_eq!(mask_word("mysql://u:ca na:ry@h"), "mysql://u:***@h");
        assert_eq!(mask("at 12:30 mail me@home, embedded:dir"), "at 12:30 mail me@home, embedded:dir");
        assert_eq!(mask("expected mysql://USER@HOST:1/D"), "expected mysql://USER@HOST:1/D");
        assert_eq!(mask("password_file=/run/secret"), "password_file=/run/secret");
    }
}
