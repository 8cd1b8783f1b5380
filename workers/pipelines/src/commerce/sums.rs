//! Sums of a batch by key: minutes, products, users, categories, places. They are added to the stored rows.
//!
//! Memory: a row for each key of the batch.

use std::collections::{BTreeMap, HashMap};

use headrace_core::Result;
use headrace_transforms::window::Window;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::decode::{Decoded, text_values};
use super::event::Kind;
use super::keeps::Keeps;
use super::schema::UNKNOWN;
use super::stream_state::{Judgement, MINUTE_US, minute_floor};

/// Sales of a minute, or of a product in a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sales {
    /// Revenue on time.
    pub revenue: i64,
    /// Orders on time.
    pub orders: i64,
    /// Revenue that came late.
    pub late_revenue: i64,
    /// Orders that came late.
    pub late_orders: i64,
}

impl Sales {
    fn add(&mut self, price: i64, is_late: bool) {
        let (revenue, orders) = if is_late {
            (&mut self.late_revenue, &mut self.late_orders)
        } else {
            (&mut self.revenue, &mut self.orders)
        };
        *revenue += price;
        *orders += 1;
    }
}

/// What happened in a minute at a place.
#[derive(Clone, Debug, Default)]
struct Activity<'a> {
    province: &'a str,
    views: i64,
    carts: i64,
    sales: Sales,
}

/// By minute, category, city and store.
type Place<'a> = (i64, &'a str, &'a str, &'a str);

type Totals<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The sums of a batch.
#[derive(Debug, Default)]
pub struct Sums<'a> {
    minutes: BTreeMap<i64, Sales>,
    /// By minute and product.
    pub products: BTreeMap<(i64, &'a str), Sales>,
    tickets: Totals<&'a str, (i64, i64)>,
    categories: Totals<&'a str, i64>,
    viewed: Totals<&'a str, i64>,
    activity: Totals<Place<'a>, Activity<'a>>,
}

fn known<'a>(texts: &[Option<&'a str>], row: usize, longest: usize) -> &'a str {
    let text = texts[row].unwrap_or(UNKNOWN);
    &text[..text.floor_char_boundary(longest)]
}

