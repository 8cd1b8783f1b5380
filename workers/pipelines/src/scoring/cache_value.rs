//! The cache's value: one offer as JSON, in the order of the contract.

use std::borrow::Cow;

use headrace_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::offer::{Scores, TARGETS};

/// What stands before each score in the text.
const MEMBERS: [&str; TARGETS.len()] = [
    ",\"predicted_cost\":",
    ",\"predicted_subscription\":",
    ",\"predicted_function_map\":",
    ",\"predicted_function_ignore_sound\":",
    ",\"predicted_function_listen_sound\":",
    ",\"predicted_function_detailed_routes\":",
    ",\"predicted_function_sos_signal\":",
    ",\"predicted_function_invite_second_parent\":",
];

/// Makes the texts of many offers; they are those of [`CachedOffer`]. What is the same in all of them is made once.
#[derive(Debug, Default)]
pub struct OfferTexts {
    text: Vec<u8>,
    model_version: String,
    /// As JSON.
    quoted_version: String,
}

impl OfferTexts {
    /// The text of an offer written at a time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn of(&mut self, user_id: u32, scores: &Scores, version: i64, model_version: &str, now_s: i64) -> Result<&str> {
        let failed = |error: serde_json::Error| Error::data(format!("cannot write an offer as JSON: {error}"));
        if self.quoted_version.is_empty() || self.model_version != model_version {
            self.quoted_version = serde_json::to_string(model_version).map_err(failed)?;
            model_version.clone_into(&mut self.model_version);
        }
        let text = &mut self.text;
        text.clear();
        text.extend_from_slice(b"{\"user_id\":");
        serde_json::to_writer(&mut *text, &user_id).map_err(failed)?;
        for (member, score) in MEMBERS.iter().zip(&scores.0) {
            text.extend_from_slice(member.as_bytes());
            serde_json::to_writer(&mut *text, score).map_err(failed)?;
        }
        text.extend_from_slice(b",\"selected_functions\":[");
        let mut is_first = true;
        for function in scores.selected() {
            text.extend_from_slice(if is_first { b"\"" } else { b",\"" });
            text.extend_from_slice(function.as_bytes());
            text.push(b'"');
            is_first = false;
        }
        text.extend_from_slice(b"],\"version\":");
        serde_json::to_writer(&mut *text, &version).map_err(failed)?;
        text.extend_from_slice(b",\"model_version\":");
        text.extend_from_slice(self.quoted_version.as_bytes());
        text.extend_from_slice(b",\"inserted_datetime\":");
        serde_json::to_writer(&mut *text, &now_s).map_err(failed)?;
        text.push(b'}');
        std::str::from_utf8(text).map_err(|error| Error::data(format!("cannot write an offer as JSON: {error}")))
    }
}

/// One offer as the app's backend reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CachedOffer<'a> {
    /// The user.
    pub user_id: u32,
    /// The monthly price in roubles.
    pub predicted_cost: f32,
    /// The recommended term in months.
    pub predicted_subscription: f32,
    /// The score of more saved places.
    pub predicted_function_map: f32,
    /// The score of ringing through silent mode.
    pub predicted_function_ignore_sound: f32,
    /// The score of listening to the surroundings.
    pub predicted_function_listen_sound: f32,
    /// The score of the detailed route map.
    pub predicted_function_detailed_routes: f32,
    /// The score of the SOS signal.
    pub predicted_function_sos_signal: f32,
    /// The score of inviting a second parent.
    pub predicted_function_invite_second_parent: f32,
    /// The functions that score above one half.
    pub selected_functions: Vec<Cow<'static, str>>,
    /// What decides between two offers of a user.
    pub version: i64,
    /// The model that scored it.
    pub model_version: Cow<'a, str>,
    /// When it was written, in seconds since 1970.
    pub inserted_datetime: i64,
}

impl<'a> CachedOffer<'a> {
    /// An offer written at a time.
    pub fn new(user_id: u32, scores: &Scores, version: i64, model_version: &'a str, now_s: i64) -> Self {
        let [cost, subscription, map, ignore, listen, routes, sos, parent] = scores.0;
        Self {
            user_id,
            predicted_cost: cost,
            predicted_subscription: subscription,
            predicted_function_map: map,
            predicted_function_ignore_sound: ignore,
            predicted_function_listen_sound: listen,
            predicted_function_detailed_routes: routes,
            predicted_function_sos_signal: sos,
            predicted_function_invite_second_parent: parent,
            selected_functions: scores.selected_functions().into_iter().map(Into::into).collect(),
            version,
            model_version: model_version.into(),
            inserted_datetime: now_s,
        }
    }

    /// The scores.
    pub fn scores(&self) -> Scores {
        const { assert!(TARGETS.len() == 8) }
        Scores([
            self.predicted_cost,
            self.predicted_subscription,
            self.predicted_function_map,
            self.predicted_function_ignore_sound,
            self.predicted_function_listen_sound,
            self.predicted_function_detailed_routes,
            self.predicted_function_sos_signal,
            self.predicted_function_invite_second_parent,
        ])
    }
}

impl CachedOffer<'static> {
    /// Reads the JSON text.
    ///
    /// # Errors
    /// A data error that says what is wrong.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::data(format!("a cached offer cannot be read: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CachedOffer, OfferTexts, Scores};

    #[test]
    fn the_text_is_json_in_the_order_of_the_contract() {
        let scores = Scores([251.159_44, 3.446_17, 0.82, 0.96, 0.89, 0.1, 0.5, 0.4]);
        let offer = CachedOffer::new(1, &scores, 1_737_000_000_000_000, "m-1", 1_737_000_000);
        let text = OfferTexts::default().of(1, &scores, offer.version, "m-1", 1_737_000_000).unwrap().to_owned();
        insta::assert_snapshot!(text, @r#"{"user_id":1,"predicted_cost":251.15944,"predicted_subscription":3.44617,"predicted_function_map":0.82,"predicted_function_ignore_sound":0.96,"predicted_function_listen_sound":0.89,"predicted_function_detailed_routes":0.1,"predicted_function_sos_signal":0.5,"predicted_function_invite_second_parent":0.4,"selected_functions":["map","ignore_sound","listen_sound"],"version":1737000000000000,"model_version":"m-1","inserted_datetime":1737000000}"#);
        assert_eq!(CachedOffer::from_json(&text).unwrap(), offer);
        assert_eq!(offer.scores(), scores);
        assert!(CachedOffer::from_json("{'user_id': 1}").is_err());
    }

    proptest! {
        /// The texts are those that serde makes of the same offers.
        #[test]
        fn texts_are_those_of_the_offers(
            rows in prop::collection::vec((any::<u32>(), any::<[f32; 8]>(), any::<i64>(), "[a-z\"\\\\ü-]{0,5}", any::<i64>()), 1..9)
        ) {
            let mut texts = OfferTexts::default();
            for (user_id, scores, version, model, now_s) in rows {
                let offer = CachedOffer::new(user_id, &Scores(scores), version, &model, now_s);
                let text = texts.of(user_id, &Scores(scores), version, &model, now_s).unwrap();
                prop_assert_eq!(text, serde_json::to_string(&offer).unwrap());
            }
        }
    }
}
