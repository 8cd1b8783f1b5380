//! Reads registrations: every record becomes a registration or is refused with a reason.
//!
//! Checks follow the order of the contract; the first that fails gives the reason. A member that comes twice counts as its last.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use headrace_core::json::Name;
use headrace_transforms::civil;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::Field;
use super::plain;

/// The categorical fields, in the order of the model's columns.
pub const CATEGORIES: [&str; 7] = [
    "ip_country",
    "device_country",
    "device_language",
    "platform",
    "platform_store",
    "smartphone_brand",
    "child_smartphone_brand",
];
/// Ages above count as this one.
pub const OLDEST: i64 = 18;
/// The greatest version times a thousand must stay exact as a JSON number: the first millisecond that is too late.
const TIMES_END_MS: i64 = 9_007_199_254_740;

/// A valid registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The user.
    pub user_id: u32,
    /// The categories, trimmed and in lower case, in the order of [`CATEGORIES`].
    pub categories: [CompactString; 7],
    /// Whether the user came without advertising.
    pub is_organic: bool,
    /// The child's age in years, 0 to 120.
    pub child_age: u8,
    /// Registration time in milliseconds since 1970.
    pub registered_ms: i64,
}

impl Registration {
    /// The version of an offer made from it: the greatest wins.
    pub fn version(&self, offset: i64) -> i64 {
        self.registered_ms * 1000 + offset.rem_euclid(1000)
    }
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word of the contract.
    pub reason: &'static str,
    /// What exactly was wrong.
    pub detail: String,
}

impl Refusal {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// The reasons of a field, missing and bad.
struct Named {
    field: &'static str,
    missing: &'static str,
    bad: &'static str,
}

macro_rules! named {
    ($field:literal) => {
        Named { field: $field, missing: concat!("missing_", $field), bad: concat!("bad_", $field) }
    };
}

const BEFORE_NUMBERS: [Named; 6] = [
    named!("ip_country"),
    named!("device_country"),
    named!("device_language"),
    named!("platform"),
    named!("platform_store"),
    named!("smartphone_brand"),
];
const IS_ORGANIC: Named = named!("is_organic");
const CHILD_AGE: Named = named!("child_age");
const CHILD_BRAND: Named = named!("child_smartphone_brand");

/// Reads one record; `timestamp_ms` is the broker's, for a registration that has none.
///
/// # Errors
/// The reason for which the record is refused.
pub fn read(value: Option<&[u8]>, timestamp_ms: i64) -> Result<Registration, Refusal> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| Refusal::new("empty_value", ""))?;
    let text = std::str::from_utf8(value)
        .map_err(|error| Refusal::new("not_utf8", format!("byte {}", error.valid_up_to())))?;
    if let Some(members) = plain::payload(text) {
        return check(&members, timestamp_ms);
    }
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| Refusal::new("bad_json", error.to_string()))?;
    match envelope.payload {
        Payload::Absent => Err(Refusal::new("not_an_envelope", "no object with a member `payload`")),
        Payload::Null => Err(Refusal::new("missing_payload", "")),
        Payload::Other => Err(Refusal::new("bad_payload", "neither an object nor its text")),
        Payload::Object(members) => check(&members, timestamp_ms),
        Payload::Text(text) => {
            let bad = |detail: String| Refusal::new("bad_payload", detail);
            match serde_json::from_str(&text).map_err(|error| bad(error.to_string()))? {
                Payload::Object(members) => check(&members, timestamp_ms),
                _ => Err(bad("the text holds no object".to_owned())),
            }
        }
    }
}

fn check(members: &Members<'_>, timestamp_ms: i64) -> Result<Registration, Refusal> {
    let user_id = user_id(if members.user_id.is_missing() { &members.id } else { &members.user_id })?;
    let [a, b, c, d, e, f, child_brand] = &members.categories;
    let mut categories: [CompactString; 7] = Default::default();
    for ((field, named), category) in [a, b, c, d, e, f].into_iter().zip(&BEFORE_NUMBERS).zip(&mut categories) {
        *category = text(field, named)?;
    }
    let is_organic = whole(&members.is_organic, &IS_ORGANIC, 0..=1)? == 1;
    let child_age = whole(&members.child_age, &CHILD_AGE, 0..=120)?;
    categories[6] = text(child_brand, &CHILD_BRAND)?;
    let registered_ms = match &members.timestamp {
        // A broker may have none (-1), or one that a producer made up.
        Field::Absent | Field::Null => timestamp_ms.clamp(0, TIMES_END_MS - 1),
        Field::Text(text) => {
            registered(text).ok_or_else(|| Refusal::new("bad_timestamp", format!("timestamp={}", shortened(text))))?
        }
        _ => return Err(Refusal::new("bad_timestamp", "no string")),
    };
    let child_age = u8::try_from(child_age).unwrap_or(u8::MAX);
    Ok(Registration { user_id, categories, is_organic, child_age, registered_ms })
}

