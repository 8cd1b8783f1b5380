//! Compares history, offers, registrations and cache, and tells what exactly differs. Memory: a few dozen bytes for each user.

use std::collections::HashMap;

use headrace_core::Result;
use polars::prelude::DataFrame;

use super::cache_value::CachedOffer;
use super::frames::{self, Offer};
use super::offer::Scores;
use super::schema::{CACHE_KEY, CACHE_VALUE, VERSION};

/// Differences shown one by one; beyond that they are only counted.
const SHOWN: usize = 20;

/// What is kept of an offer: the version, the scores and the model's number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    version: i64,
    scores: Scores,
    model: u32,
}

type ByUser = HashMap<u32, Kept, foldhash::fast::RandomState>;

/// What differs, by kind.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    models: Vec<String>,
    newest: ByUser,
    offers: ByUser,
    /// Rows of the history.
    pub history_rows: u64,
    /// Cached offers.
    pub cached: u64,
    /// Keys of the cache that neither hold an offer nor are named as a user.
    pub other_keys: u64,
    /// One of them.
    pub other_key: Option<String>,
    /// Users whose own offer is cached, whether it agrees or not.
    in_cache: u64,
    /// Users with registrations.
    pub registered: u64,
    /// How many users differ, by what is wrong.
    pub wrong: std::collections::BTreeMap<&'static str, u64>,
    /// Sentences about the first of them.
    pub examples: Vec<String>,
}

impl Agreement {
    /// The users with offers.
    pub fn users(&self) -> u64 {
        self.offers.len() as u64
    }

    fn keep(&mut self, offer: &Offer) -> Kept {
        let known = self.models.iter().rposition(|model| *model == offer.model_version);
        let model = known.unwrap_or_else(|| {
            self.models.push(offer.model_version.clone());
            self.models.len() - 1
        });
        #[expect(clippy::cast_possible_truncation, reason = "models are few")]
        let model = model as u32;
        Kept { version: offer.version, scores: offer.scores, model }
    }

    /// Notes something wrong.
    pub fn differs(&mut self, what: &'static str, example: String) {
        *self.wrong.entry(what).or_default() += 1;
        if self.examples.len() < SHOWN {
            self.examples.push(example);
        }
    }

