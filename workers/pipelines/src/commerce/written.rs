//! What an event's message has written: its members as JSON text, found in one pass over plain JSON, else by the reader of all JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::const_xxh3::xxh3_64;

use super::content::{self, Members};
use super::fields::{Shape, shape};
use super::reason::{Reason, Refusal};
use crate::plain_json::{self, DEPTH};

/// The members of an event as they were written; of repeated ones the last.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Written<'a> {
    pub(super) event_id: Option<&'a str>,
    pub(super) event_type: Option<&'a str>,
    pub(super) user_id: Option<&'a str>,
    pub(super) product_id: Option<&'a str>,
    pub(super) category: Option<&'a str>,
    pub(super) price: Option<&'a str>,
    pub(super) timestamp: Option<&'a str>,
    pub(super) store_id: Option<&'a str>,
    pub(super) store_type: Option<&'a str>,
    pub(super) city: Option<&'a str>,
    pub(super) province: Option<&'a str>,
    pub(super) location: Option<&'a str>,
    pub(super) content: Members,
}

impl<'a> Written<'a> {
    fn add(&mut self, name: &str, value: &'a str) {
        macro_rules! members {
            ($($member:ident),*) => {
                match name {
                    $(stringify!($member) => {
                        const NAME: u64 = xxh3_64(stringify!($member).as_bytes());
                        self.content.add(NAME, value);
                        self.$member = Some(value).filter(|value| *value != "null");
                    })*
                    other => self.content.add(content::name(other), value),
                }
            };
        }
        members!(
            event_id, event_type, user_id, product_id, category, price, timestamp, store_id, store_type, city,
            province, location
        );
    }
}

/// Reads the members of an event.
///
/// # Errors
/// For what is no JSON, or no object.
pub(super) fn read(text: &str) -> Result<Written<'_>, Refusal> {
    if let Some(written) = plain(text) {
        return Ok(written);
    }
    if text.trim_ascii_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| Reason::BadJson.because(error.to_string()));
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Err(Reason::NotAnObject.because("JSON, but no object")),
        Err(error) => Err(Reason::BadJson.because(error.to_string())),
    }
}

fn plain(text: &str) -> Option<Written<'_>> {
    let mut written = Written::default();
    plain_json::object(text, &mut |at, name| {
        written.add(name, at.written()?);
        Some(())
    })?;
    Some(written)
}

/// Latitude and longitude of an object where both are numbers, as they are written.
pub(super) fn location<'a>(json: &'a str) -> Option<[&'a str; 2]> {
    let (mut lat, mut lon) = (None, None);
    let plain = plain_json::object(json, &mut |at, name| {
        let found = match name {
            "lat" => &mut lat,
            "lon" => &mut lon,
            _ => return at.skip(DEPTH),
        };
        // What is there twice is for the reader of all JSON.
        found.is_none().then_some(())?;
        *found = Some(at.written_number()?);
        Some(())
    });
    if plain.is_none() {
        #[derive(Deserialize)]
        struct Place<'p> {
            #[serde(borrow)]
            lat: &'p RawValue,
            #[serde(borrow)]
            lon: &'p RawValue,
        }
        let place: Place<'_> = json.starts_with('{').then(|| serde_json::from_str(json).ok())??;
        let number = |value: &'a RawValue| matches!(shape(value.get()), Shape::Number(_)).then(|| value.get());
        (lat, lon) = (number(place.lat), number(place.lon));
    }
    lat.zip(lon).map(|(lat, lon)| [lat, lon])
}

impl<'de: 'a, 'a> Deserialize<'de> for Written<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut written = Written::default();
        while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
            written.add(&name, map.next_value::<&'de RawValue>()?.get());
        }
        Ok(written)
    }
}

/// A member's name, borrowed where it was written without escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::{Members, Written, content, location, plain};
    use crate::commerce::simulate::Simulation;

    fn message(seed: u64, number: u64, broken: f64) -> Vec<u8> {
        let simulation = Simulation { seed, users: 9, products: 9, late: 0.1, repeated: 0.0, broken };
        simulation.message(number, |_| 1_741_600_000_000_000).value.unwrap_or_default()
    }

    /// Whether the reader of all JSON finds the same wherever something is found.
    fn agrees(text: &str) -> bool {
        plain(text).is_none_or(|found| serde_json::from_str::<Written<'_>>(text).unwrap() == found)
    }

    #[test]
    fn what_senders_write_is_plain() {
        for number in 0..200 {
            let text = String::from_utf8(message(1, number, 0.0)).unwrap();
            assert!(plain(&text).is_some() && agrees(&text), "{text}");
        }
        let twice = r#" { "price" : 1 , "price" : 2.50 , "location" : null, "more" : [ { "a" : 1, "a" : 2 } ] } "#;
        assert!(plain(twice).is_some_and(|found| found.price == Some("2.50")) && agrees(twice));
        for other in ["", "[]", "5", "{} {}", r#"{"\u0061":1}"#, r#"{"a":"\n"}"#, r#"{"a":01}"#, r#"{"a":1,}"#] {
            assert!(plain(other).is_none(), "{other}");
        }
    }

    #[test]
    fn hashes_of_names_are_the_same_whenever_they_are_made() {
        let mut content = Members::default();
        content.add(content::name("price"), "1");
        content.add(content::name("colour"), "2");
        assert_eq!(plain(r#"{"colour":2,"price":1.0}"#).map(|found| found.content), Some(content));
    }

    #[test]
    fn a_location_is_an_object_with_two_numbers() {
        for (text, found) in [
            (r#"{"lat":-2.5,"lon":7}"#, Some(["-2.5", "7"])),
            (r#"{ "lon" : 1e2, "alt": {"m": [1]}, "lat" : 0 }"#, Some(["0", "1e2"])),
            (r#"{"l\u0061t":1,"lon":2}"#, Some(["1", "2"])),
            (r#"{"lat":1,"lon":2,"note":"\""}"#, Some(["1", "2"])),
            (r#"{"lat":1,"lat":1,"lon":2}"#, None),
            (r#"{"lat":"1","lon":2}"#, None),
            (r#"{"lat":null,"lon":2}"#, None),
            (r#"{"lat":1}"#, None),
            ("[1,2]", None),
            ("5", None),
        ] {
            assert_eq!(location(text), found, "{text}");
        }
    }

    proptest! {
        /// Messages of the simulator, broken ones too, with some bytes cut out and others put in.
        #[test]
        fn what_is_found_is_there(
            seed in any::<u64>(),
            edits in prop::collection::vec((any::<Index>(), 0..4_usize, "[]\\[{}\",:0-9.eEtn \\\\\u{1}ü-]{0,3}"), 0..4),
        ) {
            let Ok(mut text) = String::from_utf8(message(seed, seed % 1_000, 0.3)) else { return Ok(()) };
            for (place, cut, put) in edits {
                let mut letters: Vec<char> = text.chars().collect();
                let from = place.index(letters.len() + 1);
                let to = (from + cut).min(letters.len());
                letters.splice(from..to, put.chars());
                text = letters.into_iter().collect();
            }
            prop_assert!(agrees(&text), "{text}");
        }
    }
}
