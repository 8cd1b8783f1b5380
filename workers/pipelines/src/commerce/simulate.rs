//! Simulated shop events: the same seed, number and time give the same bytes on every machine, in any order.
//!
//! Users, products, prices and places are uniform; a product has one category and a city one province. Shares of late, repeated and
//! broken events can be asked for; broken ones carry the reason for which they are refused.

use std::fmt::Write as _;

use headrace_transforms::civil::{self, SECOND_US};

use super::event::Kind;
use super::reason::Reason;
use crate::random::Random;

const CATEGORIES: [&str; 4] = ["Tech", "Home", "Sports", "Fashion"];
/// City, province, latitude and longitude.
const CITIES: [(&str, &str, f64, f64); 3] = [
    ("Guayaquil", "Guayas", -2.1708, -79.9224),
    ("Quito", "Pichincha", -0.1807, -78.4678),
    ("Cuenca", "Azuay", -2.9001, -79.0059),
];
/// Stores of a city; the last one sells online.
const STORES: u64 = 3;
/// The first product's number.
const FIRST_PRODUCT: u64 = 100;
/// Repeated events come at most so many events after the first.
const REPEATED_WITHIN: u64 = 1_000;
/// Of 100 events so many are views, and so many views or carts.
const VIEWS: u64 = 60;
const VIEWS_OR_CARTS: u64 = 85;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The same seed gives the same events.
    pub seed: u64,
    /// Users.
    pub users: u64,
    /// Products.
    pub products: u64,
    /// The share of events that come minutes late, 0 to 1.
    pub late: f64,
    /// The share of events that repeat another.
    pub repeated: f64,
    /// The share of broken events.
    pub broken: f64,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic it goes to, as a kind of event.
    pub kind: Kind,
    /// The user.
    pub key: String,
    /// The event; none for a message without value.
    pub value: Option<Vec<u8>>,
    /// The reason for which it will be refused, if it is broken.
    pub reason: Option<Reason>,
}

impl Simulation {
    /// The message of a number, arriving at the time that a function gives for each number.
    pub fn message(&self, number: u64, arrival_us: impl Fn(u64) -> i64) -> Message {
        let mut random = Random::new(self.seed, number);
        let fate = random.share();
        if fate < self.repeated && number > 0 {
            let back = 1 + random.below(REPEATED_WITHIN.min(number));
            // The first one may be a repetition itself: then it is that one's event.
            return self.event(number - back, arrival_us(number - back), false);
        }
        let is_broken = fate >= self.repeated && fate < self.repeated + self.broken;
        self.event(number, arrival_us(number), is_broken)
    }

    fn event(&self, number: u64, arrival_us: i64, is_broken: bool) -> Message {
        let mut random = Random::new(self.seed ^ 0x0C0E_E4CE, number);
        let user = 1 + random.below(self.users.max(1));
        let product = FIRST_PRODUCT + random.below(self.products.max(1));
        let kind = match random.below(100) {
            place if place < VIEWS => Kind::View,
            place if place < VIEWS_OR_CARTS => Kind::Cart,
            _ => Kind::Purchase,
        };
        let cents = 1_000 + random.below(49_001);
        let (city, province, lat, lon) = CITIES[random.below(3) as usize];
        let store = random.below(STORES);
        let store_number =
            CITIES.iter().position(|place| place.0 == city).unwrap_or_default() as u64 * STORES + store + 1;
        let store_type = if store + 1 == STORES { "online" } else { "physical_store" };
        let is_late = random.share() < self.late;
        let behind_us =
            if is_late { (150 + random.below(330)) as i64 * SECOND_US } else { random.below(2_000_000) as i64 };
        let category = CATEGORIES[(product % 4) as usize];
        let mut value = String::with_capacity(360);
        value.push_str("{\"event_id\":\"");
        push_uuid(random.next(), random.next(), &mut value);
        let _ = write!(
            value,
            "\",\"user_id\":{user},\"product_id\":{product},\"category\":\"{category}\",\"event_type\":\"{}\",\"price\":{}.{:02},\"timestamp\":\"",
            kind.event_type(),
            cents / 100,
            cents % 100
        );
        push_time(arrival_us - behind_us, &mut value);
        let _ = write!(
            value,
            "\",\"store_id\":\"ST{store_number:03}\",\"store_type\":\"{store_type}\",\"city\":\"{city}\",\"province\":\"{province}\",\"location\":{{\"lat\":{lat},\"lon\":{lon}}}}}"
        );
        let message = Message { kind, key: user.to_string(), value: Some(value.into_bytes()), reason: None };
        if is_broken { broken(message, &mut random) } else { message }
    }
}

