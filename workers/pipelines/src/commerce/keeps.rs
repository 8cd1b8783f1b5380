//! What a stream keeps: everything this system has, or less for less work.

use headrace_core::store::Store;
use headrace_core::{Error, Result};

use super::event::Kind;
use super::schema::Schema;
use super::stream_work::read_stream;

/// What a stream keeps. It is the same for all of its workers and for all time: what was not kept cannot be made up for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Keeps {
    /// All tables, alerts and the funnel, of views, carts and orders.
    #[default]
    Everything,
    /// Sales per minute with what came late, of the topic of orders alone.
    Sales,
}

impl Keeps {
    /// The kinds of events whose topics are read.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Everything => &Kind::ALL,
            Self::Sales => &[Kind::Purchase],
        }
    }

    /// As a byte of the stream's state.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Everything => 0,
            Self::Sales => 1,
        }
    }

    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        [Self::Everything, Self::Sales].into_iter().find(|keeps| keeps.byte() == byte)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Sales => "sales",
        }
    }

    /// Refuses something else than the stream of these tables keeps.
    ///
    /// # Errors
    /// A configuration error.
    pub(super) fn require(self, wanted: Self) -> Result<()> {
        if self == wanted {
            return Ok(());
        }
        let (kept, wanted) = (self.as_str(), wanted.as_str());
        Err(Error::configuration(format!(
            "these tables are those of a stream with --keep {kept}: go on with that, or choose another --store for --keep {wanted}"
        )))
    }

    /// What the stream of a store keeps, once it has begun.
    ///
    /// # Errors
    /// When the store fails, or what is stored is damaged.
    pub async fn of_store(store: &dyn Store, schema: &Schema) -> Result<Option<Self>> {
        let mut unit = store.begin(&schema.scope(), &[]).await?;
        Ok(read_stream(&mut *unit).await?.1.keeps())
    }
}
