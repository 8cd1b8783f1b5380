//! The funnel: views, carts and purchases of a user and a product, joined.
//!
//! State: one value for each user and product ([`KeyedPages`](crate::keyed_pages::KeyedPages)), read for the keys of a batch. It holds the times covered by views, carts that no view
//! came before, and the carts and purchases of the last hour. The attribution of purchases that may still change is written at once
//! and corrected when an older event comes; so the tables always show what they would if the stream ended here.
//! Ordering: events of a key in message order. Memory: the keys of the batch.

mod key_state;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use headrace_core::{Error, Result};
use headrace_transforms::civil::HOUR_US;
use headrace_transforms::join::{Attribution, Event, EventId, Interval, Pair};
use xxhash_rust::xxh3::Xxh3;

use super::decode::{Decoded, text_values};
use super::event::Kind;
use super::schema::UNKNOWN;
use super::stream_state::{Judged, Judgement, MINUTE_US};
use crate::keyed_pages::Values;

pub use key_state::{CartPlace, KeyState, Purchases};
pub use rows::{Abandoned, FunnelRows};

/// How long a purchase may follow a cart, and a cart a view.
pub const WITHIN_US: i64 = 20 * MINUTE_US;
/// How long views count after the watermark of the join has passed them: longer than any event may be late.
pub(super) const VIEWS_US: i64 = 24 * HOUR_US;
/// The name of the state.
pub const STATE: &str = "funnel";

/// The events of a batch, by key of state.
#[derive(Debug, Default)]
pub struct Grouped {
    /// Keys in order, each with its events, in message order, as places in the judgement; without one for a key that is woken.
    by_key: Vec<(i64, Option<u32>)>,
}

/// The key of a user and product. Others with the same key share a value.
pub fn key(user_id: &str, product_id: &str) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(&(user_id.len() as u64).to_le_bytes());
    hash.update(user_id.as_bytes());
    hash.update(product_id.as_bytes());
    hash.digest().cast_signed()
}

impl Grouped {
    /// Groups a batch's events.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn of(decoded: &Decoded, judgement: &Judgement) -> Result<Self> {
        let (users, products) = (text_values(&decoded.rows, "user_id")?, text_values(&decoded.rows, "product_id")?);
        let of_event = |(place, event): (u32, &Judged)| {
            let (user, product) = (users[event.row], products[event.row]);
            (key(user.unwrap_or_default(), product.unwrap_or_default()), Some(place))
        };
        let mut by_key: Vec<_> = (0..).zip(&judgement.events).map(of_event).collect();
        by_key.sort_unstable();
        Ok(Self { by_key })
    }

    /// Keys that are looked at though nothing came for them.
    pub fn wake(&mut self, keys: impl IntoIterator<Item = i64>) {
        self.by_key.extend(keys.into_iter().map(|key| (key, None)));
        self.by_key.sort_unstable();
    }

    /// The keys, each once.
    pub fn keys(&self) -> impl Iterator<Item = i64> + '_ {
        self.groups().map(|group| group[0].0)
    }

    /// By key.
    fn groups(&self) -> impl Iterator<Item = &[(i64, Option<u32>)]> {
        self.by_key.chunk_by(|one, next| one.0 == next.0)
    }
}

/// What a batch changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows of the tables.
    pub rows: FunnelRows,
    /// Values of state by key; none removes.
    pub values: Vec<(i64, Option<Vec<u8>>)>,
    /// Keys to be woken, by minute of the join's watermark.
    pub timers: BTreeMap<i64, Vec<i64>>,
}

/// Columns of the events, for those who go through them.
struct Columns<'a> {
    decoded: &'a Decoded,
    ids: Vec<Option<&'a str>>,
    users: Vec<Option<&'a str>>,
    products: Vec<Option<&'a str>>,
    categories: Vec<Option<&'a str>>,
    cities: Vec<Option<&'a str>>,
    stores: Vec<Option<&'a str>>,
    prices: &'a polars::prelude::Int64Chunked,
}

impl<'a> Columns<'a> {
    fn of(decoded: &'a Decoded) -> Result<Self> {
        let rows = &decoded.rows;
        Ok(Self {
            decoded,
            ids: text_values(rows, "event_id")?,
            users: text_values(rows, "user_id")?,
            products: text_values(rows, "product_id")?,
            categories: text_values(rows, "category")?,
            cities: text_values(rows, "city")?,
            stores: text_values(rows, "store_id")?,
            prices: rows.column("price")?.i64()?,
        })
    }

    fn category(&self, row: usize) -> &str {
        self.categories[row].unwrap_or(UNKNOWN)
    }

    fn event(&self, event: &Judged, payload: Box<[u8]>) -> Event {
        let id = EventId::new(self.ids[event.row].unwrap_or_default().as_bytes());
        Event { time_us: event.time_us, id, payload }
    }

    fn cart(&self, row: usize) -> CartPlace {
        let text = |text: Option<&str>| text.unwrap_or(UNKNOWN).to_owned();
        CartPlace {
            category: self.category(row).to_owned(),
            city: text(self.cities[row]),
            store_id: text(self.stores[row]),
            price: self.prices.get(row),
        }
    }
}

