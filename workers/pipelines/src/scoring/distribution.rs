//! How the data that a model was trained on were distributed, as its file tells: shares of categories, and of ranges of numbers
//! and of scores. Registrations are counted into the same buckets; a category that training never saw has one of its own.
//!
//! Memory: a few dozen buckets for each feature.

use std::collections::{BTreeMap, HashMap};

use headrace_core::{Error, Result};
use serde::Deserialize;

use super::offer::{Scores, TARGETS};
use super::registration::{CATEGORIES, OLDEST, Registration, normal};
use super::schema::predicted;

/// What the bucket of categories is called that training never saw.
pub const UNSEEN: &str = "(never seen)";
/// Characters of a bucket's name.
const LONGEST: usize = 128;

/// The shares as they are written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shares {
    /// Of ranges: from the lowest number to below the first edge, from there to below the second, and so on.
    Ranges {
        edges: Vec<f64>,
        shares: Vec<f64>,
    },
    Categories(BTreeMap<String, f64>),
}

#[derive(Deserialize)]
struct Written {
    features: BTreeMap<String, Shares>,
    scores: BTreeMap<String, Shares>,
}

/// The part of a model's metadata that counts here.
#[derive(Deserialize)]
struct Metadata {
    distribution: Option<Written>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    Category(usize),
    IsOrganic,
    ChildAge,
    Score(usize),
}

/// How a value finds its bucket.
#[derive(Clone, Debug)]
enum Lookup {
    Word(HashMap<String, usize, foldhash::fast::RandomState>),
    Edges(Vec<f64>),
}

/// One feature or score.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The field's name, or the target's with `predicted_` before it.
    pub name: String,
    /// Names of the buckets, with the share of training rows in each.
    pub buckets: Vec<(String, f64)>,
    input: Input,
    lookup: Lookup,
}

/// All features and scores of a model.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// In the order of the contract, the scores last.
    pub features: Vec<Feature>,
}

impl Distribution {
    /// Reads it from a model's metadata; none where they do not tell.
    ///
    /// # Errors
    /// A data error naming what does not fit.
    pub fn from_metadata(json: &[u8]) -> Result<Option<Self>> {
        let bad = |detail: String| Error::data(format!("cannot use the model's distribution: {detail}"));
        let metadata: Metadata = serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        let Some(mut written) = metadata.distribution else { return Ok(None) };
        let categories = CATEGORIES.iter().enumerate().map(|(index, name)| (*name, Input::Category(index)));
        let numbers = [("is_organic", Input::IsOrganic), ("child_age", Input::ChildAge)];
        let mut features = Vec::new();
        for (name, input) in categories.chain(numbers) {
            if let Some(shares) = written.features.remove(name) {
                features.push(Feature::new(name.to_owned(), input, shares).map_err(bad)?);
            }
        }
        for (index, target) in TARGETS.iter().enumerate() {
            if let Some(shares) = written.scores.remove(*target) {
                features.push(Feature::new(predicted(target), Input::Score(index), shares).map_err(bad)?);
            }
        }
        match written.features.into_keys().chain(written.scores.into_keys()).next() {
            Some(other) => Err(bad(format!("`{other}` is no known feature or target"))),
            None => Ok(Some(Self { features })),
        }
    }

    /// Counts registrations and their scores: for each feature, by bucket.
    pub fn count<'a>(&self, rows: impl Iterator<Item = (&'a Registration, &'a Scores)>) -> Vec<Vec<u64>> {
        let mut counts: Vec<Vec<u64>> = self.features.iter().map(|feature| vec![0; feature.buckets.len()]).collect();
        for (registration, scores) in rows {
            for (feature, counts) in self.features.iter().zip(&mut counts) {
                counts[feature.bucket(registration, scores)] += 1;
            }
        }
        counts
    }
}

