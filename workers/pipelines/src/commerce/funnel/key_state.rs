//! The state of one key: what is known of the users and products that share it, mostly one.

use std::collections::BTreeSet;

use headrace_core::{Error, Result};
use headrace_transforms::join::{Coverage, Event, Interval, IntervalJoin};
use headrace_transforms::packed::{self, Damaged, Packed};

use crate::commerce::stream_state::{MINUTE_US, minute_floor};

/// The version of the format.
const FORMAT: u8 = 1;

/// A user and a product.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyState {
    /// The user.
    pub user_id: String,
    /// The product.
    pub product_id: String,
    /// The times that views cover, and carts that none covers.
    pub coverage: Coverage,
    /// Carts and purchases that may still find each other.
    pub join: IntervalJoin,
}

/// What shares a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Purchases {
    /// The minute at which the key will be woken.
    timer: Option<i64>,
    /// Mostly one.
    pub states: Vec<KeyState>,
}

impl Purchases {
    /// The state of a user and product.
    pub fn of(&mut self, user_id: &str, product_id: &str) -> &mut KeyState {
        let found = self.states.iter().position(|state| state.user_id == user_id && state.product_id == product_id);
        let index = found.unwrap_or_else(|| {
            self.states.push(KeyState {
                user_id: user_id.to_owned(),
                product_id: product_id.to_owned(),
                coverage: Coverage::default(),
                join: IntervalJoin::default(),
            });
            self.states.len() - 1
        });
        &mut self.states[index]
    }

    /// Sets the timer if it has to ring sooner than it would, and gives its minute then. Those that have rung are none any more.
    pub fn set_timer(&mut self, on: &Interval, views_us: i64, fired: &BTreeSet<i64>) -> Option<i64> {
        self.timer = self.timer.filter(|minute| !fired.contains(minute));
        let due = |state: &KeyState| {
            let views = state.coverage.oldest_us().map(|oldest| oldest + views_us + 1);
            state.join.due_us(on).into_iter().chain(views).min()
        };
        let due_us = self.states.iter().filter_map(due).min()?;
        let minute = minute_floor(due_us + MINUTE_US - 1);
        if self.timer.is_some_and(|timer| timer <= minute) {
            return None;
        }
        self.timer = Some(minute);
        self.timer
    }

    /// Writes the state down.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        packed::put_signed(&mut out, self.timer.unwrap_or(i64::MIN));
        packed::put_unsigned(&mut out, self.states.len() as u64);
        for state in &self.states {
            packed::put_bytes(&mut out, state.user_id.as_bytes());
            packed::put_bytes(&mut out, state.product_id.as_bytes());
            state.coverage.put(&mut out);
            state.join.put(&mut out);
        }
        out
    }

    /// Reads the state.
    ///
    /// # Errors
    /// A data error when it is damaged or of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::take(bytes).map_err(|error| Error::data(format!("the state of the funnel cannot be read: {error}")))
    }

    fn take(bytes: &[u8]) -> Result<Self, Damaged> {
        let Some((&FORMAT, mut input)) = bytes.split_first() else { return Err(Damaged("of another version")) };
        let timer = Some(packed::take_signed(&mut input)?).filter(|timer| *timer != i64::MIN);
        let mut states = Vec::new();
        for _ in 0..packed::take_unsigned(&mut input)? {
            states.push(KeyState {
                user_id: text(&mut input)?,
                product_id: text(&mut input)?,
                coverage: Coverage::take(&mut input)?,
                join: IntervalJoin::take(&mut input)?,
            });
        }
        packed::finish(input)?;
        Ok(Self { timer, states })
    }
}

fn text(input: &mut &[u8]) -> Result<String, Damaged> {
    let bytes = packed::take_bytes(input)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Damaged("a text is no UTF-8"))
}

/// What a cart carries besides its id and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartPlace {
    /// The product's category.
    pub category: String,
    /// The city.
    pub city: String,
    /// The store.
    pub store_id: String,
    /// The price.
    pub price: Option<i64>,
}

impl CartPlace {
    /// As an event's payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(40);
        for text in [&self.category, &self.city, &self.store_id] {
            packed::put_bytes(&mut out, text.as_bytes());
        }
        packed::put_signed(&mut out, self.price.unwrap_or(-1));
        out
    }

    /// Reads it back from a cart.
    pub fn of(cart: &Event) -> Self {
        let mut input = &*cart.payload;
        let mut next = || text(&mut input).unwrap_or_default();
        let (category, city, store_id) = (next(), next(), next());
        let price = packed::take_signed(&mut input).ok().filter(|price| *price >= 0);
        Self { category, city, store_id, price }
    }
}
