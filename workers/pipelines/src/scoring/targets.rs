//! Where offers and cache go: into the ledger's own store as part of its units of work, or elsewhere by [`Rows`].
//!
//! Delivery: rows in the ledger's store are there exactly when the unit is committed. Rows elsewhere are written before that, and
//! after a crash once more, which changes nothing: every table here is versioned, or keyed by place in the topic.

use std::sync::Arc;

use async_trait::async_trait;
use headrace_core::position::Reached;
use headrace_core::rows::Rows;
use headrace_core::store::{Select, Store, Unit};
use headrace_core::table::Table;
use headrace_core::{Counts, Error, Result, StoreUrl};
use polars::prelude::DataFrame;

use super::schema::{OfferSchema, cache_table};
use crate::stores::{open_rows, open_warehouse};

/// Where rows of one kind go.
#[derive(Clone)]
pub enum Target {
    /// The ledger's own store.
    Own(Arc<dyn Store>),
    /// Any other.
    Apart(Arc<dyn Rows>),
}

impl Target {
    /// Opens what a URL names, beside a ledger.
    ///
    /// # Errors
    /// A configuration error for a wrong kind of store, else what the connector says.
    pub async fn open(url: &StoreUrl, ledger: &Arc<dyn Store>) -> Result<Self> {
        if !is_warehouse(url) {
            return Ok(Self::Apart(open_rows(url).await?));
        }
        let store = open_warehouse(url).await?;
        if store.name() == ledger.name() {
            return Ok(Self::Own(ledger.clone()));
        }
        Ok(Self::Apart(Arc::new(StoreRows(store))))
    }

    /// Writes rows, in the unit where the target is the ledger's own store.
    ///
    /// # Errors
    /// When the store fails or a value does not fit.
    pub async fn write(&self, unit: &mut dyn Unit, table: &Table, frame: &DataFrame, token: &str) -> Result<()> {
        match self {
            Self::Own(_) => unit.upsert(table, frame).await,
            Self::Apart(rows) => rows.write(table, frame, token).await,
        }
    }

    /// Creates the tables that are missing.
    ///
    /// # Errors
    /// A configuration error naming the difference where one has another form.
    pub async fn create(&self, tables: &[&Table]) -> Result<()> {
        match self {
            Self::Own(store) => store.create(tables).await,
            Self::Apart(rows) => rows.create(tables).await,
        }
    }

    /// Reads rows in key order.
    ///
    /// # Errors
    /// A configuration error naming the table when it is missing.
    pub async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        match self {
            Self::Own(store) => store.select(select).await,
            Self::Apart(rows) => rows.select(select).await,
        }
    }

    /// Names what lies where rows of a table would, and is none.
    ///
    /// # Errors
    /// What the store says.
    pub async fn strangers(&self, table: &Table) -> Result<Vec<String>> {
        match self {
            // Its tables hold nothing but rows.
            Self::Own(_) => Ok(Vec::new()),
            Self::Apart(rows) => rows.strangers(table).await,
        }
    }

    /// Names the store without secrets.
    pub fn name(&self) -> String {
        match self {
            Self::Own(store) => store.name(),
            Self::Apart(rows) => rows.name(),
        }
    }

    /// Its name, where it is not the ledger's own store.
    fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Own(_) => None,
            Self::Apart(rows) => Some(rows.name()),
        }
    }
}

/// Whether a URL names a store with units of work.
pub fn is_warehouse(url: &StoreUrl) -> bool {
    matches!(url.scheme.as_str(), "embedded" | "mysql" | "mariadb")
}

/// A store with units of work that is not the ledger's: every write is a unit of its own.
pub struct StoreRows(pub Arc<dyn Store>);

#[async_trait]
impl Rows for StoreRows {
    async fn create(&self, tables: &[&Table]) -> Result<()> {
        self.0.create(tables).await
    }

    async fn write(&self, table: &Table, frame: &DataFrame, _: &str) -> Result<()> {
        let mut unit = self.0.begin(&format!("rows of {}", table.name), &[]).await?;
        unit.upsert(table, frame).await?;
        unit.commit(&Reached::new(), &Counts::default()).await
    }

