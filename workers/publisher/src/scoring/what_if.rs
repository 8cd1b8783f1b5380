//! `POST /offers/what-if`: the tariff of a registration that nobody sent, by the very checks and the model of the topic.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use headrace_core::clock;
use headrace_pipelines::scoring::offer::TARGETS;
use headrace_pipelines::scoring::registration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::commercial::{Commercial, Rounding};
use super::describe::{Language, describe};
use super::{Reason, reasons};
use crate::answer;
use crate::problem::Problem;
use crate::server::Systems;

/// How the tariff is told.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Options {
    /// The language of the description.
    #[serde(default)]
    #[param(inline)]
    language: Language,
    /// What the price ends in.
    #[serde(default)]
    #[param(inline)]
    rounding: Rounding,
}

/// A registration as in the topic's payload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of the body for the description; the topic's own reader reads it")]
pub struct Features {
    ip_country: String,
    device_country: String,
    device_language: String,
    platform: String,
    platform_store: String,
    smartphone_brand: String,
    /// 0 or 1.
    is_organic: u8,
    /// 0 to 120; above 18 counts as 18.
    child_age: u8,
    child_smartphone_brand: String,
}

/// The tariff.
#[derive(Debug, Serialize, ToSchema)]
pub struct TariffAnswer {
    /// The tariff in words.
    description: String,
    commercial: Commercial,
    /// The raw scores by target, each in its range.
    #[schema(value_type = Object)]
    scores: Map<String, Value>,
    selected_functions: Vec<&'static str>,
    /// Whether training never saw one of the categories, which then adds nothing.
    unseen_category: bool,
    model_version: String,
    /// What each input adds to each target before it is clipped; none where the model is not linear.
    why: Option<Vec<Reason>>,
}

/// The tariff of a registration that nobody sent
#[utoipa::path(post, path = "/offers/what-if", tag = "scoring", security(("token" = [])), params(Options), request_body = Features,
    responses((status = 200, body = TariffAnswer), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 413, body = Problem), (status = 422, description = "A field is missing or bad", body = Problem)))]
pub(crate) async fn ask(
    State(systems): State<Systems>,
    options: Result<Query<Options>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(options) = options.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let registration = read(&body)?;
    let (model, (scores, unseen_category), contributions) = systems.scoring.try_out(registration).await?;
    let commercial = Commercial::of(&scores, options.rounding);
    let selected_functions = scores.selected_functions();
    Ok(answer::json(&TariffAnswer {
        description: describe(options.language, &commercial, &selected_functions),
        commercial,
        scores: TARGETS.iter().zip(scores.0).map(|(target, score)| ((*target).to_owned(), score.into())).collect(),
        selected_functions,
        unseen_category,
        model_version: model.version().to_owned(),
        why: contributions.map(reasons),
    }))
}

/// Reads the body as the payload of a message; the user does not matter to a model.
fn read(body: &[u8]) -> Result<registration::Registration, Problem> {
    let mut payload: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is no JSON object: {error}")))?;
    payload.insert("user_id".to_owned(), 1.into());
    let message = serde_json::json!({ "payload": payload }).to_string();
    registration::read(Some(message.as_bytes()), clock::now_ms()).map_err(|refusal| {
        let detail = if refusal.detail.is_empty() { String::new() } else { format!(": {}", refusal.detail) };
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{}{detail}", refusal.reason))
    })
}
