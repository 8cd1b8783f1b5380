//! Routes, limits and the graceful stop.
//!
//! Delivery: after a stop no new connection is taken; open requests have the grace of the settings to end.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use headrace_core::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::guard::{self, Guard};
use crate::metrics::{self, Metrics};
use crate::problem::Problem;
use crate::scoring::{self, Scoring};
use crate::settings::Settings;
use crate::{answer, openapi};

/// All systems that are published.
#[derive(Clone)]
pub struct Systems {
    /// Counts and times of requests.
    pub metrics: Arc<Metrics>,
    /// Tariff offers.
    pub scoring: Arc<Scoring>,
}

impl Systems {
    /// The systems with nothing counted yet.
    pub fn new(scoring: Scoring) -> Self {
        Self { metrics: Arc::default(), scoring: Arc::new(scoring) }
    }
}

/// All routes behind their limits.
pub fn router(settings: &Settings, systems: Systems) -> Router {
    let guard = Guard::new(settings, systems.metrics.clone());
    let data = Router::new()
        .route("/metrics", get(measures))
        .route("/openapi.json", get(openapi::describe))
        .merge(scoring::data())
        .route_layer(from_fn_with_state(guard.clone(), guard::authorise));
    // Pages hold no data: they ask for it, with the token that the reader gives them.
    let open = Router::new().route("/healthz", get(health)).merge(scoring::pages());
    data.merge(open)
        .fallback(missing)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(settings.body_bytes))
        .layer(from_fn_with_state(guard.clone(), guard::local_only))
        .layer(from_fn_with_state(guard, guard::limit))
        .with_state(systems)
}

/// Whether the server is up
#[utoipa::path(get, path = "/healthz", tag = "publisher", responses((status = 200, description = "It answers", body = str)))]
pub(crate) async fn health() -> Response {
    answer::text("text/plain; charset=utf-8", "ok\n")
}

/// Counts and times for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "publisher", security(("token" = [])),
    responses((status = 200, description = "Prometheus text format", body = str, content_type = "text/plain"), (status = 401, body = Problem)))]
pub(crate) async fn measures(State(systems): State<Systems>) -> Response {
    let families = systems.scoring.families().await;
    answer::text(metrics::CONTENT_TYPE, systems.metrics.render(&families))
}

async fn missing(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn other_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take that method; /openapi.json says which it takes",
    )
}

/// A server that has its address.
pub struct Server {
    listener: TcpListener,
    settings: Settings,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// A configuration error when the address would let anybody in or cannot be taken.
    pub async fn bind(settings: Settings) -> Result<Self> {
        settings.check()?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|error| Error::configuration(format!("cannot listen on {}: {error}", settings.listen)))?;
        Ok(Self { listener, settings })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> Result<std::net::SocketAddr> {
        self.listener.local_addr().map_err(|error| Error::external("cannot read the address of the server", error))
    }

    /// Answers until it is told to stop, then lets open requests end for a while.
    ///
    /// # Errors
    /// When the system no longer lets it accept connections.
    pub async fn run(self, systems: Systems, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let router = router(&self.settings, systems);
        let (stopping, stopped) = oneshot::channel();
        let serving = axum::serve(self.listener, router).with_graceful_shutdown(async move {
            stop.await;
            // Nobody listens when serving has ended by itself.
            let _ = stopping.send(());
        });
        let grace = self.settings.grace;
        let patience = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            ended = serving.into_future() => ended.map_err(|error| Error::external("the server cannot go on", error)),
            () = patience => {
                tracing::warn!("left requests that did not end within {grace:?}");
                Ok(())
            }
        }
    }
}
