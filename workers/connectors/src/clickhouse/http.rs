//! Requests to the HTTP interface: one query each, its answer as a whole.
//!
//! Connections are kept for two seconds, which is less than any server keeps them. Queries travel in the body, except
//! that of an insert, whose body is the rows. The password is sent as a header only.

use std::error::Error as StdError;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headrace_core::{Error, Result, StoreUrl};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::failure;

/// Longer than any query may take; after that the server counts as lost.
const REQUEST_LIMIT: Duration = Duration::from_secs(300);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const IDLE_LIMIT: Duration = Duration::from_secs(2);

/// A server's HTTP interface.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// `http://host:port`.
    root: String,
    /// What texts call the server.
    place: String,
    authorization: Option<header::HeaderValue>,
}

impl Http {
    /// Reads the URL; nothing is sent yet.
    ///
    /// # Errors
    /// A configuration error for wrong options and certificates, or a host that cannot be found.
    pub(super) async fn new(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&["tls_ca", "table"])?;
        let is_secure = url.scheme == "clickhouses";
        let default_port = if is_secure { 8443 } else { 8123 };
        let [(host, port)] = url.hosts.as_slice() else {
            return Err(Error::configuration(format!("{url}: name exactly one server")));
        };
        let place = url.host_list(default_port);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Err(error) = tokio::net::lookup_host((bare, port.unwrap_or(default_port))).await {
            return Err(Error::configuration(format!("cannot find the ClickHouse server `{host}`: {error}")));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(crate::tls::client("clickhouses", url.option("tls_ca"), is_secure)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        let scheme = if is_secure { "https" } else { "http" };
        Ok(Self {
            client,
            root: format!("{scheme}://{place}"),
            place: format!("{}://{place}", url.scheme),
            authorization: authorization(url)?,
        })
    }

    /// The server, as texts call it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Runs a query and gives its whole answer.
    ///
    /// # Errors
    /// What [`failure`] makes of it.
    pub(super) async fn run(&self, context: &str, query: &str, settings: &[(&str, &str)]) -> Result<Bytes> {
        self.post(context, settings, query.as_bytes().to_vec()).await
    }

    /// Inserts rows.
    ///
    /// # Errors
    /// What [`failure`] makes of it.
    pub(super) async fn insert(
        &self,
        context: &str,
        query: &str,
        rows: Vec<u8>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let parameters: Vec<(&str, &str)> = [("query", query)].iter().chain(settings).copied().collect();
        self.post(context, &parameters, rows).await.map(|_| ())
    }

    async fn post(&self, context: &str, parameters: &[(&str, &str)], body: Vec<u8>) -> Result<Bytes> {
        // The server holds the answer back until the query has ended, so that the status tells whether it failed.
        let mut uri = format!("{}/?wait_end_of_query=1", self.root);
        for (name, value) in parameters {
            uri.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        let mut request = Request::builder().method(Method::POST).uri(uri);
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::configuration(format!("{context}: {error}")))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| self.lost(context, error))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| self.lost(context, error))?;
            Ok::<_, Error>((status, body.to_bytes()))
        };
        let (status, answer) = tokio::time::timeout(REQUEST_LIMIT, exchange).await.map_err(|_| {
            Error::external(context, format!("{} gave no answer within {} s", self.place, REQUEST_LIMIT.as_secs()))
        })??;
        if status.is_success() { Ok(answer) } else { Err(failure::refused(context, status.as_u16(), &answer)) }
    }

    /// The error of a request that got no whole answer.
    fn lost(&self, context: &str, error: impl StdError + Send + Sync + 'static) -> Error {
        let reason = crate::certificate::innermost(&error).to_string();
        if crate::certificate::is_refused(&error) {
            let advice = "give the certificate authority of the server by tls_ca=FILE";
            return Error::configuration(format!("{context}: {reason}; {advice}"));
        }
        Error::external(format!("{context}: cannot reach {}", self.place), reason)
    }
}

fn authorization(url: &StoreUrl) -> Result<Option<header::HeaderValue>> {
    let Some(user) = &url.user else { return Ok(None) };
    let password = url.password.as_ref().map_or("", |password| password.reveal());
    let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let mut value = header::HeaderValue::from_str(&text)
        .map_err(|_| Error::configuration("clickhouse: user and password cannot be sent"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