/// Breaks an event in one of several ways.
fn broken(message: Message, random: &mut Random) -> Message {
    let text = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned();
    let swap = |member: &str, value: &str| -> Vec<u8> {
        let Some(at) = text.find(&format!("\"{member}\":")) else { return text.clone().into_bytes() };
        let from = at + member.len() + 3;
        let rest = &text[from..];
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(rest.len(), |end| end + 2),
            None => rest.find(',').unwrap_or(rest.len()),
        };
        format!("{}{value}{}", &text[..from], &rest[end..]).into_bytes()
    };
    let (reason, value) = match random.below(12) {
        0 => (Reason::EmptyValue, None),
        1 => (Reason::NotUtf8, Some(b"\xff\xfe{\"event_type\"".to_vec())),
        2 => (Reason::BadJson, Some(text.as_bytes()[..text.len() - 5].to_vec())),
        3 => (Reason::NotAnObject, Some(b"[1,2,3]".to_vec())),
        4 => (Reason::UnknownEventType, Some(swap("event_type", "\"refund\""))),
        5 => (Reason::MissingUserId, Some(swap("user_id", "null"))),
        6 => (Reason::BadUserId, Some(swap("user_id", "17.5"))),
        7 => (Reason::MissingProductId, Some(swap("product_id", "\"\""))),
        8 => (Reason::BadTimestamp, Some(swap("timestamp", "\"yesterday\""))),
        9 => (Reason::FutureTimestamp, Some(swap("timestamp", "\"2999-01-01T00:00:00\""))),
        10 => (Reason::TooOld, Some(swap("timestamp", "\"2001-01-01T00:00:00\""))),
        _ => (Reason::BadPrice, Some(swap("price", "-1.5"))),
    };
    Message { value, reason: Some(reason), ..message }
}

fn push_uuid(high: u64, low: u64, out: &mut String) {
    // Version 4, variant 1.
    let high = high & !0xF000 | 0x4000;
    let low = low & !(0b11 << 62) | (0b10 << 62);
    let _ = write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    );
}

/// ISO text without zone, as shops write it.
fn push_time(time_us: i64, out: &mut String) {
    let mut text = Vec::with_capacity(26);
    civil::write_timestamp(time_us, &mut text);
    text[10] = b'T';
    out.push_str(&String::from_utf8_lossy(&text));
    let micros = time_us.rem_euclid(SECOND_US);
    if micros > 0 {
        let _ = write!(out, ".{micros:06}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::Simulation;
    use crate::commerce::event::read;

    const ARRIVAL: i64 = 1_741_564_800_000_000;

    #[test]
    fn events_are_what_they_say_they_are() {
        let simulation = Simulation { seed: 5, users: 100, products: 20, late: 0.1, repeated: 0.1, broken: 0.1 };
        let (mut kinds, mut ids, mut repeated, mut broken) = (BTreeMap::new(), HashSet::new(), 0, 0);
        for number in 0..20_000 {
            let message = simulation.message(number, |_| ARRIVAL);
            match (read(message.value.as_deref(), ARRIVAL), message.reason) {
                (Ok(event), None) => {
                    *kinds.entry(event.kind).or_insert(0) += 1;
                    assert_eq!(event.kind, message.kind);
                    assert_eq!(event.user_id, message.key);
                    repeated += u32::from(!ids.insert(event.event_id.into_owned()));
                }
                (Err(refusal), Some(reason)) => {
                    assert_eq!(refusal.reason, reason);
                    broken += 1;
                }
                (read, reason) => panic!("{read:?} {reason:?}"),
            }
        }
        let shares: Vec<f64> = kinds.values().map(|count| f64::from(*count) / 18_000.0).collect();
        for (share, wanted) in shares.iter().zip([0.6, 0.25, 0.15]) {
            assert!((share - wanted).abs() < 0.02, "{shares:?}");
        }
        assert!((1_700..2_300).contains(&broken), "{broken} broken");
        // Those that repeat a broken one or a repetition are the first of their event.
        assert!((1_300..2_200).contains(&repeated), "{repeated} repeated");
    }

    #[test]
    fn the_same_number_gives_the_same_bytes() {
        let simulation = Simulation { seed: 1, users: 10, products: 5, late: 0.5, repeated: 0.2, broken: 0.2 };
        let other = Simulation { seed: 2, ..simulation.clone() };
        let time = |number: u64| ARRIVAL + number as i64;
        assert_eq!(simulation.message(77, time), simulation.message(77, time));
        assert_ne!(simulation.message(77, time), other.message(77, time));
    }
}
