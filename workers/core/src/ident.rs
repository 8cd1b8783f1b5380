//! Names of tables, columns, keyspaces and databases that cannot carry anything else.

use std::fmt;

use crate::{Error, Result};

/// A checked name: a letter or underscore, then letters, digits and underscores, at most 48 characters.
///
/// 48 is Cassandra's limit; MySQL allows 64. Dialects still quote it, so reserved words work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// Checks a name.
    ///
    /// # Errors
    /// A configuration error when the name has another form.
    pub fn new(name: &str) -> Result<Self> {
        let mut characters = name.chars();
        let first_fits = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let rest_fits = characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if first_fits && rest_fits && name.len() <= 48 {
            Ok(Self(name.to_owned()))
        } else {
            Err(Error::configuration(format!(
                "{name:?} is no usable name: letters, digits and underscores, not starting with a digit, at most 48"
            )))
        }
    }

    /// Gives the bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends a suffix and checks the result.
    ///
    /// # Errors
    /// A configuration error when the longer name does not fit.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self> {
        Self::new(&format!("{}{suffix}", self.0))
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Ident;

    #[test]
    fn accepts_names_and_refuses_anything_else() {
        for good in ["result", "_a1", "Tracking_by_hour"] {
            assert!(Ident::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a b", "a;drop", "a`b", "a\"b", "naïve", &"a".repeat(49)] {
            assert!(Ident::new(bad).is_err(), "{bad}");
        }
    }
}