impl Feature {
    fn new(name: String, input: Input, shares: Shares) -> std::result::Result<Self, String> {
        let (buckets, lookup) = match shares {
            Shares::Categories(shares) if matches!(input, Input::Category(_)) => {
                let known = shares.into_iter().filter(|(category, _)| category.chars().count() <= LONGEST);
                let mut buckets: Vec<(String, f64)> =
                    known.map(|(word, share)| (normal(&word).into(), share)).collect();
                let places = buckets.iter().enumerate().map(|(place, (word, _))| (word.clone(), place)).collect();
                buckets.push((UNSEEN.to_owned(), 0.0));
                (buckets, Lookup::Word(places))
            }
            Shares::Ranges { edges, shares } if !matches!(input, Input::Category(_)) => {
                if shares.len() != edges.len() + 1 {
                    return Err(format!("`{name}` has {} shares for {} edges", shares.len(), edges.len()));
                }
                if !edges.iter().all(|edge| edge.is_finite()) || !edges.is_sorted_by(|one, other| one < other) {
                    return Err(format!("the edges of `{name}` do not ascend"));
                }
                (ranges(&edges).into_iter().zip(shares).collect(), Lookup::Edges(edges))
            }
            _ => return Err(format!("`{name}` has shares of another kind")),
        };
        let whole: f64 = buckets.iter().map(|(_, share)| *share).sum();
        if !buckets.iter().all(|(_, share)| (0.0..=1.0).contains(share)) || (whole - 1.0).abs() > 0.01 {
            return Err(format!("the shares of `{name}` do not add up to 1"));
        }
        Ok(Self { name, buckets, input, lookup })
    }

    fn bucket(&self, registration: &Registration, scores: &Scores) -> usize {
        let number = match (self.input, &self.lookup) {
            (Input::Category(index), Lookup::Word(places)) => {
                return places.get(registration.categories[index].as_str()).copied().unwrap_or(self.buckets.len() - 1);
            }
            (Input::IsOrganic, _) => f64::from(u8::from(registration.is_organic)),
            (Input::ChildAge, _) => f64::from(registration.child_age).min(OLDEST as f64),
            (Input::Score(target), _) => f64::from(scores.0[target]),
            (Input::Category(_), Lookup::Edges(_)) => 0.0,
        };
        match &self.lookup {
            Lookup::Edges(edges) => edges.partition_point(|edge| *edge <= number),
            Lookup::Word(_) => 0,
        }
    }
}

/// Names of the ranges between edges.
fn ranges(edges: &[f64]) -> Vec<String> {
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return vec!["all".to_owned()] };
    let between = edges.windows(2).map(|pair| format!("{} to {}", pair[0], pair[1]));
    std::iter::once(format!("below {first}")).chain(between).chain([format!("from {last}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Distribution, UNSEEN};
    use crate::scoring::offer::Scores;
    use crate::scoring::registration::Registration;

    fn read(features: &str, scores: &str) -> Result<Distribution, String> {
        let json = format!("{{\"distribution\": {{\"features\": {features}, \"scores\": {scores}}}}}");
        Distribution::from_metadata(json.as_bytes()).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn registrations_are_counted_into_the_buckets_of_training() {
        let distribution = read(
            r#"{"platform": {"android": 0.7, "iOS": 0.3}, "child_age": {"edges": [6, 12], "shares": [0.2, 0.5, 0.3]}}"#,
            r#"{"cost": {"edges": [100.5], "shares": [0.5, 0.5]}}"#,
        )
        .unwrap();
        let registration = |platform: &str, child_age| {
            let mut categories: [compact_str::CompactString; 7] = Default::default();
            categories[3] = platform.into();
            Registration { user_id: 1, categories, is_organic: false, child_age, registered_ms: 0 }
        };
        let (cheap, dear) = (Scores([100.0; 8]), Scores([100.5; 8]));
        let rows =
            [(registration("ios", 5), cheap), (registration("windows", 6), dear), (registration("ios", 40), dear)];
        let counts = distribution.count(rows.iter().map(|(registration, scores)| (registration, scores)));
        let named: Vec<(&str, Vec<(&str, u64)>)> = distribution
            .features
            .iter()
            .zip(&counts)
            .map(|(feature, counts)| {
                let names = feature.buckets.iter().map(|(name, _)| name.as_str());
                (feature.name.as_str(), names.zip(counts.iter().copied()).collect())
            })
            .collect();
        let expected = [
            ("platform", vec![("android", 0), ("ios", 2), (UNSEEN, 1)]),
            ("child_age", vec![("below 6", 1), ("6 to 12", 1), ("from 12", 1)]),
            ("predicted_cost", vec![("below 100.5", 1), ("from 100.5", 2)]),
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (features, named) in [
            (r#"{"height": {"a": 1}}"#, "height"),
            (r#"{"platform": {"a": 0.5}}"#, "add up"),
            (r#"{"platform": {"edges": [1], "shares": [0.5, 0.5]}}"#, "another kind"),
            (r#"{"child_age": {"edges": [1], "shares": [1]}}"#, "1 shares for 1 edges"),
            (r#"{"child_age": {"edges": [2, 2], "shares": [0.5, 0.5, 0]}}"#, "ascend"),
        ] {
            let error = read(features, "{}").unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        assert!(Distribution::from_metadata(b"{\"format\": \"x\"}").unwrap().is_none());
    }
}
