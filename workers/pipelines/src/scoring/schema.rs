//! The tables and scopes of this system, by the names the store URLs give.

use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Ident, Result, StoreUrl, dead_letter};

use super::offer::TARGETS;
use super::registration::CATEGORIES;

/// The topic's name where the URL names none.
pub const TOPIC: &str = "streaming-user-registration";
/// The offers' table where the URL names none.
pub const OFFERS: &str = "personal_offer";
/// The cache's table where the URL names none; Redis has no tables and ignores it.
pub const CACHE: &str = "offer_cache";
/// The user.
pub const USER_ID: &str = "user_id";
/// The model that scored a row.
pub const MODEL_VERSION: &str = "model_version";
/// What decides between two offers of a user: the greatest wins.
pub const VERSION: &str = "version";
/// The partition of the message.
pub const KAFKA_PARTITION: &str = "kafka_partition";
/// The offset of the message.
pub const KAFKA_OFFSET: &str = "kafka_offset";
/// When a row of the history was scored.
pub const SCORED_AT: &str = "scored_at";
/// Registration time in milliseconds since 1970.
pub const REGISTERED_MS: &str = "registered_ms";
/// The cache's key: the decimal user id.
pub const CACHE_KEY: &str = "cache_key";
/// The cache's value: JSON.
pub const CACHE_VALUE: &str = "value";
/// The hour of scoring, in the profile.
pub const HOUR: &str = "hour_start";
/// A feature of registrations, or a target with `predicted_` before it.
pub const FEATURE: &str = "feature";
/// A category, or a range of numbers.
pub const BUCKET: &str = "bucket";
/// How many registrations of an hour were in a bucket.
pub const REGISTRATIONS: &str = "registrations";

/// The column of a target.
pub fn predicted(target: &str) -> String {
    format!("predicted_{target}")
}

/// The tables of offers.
#[derive(Clone, Debug)]
pub struct OfferSchema {
    /// The newest offer of every user.
    pub offers: Table,
    /// Every accepted registration's offer, by place in the topic.
    pub history: Table,
    /// What each user's offer was made from.
    pub registrations: Table,
    /// Refused messages; kept where the ledger is.
    pub dead_letters: Table,
    /// How often each category and score occurred, by hour and model; kept where the ledger is.
    pub profile: Table,
}

impl OfferSchema {
    /// The tables a URL names.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn of(url: &StoreUrl) -> Result<Self> {
        let name = url.table(OFFERS)?;
        let dead_letters = dead_letter::table(name.with_suffix("_dead_letter")?)?;
        Ok(Self {
            offers: offers(name.clone())?,
            history: history(name.with_suffix("_history")?)?,
            registrations: registrations(name.with_suffix("_registration")?)?,
            profile: profile(name.with_suffix("_profile")?)?,
            dead_letters,
        })
    }

    /// The tables that are written where the offers are.
    pub fn offer_tables(&self) -> [&Table; 3] {
        [&self.offers, &self.history, &self.registrations]
    }

    /// The scope under which registrations are scored: one for all topics, so that a user has one newest offer whichever way it
    /// came. `elsewhere` names the offers' store where that is not the ledger's own.
    pub fn score_scope(&self, elsewhere: Option<&str>) -> String {
        match elsewhere {
            Some(place) => format!("scoring score {} in {place}", self.offers.name),
            None => format!("scoring score {}", self.offers.name),
        }
    }
}

/// The cache's table in stores that have tables. In Redis its key and value are those of a plain string.
///
/// # Errors
/// When the name is not usable.
pub fn cache_table(url: &StoreUrl) -> Result<Table> {
    Table::new(url.table(CACHE)?)
        .key(CACHE_KEY, Kind::Name(20))?
        .column(CACHE_VALUE, Kind::Text, false, Merge::Replace)?
        .column(VERSION, Kind::Int, false, Merge::Replace)?
        .versioned_by(VERSION)
        .map(Table::documents)
}

fn with_predictions(mut table: Table) -> Result<Table> {
    for target in TARGETS {
        table = table.column(&predicted(target), Kind::Single, false, Merge::Replace)?;
    }
    table
        .column(MODEL_VERSION, Kind::Name(160), false, Merge::Replace)?
        .clickhouse("LowCardinality(String)")
        .column(VERSION, Kind::Int, false, Merge::Replace)
        .map(|table| table.clickhouse("UInt64"))
}

fn offers(name: Ident) -> Result<Table> {
    let table = Table::new(name).key(USER_ID, Kind::Int)?.clickhouse("UInt32");
    with_predictions(table)?
        .clickhouse_column("_inserted_datetime", "DateTime MATERIALIZED now()")?
        .versioned_by(VERSION)
}

fn history(name: Ident) -> Result<Table> {
    let table = Table::new(name)
        .key(KAFKA_PARTITION, Kind::Int)?
        .clickhouse("Int32")
        .key(KAFKA_OFFSET, Kind::Int)?
        .column(USER_ID, Kind::Int, false, Merge::Replace)?
        .clickhouse("UInt32");
    with_predictions(table)?
        .column(SCORED_AT, Kind::DateTime, false, Merge::Replace)?
        .clickhouse("DateTime64(3)")
        .versioned_by(SCORED_AT)
}

fn registrations(name: Ident) -> Result<Table> {
    let mut table = Table::new(name).key(USER_ID, Kind::Int)?.clickhouse("UInt32");
    for category in CATEGORIES {
        table = table.column(category, Kind::Text, false, Merge::Replace)?.clickhouse("LowCardinality(String)");
    }
    table
        .column("is_organic", Kind::Small, false, Merge::Replace)?
        .clickhouse("UInt8")
        .column("child_age", Kind::Small, false, Merge::Replace)?
        .clickhouse("UInt8")
        .column(REGISTERED_MS, Kind::Int, false, Merge::Replace)?
        .column(KAFKA_PARTITION, Kind::Int, false, Merge::Replace)?
        .clickhouse("Int32")
        .column(KAFKA_OFFSET, Kind::Int, false, Merge::Replace)?
        .column(VERSION, Kind::Int, false, Merge::Replace)?
        .clickhouse("UInt64")
        .versioned_by(VERSION)
}

fn profile(name: Ident) -> Result<Table> {
    Table::new(name)
        .key(HOUR, Kind::DateTime)?
        .key(MODEL_VERSION, Kind::Name(160))?
        .key(FEATURE, Kind::Name(48))?
        .key(BUCKET, Kind::Name(128))?
        .column(REGISTRATIONS, Kind::Int, false, Merge::Add)
}

#[cfg(test)]
mod tests {
    use super::{OfferSchema, cache_table};
    use headrace_core::StoreUrl;

    #[test]
    fn tables_take_their_names_from_the_url() {
        let schema = OfferSchema::of(&StoreUrl::parse("clickhouse://h/default/offers").unwrap()).unwrap();
        let names = schema.offer_tables().map(|table| table.name.as_str().to_owned());
        assert_eq!(names, ["offers", "offers_history", "offers_registration"]);
        let first: Vec<&str> = schema.offers.columns.iter().map(|column| column.name.as_str()).take(10).collect();
        assert_eq!(first[..3], ["user_id", "predicted_cost", "predicted_subscription"]);
        assert_eq!(first[8..], ["predicted_function_invite_second_parent", "model_version"]);
        assert_eq!(cache_table(&StoreUrl::parse("redis://h/0").unwrap()).unwrap().name.as_str(), "offer_cache");
    }
}