fn user_id(field: &Field<'_>) -> Result<u32, Refusal> {
    let number = match field {
        Field::Absent | Field::Null => return Err(Refusal::new("missing_user_id", "")),
        Field::Text(text) if text.is_empty() => return Err(Refusal::new("missing_user_id", "empty")),
        Field::Text(text) if text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Field::Whole(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    let shown = || match field {
        Field::Text(text) => format!("user_id={}", shortened(text)),
        Field::Whole(number) => format!("user_id={number}"),
        _ => "neither digits nor a whole number".to_owned(),
    };
    number.filter(|number| *number > 0).ok_or_else(|| Refusal::new("bad_user_id", shown()))
}

fn text(field: &Field<'_>, named: &Named) -> Result<CompactString, Refusal> {
    match field {
        Field::Absent | Field::Null => Err(Refusal::new(named.missing, "")),
        Field::Text(text) if text.is_empty() => Err(Refusal::new(named.missing, "empty")),
        Field::Text(text) => Ok(normal(text)),
        _ => Err(Refusal::new(named.bad, format!("{} is no string", named.field))),
    }
}

/// How categories are compared, in training as in scoring.
pub fn normal(category: &str) -> CompactString {
    let category = category.trim();
    if !category.is_ascii() {
        return category.to_lowercase().into();
    }
    let mut lower = CompactString::new(category);
    lower.make_ascii_lowercase();
    lower
}

fn whole(field: &Field<'_>, named: &Named, range: std::ops::RangeInclusive<i64>) -> Result<i64, Refusal> {
    if field.is_missing() {
        return Err(Refusal::new(named.missing, ""));
    }
    field.whole().filter(|number| range.contains(number)).ok_or_else(|| {
        let (field, first, last) = (named.field, range.start(), range.end());
        Refusal::new(named.bad, format!("{field} is no whole number from {first} to {last}"))
    })
}

/// Reads `YYYY-MM-DDTHH:MM:SSZ`.
fn registered(text: &str) -> Option<i64> {
    let mut bytes: [u8; 19] = text.strip_suffix('Z')?.as_bytes().try_into().ok()?;
    if std::mem::replace(&mut bytes[10], b' ') != b'T' {
        return None;
    }
    let time_us = civil::parse_timestamp(&bytes)?;
    Some(time_us / 1000).filter(|time_ms| (0..TIMES_END_MS).contains(time_ms))
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The outer object; only its payload counts.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub(super) payload: Payload<'a>,
}

/// What stands as payload.
#[derive(Default)]
pub(super) enum Payload<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Object(Box<Members<'a>>),
    Other,
}

/// The members of a payload that count.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Members<'a> {
    user_id: Field<'a>,
    id: Field<'a>,
    categories: [Field<'a>; 7],
    is_organic: Field<'a>,
    child_age: Field<'a>,
    timestamp: Field<'a>,
}

/// Where a member of a name is kept; none for one that does not count.
pub(super) fn slot<'m, 'a>(members: &'m mut Members<'a>, name: &str) -> Option<&'m mut Field<'a>> {
    Some(match name {
        "user_id" => &mut members.user_id,
        "id" => &mut members.id,
        "is_organic" => &mut members.is_organic,
        "child_age" => &mut members.child_age,
        "timestamp" => &mut members.timestamp,
        name => {
            let index = CATEGORIES.iter().position(|category| *category == name)?;
            &mut members.categories[index]
        }
    })
}

struct EnvelopeVisitor;

/// Visitor methods that take any value but objects and strings for `$other`.
macro_rules! anything_else {
    ($other:expr) => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($other)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    anything_else!(Envelope::default());

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Envelope::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Envelope::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Name(name)) = members.next_key()? {
            if name == "payload" {
                envelope.payload = members.next_value()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(envelope)
    }
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnvelopeVisitor)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload<'de>;

    anything_else!(Payload::Other);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Payload::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Payload::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Payload::Text(text.to_owned().into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Box::<Members<'de>>::default();
        while let Some(Name(name)) = members.next_key()? {
            match slot(&mut found, &name) {
                Some(slot) => *slot = members.next_value()?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Payload::Object(found))
    }
}

impl<'de> Deserialize<'de> for Payload<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PayloadVisitor)
    }
}
