//! `GET /offers/{user_id}`: the offer of a user as the cache has it, in words, with its age and why it is what it is.

use std::sync::atomic::Ordering;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use headrace_core::clock;
use headrace_core::store::Select;
use headrace_core::table::Value;
use headrace_pipelines::scoring::cache_value::CachedOffer;
use headrace_pipelines::scoring::frames;
use headrace_pipelines::scoring::schema::{CACHE_KEY, CACHE_VALUE, USER_ID};
use headrace_transforms::civil;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::commercial::{Commercial, Rounding};
use super::describe::{Language, always, describe};
use super::{Reason, Scoring, reasons};
use crate::answer;
use crate::problem::Problem;
use crate::server::Systems;

/// How the offer is told.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Options {
    /// The language of the description, before that of `Accept-Language`.
    #[param(inline)]
    language: Option<Language>,
    /// What the price ends in.
    #[serde(default)]
    #[param(inline)]
    rounding: Rounding,
}

/// The offer of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OfferAnswer {
    user_id: u32,
    language: Language,
    /// The offer in words.
    description: String,
    commercial: Commercial,
    /// The raw scores and the selected functions, as the cache has them.
    #[schema(value_type = Object)]
    offer: CachedOffer<'static>,
    /// Functions that every offer has.
    included_functions: Vec<&'static str>,
    /// When the user registered.
    registered_at: String,
    /// When the offer was written.
    written_at: String,
    /// Seconds since then.
    age_seconds: i64,
    /// What each input adds to each target; only where the model is linear and still the one that made the offer.
    why: Option<Vec<Reason>>,
    /// Why there is no `why`.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_missing: Option<String>,
}

/// The offer of a user
#[utoipa::path(get, path = "/offers/{user_id}", tag = "scoring", security(("token" = [])),
    params(("user_id" = u32, Path, description = "The user, 1 to 4294967295"), Options,
        ("Accept-Language" = Option<String>, Header, description = "ru or en")),
    responses((status = 200, body = OfferAnswer), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, description = "The user has no offer", body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn find(
    State(systems): State<Systems>,
    user_id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(options) = options.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let user_id = user(&user_id.map(|Path(text)| text).unwrap_or_default())?;
    let language = options.language.unwrap_or_else(|| Language::accepted(&accepted(&headers)));
    let scoring = &systems.scoring;
    let Some(offer) = scoring.cached(user_id).await? else {
        scoring.missed.fetch_add(1, Ordering::Relaxed);
        return Err(Problem::not_found(format!("user {user_id} has no offer")));
    };
    scoring.found.fetch_add(1, Ordering::Relaxed);
    let why = scoring.why(&offer).await?;
    let commercial = Commercial::of(&offer.scores(), options.rounding);
    let mut response = answer::json(&OfferAnswer {
        user_id,
        language,
        description: describe(language, &commercial, &offer.selected_functions),
        commercial,
        included_functions: always(language),
        registered_at: time(offer.version),
        written_at: time(offer.inserted_datetime.saturating_mul(1_000_000)),
        age_seconds: (clock::now_ms() / 1_000 - offer.inserted_datetime).max(0),
        why_missing: why.as_ref().err().cloned(),
        why: why.ok(),
        offer,
    });
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    Ok(response)
}

fn user(text: &str) -> Result<u32, Problem> {
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let user = if digits { text.parse().ok().filter(|user| *user > 0) } else { None };
    user.ok_or_else(|| Problem::bad_request("a user is a whole number from 1 to 4294967295"))
}

fn accepted(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::ACCEPT_LANGUAGE).iter();
    values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// A point in time as in RFC 3339; the microseconds are left out.
pub(super) fn time(time_us: i64) -> String {
    format!("{}Z", civil::timestamp_text(time_us).replace(' ', "T"))
}

impl Scoring {
    async fn cached(&self, user_id: u32) -> headrace_core::Result<Option<CachedOffer<'static>>> {
        let equal = vec![(CACHE_KEY, Value::Text(user_id.to_string()))];
        let table = &self.targets.cache_table;
        let select = Select { table, columns: vec![CACHE_VALUE], equal, after: Vec::new(), limit: 1 };
        let found = self.targets.cache.select(&select).await?;
        found.column(CACHE_VALUE)?.str()?.iter().next().flatten().map(CachedOffer::from_json).transpose()
    }

    /// What each input adds, or why that cannot be told.
    async fn why(&self, offer: &CachedOffer<'_>) -> headrace_core::Result<Result<Vec<Reason>, String>> {
        let model = self.current().await?;
        if model.version() != offer.model_version {
            return Ok(Err(format!(
                "the offer was made by model {}, and {} is loaded",
                offer.model_version,
                model.version()
            )));
        }
        let table = &self.targets.schema.registrations;
        let columns = table.written().map(|column| column.name.as_str()).collect();
        let equal = vec![(USER_ID, Value::Int(i64::from(offer.user_id)))];
        let select = Select { table, columns, equal, after: Vec::new(), limit: 1 };
        let rows = frames::read_registrations(&self.targets.offers.select(&select).await?)?;
        let Some((registration, _)) = rows.into_iter().find(|(_, version)| *version == offer.version) else {
            return Ok(Err("the registration behind the offer is not there".to_owned()));
        };
        let contributions = model.contributions(&registration);
        Ok(contributions.map(reasons).ok_or_else(|| "the model is not linear: its inputs do not add up".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{time, user};

    #[test]
    fn users_are_whole_numbers_of_the_contract() {
        assert_eq!(user("4294967295"), Ok(4_294_967_295));
        for wrong in ["", "0", "4294967296", "-1", "+1", "1.0", "١", "00000000001"] {
            assert_eq!(user(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        assert_eq!(time(1_737_000_000_000_000), "2025-01-16T04:00:00Z");
    }
}
