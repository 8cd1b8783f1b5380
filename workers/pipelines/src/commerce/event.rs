//! One event: read from the bytes of a message and checked, in the contract's order, first failure first.

use std::borrow::Cow;

use headrace_transforms::civil::{HOUR_US, SECOND_US};

use super::fields::{self, LONGEST_TEXT, Shape, shape};
use super::reason::{Reason, Refusal};
use super::written;

/// How far behind its arrival an event time may lie.
pub const FUTURE_US: i64 = 5 * 60 * SECOND_US;
/// How far before its arrival an event time may lie: as long as ids are remembered.
pub const OLDEST_US: i64 = 24 * HOUR_US;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A page was viewed.
    View,
    /// A product was put into a cart.
    Cart,
    /// A product was bought.
    Purchase,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::View, Self::Cart, Self::Purchase];

    /// The word in events.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::View => "page_view",
            Self::Cart => "add_to_cart",
            Self::Purchase => "purchase",
        }
    }

    /// The topic events of this kind belong to.
    pub fn topic(self) -> &'static str {
        match self {
            Self::View => "page_views",
            Self::Cart => "cart_events",
            Self::Purchase => "orders",
        }
    }

    /// Whether a topic is that of this kind, whatever stands before its name.
    pub fn is_topic(self, topic: &str) -> bool {
        topic.strip_suffix(self.topic()).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
    }

    /// The data set of the archive.
    pub fn dataset(self) -> &'static str {
        match self {
            Self::View => "views",
            Self::Cart => "cart",
            Self::Purchase => "orders",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == word)
    }
}

/// A valid event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Its id, as the producer or this worker made it.
    pub event_id: Cow<'a, str>,
    /// What happened.
    pub kind: Kind,
    /// The user.
    pub user_id: Cow<'a, str>,
    /// The product.
    pub product_id: Cow<'a, str>,
    /// The product's category.
    pub category: Option<Cow<'a, str>>,
    /// The price, scaled by 10^4.
    pub price: Option<i64>,
    /// When it happened.
    pub time_us: i64,
    /// The store.
    pub store_id: Option<Cow<'a, str>>,
    /// The store's type.
    pub store_type: Option<Cow<'a, str>>,
    /// The city.
    pub city: Option<Cow<'a, str>>,
    /// The province.
    pub province: Option<Cow<'a, str>>,
    /// The location as it was written.
    location: Option<&'a str>,
    /// What the event says, as a number.
    pub content: u64,
}

impl Event<'_> {
    /// Latitude and longitude, if both are numbers.
    pub fn location(&self) -> Option<(f64, f64)> {
        let numbers = written::location(self.location?)?;
        let [lat, lon] = numbers.map(|number| number.parse::<f64>().ok().filter(|number| number.is_finite()));
        lat.zip(lon)
    }
}

/// The characters of a quoted text; an error for those JSON allows but Unicode does not.
fn unquoted(json: &str) -> Result<Cow<'_, str>, String> {
    let inner = &json[1..json.len() - 1];
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).map(Cow::Owned).map_err(|error| error.to_string())
}

/// A user or product: a whole number or a text that is not empty.
fn id<'a>(json: Option<&'a str>, missing: Reason, bad: Reason) -> Result<Cow<'a, str>, Refusal> {
    let Some(json) = json else { return Err(missing.because("absent or null")) };
    let text = match shape(json) {
        Shape::Null => return Err(missing.because("null")),
        Shape::Quoted("\"\"") => return Err(missing.because("an empty text")),
        Shape::Quoted(json) => unquoted(json).map_err(|error| bad.because(error))?,
        Shape::Number(number) => match fields::whole_number(number) {
            Some(number) => Cow::Borrowed(number),
            None => return Err(bad.because(format!("{} is no whole number", shown(number)))),
        },
        Shape::Boolean | Shape::Nested => {
            return Err(bad.because(format!("{} is neither number nor text", shown(json))));
        }
    };
    if text.len() > LONGEST_TEXT {
        return Err(bad.because(format!("longer than {LONGEST_TEXT} bytes")));
    }
    Ok(text)
}

/// The beginning of a value, for a detail.
fn shown(json: &str) -> &str {
    &json[..json.floor_char_boundary(60)]
}

/// A text that may be missing; anything else is taken for missing.
fn optional_text(json: Option<&str>) -> Option<Cow<'_, str>> {
    match json.map(shape) {
        Some(Shape::Quoted(json)) => unquoted(json).ok().filter(|text| text.len() <= LONGEST_TEXT),
        _ => None,
    }
}

