//! Paths inside a lake, which cannot lead out of it.

use std::fmt;

use headrace_core::{Error, Result};

/// Temporary files carry the whole path in their name, and names of files end at 255 bytes.
const MAX_BYTES: usize = 180;

/// A checked path such as `orders/fecha=2025-03-09/part-00000.parquet`: segments of letters, digits and `. _ = -`. None begins
/// with `.` or `_`, which readers of lakes take for hidden.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LakePath(String);

impl LakePath {
    /// Checks a path.
    ///
    /// # Errors
    /// A configuration error when it has another form.
    pub fn new(path: &str) -> Result<Self> {
        if path.len() <= MAX_BYTES && path.split('/').all(is_segment) {
            Ok(Self(path.to_owned()))
        } else {
            Err(Error::configuration(format!(
                "{path:?} is no path of a lake: segments of letters, digits and . _ = - that begin with neither . nor _, at most {MAX_BYTES} bytes in all"
            )))
        }
    }

    /// Appends segments.
    ///
    /// # Errors
    /// A configuration error when the longer path has another form.
    pub fn join(&self, more: &str) -> Result<Self> {
        Self::new(&format!("{}/{more}", self.0))
    }

    /// Gives the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a file of a lake.
    pub(super) fn is_file(&self) -> bool {
        self.0.ends_with(".parquet")
    }

    /// The path in one word, for the names of temporary files.
    pub(super) fn in_one_word(&self) -> String {
        self.0.replace('/', "~")
    }
}

fn is_segment(segment: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '=' | '-');
    !segment.is_empty() && !segment.starts_with(['.', '_']) && segment.chars().all(fits)
}

impl fmt::Display for LakePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::LakePath;

    #[test]
    fn accepts_paths_and_refuses_what_leads_elsewhere() {
        for good in ["orders", "orders/fecha=2025-03-09/part-00000.parquet", "tables/funnel.parquet"] {
            assert!(LakePath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a//b", "../a", "a/..", "a/.b", "_a", "a b", "a%2Fb", "a\\b", "/a", "a/", &"a".repeat(181)]
        {
            assert!(LakePath::new(bad).is_err(), "{bad}");
        }
        let day = LakePath::new("orders").unwrap().join("fecha=2025-03-09").unwrap();
        assert_eq!(day.as_str(), "orders/fecha=2025-03-09");
        assert!(day.join("..").is_err());
    }
}
