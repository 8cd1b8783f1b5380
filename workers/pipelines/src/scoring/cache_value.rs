//! The cache's value: one offer as JSON, in the order of the contract.

use std::borrow::Cow;

use headrace_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::offer::{Scores, TARGETS};

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

    /// Appends the JSON text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, self).map_err(|error| Error::data(format!("cannot write an offer as JSON: {error}")))
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
    use super::{CachedOffer, Scores};

    #[test]
    fn the_text_is_json_in_the_order_of_the_contract() {
        let scores = Scores([251.159_44, 3.446_17, 0.82, 0.96, 0.89, 0.1, 0.5, 0.4]);
        let offer = CachedOffer::new(1, &scores, 1_737_000_000_000_000, "m-1", 1_737_000_000);
        let mut text = Vec::new();
        offer.write_json(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        insta::assert_snapshot!(text, @r#"{"user_id":1,"predicted_cost":251.15944,"predicted_subscription":3.44617,"predicted_function_map":0.82,"predicted_function_ignore_sound":0.96,"predicted_function_listen_sound":0.89,"predicted_function_detailed_routes":0.1,"predicted_function_sos_signal":0.5,"predicted_function_invite_second_parent":0.4,"selected_functions":["map","ignore_sound","listen_sound"],"version":1737000000000000,"model_version":"m-1","inserted_datetime":1737000000}"#);
        assert_eq!(CachedOffer::from_json(&text).unwrap(), offer);
        assert_eq!(offer.scores(), scores);
        assert!(CachedOffer::from_json("{'user_id': 1}").is_err());
    }
}