    async fn select(&self, select: &Select<'_>) -> Result<DataFrame> {
        self.0.select(select).await
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// All targets of scoring, with their tables.
#[derive(Clone)]
pub struct Targets {
    /// The ledger; dead letters are beside it.
    pub ledger: Arc<dyn Store>,
    /// The offers, their history and what they were made from.
    pub offers: Target,
    /// The cache.
    pub cache: Target,
    /// The tables of offers.
    pub schema: OfferSchema,
    /// The cache's table.
    pub cache_table: Table,
    /// Whether the cache takes a few rows at a time, many times a second.
    pub is_quick: bool,
}

impl Targets {
    /// Opens the targets. Without a URL of their own the cache is where the ledger is, and the ledger where the offers are, as far
    /// as that store can hold one.
    ///
    /// # Errors
    /// A configuration error naming the option, else what the connectors say.
    pub async fn open(offers: &str, cache: Option<&str>, ledger: Option<&str>) -> Result<Self> {
        let (offers_url, ledger_url) = ledger_url(offers, ledger)?;
        let cache_url = match cache {
            Some(text) => crate::steps::store_url("cache", text)?,
            None => without_table(&ledger_url),
        };
        let ledger = open_warehouse(&ledger_url).await?;
        Ok(Self {
            offers: Target::open(&offers_url, &ledger).await?,
            cache: Target::open(&cache_url, &ledger).await?,
            schema: OfferSchema::of(&offers_url)?,
            cache_table: cache_table(&cache_url)?,
            is_quick: matches!(cache_url.scheme.as_str(), "redis" | "rediss"),
            ledger,
        })
    }

    /// Creates the tables that are missing.
    ///
    /// # Errors
    /// A configuration error naming the difference where one has another form.
    pub async fn create(&self) -> Result<()> {
        self.ledger.create(&[&self.schema.dead_letters, &self.schema.profile]).await?;
        self.offers.create(&self.schema.offer_tables()).await?;
        self.cache.create(&[&self.cache_table]).await
    }

    /// Fails when nothing was ever scored there.
    ///
    /// # Errors
    /// A configuration error naming the ledger.
    pub async fn require(&self) -> Result<()> {
        require(&*self.ledger, &self.schema).await
    }

    /// The cache, if offers can be put there before their commit: it is apart, and takes a few rows many times a second.
    pub fn quick_cache(&self) -> Option<Arc<dyn Rows>> {
        match &self.cache {
            Target::Apart(rows) if self.is_quick => Some(rows.clone()),
            _ => None,
        }
    }

    /// The scope of scoring in the ledger.
    pub fn scope(&self) -> String {
        self.schema.score_scope(self.offers.elsewhere().as_deref())
    }
}

/// Opens the ledger alone, with the tables that are named as the offers; it fails when nothing was ever scored there.
///
/// # Errors
/// A configuration error naming the option or the ledger, else what the connector says.
pub async fn open_ledger(offers: &str, ledger: Option<&str>) -> Result<(Arc<dyn Store>, OfferSchema)> {
    let (offers_url, ledger_url) = ledger_url(offers, ledger)?;
    let (store, schema) = (open_warehouse(&ledger_url).await?, OfferSchema::of(&offers_url)?);
    require(&*store, &schema).await?;
    Ok((store, schema))
}

async fn require(ledger: &dyn Store, schema: &OfferSchema) -> Result<()> {
    let table = &schema.dead_letters.name;
    if ledger.has_table(table).await? {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "table `{table}` does not exist in {}; run `headrace scoring score` first, or correct the URL",
        ledger.name()
    )))
}

/// The URLs of the offers and of the ledger: its own, or the offers' as far as that store can hold one.
fn ledger_url(offers: &str, ledger: Option<&str>) -> Result<(StoreUrl, StoreUrl)> {
    let offers_url = crate::steps::store_url("offers", offers)?;
    let ledger_url = match ledger {
        Some(text) => crate::steps::store_url("ledger", text)?,
        None if is_warehouse(&offers_url) => without_table(&offers_url),
        None => crate::steps::store_url("ledger", crate::stores::DEFAULT_STORE)?,
    };
    Ok((offers_url, ledger_url))
}

/// The same place without the name of a table.
fn without_table(url: &StoreUrl) -> StoreUrl {
    let mut bare = url.clone();
    bare.options.remove("table");
    bare.path.truncate(1);
    bare
}
