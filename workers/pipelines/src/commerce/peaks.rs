//! Demand peaks: minutes in which a product sold far more than in the thirty minutes before.
//!
//! A minute is judged when it closes, by what had come on time. State: of each product the sales of its last minutes, and of each
//! open minute the products that sold in it. Memory: the products of the batch and of the minutes it closes.

use std::collections::BTreeMap;

use headrace_core::keyed::Keyed;
use headrace_core::store::Unit;
use headrace_core::{Error, Result};
use headrace_transforms::packed::{self, Damaged};
use headrace_transforms::window::Window;
use polars::prelude::DataFrame;
use xxhash_rust::xxh3::xxh3_64;

use super::stream_state::MINUTE_US;
use super::sums::{Sums, ints, names};

/// How many minutes before a minute it is compared with.
const HISTORY: i64 = 30;
/// In so many of them the product must have sold at all: of rare sales each would be a peak.
const ACTIVE: usize = 5;
/// State: the sales of products.
const PRODUCTS: &str = "peaks";
/// State: the products of minutes.
const MINUTES: &str = "peak minutes";

/// A minute of a product: revenue and orders.
type Minutes = BTreeMap<i64, (i64, i64)>;

/// A peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The minute.
    pub window_start_us: i64,
    /// The product.
    pub product_id: String,
    /// What it sold, and what it sells on average with the standard deviation: revenue, then orders, scaled by 10^4.
    pub revenue: [i64; 3],
    /// The same of orders; the first is a plain count.
    pub orders: [i64; 3],
}

/// Products of a key: mostly one.
#[derive(Debug, Default)]
struct Products(BTreeMap<String, Minutes>);

impl Products {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![1];
        packed::put_unsigned(&mut out, self.0.len() as u64);
        for (product, minutes) in &self.0 {
            packed::put_bytes(&mut out, product.as_bytes());
            packed::put_unsigned(&mut out, minutes.len() as u64);
            let mut last = 0;
            for (minute, (revenue, orders)) in minutes {
                packed::put_signed(&mut out, minute / MINUTE_US - last);
                last = minute / MINUTE_US;
                packed::put_signed(&mut out, *revenue);
                packed::put_signed(&mut out, *orders);
            }
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::take(bytes).map_err(broken)
    }

    fn take(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((1, mut input)) = bytes.split_first() else { return Err(Damaged("of another version")) };
        let mut products = BTreeMap::new();
        for _ in 0..packed::take_unsigned(&mut input)? {
            let product = text(&mut input)?;
            let (mut minutes, mut last) = (Minutes::new(), 0);
            for _ in 0..packed::take_unsigned(&mut input)? {
                last += packed::take_signed(&mut input)?;
                let sales = (packed::take_signed(&mut input)?, packed::take_signed(&mut input)?);
                minutes.insert(last * MINUTE_US, sales);
            }
            products.insert(product, minutes);
        }
        packed::finish(input)?;
        Ok(Self(products))
    }
}

fn text(input: &mut &[u8]) -> Result<String, Damaged> {
    String::from_utf8(packed::take_bytes(input)?.to_vec()).map_err(|_| Damaged("a text is no UTF-8"))
}

fn broken(error: Damaged) -> Error {
    Error::data(format!("the state of demand peaks cannot be read: {error}"))
}

fn key(product_id: &str) -> i64 {
    xxh3_64(product_id.as_bytes()).cast_signed()
}

/// Takes a batch's sales over, and finds the peaks in the minutes it closed.
///
/// # Errors
/// When the store fails, or what is stored is damaged.
pub async fn update(
    unit: &mut dyn Unit,
    sums: &Sums<'_>,
    closed: &[Window],
    first_minute_us: Option<i64>,
) -> Result<Vec<Peak>> {
    let mut wanted: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    let mut by_minute: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for ((minute, product), sales) in &sums.products {
        if sales.orders > 0 {
            wanted.entry(key(product)).or_default().push(product);
            by_minute.entry(*minute).or_default().push(product);
        }
    }
    // What sold earlier in the minutes that close now, and not in this batch.
    let closing: Vec<(i64, i64)> = closed.iter().map(|window| (window.start_us / MINUTE_US, -1)).collect();
    let mut earlier: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    let mut dropped = Vec::new();
    for segment in unit.read_state(MINUTES, &closing).await? {
        dropped.push((segment.key, segment.sequence));
        let mut input = &*segment.blob;
        while !input.is_empty() {
            earlier.entry(segment.key * MINUTE_US).or_default().push(text(&mut input).map_err(broken)?);
        }
    }
    for product in earlier.values().flatten() {
        wanted.entry(key(product)).or_default();
    }
    if wanted.is_empty() && dropped.is_empty() {
        return Ok(Vec::new());
    }
    let state = Keyed::read(unit, PRODUCTS, wanted.keys().copied()).await?;
    let mut products: BTreeMap<i64, Products> = BTreeMap::new();
    for key in wanted.keys() {
        products.insert(*key, state.get(*key).map(Products::from_bytes).transpose()?.unwrap_or_default());
    }
    for ((minute, product), sales) in &sums.products {
        if sales.orders == 0 {
            continue;
        }
        let minutes = products.entry(key(product)).or_default().0.entry((*product).to_owned()).or_default();
        let sold = minutes.entry(*minute).or_default();
        *sold = (sold.0 + sales.revenue, sold.1 + sales.orders);
    }
    let mut peaks = Vec::new();
    for window in closed {
        let minute = window.start_us;
        let here = by_minute.remove(&minute).unwrap_or_default();
        let mut candidates: Vec<&str> = earlier.get(&minute).into_iter().flatten().map(String::as_str).collect();
        candidates.extend(here);
        candidates.sort_unstable();
        candidates.dedup();
        if first_minute_us.is_none_or(|first| minute - first < HISTORY * MINUTE_US) {
            continue;
        }
        for product in candidates {
            let minutes = products.get(&key(product)).and_then(|products| products.0.get(product));
            peaks.extend(minutes.and_then(|minutes| judge(product, minutes, minute)));
        }
    }
    // Of each product what the next minutes may be compared with.
    let oldest = closed.iter().map(|window| window.start_us - HISTORY * MINUTE_US).max();
    let changes = products.into_iter().map(|(key, mut products)| {
        if let Some(oldest) = oldest {
            products.0.values_mut().for_each(|minutes| *minutes = minutes.split_off(&oldest));
            products.0.retain(|_, minutes| !minutes.is_empty());
        }
        (key, (!products.0.is_empty()).then(|| products.to_bytes()))
    });
    let changes: Vec<_> = changes.collect();
    state.write(unit, changes).await?;
    // What is left of the batch sold in minutes that are still open.
    let put = by_minute.into_iter().map(|(minute, products)| {
        let mut blob = Vec::new();
        products.into_iter().for_each(|product| packed::put_bytes(&mut blob, product.as_bytes()));
        (minute / MINUTE_US, blob)
    });
    unit.write_state(MINUTES, put.collect(), dropped).await?;
    Ok(peaks)
}