/// An id for events that have none: their bytes decide.
fn id_of_bytes(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut id = String::with_capacity(71);
    id.push_str("sha256:");
    for byte in ring::digest::digest(&ring::digest::SHA256, bytes).as_ref() {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn event_id<'a>(written: Option<&'a str>, raw: &[u8]) -> Cow<'a, str> {
    let given = match written.map(shape) {
        Some(Shape::Quoted(json)) => unquoted(json).ok().filter(|id| !id.is_empty()),
        _ => None,
    };
    match given {
        Some(id) if id.len() <= LONGEST_TEXT => id,
        // A key of a table is not as long as that; its hash is as good an id.
        Some(id) => Cow::Owned(id_of_bytes(id.as_bytes())),
        None => Cow::Owned(id_of_bytes(raw)),
    }
}

fn kind(json: Option<&str>) -> Result<Kind, Refusal> {
    let Some(json) = json else { return Err(Reason::MissingEventType.because("absent or null")) };
    let word = match shape(json) {
        Shape::Quoted(json) => unquoted(json).ok(),
        _ => None,
    };
    word.and_then(|word| Kind::parse(&word)).ok_or_else(|| Reason::UnknownEventType.because(shown(json)))
}

fn time(json: Option<&str>, arrival_us: i64) -> Result<i64, Refusal> {
    let Some(json) = json else { return Err(Reason::MissingTimestamp.because("absent or null")) };
    let text = match shape(json) {
        Shape::Quoted(json) => unquoted(json).ok(),
        _ => None,
    };
    let bad = || Reason::BadTimestamp.because(format!("{} is no time", shown(json)));
    let time_us = fields::timestamp(&text.ok_or_else(bad)?).ok_or_else(bad)?;
    if time_us > arrival_us + FUTURE_US {
        return Err(Reason::FutureTimestamp.because(format!("{} is after its arrival", shown(json))));
    }
    if time_us < arrival_us - OLDEST_US {
        return Err(Reason::TooOld.because(format!("{} is more than a day before its arrival", shown(json))));
    }
    Ok(time_us)
}

fn price(json: Option<&str>, kind: Kind) -> Result<Option<i64>, Refusal> {
    let Some(json) = json else {
        let is_needed = kind == Kind::Purchase;
        return if is_needed { Err(Reason::MissingPrice.because("absent or null")) } else { Ok(None) };
    };
    match shape(json) {
        Shape::Number(number) => match fields::price(number) {
            Ok(price) => Ok(Some(price)),
            Err(what) => Err(Reason::BadPrice.because(format!("{}: {what}", shown(number)))),
        },
        _ => Err(Reason::BadPrice.because(format!("{} is no number", shown(json)))),
    }
}

fn category(json: Option<&str>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Some(json) = json else { return Ok(None) };
    let bad = |what: String| Reason::BadCategory.because(what);
    match shape(json) {
        Shape::Quoted(json) => {
            let text = unquoted(json).map_err(bad)?;
            if text.len() > LONGEST_TEXT {
                Err(bad(format!("longer than {LONGEST_TEXT} bytes")))
            } else {
                Ok(Some(text))
            }
        }
        _ => Err(bad(format!("{} is no text", shown(json)))),
    }
}

/// Reads and checks an event that arrived at a time.
///
/// # Errors
/// Why it is refused.
pub fn read(raw: Option<&[u8]>, arrival_us: i64) -> Result<Event<'_>, Refusal> {
    let raw = raw.filter(|raw| !raw.is_empty()).ok_or_else(|| Reason::EmptyValue.because("no value"))?;
    let text = std::str::from_utf8(raw).map_err(|error| Reason::NotUtf8.because(error.to_string()))?;
    let written = written::read(text)?;
    let kind = kind(written.event_type)?;
    let user_id = id(written.user_id, Reason::MissingUserId, Reason::BadUserId)?;
    let product_id = id(written.product_id, Reason::MissingProductId, Reason::BadProductId)?;
    let time_us = time(written.timestamp, arrival_us)?;
    let price = price(written.price, kind)?;
    let category = category(written.category)?;
    Ok(Event {
        event_id: event_id(written.event_id, raw),
        kind,
        user_id,
        product_id,
        category,
        price,
        time_us,
        store_id: optional_text(written.store_id),
        store_type: optional_text(written.store_type),
        city: optional_text(written.city),
        province: optional_text(written.province),
        location: written.location,
        content: written.content.finish(),
    })
}
