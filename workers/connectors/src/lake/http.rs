//! HTTP for the client of S3: our pool of connections and our TLS instead of the ones it would bring along.

use std::time::Duration;

use async_trait::async_trait;
use headrace_core::Result;
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};

/// Longer than any answer may take to begin; after that the server counts as lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// A pool of connections.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
}

impl Pool {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// A configuration error when the file of authorities cannot be used.
    pub(super) fn new(authorities: Option<&str>, is_secure: bool) -> Result<Self> {
        let mut connector = TcpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(crate::tls::client("s3", authorities, is_secure)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Ok(Self { client })
    }
}

impl HttpConnector for Pool {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Pool {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.client.request(request)).await;
        let silent = |_| HttpError::new(HttpErrorKind::Timeout, std::io::Error::from(std::io::ErrorKind::TimedOut));
        let answer = answer.map_err(silent)?.map_err(lost)?;
        let (head, body) = answer.into_parts();
        let body: BoxBody<Bytes, HttpError> =
            BoxBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)));
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

/// The error of a request without answer. One that never left is tried again by the client, and so is a lost one where that does
/// no harm; a certificate that is not trusted stays that.
fn lost(error: hyper_util::client::legacy::Error) -> HttpError {
    let kind = if crate::certificate::is_refused(&error) {
        HttpErrorKind::Unknown
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}
