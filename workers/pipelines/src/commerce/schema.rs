//! The tables, topics and scopes of this system.
//!
//! Amounts are kept exact, with four decimals; they are rounded where they are shown. Times are microseconds UTC. A text that is
//! missing counts as [`UNKNOWN`] in keys.

use headrace_core::table::{Kind, Merge, Table};
use headrace_core::{Ident, Result, StoreUrl, dead_letter};

use super::fields::LONGEST_TEXT;

/// What stands for a missing category, city or store in keys.
pub const UNKNOWN: &str = "unknown";
/// The dead letters' topic.
pub const DEAD_LETTER_TOPIC: &str = "commerce.dlq";
/// The topic of minutes in which a product sold far more than before.
pub const PEAKS_TOPIC: &str = "commerce.demand_peaks";
/// The topic of carts without purchase.
pub const ABANDONED_TOPIC: &str = "commerce.abandoned_carts";
/// Partitions of the three topics of events, if they have to be created.
pub const PARTITIONS: i32 = 3;

const AMOUNT: Kind = Kind::Decimal { scale: 4 };
/// A text in a key: the product, the user, the category.
const NAME: Kind = Kind::Name(LONGEST_TEXT as u16);

/// The tables of this system.
#[derive(Clone, Debug)]
pub struct Schema {
    prefix: String,
    /// Sales by minute.
    pub sales_per_minute: Table,
    /// Sales by minute and product.
    pub sales_by_product: Table,
    /// Orders by user.
    pub orders_avg_ticket: Table,
    /// Views by category.
    pub views_by_category: Table,
    /// Views by product.
    pub views_by_product: Table,
    /// Carts and purchases that belong together.
    pub conversion_pairs: Table,
    /// Each purchase with the one cart it came from.
    pub conversion_attributed: Table,
    /// Views, carts and purchases by category.
    pub funnel: Table,
    /// Everything by minute, category, city and store.
    pub activity_per_minute: Table,
    /// Events that came late.
    pub late_events: Table,
    /// Which event closed a minute.
    pub window_closings: Table,
    /// Carts without purchase.
    pub abandoned_carts: Table,
    /// Minutes in which a product sold far more than before.
    pub demand_peaks: Table,
    /// Rows by fate and minute of arrival.
    pub quality_per_minute: Table,
    /// Refused events.
    pub dead_letters: Table,
    /// When refused events arrived, which they are judged by when they come again.
    pub dead_letter_arrivals: Table,
}

impl Schema {
    /// The tables in the store a URL names; a table's name in it is put before theirs.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn of(url: &StoreUrl) -> Result<Self> {
        let given = url.table("none")?;
        let prefix = if given.as_str() == "none" { String::new() } else { format!("{given}_") };
        let table = |name: &str| -> Result<Table> { Ok(Table::new(Ident::new(&format!("{prefix}{name}"))?)) };
        Ok(Self {
            sales_per_minute: sales(
                table("sales_per_minute")?.key("window_start", Kind::DateTime)?,
                ["total_sales", "total_orders", "late_sales", "late_orders"],
            )?,
            sales_by_product: sales(
                table("sales_by_product")?.key("window_start", Kind::DateTime)?.key("product_id", NAME)?,
                ["product_revenue", "orders_count", "late_revenue", "late_orders"],
            )?,
            orders_avg_ticket: added(added(table("orders_avg_ticket")?.key("user_id", NAME)?, "orders")?, "total")?,
            views_by_category: added(table("views_by_category")?.key("category", NAME)?, "views_count")?,
            views_by_product: added(table("views_by_product")?.key("product_id", NAME)?, "views_count")?,
            conversion_pairs: conversion(
                table("conversion_pairs")?.key("cart_event_id", NAME)?.key("purchase_event_id", NAME)?,
            )?,
            conversion_attributed: attributed(table("conversion_attributed")?)?,
            funnel: funnel(table("funnel")?)?,
            activity_per_minute: activity(table("activity_per_minute")?)?,
            late_events: late(table("late_events")?)?,
            window_closings: closings(table("window_closings")?)?,
            abandoned_carts: abandoned(table("abandoned_carts")?)?,
            demand_peaks: peaks(table("demand_peaks")?)?,
            quality_per_minute: added(
                table("quality_per_minute")?.key("minute", Kind::DateTime)?.key("class", Kind::Name(64))?,
                "count",
            )?,
            dead_letters: dead_letter::table(Ident::new(&format!("{prefix}commerce_dead_letters"))?)?,
            dead_letter_arrivals: arrivals(table("commerce_letter_arrivals")?)?,
            prefix,
        })
    }

    /// All tables.
    pub fn tables(&self) -> Vec<&Table> {
        vec![
            &self.sales_per_minute,
            &self.sales_by_product,
            &self.orders_avg_ticket,
            &self.views_by_category,
            &self.views_by_product,
            &self.conversion_pairs,
            &self.conversion_attributed,
            &self.funnel,
            &self.activity_per_minute,
            &self.late_events,
            &self.window_closings,
            &self.abandoned_carts,
            &self.demand_peaks,
            &self.quality_per_minute,
            &self.dead_letters,
            &self.dead_letter_arrivals,
        ]
    }

    /// The scope of positions and state.
    pub fn scope(&self) -> String {
        format!("commerce stream {}", self.prefix)
    }
}