    /// Adds rows of the history.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn add_history(&mut self, page: &DataFrame) -> Result<()> {
        for offer in frames::read_offers(page)? {
            self.history_rows += 1;
            let kept = self.keep(&offer);
            let newest = self.newest.entry(offer.user_id).or_insert(kept);
            if newest.version < kept.version {
                *newest = kept;
            }
        }
        Ok(())
    }

    /// Adds rows of the offers; each is held against the newest of the history.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn add_offers(&mut self, page: &DataFrame) -> Result<()> {
        for offer in frames::read_offers(page)? {
            let kept = self.keep(&offer);
            let user = offer.user_id;
            match self.newest.get(&user).copied() {
                None => self.differs("offers without history", format!("user {user}: an offer, but no history")),
                Some(newest) if newest.version != kept.version => self.differs(
                    "offers not the newest",
                    format!(
                        "user {user}: the offer has version {}, the history's newest is {}",
                        kept.version, newest.version
                    ),
                ),
                // Another model's scores are those of a later re-scoring.
                Some(newest) if newest.model == kept.model && newest.scores != kept.scores => self.differs(
                    "offers with other scores",
                    format!("user {user}: the offer and its row of the history have other scores, of one model"),
                ),
                Some(_) => {}
            }
            self.offers.insert(user, kept);
        }
        Ok(())
    }

    /// Tells which users of the history have no offer; call it behind all offers.
    pub fn end_offers(&mut self) {
        let mut missing: Vec<u32> =
            self.newest.keys().filter(|user| !self.offers.contains_key(user)).copied().collect();
        missing.sort_unstable();
        for user in missing {
            self.differs("offers missing", format!("user {user}: a history, but no offer"));
        }
        self.newest = ByUser::default();
    }

    /// Adds rows of the registrations.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn add_registrations(&mut self, page: &DataFrame) -> Result<()> {
        for (registration, version) in frames::read_registrations(page)? {
            self.registered += 1;
            let user = registration.user_id;
            if self.offers.get(&user).is_none_or(|offer| offer.version != version) {
                self.differs("registrations wrong", format!("user {user}: the registration is not the offer's"));
            }
        }
        Ok(())
    }

    /// Adds rows of the cache.
    ///
    /// # Errors
    /// When a column is missing or of another type.
    pub fn add_cache(&mut self, page: &DataFrame) -> Result<()> {
        let (keys, values) = (page.column(CACHE_KEY)?.str()?, page.column(CACHE_VALUE)?.str()?);
        let versions = page.column(VERSION)?.i64()?;
        for ((key, value), version) in keys.iter().zip(values.iter()).zip(versions.iter()) {
            let key = key.unwrap_or_default();
            let cached = match CachedOffer::from_json(value.unwrap_or_default()) {
                Ok(cached) => cached,
                Err(error) => {
                    self.differs("cache unreadable", format!("cache key {key}: {error}"));
                    continue;
                }
            };
            self.cached += 1;
            let is_own = key == cached.user_id.to_string() && self.offers.contains_key(&cached.user_id);
            self.in_cache += u64::from(is_own);
            if let Some(wrong) = self.wrong_in(key, &cached, version) {
                self.differs(wrong, format!("cache key {key}: {wrong}"));
            }
        }
        Ok(())
    }

    /// Adds keys of the cache that hold no offer at all. Where the name is that of a user the app would read it; others may be there
    /// for a purpose, and are only counted.
    pub fn add_strangers(&mut self, keys: &[String]) {
        for key in keys {
            if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) {
                self.differs("cache without an offer's JSON", format!("cache key {key}: it holds no offer"));
            } else {
                self.other_keys += 1;
                self.other_key.get_or_insert_with(|| key.clone());
            }
        }
    }

    fn wrong_in(&self, key: &str, cached: &CachedOffer, version: Option<i64>) -> Option<&'static str> {
        if key != cached.user_id.to_string() {
            return Some("cache under another user's key");
        }
        let Some(offer) = self.offers.get(&cached.user_id) else { return Some("cache without offer") };
        if offer.version != cached.version || version.is_some_and(|version| version != cached.version) {
            return Some("cache of another version");
        }
        if self.models[offer.model as usize] != cached.model_version {
            return Some("cache of another model");
        }
        let selected = cached.scores().selected_functions();
        if offer.scores != cached.scores() || selected != cached.selected_functions {
            return Some("cache with other scores");
        }
        None
    }

    /// Tells how many users' offers are not in the cache; call it behind the whole cache.
    pub fn end_cache(&mut self) {
        if let Some(missing) = self.users().checked_sub(self.in_cache).filter(|missing| *missing > 0) {
            self.wrong.insert("cache missing", missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Agreement, frames};
    use crate::scoring::frames::Offer;
    use crate::scoring::offer::Scores;
    use polars::prelude::{DataFrame, NamedFrom, Series};

    fn offer(user_id: u32, version: i64, cost: f32) -> Offer {
        let scores = Scores([cost, 1.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]);
        Offer { user_id, scores, model_version: "m".to_owned(), version }
    }

    /// The names of what is wrong.
    fn wrong(history: &[Offer], offers: &[Offer], cache: &DataFrame) -> Vec<&'static str> {
        let mut agreement = Agreement::default();
        agreement.add_history(&frames::offers(history).unwrap()).unwrap();
        agreement.add_offers(&frames::offers(offers).unwrap()).unwrap();
        agreement.end_offers();
        agreement.add_cache(cache).unwrap();
        agreement.end_cache();
        agreement.wrong.into_keys().collect()
    }

    #[test]
    fn keys_of_others_are_differences_where_the_app_would_read_them() {
        let mut agreement = Agreement::default();
        agreement.add_strangers(&["17".to_owned(), "session:17".to_owned()]);
        assert_eq!(agreement.wrong.into_iter().collect::<Vec<_>>(), [("cache without an offer's JSON", 1)]);
        assert_eq!((agreement.other_keys, agreement.other_key.as_deref()), (1, Some("session:17")));
    }

    #[test]
    fn every_difference_is_named() {
        let right = [offer(1, 10, 2.0), offer(2, 20, 3.0)];
        let history = [right[0].clone(), right[1].clone(), offer(2, 19, 5.0)];
        let cache = |rows: &[Offer]| frames::cache(rows, 0).unwrap();
        assert!(wrong(&history, &right, &cache(&right)).is_empty());
        assert_eq!(wrong(&history, &right, &cache(&right[..1])), ["cache missing"]);
        assert_eq!(wrong(&history, &right[..1], &cache(&right[..1])), ["offers missing"]);
        assert_eq!(wrong(&history[..1], &right, &cache(&right)), ["offers without history"]);
        let late = [right[0].clone(), offer(2, 19, 5.0)];
        assert_eq!(wrong(&history, &late, &cache(&late)), ["offers not the newest"]);
        assert_eq!(wrong(&history, &right, &cache(&late)), ["cache of another version"]);
        let other = [offer(1, 10, 2.5), right[1].clone()];
        assert_eq!(wrong(&history, &other, &cache(&other)), ["offers with other scores"]);
        assert_eq!(wrong(&history, &right, &cache(&other)), ["cache with other scores"]);
        let mut model = right.clone();
        model[1].model_version = "n".to_owned();
        assert_eq!(wrong(&history, &model, &cache(&right)), ["cache of another model"]);
        let three = [right[0].clone(), right[1].clone(), offer(3, 1, 1.0)];
        assert_eq!(wrong(&history, &right, &cache(&three)), ["cache without offer"]);
        let mut keys = cache(&right);
        keys.with_column(Series::new("cache_key".into(), vec!["1", "7"]).into()).unwrap();
        assert_eq!(wrong(&history, &right, &keys), ["cache missing", "cache under another user's key"]);
        let mut text = cache(&right);
        text.with_column(Series::new("value".into(), vec!["{'user_id': 1}"; 2]).into()).unwrap();
        assert_eq!(wrong(&history, &right, &text), ["cache missing", "cache unreadable"]);
    }
}
