//! Tariff offers: looked up for the app's backend, tried out on a form, watched on a page that keeps itself fresh.
//!
//! Offers come from the cache, what they were made from beside the offers, counters and dead letters from the ledger. Every read is
//! made when somebody asks.

pub mod commercial;
pub mod describe;
pub mod drift;
pub mod live;
pub mod offers;
pub mod what_if;

mod recent;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use headrace_core::{Error, Result};
use headrace_pipelines::scoring::linear::Contribution;
use headrace_pipelines::scoring::model::{Model, ModelFile, Scored};
use headrace_pipelines::scoring::offer::TARGETS;
use headrace_pipelines::scoring::registration::Registration;
use headrace_pipelines::scoring::targets::Targets;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::answer;
use crate::metrics::Family;
use crate::server::Systems;

/// What the routes read.
pub struct Scoring {
    targets: Targets,
    model: Arc<ModelFile>,
    live: live::Live,
    found: AtomicU64,
    missed: AtomicU64,
}

impl Scoring {
    /// Opens the stores and the model; the built-in one if none is given. It creates no tables.
    ///
    /// # Errors
    /// A configuration error naming the option or file, else what the connectors say.
    pub async fn open(offers: &str, cache: Option<&str>, ledger: Option<&str>, model: Option<&Path>) -> Result<Self> {
        Ok(Self {
            targets: Targets::open(offers, cache, ledger).await?,
            model: Arc::new(ModelFile::open(model)?),
            live: live::Live::default(),
            found: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        })
    }

    /// The model as of now; a changed file is read where it may block.
    async fn current(&self) -> Result<Arc<dyn Model>> {
        let file = self.model.clone();
        let taken = tokio::task::spawn_blocking(move || file.current());
        taken.await.map_err(|error| Error::external("the model cannot be taken", error))
    }

    /// The model as of now, and what it makes of a registration; computed where it may block.
    async fn try_out(&self, registration: Registration) -> Result<(Arc<dyn Model>, Scored, Option<Vec<Contribution>>)> {
        let file = self.model.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let model = file.current();
            let mut scored = model.score(std::slice::from_ref(&registration))?;
            let scored = scored.pop().ok_or_else(|| Error::data("the model gave no result"))?;
            let contributions = model.contributions(&registration);
            Ok((model, scored, contributions))
        });
        computed.await.map_err(|error| Error::external("the model cannot be computed", error))?
    }

    /// What Prometheus is told beside the requests.
    pub(crate) async fn families(&self) -> Vec<Family> {
        let lookups = [("found", &self.found), ("missing", &self.missed)];
        let lookups =
            lookups.map(|(result, count)| (vec![("result", result.to_owned())], count.load(Ordering::Relaxed) as f64));
        let model = self.current().await.map_or_else(|_| String::new(), |model| model.version().to_owned());
        let mut families = vec![
            Family {
                name: "headrace_offer_lookups_total",
                help: "Offers asked for.",
                kind: "counter",
                lines: lookups.into(),
            },
            Family {
                name: "headrace_model_info",
                help: "The model of the what-if form.",
                kind: "gauge",
                lines: vec![(vec![("version", model)], 1.0)],
            },
        ];
        let counters = self.targets.ledger.counters(&self.targets.scope()).await;
        let readable = f64::from(u8::from(counters.is_ok()));
        families.push(Family {
            name: "headrace_ledger_up",
            help: "Whether the ledger can be read.",
            kind: "gauge",
            lines: vec![(Vec::new(), readable)],
        });
        if let Ok(counts) = counters {
            let fates =
                [("accepted", counts.written), ("duplicate", counts.duplicate), ("dead_letter", counts.dead_lettered)];
            let fates = fates.map(|(fate, count)| (vec![("fate", fate.to_owned())], count as f64));
            families.push(Family {
                name: "headrace_registrations_total",
                help: "Registrations by what became of them.",
                kind: "counter",
                lines: fates.into(),
            });
            let letters =
                live::dead_letters(&counts).into_iter().map(|(reason, count)| (vec![("reason", reason)], count as f64));
            families.push(Family {
                name: "headrace_dead_letters_total",
                help: "Refused registrations by reason.",
                kind: "counter",
                lines: letters.collect(),
            });
        }
        if let Ok(model) = self.current().await
            && let Ok(Some(drift)) = drift::look(&self.targets, &*model).await
        {
            families.push(drift.family());
        }
        families
    }
}

/// Routes with data.
pub(crate) fn data() -> Router<Systems> {
    Router::new()
        .route("/offers/{user_id}", get(offers::find))
        .route("/offers/what-if", post(what_if::ask))
        .route("/offers/live/now", get(live::now))
}

/// Pages and their files, without data.
pub(crate) fn pages() -> Router<Systems> {
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    let file = |kind: &'static str, body: &'static str| get(move || async move { answer::page(kind, body) });
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/offers/what-if") }))
        .route("/offers/what-if", file(HTML, include_str!("../pages/what-if.html")))
        .route("/offers/live", file(HTML, include_str!("../pages/live.html")))
        .route("/offers/pages/style.css", file("text/css; charset=utf-8", include_str!("../pages/style.css")))
        .route("/offers/pages/common.js", file(SCRIPT, include_str!("../pages/common.js")))
        .route("/offers/pages/what-if.js", file(SCRIPT, include_str!("../pages/what-if.js")))
        .route("/offers/pages/live.js", file(SCRIPT, include_str!("../pages/live.js")))
}

/// What one input adds to each target before it is clipped.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Reason {
    /// The input, such as `smartphone_brand`.
    input: String,
    /// Its value, such as `xiaomi`; none for the intercept and for numbers.
    value: Option<String>,
    /// What it adds, by target.
    #[schema(value_type = Object)]
    adds: Map<String, Value>,
}

/// Contributions as answers tell them.
fn reasons(contributions: Vec<Contribution>) -> Vec<Reason> {
    contributions
        .into_iter()
        .map(|contribution| {
            let (input, value) = match contribution.column.split_once('=') {
                Some((input, value)) => (input.to_owned(), Some(value.to_owned())),
                None => (contribution.column.split('/').next().unwrap_or_default().to_owned(), None),
            };
            let adds = TARGETS.iter().zip(contribution.adds);
            Reason { input, value, adds: adds.map(|(target, adds)| ((*target).to_owned(), adds.into())).collect() }
        })
        .collect()
}