/// Compares a minute with the thirty before; none where it is no peak.
fn judge(product: &str, minutes: &Minutes, minute: i64) -> Option<Peak> {
    let (revenue, orders) = *minutes.get(&minute)?;
    let before: Vec<(i64, i64)> =
        minutes.range(minute - HISTORY * MINUTE_US..minute).map(|(_, sales)| *sales).collect();
    if before.len() < ACTIVE {
        return None;
    }
    let (revenue_mean, revenue_deviation) = statistics(before.iter().map(|sales| sales.0));
    let (orders_mean, orders_deviation) = statistics(before.iter().map(|sales| sales.1 * 10_000));
    let is_above = |value: i64, mean: i64, deviation: i64| value > mean + 3 * deviation;
    let is_peak =
        is_above(revenue, revenue_mean, revenue_deviation) || is_above(orders * 10_000, orders_mean, orders_deviation);
    is_peak.then(|| Peak {
        window_start_us: minute,
        product_id: product.to_owned(),
        revenue: [revenue, revenue_mean, revenue_deviation],
        orders: [orders, orders_mean, orders_deviation],
    })
}

/// Mean and standard deviation of the minutes, those without sales included, rounded.
fn statistics(values: impl Iterator<Item = i64> + Clone) -> (i64, i64) {
    let count = i128::from(HISTORY);
    let sum: i128 = values.clone().map(i128::from).sum();
    let squares: i128 = values.map(|value| i128::from(value) * i128::from(value)).sum();
    let variance = (squares * count - sum * sum).max(0) / (count * count);
    let rounded = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
    (rounded(sum / count), rounded(variance.isqrt()))
}

/// Rows of the table.
///
/// # Errors
/// When the frame cannot be built.
pub fn frame(peaks: &[Peak]) -> Result<DataFrame> {
    let rows = || peaks.iter();
    let columns = vec![
        ints("window_start", rows().map(|peak| peak.window_start_us)),
        names("product_id", rows().map(|peak| peak.product_id.as_str())),
        ints("revenue", rows().map(|peak| peak.revenue[0])),
        ints("orders", rows().map(|peak| peak.orders[0])),
        ints("revenue_mean", rows().map(|peak| peak.revenue[1])),
        ints("revenue_deviation", rows().map(|peak| peak.revenue[2])),
        ints("orders_mean", rows().map(|peak| peak.orders[1])),
        ints("orders_deviation", rows().map(|peak| peak.orders[2])),
    ];
    Ok(DataFrame::new(peaks.len(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::{HISTORY, MINUTE_US, Minutes, Products, judge};

    fn history(sales: impl Fn(i64) -> (i64, i64)) -> Minutes {
        (0..HISTORY).map(|minute| (minute * MINUTE_US, sales(minute))).filter(|(_, sales)| sales.1 > 0).collect()
    }

    #[test]
    fn only_what_is_far_above_is_a_peak() {
        // Mean 10, deviation 1 of revenue; mean 2, deviation 0 of orders.
        let at = HISTORY * MINUTE_US;
        let steady = |revenue: i64, orders: i64| {
            let mut minutes = history(|minute| (if minute % 2 == 0 { 90_000 } else { 110_000 }, 2));
            minutes.insert(at, (revenue, orders));
            judge("p", &minutes, at)
        };
        assert_eq!(steady(130_000, 2), None);
        assert_eq!(steady(130_001, 2).unwrap().revenue, [130_001, 100_000, 10_000]);
        assert_eq!(steady(100_000, 3).unwrap().orders, [3, 20_000, 0]);
    }

    #[test]
    fn rare_sales_are_no_peaks_and_silent_minutes_count() {
        let at = HISTORY * MINUTE_US;
        let mut minutes = history(|minute| if minute < 4 { (10_000, 1) } else { (0, 0) });
        minutes.insert(at, (1_000_000, 50));
        assert_eq!(judge("p", &minutes, at), None);
        minutes.insert(5 * MINUTE_US, (10_000, 1));
        assert_eq!(judge("p", &minutes, at).unwrap().revenue[1], 50_000 / HISTORY);
    }

    #[test]
    fn state_is_lossless() {
        let products = Products([("ä".to_owned(), history(|minute| (minute * 7, minute % 3)))].into());
        assert_eq!(Products::from_bytes(&products.to_bytes()).unwrap().0, products.0);
        assert!(Products::from_bytes(&[9]).is_err());
    }
}
