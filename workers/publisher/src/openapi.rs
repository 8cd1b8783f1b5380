//! The description of all routes, OpenAPI 3.1, at `/openapi.json`.

use axum::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::answer;
use crate::problem::Problem;
use crate::scoring::{live, offers, what_if};

#[derive(OpenApi)]
#[openapi(
    info(title = "Headrace", description = "What Headrace has worked out. Errors are application/problem+json."),
    paths(offers::find, what_if::ask, live::now, crate::server::health, crate::server::measures, describe),
    components(schemas(Problem)),
    modifiers(&Bearer)
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The description of all routes
#[utoipa::path(get, path = "/openapi.json", tag = "publisher", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn describe() -> Response {
    answer::json(&Description::openapi())
}
