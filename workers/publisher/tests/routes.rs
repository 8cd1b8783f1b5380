//! An embedded store with scored registrations, and requests to the publisher's routes without a socket.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use headrace_core::{Control, Report};
use headrace_pipelines::steps::steps;
use headrace_publisher::scoring::Scoring;
use headrace_publisher::server::{Systems, router};
use headrace_publisher::settings::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

/// A store with scored registrations.
pub struct Store {
    pub directory: TempDir,
    pub url: String,
}

/// Runs a step of scoring.
pub async fn step(name: &str, values: Value) -> Report {
    let step = steps().into_iter().find(|step| (step.system, step.name) == ("scoring", name)).unwrap();
    step.run_values(values.as_object().unwrap(), Control::default()).await.unwrap()
}

/// An empty store.
pub fn empty() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("embedded:{}", directory.path().join("store").display());
    Store { directory, url }
}

impl Store {
    /// Sends varied registrations, a part of them broken, and scores them.
    pub async fn score(&self, count: u64, first_user: u32, defects: f64) -> Report {
        step(
            "send",
            json!({ "to": self.url, "count": count, "varied": true, "first_user": first_user, "defects": defects }),
        )
        .await;
        step("score", json!({ "from": self.url, "offers": self.url })).await
    }

    /// Opens what the routes read.
    pub async fn systems(&self) -> Systems {
        Systems::new(Scoring::open(&self.url, None, None, None).await.unwrap())
    }

    /// The routes.
    pub async fn routes(&self) -> Router {
        router(&settings(), self.systems().await)
    }
}

/// Settings of a test server.
pub fn settings() -> Settings {
    Settings::at("127.0.0.1:0".parse().unwrap())
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a problem of a status; gives the detail.
    pub fn problem(&self, status: u16) -> String {
        let told = self.json();
        assert_eq!((self.status.as_u16(), &told["status"]), (status, &json!(status)), "{told}");
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        assert!(told["title"].is_string() && told["type"] == "about:blank", "{told}");
        told["detail"].as_str().unwrap().to_owned()
    }
}

/// Sends a request; `localhost` asks unless the headers name another host.
pub async fn send(
    routes: &Router,
    method: &str,
    path: &str,
    headers: &[(header::HeaderName, &str)],
    body: &str,
) -> Answer {
    send_body(routes, method, path, headers, Body::from(body.to_owned())).await
}

/// Sends a request whose body may take its time.
pub async fn send_body(
    routes: &Router,
    method: &str,
    path: &str,
    headers: &[(header::HeaderName, &str)],
    body: Body,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| name != header::HOST) {
        request = request.header(header::HOST, "localhost:8088");
    }
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = routes.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Gets a path.
pub async fn get(routes: &Router, path: &str) -> Answer {
    send(routes, "GET", path, &[], "").await
}
