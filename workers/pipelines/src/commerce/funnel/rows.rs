//! What a batch adds to the funnel's tables.

use std::collections::BTreeMap;

use headrace_core::Result;
use headrace_transforms::join::{Event, EventId};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::key_state::{CartPlace, KeyState};
use crate::commerce::sums::{ints, names};

/// Counts of a category, added to the stored ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CategoryCounts {
    /// Views.
    pub views: i64,
    /// Carts.
    pub carts: i64,
    /// Carts within twenty minutes of a view.
    pub carts_after_view: i64,
    /// Purchases.
    pub purchases: i64,
    /// Carts that a purchase is attributed to.
    pub carts_converted: i64,
}

/// A cart and a purchase.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    cart: Event,
    purchase: Event,
    user_id: String,
    product_id: String,
}

impl Conversion {
    pub(super) fn of(state: &KeyState, cart: Event, purchase: Event) -> Self {
        Self { cart, purchase, user_id: state.user_id.clone(), product_id: state.product_id.clone() }
    }
}

/// A cart without purchase.
#[derive(Clone, Debug, PartialEq)]
pub struct Abandoned {
    /// Its event's id.
    pub cart_event_id: String,
    /// The user.
    pub user_id: String,
    /// The product.
    pub product_id: String,
    /// What it carried.
    pub place: CartPlace,
    /// When it was filled.
    pub time_us: i64,
}

impl Abandoned {
    pub(super) fn of(state: &KeyState, cart: &Event) -> Self {
        Self {
            cart_event_id: cart.id.to_string(),
            user_id: state.user_id.clone(),
            product_id: state.product_id.clone(),
            place: CartPlace::of(cart),
            time_us: cart.time_us,
        }
    }
}

/// Rows of a batch.
#[derive(Debug, Default)]
pub struct FunnelRows {
    counts: BTreeMap<String, CategoryCounts>,
    /// Carts and purchases that found each other.
    pub pairs: Vec<Conversion>,
    /// Purchases with their carts, new or corrected.
    pub attributed: Vec<Conversion>,
    /// Purchases that have no cart any more.
    pub unattributed: Vec<EventId>,
    /// Carts that found no purchase in time.
    pub abandoned: Vec<Abandoned>,
}

impl FunnelRows {
    /// The counts of a category.
    pub fn of(&mut self, category: &str) -> &mut CategoryCounts {
        if !self.counts.contains_key(category) {
            self.counts.insert(category.to_owned(), CategoryCounts::default());
        }
        self.counts.entry(category.to_owned()).or_default()
    }

    /// Rows of the funnel.
    ///
    /// # Errors
    /// When the frame cannot be built, as all of these.
    pub fn funnel(&self) -> Result<DataFrame> {
        let values = || self.counts.values();
        let columns = vec![
            names("category", self.counts.keys().map(String::as_str)),
            ints("views", values().map(|counts| counts.views)),
            ints("carts", values().map(|counts| counts.carts)),
            ints("carts_after_view", values().map(|counts| counts.carts_after_view)),
            ints("purchases", values().map(|counts| counts.purchases)),
            ints("carts_converted", values().map(|counts| counts.carts_converted)),
        ];
        Ok(DataFrame::new(self.counts.len(), columns)?)
    }

    /// Rows of all pairs.
    ///
    /// # Errors
    /// As above.
    pub fn pairs(&self) -> Result<DataFrame> {
        let mut columns = vec![ids("cart_event_id", self.pairs.iter().map(|pair| &pair.cart.id))];
        columns.push(ids("purchase_event_id", self.pairs.iter().map(|pair| &pair.purchase.id)));
        columns.extend(conversion(&self.pairs));
        Ok(DataFrame::new(self.pairs.len(), columns)?)
    }

    /// Rows of attributed purchases.
    ///
    /// # Errors
    /// As above.
    pub fn attributed(&self) -> Result<DataFrame> {
        let rows = &self.attributed;
        let places: Vec<CartPlace> = rows.iter().map(|row| CartPlace::of(&row.cart)).collect();
        let mut columns = vec![ids("purchase_event_id", rows.iter().map(|row| &row.purchase.id))];
        columns.push(ids("cart_event_id", rows.iter().map(|row| &row.cart.id)));
        columns.extend(conversion(rows));
        columns.extend(place(places.iter()));
        Ok(DataFrame::new(rows.len(), columns)?)
    }

    /// Keys of purchases that are attributed no more.
    ///
    /// # Errors
    /// As above.
    pub fn unattributed(&self) -> Result<DataFrame> {
        Ok(DataFrame::new(self.unattributed.len(), vec![ids("purchase_event_id", self.unattributed.iter())])?)
    }

    /// Rows of carts without purchase.
    ///
    /// # Errors
    /// As above.
    pub fn abandoned(&self) -> Result<DataFrame> {
        let rows = || self.abandoned.iter();
        let mut columns = vec![
            names("cart_event_id", rows().map(|row| row.cart_event_id.as_str())),
            names("user_id", rows().map(|row| row.user_id.as_str())),
            names("product_id", rows().map(|row| row.product_id.as_str())),
        ];
        columns.extend(place(rows().map(|row| &row.place)));
        columns.push(Series::new("price".into(), rows().map(|row| row.place.price).collect::<Vec<_>>()).into());
        columns.push(ints("cart_timestamp", rows().map(|row| row.time_us)));
        Ok(DataFrame::new(self.abandoned.len(), columns)?)
    }
}

fn ids<'a>(name: &str, ids: impl Iterator<Item = &'a EventId>) -> Column {
    Series::new(name.into(), ids.map(ToString::to_string).collect::<Vec<_>>()).into()
}

fn conversion(rows: &[Conversion]) -> Vec<Column> {
    vec![
        names("user_id", rows.iter().map(|row| row.user_id.as_str())),
        names("product_id", rows.iter().map(|row| row.product_id.as_str())),
        ints("cart_timestamp", rows.iter().map(|row| row.cart.time_us)),
        ints("purchase_timestamp", rows.iter().map(|row| row.purchase.time_us)),
    ]
}

fn place<'a>(places: impl Iterator<Item = &'a CartPlace> + Clone) -> Vec<Column> {
    vec![
        names("category", places.clone().map(|place| place.category.as_str())),
        names("city", places.clone().map(|place| place.city.as_str())),
        names("store_id", places.map(|place| place.store_id.as_str())),
    ]
}
