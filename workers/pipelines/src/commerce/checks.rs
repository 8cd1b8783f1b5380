//! What must hold between the tables, the counters and the archive: each number is counted in more than one way.
//!
//! Memory: one page of a table; the carts of attributed purchases.

use std::collections::HashSet;

use headrace_connectors::lake::{Lake, LakePath};
use headrace_core::Result;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_transforms::ids;

use super::event::Kind;
use super::keeps::Keeps;
use super::schema::Schema;
use crate::reading::Pages;

/// Two numbers that must be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is compared.
    pub what: String,
    /// The number, as one counts it.
    pub expected: i128,
    /// The number, as the other counts it.
    pub found: i128,
}

impl Check {
    /// Whether they are the same.
    pub fn holds(&self) -> bool {
        self.expected == self.found
    }
}

/// Sums of some columns of a table, and the number of its rows.
async fn sums<const N: usize>(store: &dyn Store, table: &Table, columns: [&str; N]) -> Result<([i128; N], i128)> {
    let (mut sums, mut rows) = ([0; N], 0);
    let mut pages = Pages::new(store, table, &columns);
    while let Some(page) = pages.next().await? {
        rows += page.height() as i128;
        for (sum, name) in sums.iter_mut().zip(columns) {
            *sum += page.column(name)?.i64()?.iter().flatten().map(i128::from).sum::<i128>();
        }
    }
    Ok((sums, rows))
}

/// Carts that more than one purchase is attributed to, and attributed purchases.
async fn attributed(store: &dyn Store, schema: &Schema) -> Result<(i128, i128)> {
    let (mut carts, mut rows) = (HashSet::new(), 0);
    let mut pages = Pages::new(store, &schema.conversion_attributed, &["cart_event_id"]);
    while let Some(page) = pages.next().await? {
        rows += page.height() as i128;
        carts.extend(page.column("cart_event_id")?.str()?.iter().flatten().map(|id| ids::hash_key(id.as_bytes())));
    }
    Ok((rows - carts.len() as i128, rows))
}

/// Dead letters that no replay has settled.
async fn open_letters(store: &dyn Store, schema: &Schema) -> Result<i128> {
    let mut letters = 0;
    let mut pages = Pages::new(store, &schema.dead_letters, &["settled_at"]);
    while let Some(page) = pages.next().await? {
        letters += page.column("settled_at")?.null_count() as i128;
    }
    Ok(letters)
}

/// Compares everything that is counted twice.
///
/// # Errors
/// When a store fails.
pub async fn all(store: &dyn Store, schema: &Schema, archive: Option<&Lake>) -> Result<Vec<Check>> {
    let counts = store.counters(&schema.scope()).await?;
    let class = |name: &str| i128::from(counts.classes.get(name).copied().unwrap_or_default());
    let mut checks = Vec::new();
    let mut check = |what: &str, expected: i128, found: i128| {
        checks.push(Check { what: what.to_owned(), expected, found });
    };
    let (read, fates) = (counts.read, counts.written + counts.duplicate + counts.dead_lettered);
    check("read = accepted + duplicate + dead-lettered", read.into(), fates.into());
    let [views, carts, purchases] = ["accepted:page_view", "accepted:add_to_cart", "accepted:purchase"].map(class);
    check("accepted = views + carts + purchases", counts.written.into(), views + carts + purchases);

    let sales = ["total_sales", "late_sales", "total_orders", "late_orders"];
    let ([on_time, late, orders, late_orders], _) = sums(store, &schema.sales_per_minute, sales).await?;
    let revenue = on_time + late;
    check("orders per minute = accepted purchases", purchases, orders + late_orders);
    check("late orders per minute = events late for sales", class("late:sales"), late_orders);
    if Keeps::of_store(store, schema).await? != Some(Keeps::Sales) {
        tables(store, schema, [views, carts, purchases], revenue, class("pairs"), &mut check).await?;
    }
    let (_, late_rows) = sums(store, &schema.late_events, ["watermark"]).await?;
    check("late events listed = late events counted", class("late:sales") + class("late:funnel"), late_rows);
    let letters = open_letters(store, schema).await?;
    check("dead letters kept = dead letters counted", counts.dead_lettered.into(), letters);

    if let Some(lake) = archive {
        for (kind, expected) in Kind::ALL.into_iter().zip([views, carts, purchases]) {
            let mut rows = 0;
            for file in lake.list(&LakePath::new(kind.dataset())?).await? {
                rows += lake.info(&file.path).await?.map_or(0, |info| i128::from(info.rows));
            }
            check(&format!("archived {} = accepted {}", kind.dataset(), kind.event_type()), expected, rows);
        }
    }
    Ok(checks)
}

/// Compares the tables that a stream has which keeps everything.
async fn tables(
    store: &dyn Store,
    schema: &Schema,
    [views, carts, purchases]: [i128; 3],
    revenue: i128,
    counted_pairs: i128,
    check: &mut (impl FnMut(&str, i128, i128) + Send),
) -> Result<()> {
    let columns = ["product_revenue", "late_revenue", "orders_count", "late_orders"];
    let ([on_time, late, orders, late_orders], _) = sums(store, &schema.sales_by_product, columns).await?;
    check("revenue by product = revenue per minute (in 1/10000)", revenue, on_time + late);
    check("orders by product = accepted purchases", purchases, orders + late_orders);
    let ([orders, total], _) = sums(store, &schema.orders_avg_ticket, ["orders", "total"]).await?;
    check("revenue by user = revenue per minute (in 1/10000)", revenue, total);
    check("orders by user = accepted purchases", purchases, orders);
    let columns = ["views", "carts", "orders", "revenue", "late_orders", "late_revenue"];
    let ([seen, filled, orders, on_time, late_orders, late], _) =
        sums(store, &schema.activity_per_minute, columns).await?;
    check("views by place = accepted views", views, seen);
    check("carts by place = accepted carts", carts, filled);
    check("orders by place = accepted purchases", purchases, orders + late_orders);
    check("revenue by place = revenue per minute (in 1/10000)", revenue, on_time + late);
    let ([seen], _) = sums(store, &schema.views_by_category, ["views_count"]).await?;
    check("views by category = accepted views", views, seen);
    let ([seen], _) = sums(store, &schema.views_by_product, ["views_count"]).await?;
    check("views by product = accepted views", views, seen);

    let columns = ["views", "carts", "purchases", "carts_converted"];
    let ([seen, filled, bought, converted], _) = sums(store, &schema.funnel, columns).await?;
    check("views in the funnel = accepted views", views, seen);
    check("carts in the funnel = accepted carts", carts, filled);
    check("purchases in the funnel = accepted purchases", purchases, bought);
    let (shared, rows) = attributed(store, schema).await?;
    check("converted carts in the funnel = attributed purchases", rows, converted);
    check("carts that two purchases are attributed to", 0, shared);
    let (_, pairs) = sums(store, &schema.conversion_pairs, ["cart_timestamp"]).await?;
    check("pairs of cart and purchase = pairs counted", counted_pairs, pairs);
    Ok(())
}
