//! The tables as the contract shows them: its columns, its rounding, its order. Files of the export and of the lake are made of them.
//!
//! Memory: one table.

use headrace_connectors::lake::{LakeKind, LakeSchema};
use headrace_core::Result;
use headrace_core::store::Store;
use headrace_core::table::Table;
use headrace_transforms::civil::SECOND_US;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series, SortMultipleOptions};

use super::alerts::time_text;
use super::schema::Schema;
use super::sums::{ints, names};
use crate::reading::Pages;

/// Rows of the best-viewed products.
const TOP: usize = 5;
/// The category of the funnel's line over all categories.
const ALL: &str = "*";

/// A table as the contract shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// Its columns with their types; amounts are whole numbers, scaled.
    pub columns: Vec<(&'static str, LakeKind)>,
    /// Its rows.
    pub rows: DataFrame,
}

impl Shown {
    /// The columns of its file in the lake.
    ///
    /// # Errors
    /// Never.
    pub fn schema(&self) -> Result<LakeSchema> {
        LakeSchema::new(&self.columns)
    }

    /// The table as CSV with a header.
    ///
    /// # Errors
    /// When a column is of another type.
    pub fn csv(&self) -> Result<String> {
        let header: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let mut out = header.join(",") + "\n";
        let columns: Vec<&Column> =
            header.iter().map(|name| self.rows.column(name)).collect::<polars::prelude::PolarsResult<_>>()?;
        for row in 0..self.rows.height() {
            for (place, ((_, kind), column)) in self.columns.iter().zip(&columns).enumerate() {
                if place > 0 {
                    out.push(',');
                }
                match kind {
                    LakeKind::Text => push_text(column.str()?.get(row), &mut out),
                    _ => out.push_str(&column.i64()?.get(row).map_or(String::new(), |value| cell(*kind, value))),
                }
            }
            out.push('\n');
        }
        Ok(out)
    }
}

/// A text of a CSV; quoted where it has to be.
fn push_text(text: Option<&str>, out: &mut String) {
    let text = text.unwrap_or_default();
    if text.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

fn cell(kind: LakeKind, value: i64) -> String {
    match kind {
        LakeKind::Decimal { scale, .. } => decimal_text(value, u32::from(scale)),
        LakeKind::Timestamp => time_text(value),
        LakeKind::Bool => (value != 0).to_string(),
        _ => value.to_string(),
    }
}

fn decimal_text(value: i64, scale: u32) -> String {
    let (unit, sign) = (10_u64.pow(scale), if value < 0 { "-" } else { "" });
    let (whole, fraction) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    format!("{sign}{whole}.{fraction:0width$}", width = scale as usize)
}

/// Divides, rounding half away from zero.
fn rounded(value: i128, divisor: i128) -> i64 {
    let half = divisor / 2;
    let result = if value < 0 { (value - half) / divisor } else { (value + half) / divisor };
    i64::try_from(result).unwrap_or(i64::MAX)
}

const AMOUNT: LakeKind = LakeKind::Decimal { precision: 18, scale: 2 };

/// Reads a whole table.
///
/// # Errors
/// When the store fails.
pub async fn whole(store: &dyn Store, table: &Table) -> Result<DataFrame> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let mut pages = Pages::new(store, table, &columns);
    let mut all: Option<DataFrame> = None;
    while let Some(page) = pages.next().await? {
        match &mut all {
            Some(all) => drop(all.vstack_mut(&page)?),
            None => all = Some(page),
        }
    }
    match all {
        Some(mut all) => {
            all.rechunk_mut_par();
            Ok(all)
        }
        None => Ok(empty(table)?),
    }
}

fn empty(table: &Table) -> Result<DataFrame> {
    use headrace_core::table::Kind;
    let column = |column: &headrace_core::table::Column| {
        let dtype = match column.kind {
            Kind::Text | Kind::Name(_) => DataType::String,
            Kind::Bytes | Kind::TimeUuid => DataType::Binary,
            Kind::Double => DataType::Float64,
            _ => DataType::Int64,
        };
        Series::new_empty(column.name.as_str().into(), &dtype).into()
    };
    Ok(DataFrame::new(0, table.columns.iter().map(column).collect())?)
}