/// Adds a column of sums, an amount if its name says so.
fn added(table: Table, name: &str) -> Result<Table> {
    let is_amount =
        ["sales", "revenue", "total"].iter().any(|word| name == *word || name.ends_with(&format!("_{word}")));
    table.column(name, if is_amount { AMOUNT } else { Kind::Int }, true, Merge::Add)
}

fn sales(table: Table, sums: [&str; 4]) -> Result<Table> {
    let table = table.column("window_end", Kind::DateTime, false, Merge::Replace)?;
    sums.into_iter().try_fold(table, added)?.column("final", Kind::Small, false, Merge::Replace)
}

fn conversion(table: Table) -> Result<Table> {
    table
        .column("user_id", NAME, false, Merge::Replace)?
        .column("product_id", NAME, false, Merge::Replace)?
        .column("cart_timestamp", Kind::DateTime, false, Merge::Replace)?
        .column("purchase_timestamp", Kind::DateTime, false, Merge::Replace)
}

fn place(table: Table) -> Result<Table> {
    ["category", "city", "store_id"]
        .into_iter()
        .try_fold(table, |table, name| table.column(name, NAME, false, Merge::Replace))
}

fn attributed(table: Table) -> Result<Table> {
    let table = table.key("purchase_event_id", NAME)?.column("cart_event_id", NAME, false, Merge::Replace)?;
    place(conversion(table)?)
}

fn funnel(table: Table) -> Result<Table> {
    let counts = ["views", "carts", "carts_after_view", "purchases", "carts_converted"];
    counts.into_iter().try_fold(table.key("category", NAME)?, added)
}

fn activity(table: Table) -> Result<Table> {
    let table = table.key("minute", Kind::DateTime)?.key("category", Kind::Name(LONGEST_TEXT as u16))?;
    let table = table.key("city", Kind::Name(80))?.key("store_id", Kind::Name(80))?;
    let table = table.column("province", NAME, false, Merge::Replace)?;
    let counts = ["views", "carts", "orders", "revenue", "late_orders", "late_revenue"];
    counts.into_iter().try_fold(table, added)
}

fn late(table: Table) -> Result<Table> {
    table
        .key("topic", Kind::Name(120))?
        .key("partition_number", Kind::Int)?
        .key("record_offset", Kind::Int)?
        .key("metric", Kind::Name(8))?
        .column("event_id", NAME, false, Merge::Replace)?
        .column("timestamp", Kind::DateTime, false, Merge::Replace)?
        .column("watermark", Kind::DateTime, false, Merge::Replace)
}

fn closings(table: Table) -> Result<Table> {
    table
        .key("window_start", Kind::DateTime)?
        .column("window_end", Kind::DateTime, false, Merge::Replace)?
        .column("topic", Kind::Name(120), false, Merge::Replace)?
        .column("partition_number", Kind::Int, false, Merge::Replace)?
        .column("record_offset", Kind::Int, false, Merge::Replace)
}

fn abandoned(table: Table) -> Result<Table> {
    let table = table.key("cart_event_id", NAME)?.column("user_id", NAME, false, Merge::Replace)?.column(
        "product_id",
        NAME,
        false,
        Merge::Replace,
    )?;
    place(table)?.column("price", AMOUNT, true, Merge::Replace)?.column(
        "cart_timestamp",
        Kind::DateTime,
        false,
        Merge::Replace,
    )
}

/// By the key of the letter, which keeps no time of arrival itself.
fn arrivals(table: Table) -> Result<Table> {
    table.key("source", Kind::Name(512))?.key("position", Kind::Name(64))?.column(
        "arrived_at",
        Kind::DateTime,
        false,
        Merge::First,
    )
}

fn peaks(table: Table) -> Result<Table> {
    let table = table
        .key("window_start", Kind::DateTime)?
        .key("product_id", NAME)?
        .column("revenue", AMOUNT, false, Merge::Replace)?
        .column("orders", Kind::Int, false, Merge::Replace)?;
    ["revenue_mean", "revenue_deviation", "orders_mean", "orders_deviation"]
        .into_iter()
        .try_fold(table, |table, name| table.column(name, AMOUNT, false, Merge::Replace))
}

#[cfg(test)]
mod tests {
    use headrace_core::StoreUrl;
    use headrace_core::table::Kind;

    use super::{AMOUNT, Schema};

    #[test]
    fn names_and_types() {
        let schema = Schema::of(&StoreUrl::parse("mysql://u@h/db/shop").unwrap()).unwrap();
        assert_eq!(schema.sales_per_minute.name.as_str(), "shop_sales_per_minute");
        assert_eq!(schema.scope(), "commerce stream shop_");
        let schema = Schema::of(&StoreUrl::parse("embedded:x").unwrap()).unwrap();
        assert_eq!(schema.funnel.name.as_str(), "funnel");
        let kind = |table: &headrace_core::table::Table, name: &str| table.find(name).unwrap().kind;
        assert_eq!(kind(&schema.sales_per_minute, "late_sales"), AMOUNT);
        assert_eq!(kind(&schema.sales_by_product, "product_revenue"), AMOUNT);
        assert_eq!(kind(&schema.sales_by_product, "late_orders"), Kind::Int);
        assert_eq!(kind(&schema.orders_avg_ticket, "total"), AMOUNT);
        assert_eq!(kind(&schema.activity_per_minute, "revenue"), AMOUNT);
        assert_eq!(kind(&schema.funnel, "purchases"), Kind::Int);
    }
}