/// The interval of both joins.
///
/// # Errors
/// Never.
pub fn within() -> Result<Interval> {
    Interval::new(0, WITHIN_US).map_err(|error| Error::configuration(error.to_string()))
}

/// Applies a batch to the state of its keys.
///
/// # Errors
/// When a value is damaged or a column missing.
pub fn apply(
    state: &Values,
    grouped: &Grouped,
    decoded: &Decoded,
    judgement: &Judgement,
    join_watermark: Option<i64>,
    fired: &BTreeSet<i64>,
) -> Result<Changes> {
    let (columns, on) = (Columns::of(decoded)?, within()?);
    let mut changes = Changes::default();
    for group in grouped.groups() {
        let key = group[0].0;
        let mut purchases = match state.get(key) {
            Some(value) => Purchases::from_bytes(value)?,
            None => Purchases::default(),
        };
        let before: Vec<BTreeMap<EventId, Attribution>> =
            purchases.states.iter().map(|state| open(state, &on)).collect();
        for place in group.iter().filter_map(|(_, place)| *place) {
            let event = &judgement.events[place as usize];
            let user = columns.users[event.row].unwrap_or_default();
            let product = columns.products[event.row].unwrap_or_default();
            take(purchases.of(user, product), event, &columns, &on, &mut changes.rows);
        }
        for (index, state) in purchases.states.iter_mut().enumerate() {
            let mut after = BTreeMap::new();
            if let Some(watermark) = join_watermark {
                state.coverage.forget(watermark - VIEWS_US);
                let advanced = state.join.advance(&on, watermark);
                after.extend(advanced.attributions.into_iter().map(|one| (one.right.id.clone(), one)));
                let lost = advanced.expired.into_iter().filter(|expired| !expired.paired);
                changes.rows.abandoned.extend(lost.map(|expired| Abandoned::of(state, &expired.left)));
            }
            after.extend(open(state, &on));
            correct(state, before.get(index), after, &mut changes.rows);
        }
        purchases.states.retain(|state| !(state.coverage.is_empty() && state.join.is_empty()));
        if let Some(minute) = purchases.set_timer(&on, VIEWS_US, fired) {
            changes.timers.entry(minute).or_default().push(key);
        }
        let value = (!purchases.states.is_empty()).then(|| purchases.to_bytes());
        changes.values.push((key, value));
    }
    Ok(changes)
}

/// Takes one event into the state of its user and product.
fn take(state: &mut KeyState, event: &Judged, columns: &Columns<'_>, on: &Interval, rows: &mut FunnelRows) {
    let category = columns.category(event.row);
    match columns.decoded.kinds[event.row] {
        Kind::View => {
            rows.of(category).views += 1;
            for cart in state.coverage.mark(on, event.time_us) {
                rows.of(&String::from_utf8_lossy(&cart.payload)).carts_after_view += 1;
            }
        }
        Kind::Cart => {
            let counts = rows.of(category);
            counts.carts += 1;
            counts.carts_after_view += i64::from(state.coverage.left(event.time_us, category.as_bytes()));
            if !event.late_for_join {
                let payload = columns.cart(event.row).to_bytes().into_boxed_slice();
                let pairs = state.join.left(on, columns.event(event, payload));
                pair(state, pairs, rows);
            }
        }
        Kind::Purchase => {
            rows.of(category).purchases += 1;
            if !event.late_for_join {
                let pairs = state.join.right(on, columns.event(event, Box::default()));
                pair(state, pairs, rows);
            }
        }
    }
}

fn pair(state: &KeyState, pairs: Vec<Pair>, rows: &mut FunnelRows) {
    rows.pairs.extend(pairs.into_iter().map(|pair| rows::Conversion::of(state, pair.left, pair.right)));
}

/// What the undecided purchases would be attributed to if nothing else came, by purchase.
fn open(state: &KeyState, on: &Interval) -> BTreeMap<EventId, Attribution> {
    if state.join.rights().next().is_none() {
        return BTreeMap::new();
    }
    let attributions = state.join.clone().drain(on);
    attributions.into_iter().map(|attribution| (attribution.right.id.clone(), attribution)).collect()
}

/// Finds out what changed between what was written and what holds now.
fn correct(
    state: &KeyState,
    before: Option<&BTreeMap<EventId, Attribution>>,
    after: BTreeMap<EventId, Attribution>,
    rows: &mut FunnelRows,
) {
    if let Some(before) = before {
        for (purchase, old) in before {
            let new = after.get(purchase);
            if new.is_some_and(|new| new.left.id == old.left.id) {
                continue;
            }
            rows.of(&CartPlace::of(&old.left).category).carts_converted -= 1;
            if new.is_none() {
                rows.unattributed.push(purchase.clone());
            }
        }
    }
    for (purchase, new) in after {
        let old = before.and_then(|before| before.get(&purchase));
        if old.is_some_and(|old| old.left.id == new.left.id) {
            continue;
        }
        rows.of(&CartPlace::of(&new.left).category).carts_converted += 1;
        rows.attributed.push(rows::Conversion::of(state, new.left, new.right));
    }
}
