//! Broken registrations, one for every reason of the contract.

use serde_json::{Value, json};

use super::envelope;
use crate::random::Random;

/// What a message can be refused for, in alphabetical order.
pub const REASONS: [&str; 27] = [
    "bad_child_age",
    "bad_child_smartphone_brand",
    "bad_device_country",
    "bad_device_language",
    "bad_ip_country",
    "bad_is_organic",
    "bad_json",
    "bad_payload",
    "bad_platform",
    "bad_platform_store",
    "bad_smartphone_brand",
    "bad_timestamp",
    "bad_user_id",
    "empty_value",
    "missing_child_age",
    "missing_child_smartphone_brand",
    "missing_device_country",
    "missing_device_language",
    "missing_ip_country",
    "missing_is_organic",
    "missing_payload",
    "missing_platform",
    "missing_platform_store",
    "missing_smartphone_brand",
    "missing_user_id",
    "not_an_envelope",
    "not_utf8",
];

/// Breaks a payload for a reason.
pub(super) fn broken(random: &mut Random, mut payload: Value) -> (&'static str, Option<Vec<u8>>) {
    #[expect(clippy::cast_possible_truncation, reason = "below the length")]
    let reason = REASONS[random.below(REASONS.len() as u64) as usize];
    let wrong = match reason {
        "bad_child_age" => [json!(121), json!(-1), json!(7.5), json!("7")][place(random, 4)].clone(),
        "bad_is_organic" => [json!(2), json!(true), json!("0")][place(random, 3)].clone(),
        "bad_user_id" => {
            [json!("-1"), json!("0"), json!("4294967296"), json!(1.5), json!("abc")][place(random, 5)].clone()
        }
        "bad_timestamp" => [json!("2025-02-30T00:00:00Z"), json!("yesterday"), json!(7)][place(random, 3)].clone(),
        _ => json!(3),
    };
    let value = match reason {
        "empty_value" => return (reason, [None, Some(Vec::new())][place(random, 2)].clone()),
        "not_utf8" => [envelope(&payload), vec![0xff]].concat(),
        "bad_json" => {
            let mut text = envelope(&payload);
            text.truncate(text.len() / 2);
            text
        }
        "not_an_envelope" => payload.to_string().into_bytes(),
        "missing_payload" => br#"{"payload":null}"#.to_vec(),
        "bad_payload" => [br#"{"payload":"{"}"#.to_vec(), br#"{"payload":[1]}"#.to_vec()][place(random, 2)].clone(),
        _ => {
            if let (Some(members), Some((kind, field))) = (payload.as_object_mut(), reason.split_once('_')) {
                match kind {
                    "bad" => drop(members.insert(field.to_owned(), wrong)),
                    _ => drop(members.remove(field)),
                }
            }
            envelope(&payload)
        }
    };
    (reason, Some(value))
}

fn place(random: &mut Random, length: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "below the length")]
    let place = random.below(length) as usize;
    place
}
