//! The one error type of the workers. Every error answers [`Error::kind`], and the kind decides what
//! happens next: configuration and data errors end the step at once, external ones are tried again.

use std::error::Error as StdError;

/// A result with the workers' [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of remedy an error needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fix the set-up: a wrong URL, password, table or option.
    Configuration,
    /// Fix the input: what was read cannot be used at all.
    Data,
    /// Try again: a server, network or disk did not do its part.
    External,
    /// Another worker has taken over; this one must not write any more.
    Fenced,
}

/// Why a step could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The set-up is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The input is wrong.
    #[error("{0}")]
    Data(String),
    /// Something outside failed.
    #[error("{context}: {cause}")]
    External {
        /// What was being done, naming the thing.
        context: String,
        /// What the outside said.
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// A commit or claim was refused because another worker holds a newer claim.
    #[error("another worker has taken over {0}")]
    Fenced(String),
}

impl Error {
    /// Builds a configuration error.
    pub fn configuration(text: impl Into<String>) -> Self {
        Self::Configuration(text.into())
    }

    /// Builds a data error.
    pub fn data(text: impl Into<String>) -> Self {
        Self::Data(text.into())
    }

    /// Builds an external error from what was being done and what went wrong.
    pub fn external(context: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::External { context: context.into(), cause: cause.into() }
    }

    /// Tells which remedy this error needs.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration(_) => ErrorKind::Configuration,
            Self::Data(_) => ErrorKind::Data,
            Self::External { .. } => ErrorKind::External,
            Self::Fenced(_) => ErrorKind::Fenced,
        }
    }

    /// Tells whether trying again can help.
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::External
    }
}

impl From<polars::error::PolarsError> for Error {
    /// A frame that cannot be built or read is a fault of the data at hand.
    fn from(error: polars::error::PolarsError) -> Self {
        Self::Data(format!("cannot work on a batch: {error}"))
    }
}
