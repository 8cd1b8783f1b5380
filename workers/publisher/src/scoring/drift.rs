//! How far registrations are from those that the model was trained on, as the live page and Prometheus tell it.

use headrace_core::{Result, clock};
use headrace_pipelines::scoring::drift::{self, DRIFTED, FeatureDrift, SHIFTED};
use headrace_pipelines::scoring::model::Model;
use headrace_pipelines::scoring::targets::Targets;
use serde::Serialize;
use utoipa::ToSchema;

use super::offers::time;
use crate::metrics::Family;

/// The drift of the hour that runs and of the one before.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Drift {
    /// The beginning of what was looked at.
    since: String,
    /// Registrations of this model looked at; of large batches a part stands for all.
    registrations: u64,
    /// From which index on a feature counts as shifted.
    shifted_from: f64,
    /// And as drifted.
    drifted_from: f64,
    /// The greatest index first.
    features: Vec<Feature>,
}

/// One feature, or one score.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Feature {
    feature: String,
    /// The population stability index: 0 where nothing has changed.
    index: f64,
    /// `stable`, `shifted`, `drifted`, or `too few` to tell.
    state: &'static str,
    /// The share of categories that training never saw.
    unseen: Option<f64>,
    /// What changed most.
    moved: Moved,
}

/// A bucket and its shares.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Moved {
    bucket: String,
    trained: f64,
    found: f64,
}

/// The drift as of now; none where the model does not tell what it was trained on.
pub(super) async fn look(targets: &Targets, model: &dyn Model) -> Result<Option<Drift>> {
    let found = drift::read(&*targets.ledger, &targets.schema.profile, model, clock::now_us()).await?;
    Ok(found.map(|found| Drift {
        since: time(found.since_us),
        registrations: found.registrations,
        shifted_from: SHIFTED,
        drifted_from: DRIFTED,
        features: found.features.into_iter().map(Feature::from).collect(),
    }))
}

impl From<FeatureDrift> for Feature {
    fn from(found: FeatureDrift) -> Self {
        let (bucket, trained, now) = found.moved;
        Self {
            feature: found.name,
            index: (found.index * 1e4).round() / 1e4,
            state: found.state.word(),
            unseen: found.unseen,
            moved: Moved { bucket, trained, found: now },
        }
    }
}

impl Drift {
    /// Whether there was anything to look at.
    pub(super) fn has_registrations(&self) -> bool {
        self.registrations > 0
    }

    /// For Prometheus: the index of each feature that enough is known of.
    pub(super) fn family(&self) -> Family {
        let known = self.features.iter().filter(|feature| feature.state != drift::State::TooFew.word());
        Family {
            name: "headrace_drift_index",
            help: "Population stability index of each feature and score against training; above 0.25 train anew.",
            kind: "gauge",
            lines: known.map(|feature| (vec![("feature", feature.feature.clone())], feature.index)).collect(),
        }
    }
}