fn sorted(rows: &DataFrame, by: &[&str]) -> Result<DataFrame> {
    Ok(rows.sort(by.iter().copied(), SortMultipleOptions::default())?)
}

fn whole_numbers(rows: &DataFrame, name: &str) -> Result<Vec<i64>> {
    Ok(rows.column(name)?.i64()?.iter().map(Option::unwrap_or_default).collect())
}

/// Rounds amounts of four decimals to two.
fn in_cents(mut rows: DataFrame, amounts: &[&str]) -> Result<DataFrame> {
    for name in amounts {
        let cents = whole_numbers(&rows, name)?.into_iter().map(|value| rounded(value.into(), 100));
        rows.with_column(ints(name, cents))?;
    }
    Ok(rows)
}

/// All tables of the contract, as they are committed now.
///
/// # Errors
/// When the store fails.
pub async fn all(store: &dyn Store, schema: &Schema) -> Result<Vec<Shown>> {
    Ok(vec![
        sales(store, &schema.sales_per_minute, "sales_per_minute").await?,
        sales(store, &schema.sales_by_product, "sales_by_product").await?,
        tickets(store, schema).await?,
        views(store, schema).await?,
        top(store, schema).await?,
        conversions(store, &schema.conversion_pairs, "conversion_pairs").await?,
        conversions(store, &schema.conversion_attributed, "conversion_attributed").await?,
        funnel(store, schema).await?,
    ])
}

async fn sales(store: &dyn Store, table: &Table, name: &'static str) -> Result<Shown> {
    use LakeKind::{BigInt, Bool, Text, Timestamp};
    let rows = whole(store, table).await?;
    let is_by_product = name == "sales_by_product";
    let [sales, orders, late] = if is_by_product {
        ["product_revenue", "orders_count", "late_revenue"]
    } else {
        ["total_sales", "total_orders", "late_sales"]
    };
    let mut columns = vec![("window_start", Timestamp), ("window_end", Timestamp), (sales, AMOUNT), (orders, BigInt)];
    columns.extend([(late, AMOUNT), ("late_orders", BigInt), ("final", Bool)]);
    let mut rows = in_cents(rows, &[sales, late])?;
    if is_by_product {
        columns.insert(0, ("product_id", Text));
        rows = sorted(&rows, &["product_id", "window_start"])?;
    }
    Ok(Shown { name, columns, rows })
}

async fn tickets(store: &dyn Store, schema: &Schema) -> Result<Shown> {
    let mut rows = whole(store, &schema.orders_avg_ticket).await?;
    let (orders, totals) = (whole_numbers(&rows, "orders")?, whole_numbers(&rows, "total")?);
    let average = |(orders, total): (&i64, &i64)| rounded((*total).into(), 100 * i128::from(*orders).max(1));
    rows.with_column(ints("avg_ticket", orders.iter().zip(&totals).map(average)))?;
    let columns =
        vec![("user_id", LakeKind::Text), ("orders", LakeKind::BigInt), ("total", AMOUNT), ("avg_ticket", AMOUNT)];
    Ok(Shown { name: "orders_avg_ticket", columns, rows: in_cents(sorted(&rows, &["user_id"])?, &["total"])? })
}

async fn views(store: &dyn Store, schema: &Schema) -> Result<Shown> {
    let rows = sorted(&whole(store, &schema.views_by_category).await?, &["category"])?;
    let columns = vec![("category", LakeKind::Text), ("views_count", LakeKind::BigInt)];
    Ok(Shown { name: "views_by_category", columns, rows })
}