/// The entries in order of their keys: stores are written in the same order by all.
fn in_order<K: Ord, V>(totals: &Totals<K, V>) -> Vec<(&K, &V)> {
    let mut entries: Vec<_> = totals.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

impl<'a> Sums<'a> {
    /// Adds up what is kept of a batch's accepted events.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn of(decoded: &'a Decoded, judgement: &Judgement, keeps: Keeps) -> Result<Self> {
        match keeps {
            Keeps::Everything => Self::everything(decoded, judgement),
            Keeps::Sales => Self::sales(decoded, judgement),
        }
    }

    fn sales(decoded: &Decoded, judgement: &Judgement) -> Result<Self> {
        let prices = decoded.rows.column("price")?.i64()?;
        let mut sums = Self::default();
        for event in judgement.events.iter().filter(|event| decoded.kinds[event.row] == Kind::Purchase) {
            let minute = sums.minutes.entry(minute_floor(event.time_us)).or_default();
            minute.add(prices.get(event.row).unwrap_or_default(), event.late_for_sales);
        }
        Ok(sums)
    }

    fn everything(decoded: &'a Decoded, judgement: &Judgement) -> Result<Self> {
        let rows = &decoded.rows;
        let (users, products) = (text_values(rows, "user_id")?, text_values(rows, "product_id")?);
        let (categories, cities) = (text_values(rows, "category")?, text_values(rows, "city")?);
        let (stores, provinces) = (text_values(rows, "store_id")?, text_values(rows, "province")?);
        let prices = rows.column("price")?.i64()?;
        let mut sums = Self::default();
        for event in &judgement.events {
            let row = event.row;
            let (minute, category) = (minute_floor(event.time_us), known(&categories, row, usize::MAX));
            let product = products[row].unwrap_or_default();
            let place = (minute, category, known(&cities, row, 80), known(&stores, row, 80));
            let activity = sums.activity.entry(place).or_default();
            activity.province = known(&provinces, row, usize::MAX);
            match decoded.kinds[row] {
                Kind::View => {
                    activity.views += 1;
                    *sums.categories.entry(category).or_default() += 1;
                    *sums.viewed.entry(product).or_default() += 1;
                }
                Kind::Cart => activity.carts += 1,
                Kind::Purchase => {
                    let price = prices.get(row).unwrap_or_default();
                    activity.sales.add(price, event.late_for_sales);
                    sums.minutes.entry(minute).or_default().add(price, event.late_for_sales);
                    sums.products.entry((minute, product)).or_default().add(price, event.late_for_sales);
                    let ticket = sums.tickets.entry(users[row].unwrap_or_default()).or_default();
                    *ticket = (ticket.0 + 1, ticket.1 + price);
                }
            }
        }
        Ok(sums)
    }

    /// Rows of sales per minute; `final` says whether the minute is closed now.
    ///
    /// # Errors
    /// When the frame cannot be built, as all of these.
    pub fn sales_per_minute(&self, watermark: Option<i64>) -> Result<DataFrame> {
        let mut columns = vec![ints("window_start", self.minutes.keys().copied())];
        let names = ["total_sales", "total_orders", "late_sales", "late_orders"];
        columns.extend(sales_columns(names, self.minutes.iter().map(|(minute, sales)| (*minute, sales)), watermark));
        Ok(DataFrame::new(self.minutes.len(), columns)?)
    }

    /// Rows of sales by product.
    ///
    /// # Errors
    /// As above.
    pub fn sales_by_product(&self, watermark: Option<i64>) -> Result<DataFrame> {
        let mut columns = vec![
            ints("window_start", self.products.keys().map(|(minute, _)| *minute)),
            names("product_id", self.products.keys().map(|(_, product)| *product)),
        ];
        let sums = ["product_revenue", "orders_count", "late_revenue", "late_orders"];
        columns.extend(sales_columns(
            sums,
            self.products.iter().map(|((minute, _), sales)| (*minute, sales)),
            watermark,
        ));
        Ok(DataFrame::new(self.products.len(), columns)?)
    }

    /// Rows of orders by user.
    ///
    /// # Errors
    /// As above.
    pub fn tickets(&self) -> Result<DataFrame> {
        let tickets = in_order(&self.tickets);
        let columns = vec![
            names("user_id", tickets.iter().map(|(user, _)| **user)),
            ints("orders", tickets.iter().map(|(_, (orders, _))| *orders)),
            ints("total", tickets.iter().map(|(_, (_, total))| *total)),
        ];
        Ok(DataFrame::new(tickets.len(), columns)?)
    }

    /// Rows of views by category.
    ///
    /// # Errors
    /// As above.
    pub fn views_by_category(&self) -> Result<DataFrame> {
        counts("category", &self.categories)
    }

    /// Rows of views by product.
    ///
    /// # Errors
    /// As above.
    pub fn views_by_product(&self) -> Result<DataFrame> {
        counts("product_id", &self.viewed)
    }

    /// Rows of everything by minute and place.
    ///
    /// # Errors
    /// As above.
    pub fn activity(&self) -> Result<DataFrame> {
        let activity = in_order(&self.activity);
        let keys = || activity.iter().map(|(place, _)| *place);
        let values = || activity.iter().map(|(_, activity)| *activity);
        let columns = vec![
            ints("minute", keys().map(|place| place.0)),
            names("category", keys().map(|place| place.1)),
            names("city", keys().map(|place| place.2)),
            names("store_id", keys().map(|place| place.3)),
            names("province", values().map(|activity| activity.province)),
            ints("views", values().map(|activity| activity.views)),
            ints("carts", values().map(|activity| activity.carts)),
            ints("orders", values().map(|activity| activity.sales.orders)),
            ints("revenue", values().map(|activity| activity.sales.revenue)),
            ints("late_orders", values().map(|activity| activity.sales.late_orders)),
            ints("late_revenue", values().map(|activity| activity.sales.late_revenue)),
        ];
        Ok(DataFrame::new(activity.len(), columns)?)
    }
}

fn sales_columns<'a>(
    names: [&str; 4],
    rows: impl Iterator<Item = (i64, &'a Sales)> + Clone,
    watermark: Option<i64>,
) -> Vec<Column> {
    let is_final = |minute: i64| Window { start_us: minute, end_us: minute + MINUTE_US }.is_closed(watermark);
    vec![
        ints("window_end", rows.clone().map(|(minute, _)| minute + MINUTE_US)),
        ints(names[0], rows.clone().map(|(_, sales)| sales.revenue)),
        ints(names[1], rows.clone().map(|(_, sales)| sales.orders)),
        ints(names[2], rows.clone().map(|(_, sales)| sales.late_revenue)),
        ints(names[3], rows.clone().map(|(_, sales)| sales.late_orders)),
        ints("final", rows.map(|(minute, _)| i64::from(is_final(minute)))),
    ]
}

fn counts(key: &str, totals: &Totals<&str, i64>) -> Result<DataFrame> {
    let rows = in_order(totals);
    let columns = vec![
        names(key, rows.iter().map(|(name, _)| **name)),
        ints("views_count", rows.iter().map(|(_, count)| **count)),
    ];
    Ok(DataFrame::new(rows.len(), columns)?)
}

/// A column of whole numbers.
pub fn ints(name: &str, values: impl Iterator<Item = i64>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}

/// A column of texts.
pub fn names<'a>(name: &str, values: impl Iterator<Item = &'a str>) -> Column {
    Series::new(name.into(), values.collect::<Vec<_>>()).into()
}
