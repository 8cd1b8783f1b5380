//! Simulated registrations: the same seed and number give the same bytes on every machine, in any order.
//!
//! Values are chosen by whole weights, so that no platform's arithmetic matters. Broken ones carry the reason they are refused for.

mod defects;

use headrace_transforms::civil;
use serde_json::{Value, json};

pub use defects::REASONS;

use crate::random::Random;

/// Countries with their languages, by weight. All shares here are those of the trainer's simulated files, so that a model trained
/// on them sees no drift.
const COUNTRIES: [(u64, &str, &str); 8] = [
    (45, "ru", "ru"),
    (9, "by", "ru"),
    (11, "kz", "ru"),
    (7, "de", "de"),
    (6, "fr", "fr"),
    (9, "br", "pt"),
    (7, "tr", "tr"),
    (6, "us", "en"),
];
/// Brands of phones, by weight.
const BRANDS: [(u64, &str); 7] =
    [(27, "xiaomi"), (24, "samsung"), (21, "iphone"), (9, "huawei"), (7, "honor"), (7, "realme"), (5, "google")];
/// Children's ages, by weight: a normal distribution around 10 years with a deviation of 3.4.
#[rustfmt::skip]
const AGES: [(u64, u8); 17] = [
    (14, 2), (14, 3), (25, 4), (40, 5), (59, 6), (79, 7), (98, 8), (112, 9), (117, 10),
    (112, 11), (98, 12), (79, 13), (59, 14), (40, 15), (25, 16), (14, 17), (14, 18),
];
/// The time of the constant registration.
const CONSTANT_TIME: &str = "2025-01-16T04:00:00Z";

/// The nine features of a simulated registration, as a sender writes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Country of the address.
    pub ip_country: &'static str,
    /// Country of the device.
    pub device_country: &'static str,
    /// Language of the device.
    pub device_language: &'static str,
    /// `Android` or `iOS`.
    pub platform: &'static str,
    /// The store the app came from.
    pub platform_store: &'static str,
    /// Brand of the parent's phone.
    pub smartphone_brand: &'static str,
    /// Whether the user came without advertising.
    pub is_organic: bool,
    /// The child's age in years.
    pub child_age: u8,
    /// Brand of the child's phone.
    pub child_smartphone_brand: &'static str,
}

/// The registration that the original's sender gives every user.
const CONSTANT: Features = Features {
    ip_country: "ru",
    device_country: "ru",
    device_language: "ru",
    platform: "Android",
    platform_store: "Google Play",
    smartphone_brand: "xiaomi",
    is_organic: false,
    child_age: 7,
    child_smartphone_brand: "iphone",
};

impl Features {
    /// Chooses features.
    pub fn random(random: &mut Random) -> Self {
        let (_, ip_country, language) = random.weighted(&COUNTRIES, |choice| choice.0);
        // Some travel, and some have set another language.
        let is_at_home = random.below(100) < 93;
        let (_, device_country, own_language) =
            if is_at_home { (0, ip_country, language) } else { random.weighted(&COUNTRIES, |choice| choice.0) };
        let device_language = if random.below(100) < 92 { own_language } else { "en" };
        let smartphone_brand = random.weighted(&BRANDS, |choice| choice.0).1;
        let mut child_smartphone_brand = random.weighted(&BRANDS, |choice| choice.0).1;
        if random.below(100) < 40 {
            child_smartphone_brand = smartphone_brand;
        }
        let (platform, mut platform_store) =
            if smartphone_brand == "iphone" { ("iOS", "App Store") } else { ("Android", "Google Play") };
        if matches!(smartphone_brand, "huawei" | "honor") && random.below(100) < 70 {
            platform_store = "AppGallery";
        }
        let is_organic = random.below(100) < 38;
        let child_age = random.weighted(&AGES, |choice| choice.0).1;
        Self {
            ip_country,
            device_country,
            device_language,
            platform,
            platform_store,
            smartphone_brand,
            is_organic,
            child_age,
            child_smartphone_brand,
        }
    }

