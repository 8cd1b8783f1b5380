//! What stands before every handler: who may ask, how many at a time, how long an answer may take, and the request's record.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headrace_core::Secret;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::settings::Settings;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Guard {
    settings: Arc<Settings>,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Guard {
    pub(crate) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let places = Arc::new(Semaphore::new(settings.requests));
        Self { settings: Arc::new(settings.clone()), places, metrics }
    }
}

/// Records a request, refuses it when too many are open, and ends it when it takes too long.
pub(crate) async fn limit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", |path| path.as_str()).to_owned();
    let method = request.method().clone();
    let response = match guard.places.try_acquire() {
        Err(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time; try again").into_response()
        }
        Ok(_place) => match tokio::time::timeout(guard.settings.timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "the answer took too long; try again").into_response(),
        },
    };
    guard.metrics.request(&route, known(method.as_str()), response.status().as_u16(), started.elapsed());
    response
}

/// A client may invent methods, and each would be a label.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "OPTIONS"].into_iter().find(|known| *known == method).unwrap_or("other")
}

/// Without a token, only names of this machine are answered: a page from elsewhere could else have its own name lead here.
pub(crate) async fn local_only(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.settings.token.is_none() && !is_local(&request) {
        let detail = "this server answers to localhost only; start it with a token to use another name";
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response();
    }
    next.run(request).await
}

fn is_local(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or(request.uri().host());
    let Some(host) = host else { return false };
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets a request through that brings the token, if there is one.
pub(crate) async fn authorise(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if let Some(token) = &guard.settings.token
        && !brings(&request, token)
    {
        return Problem::new(StatusCode::UNAUTHORIZED, "send the token: Authorization: Bearer …").into_response();
    }
    next.run(request).await
}

fn brings(request: &Request, token: &Secret) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    let given = given.and_then(|given| {
        let (scheme, word) = given.split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| word.trim_ascii())
    });
    // In a time that does not tell how many characters were right.
    given.is_some_and(|given| bool::from(given.ct_eq(token.reveal().as_bytes())))
}
