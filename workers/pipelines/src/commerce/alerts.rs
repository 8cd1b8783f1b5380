//! Alerts as messages: demand peaks and abandoned carts, one JSON object each, keyed so that a repeated one is known.
//!
//! Delivery: in the unit where log and ledger are one place; else before the commit, so that one may come twice after a crash,
//! with the same key and value.

use headrace_core::{Error, Result};
use headrace_transforms::civil::{self, SECOND_US};
use polars::prelude::DataFrame;
use serde_json::{Value, json};

use super::funnel::Abandoned;
use super::peaks::Peak;
use super::stream_state::MINUTE_US;
use crate::dead_letters::limits::frame;

/// A time as the contract writes it.
pub fn time_text(time_us: i64) -> String {
    let micros = time_us.rem_euclid(SECOND_US);
    format!("{}.{micros:06}Z", civil::timestamp_text(time_us).replace(' ', "T"))
}

/// An amount of four decimals, exactly.
pub fn amount_text(scaled: i64) -> String {
    let (whole, fraction) = (scaled.unsigned_abs() / 10_000, scaled.unsigned_abs() % 10_000);
    format!("{}{whole}.{fraction:04}", if scaled < 0 { "-" } else { "" })
}

fn text(value: &Value) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::data(format!("cannot write an alert as JSON: {error}")))
}

/// Messages of peaks.
///
/// # Errors
/// When the frame cannot be built.
pub fn peaks(peaks: &[Peak]) -> Result<DataFrame> {
    let message = |peak: &Peak| {
        text(&json!({
            "window_start": time_text(peak.window_start_us),
            "window_end": time_text(peak.window_start_us + MINUTE_US),
            "product_id": peak.product_id,
            "revenue": amount_text(peak.revenue[0]),
            "revenue_mean": amount_text(peak.revenue[1]),
            "revenue_deviation": amount_text(peak.revenue[2]),
            "orders": peak.orders[0],
            "orders_mean": amount_text(peak.orders[1]),
            "orders_deviation": amount_text(peak.orders[2]),
        }))
    };
    frame(peaks.iter().map(|peak| (Some(peak.product_id.as_bytes()), message(peak))))
}

/// Messages of abandoned carts.
///
/// # Errors
/// When the frame cannot be built.
pub fn abandoned(carts: &[Abandoned]) -> Result<DataFrame> {
    let message = |cart: &Abandoned| {
        text(&json!({
            "cart_event_id": cart.cart_event_id,
            "user_id": cart.user_id,
            "product_id": cart.product_id,
            "category": cart.place.category,
            "city": cart.place.city,
            "store_id": cart.place.store_id,
            "price": cart.place.price.map(amount_text),
            "cart_timestamp": time_text(cart.time_us),
        }))
    };
    frame(carts.iter().map(|cart| (Some(cart.user_id.as_bytes()), message(cart))))
}