    fn payload(&self, user_id: u32, timestamp: &str) -> Value {
        json!({
            "user_id": user_id.to_string(),
            "ip_country": self.ip_country,
            "device_country": self.device_country,
            "device_language": self.device_language,
            "platform": self.platform,
            "platform_store": self.platform_store,
            "smartphone_brand": self.smartphone_brand,
            "is_organic": u8::from(self.is_organic),
            "child_age": self.child_age,
            "child_smartphone_brand": self.child_smartphone_brand,
            "timestamp": timestamp,
        })
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The decimal user id.
    pub key: String,
    /// The envelope; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The reason for which it will be refused, if it is broken.
    pub reason: Option<&'static str>,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The same seed gives the same registrations.
    pub seed: u64,
    /// Users with features of their own, instead of the constant registration for all.
    pub varied: bool,
    /// The share of broken messages, 0 to 1.
    pub defects: f64,
    /// The first user.
    pub first_user: u32,
}

impl Simulation {
    /// The message of a number, counted from 0, registered at a time.
    pub fn message(&self, number: u64, time_ms: i64) -> Message {
        let mut random = Random::new(self.seed, number);
        let defect = random.share() < self.defects;
        // Behind the greatest id the first one follows: users register again.
        let span = u64::from(u32::MAX) - u64::from(self.first_user.max(1)) + 1;
        #[expect(clippy::cast_possible_truncation, reason = "within the span")]
        let user_id = self.first_user.max(1) + (number % span) as u32;
        let time = if self.varied { time_text(time_ms) } else { CONSTANT_TIME.to_owned() };
        let features = if self.varied { Features::random(&mut random) } else { CONSTANT };
        let payload = features.payload(user_id, &time);
        let key = user_id.to_string();
        if defect {
            let (reason, value) = defects::broken(&mut random, payload);
            return Message { key, value, reason: Some(reason) };
        }
        Message { key, value: Some(envelope(&payload)), reason: None }
    }
}

/// A payload in its envelope.
fn envelope(payload: &Value) -> Vec<u8> {
    // By hand, because the schema comes first and the payload keeps the order of the contract.
    let mut text = String::from(r#"{"schema":{"type":"string","optional":false},"payload":"#);
    text.push_str(&in_order(payload));
    text.push('}');
    text.into_bytes()
}

/// The members in the order of the contract, behind them any others.
fn in_order(payload: &Value) -> String {
    const ORDER: [&str; 12] = [
        "id",
        "user_id",
        "ip_country",
        "device_country",
        "device_language",
        "platform",
        "platform_store",
        "smartphone_brand",
        "is_organic",
        "child_age",
        "child_smartphone_brand",
        "timestamp",
    ];
    let Some(members) = payload.as_object() else { return payload.to_string() };
    let members = ORDER.iter().filter_map(|name| members.get(*name).map(|value| format!("\"{name}\":{value}")));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
fn time_text(time_ms: i64) -> String {
    let text = civil::timestamp_text(time_ms.div_euclid(1_000) * 1_000_000);
    format!("{}Z", text[..19].replace(' ', "T"))
}

#[cfg(test)]
mod tests {
    use super::{REASONS, Simulation, time_text};
    use crate::scoring::registration::read;

    const SIMULATION: Simulation = Simulation { seed: 7, varied: true, defects: 0.5, first_user: 1 };

    #[test]
    fn every_message_is_read_or_refused_for_its_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..4_000 {
            let message = SIMULATION.message(number, 1_737_000_000_000);
            let read = read(message.value.as_deref(), 0);
            assert_eq!(read.as_ref().err().map(|refusal| refusal.reason), message.reason, "{message:?}");
            seen.extend(message.reason);
            if let Ok(registration) = read {
                assert_eq!(registration.user_id.to_string(), message.key);
                assert_eq!(registration.registered_ms, 1_737_000_000_000);
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), REASONS);
    }

    #[test]
    fn the_constant_registration_is_that_of_the_contract() {
        let simulation = Simulation { varied: false, defects: 0.0, ..SIMULATION };
        let message = simulation.message(0, 0);
        let expected = concat!(
            r#"{"schema":{"type":"string","optional":false},"payload":{"user_id":"1","ip_country":"ru","device_country":"ru","#,
            r#""device_language":"ru","platform":"Android","platform_store":"Google Play","smartphone_brand":"xiaomi","#,
            r#""is_organic":0,"child_age":7,"child_smartphone_brand":"iphone","timestamp":"2025-01-16T04:00:00Z"}}"#
        );
        assert_eq!(String::from_utf8(message.value.unwrap()).unwrap(), expected);
        assert_eq!(simulation.message(999, 0).key, "1000");
    }

    #[test]
    fn numbers_do_not_depend_on_each_other() {
        let alone = SIMULATION.message(17, 5);
        assert_eq!(SIMULATION.message(17, 5), alone);
        assert_ne!(SIMULATION.message(18, 5).value, alone.value);
        assert_ne!(Simulation { seed: 8, ..SIMULATION }.message(17, 5).value, alone.value);
        assert_eq!(time_text(1_737_000_000_999), "2025-01-16T04:00:00Z");
    }
}
