//! What an event's message has written: its members as JSON text, found in one pass over plain JSON, else by the reader of all JSON.

use std::fmt;

use headrace_core::json::{self, Name};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::const_xxh3::xxh3_64;

use super::content::{self, Members};
use super::fields::{Shape, shape};
use super::reason::{Reason, Refusal};

macro_rules! members {
    ($($member:ident),* $(,)?) => {
        /// The members of an event as they were written; of repeated ones the last.
        #[derive(Debug, Default, PartialEq)]
        pub(super) struct Written<'a> {
            $(pub(super) $member: Option<&'a str>,)*
            pub(super) content: Members,
        }

        impl<'a> Written<'a> {
            fn add(&mut self, name: &str, value: &'a str) {
                match name {
                    $(stringify!($member) => {
                        const NAME: u64 = xxh3_64(stringify!($member).as_bytes());
                        self.content.add(NAME, value);
                        self.$member = Some(value).filter(|value| *value != "null");
                    })*
                    other => self.content.add(content::name(other), value),
                }
            }
        }
    };
}

members! {
    event_id, event_type, user_id, product_id, category, price, timestamp, store_id, store_type, city, province, location,
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
    json::object(text, &mut |at, name| {
        written.add(name, at.written()?);
        Some(())
    })?;
    Some(written)
}

/// Latitude and longitude of an object where both are numbers, as they are written.
pub(super) fn location(json: &str) -> Option<[&str; 2]> {
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        lat: &'a RawValue,
        #[serde(borrow)]
        lon: &'a RawValue,
    }
    let place: Place<'_> = json.starts_with('{').then(|| serde_json::from_str(json).ok())??;
    let numbers = [place.lat.get(), place.lon.get()];
    numbers.iter().all(|number| matches!(shape(number), Shape::Number(_))).then_some(numbers)
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
        while let Some(Name(name)) = map.next_key()? {
            written.add(&name, map.next_value::<&'de RawValue>()?.get());
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Members, Written, content, location, plain};
    use crate::commerce::simulate::Simulation;
    use crate::edits::{edited, edits};

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
            edits in edits(),
        ) {
            let Ok(text) = String::from_utf8(message(seed, seed % 1_000, 0.3)) else { return Ok(()) };
            let text = edited(text, edits);
            prop_assert!(agrees(&text), "{text}");
        }
    }
}
