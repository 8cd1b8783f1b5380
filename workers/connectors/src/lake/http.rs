//! HTTP for the client of S3: our pool of connections and our TLS instead of the ones it would bring along.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headrace_core::{Error, Result};
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
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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
            .with_tls_config(tls(authorities, is_secure)?)
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

/// The cause beneath all wrappings, which says most.
pub(super) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// The client side of TLS, trusting the given file of authorities or else those of the system.
fn tls(authorities: Option<&str>, is_secure: bool) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = authorities {
        let unusable = |error: String| Error::configuration(format!("cannot use tls_ca {path}: {error}"));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it holds no certificate in PEM form".to_owned()));
        }
    } else if is_secure {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::configuration(
                "s3: this system has no file of trusted authorities; give one with tls_ca=FILE",
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("cannot set up TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