async fn top(store: &dyn Store, schema: &Schema) -> Result<Shown> {
    let mut pages = Pages::new(store, &schema.views_by_product, &["product_id", "views_count"]);
    let mut best: Vec<(i64, String)> = Vec::new();
    while let Some(page) = pages.next().await? {
        let (products, counts) = (page.column("product_id")?.str()?, page.column("views_count")?.i64()?);
        best.extend(
            counts
                .iter()
                .zip(products.iter())
                .map(|(count, product)| (-count.unwrap_or_default(), product.unwrap_or_default().to_owned())),
        );
        best.sort_unstable();
        best.truncate(TOP);
    }
    let columns = vec![("rank", LakeKind::Int), ("product_id", LakeKind::Text), ("views_count", LakeKind::BigInt)];
    let cells = vec![
        ints("rank", (1..).take(best.len())),
        names("product_id", best.iter().map(|(_, product)| product.as_str())),
        ints("views_count", best.iter().map(|(count, _)| -count)),
    ];
    Ok(Shown { name: "top_products", columns, rows: DataFrame::new(best.len(), cells)? })
}

async fn conversions(store: &dyn Store, table: &Table, name: &'static str) -> Result<Shown> {
    use LakeKind::{Text, Timestamp};
    let mut rows = whole(store, table).await?;
    let (carts, purchases) = (whole_numbers(&rows, "cart_timestamp")?, whole_numbers(&rows, "purchase_timestamp")?);
    // Seconds with six decimals are microseconds.
    debug_assert_eq!(SECOND_US, 1_000_000);
    rows.with_column(ints("seconds_to_purchase", carts.iter().zip(&purchases).map(|(cart, bought)| bought - cart)))?;
    let mut columns =
        vec![("cart_event_id", Text), ("purchase_event_id", Text), ("user_id", Text), ("product_id", Text)];
    columns.extend([("cart_timestamp", Timestamp), ("purchase_timestamp", Timestamp)]);
    columns.push(("seconds_to_purchase", LakeKind::Decimal { precision: 18, scale: 6 }));
    let order = ["purchase_timestamp", "purchase_event_id", "cart_timestamp", "cart_event_id"];
    Ok(Shown { name, columns, rows: sorted(&rows, &order)? })
}

async fn funnel(store: &dyn Store, schema: &Schema) -> Result<Shown> {
    const COUNTS: [&str; 5] = ["views", "carts", "carts_after_view", "purchases", "carts_converted"];
    let stored = sorted(&whole(store, &schema.funnel).await?, &["category"])?;
    let mut cells: Vec<Column> = Vec::new();
    let has_rows = stored.height() > 0;
    let categories: Vec<&str> = stored.column("category")?.str()?.iter().map(Option::unwrap_or_default).collect();
    cells.push(names("category", has_rows.then_some(ALL).into_iter().chain(categories)));
    let mut sums = Vec::new();
    for name in COUNTS {
        let counts = whole_numbers(&stored, name)?;
        let with_sum: Vec<i64> = has_rows.then(|| counts.iter().sum()).into_iter().chain(counts).collect();
        cells.push(ints(name, with_sum.iter().copied()));
        sums.push(with_sum);
    }
    let rate = |(carts, converted): (&i64, &i64)| {
        (*carts > 0).then(|| rounded(i128::from(*converted) * 10_000, (*carts).into()))
    };
    let rates: Vec<Option<i64>> = sums[1].iter().zip(&sums[4]).map(rate).collect();
    cells.push(Series::new("cart_conversion_rate".into(), rates).into());
    let mut columns = vec![("category", LakeKind::Text)];
    columns.extend(COUNTS.map(|name| (name, LakeKind::BigInt)));
    columns.push(("cart_conversion_rate", LakeKind::Decimal { precision: 6, scale: 4 }));
    let height = sums[0].len();
    Ok(Shown { name: "funnel", columns, rows: DataFrame::new(height, cells)? })
}

#[cfg(test)]
mod tests {
    use super::{decimal_text, rounded};

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!((rounded(180_050, 100), rounded(180_049, 100), rounded(-150, 100)), (1_801, 1_800, -2));
        assert_eq!((decimal_text(1_801, 2), decimal_text(-5, 4)), ("18.01".to_owned(), "-0.0005".to_owned()));
    }
}
