//! S3 and what speaks like it. A file is one object, put at once or, beyond 16 MiB, in parts that become visible together.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use headrace_core::{Error, Result, StoreUrl, clock};
use hyper::body::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as S3Error, GetOptions, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};

use super::Listed;
use super::http::Pool;
use super::path::LakePath;
use super::place::{Expected, Opened, Place, Upload};

/// What is sent at once: files up to this length are one request.
const PART_BYTES: usize = 16 << 20;
const OPTIONS: [&str; 3] = ["endpoint", "region", "tls_ca"];

/// A prefix in a bucket.
pub(super) struct Bucket {
    store: std::sync::Arc<AmazonS3>,
    prefix: String,
    name: String,
}

impl Bucket {
    /// Checks that the bucket is there and the login is good.
    ///
    /// # Errors
    /// A configuration error for a wrong URL, login or certificate, or a missing bucket; an external one when nothing answers.
    pub(super) async fn open(url: &StoreUrl) -> Result<Self> {
        url.allow_options(&OPTIONS)?;
        let [(bucket, None)] = url.hosts.as_slice() else {
            return Err(Error::configuration(format!(
                "{url}: name one bucket, and its server by endpoint=URL, as in s3://BUCKET/PREFIX?endpoint=https://HOST:PORT"
            )));
        };
        let region = url.option("region").map(str::to_owned).or_else(|| clock::environment("AWS_REGION"));
        let endpoint = url.option("endpoint").map(str::to_owned).or_else(|| clock::environment("AWS_ENDPOINT_URL"));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region.unwrap_or_else(|| "us-east-1".to_owned()))
            .with_retry(retry());
        builder = login(url, builder)?;
        let is_plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        match &endpoint {
            Some(endpoint) if !is_plain && !endpoint.starts_with("https://") => {
                return Err(Error::configuration(format!(
                    "s3: endpoint={endpoint} begins neither with http:// nor with https://"
                )));
            }
            Some(endpoint) if endpoint.contains('@') => {
                return Err(Error::configuration(
                    "s3: a login stands before the bucket (s3://KEY:SECRET@BUCKET), not in the endpoint",
                ));
            }
            Some(endpoint) => builder = builder.with_endpoint(endpoint.trim_end_matches('/')).with_allow_http(is_plain),
            // Buckets of AWS have hosts of their own.
            None => builder = builder.with_virtual_hosted_style_request(true),
        }
        builder = builder.with_http_connector(Pool::new(url.option("tls_ca"), !is_plain)?);
        let prefix = url.path.join("/");
        let server = endpoint.map(|endpoint| format!("?endpoint={endpoint}")).unwrap_or_default();
        let name = format!("s3://{bucket}/{prefix}{server}");
        let store = builder.build().map_err(|error| Error::configuration(format!("cannot use {name}: {error}")))?;
        let bucket = Self { store: std::sync::Arc::new(store), prefix, name };
        let first = bucket.store.list(Some(&bucket.path("")?)).try_next().await;
        first.map_err(|error| failed(&bucket.name, "cannot look into", error))?;
        Ok(bucket)
    }

    fn path(&self, inner: &str) -> Result<Path> {
        let path = format!("{}/{inner}", self.prefix);
        Path::parse(path.trim_matches('/')).map_err(|error| Error::configuration(format!("{}: {error}", self.name)))
    }

    fn context(&self, what: &str, path: &LakePath) -> String {
        format!("{what} {path} in {}", self.name)
    }
}

#[async_trait]
impl Place for Bucket {
    async fn create(&self, path: &LakePath, alone: bool) -> Result<Box<dyn Upload>> {
        let store = std::sync::Arc::clone(&self.store);
        let context = self.context("cannot write", path);
        let location = self.path(path.as_str())?;
        Ok(Box::new(Writing { store, location, context, waiting: Vec::new(), bytes: 0, parts: None, is_single: alone }))
    }

    async fn open(&self, path: &LakePath) -> Result<Option<Box<dyn Opened>>> {
        let location = self.path(path.as_str())?;
        let context = self.context("cannot read", path);
        match self.store.head(&location).await {
            Ok(meta) => Ok(Some(Box::new(Reading { store: std::sync::Arc::clone(&self.store), meta, context }))),
            Err(S3Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&context, "", error)),
        }
    }

    async fn list(&self, folder: &LakePath) -> Result<Vec<Listed>> {
        let prefix = self.path(folder.as_str())?;
        let top = self.path("")?;
        let found: Vec<ObjectMeta> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|error| failed(&self.context("cannot list", folder), "", error))?;
        let listed = |meta: ObjectMeta| {
            let path = meta.location.as_ref().strip_prefix(top.as_ref())?.trim_start_matches('/');
            // What has another name is hidden, or not ours.
            let path = LakePath::new(path).ok()?;
            path.is_file().then_some(Listed { path, bytes: meta.size })
        };
        Ok(found.into_iter().filter_map(listed).collect())
    }

    async fn delete(&self, path: &LakePath) -> Result<bool> {
        let location = self.path(path.as_str())?;
        let was_there = self.open(path).await?.is_some();
        match self.store.delete(&location).await {
            Ok(()) | Err(S3Error::NotFound { .. }) => Ok(was_there),
            Err(error) => Err(failed(&self.context("cannot delete", path), "", error)),
        }
    }

    /// Parts of files that were never finished are not seen, and a rule of the bucket removes them.
    async fn sweep(&self, _idle: Duration) -> Result<usize> {
        Ok(0)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

struct Writing {
    store: std::sync::Arc<AmazonS3>,
    location: Path,
    context: String,
    waiting: Vec<Bytes>,
    bytes: usize,
    parts: Option<Box<dyn MultipartUpload>>,
    /// Whether it is put by one request, which can be made to depend on what is there.
    is_single: bool,
}

impl Writing {
    fn payload(&mut self) -> PutPayload {
        self.bytes = 0;
        PutPayload::from_iter(std::mem::take(&mut self.waiting))
    }

    async fn put(&mut self, expected: &Expected) -> Result<(), S3Error> {
        let mode = match expected {
            Expected::Anything => PutMode::Overwrite,
            Expected::Nothing => PutMode::Create,
            Expected::Version(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
        };
        let payload = self.payload();
        self.store.put_opts(&self.location, payload, PutOptions::from(mode)).await.map(|_| ())
    }
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len();
        self.waiting.push(bytes);
        if self.is_single || self.bytes < PART_BYTES {
            return Ok(());
        }
        let payload = self.payload();
        let send = async {
            if self.parts.is_none() {
                self.parts = Some(self.store.put_multipart(&self.location).await?);
            }
            match &mut self.parts {
                Some(parts) => parts.put_part(payload).await,
                None => Ok(()),
            }
        };
        send.await.map_err(|error| failed(&self.context, "", error))
    }

    async fn finish(mut self: Box<Self>, expected: &Expected) -> Result<()> {
        let done = match self.parts.take() {
            None => self.put(expected).await,
            Some(mut parts) => {
                let payload = self.payload();
                let send = async {
                    if payload.content_length() > 0 {
                        parts.put_part(payload).await?;
                    }
                    parts.complete().await.map(|_| ())
                };
                let done = send.await;
                self.parts = Some(parts);
                done
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(S3Error::Precondition { .. } | S3Error::AlreadyExists { .. }) => {
                Err(Error::external(self.context.clone(), "another worker has changed it meanwhile"))
            }
            Err(error) => {
                let error = failed(&self.context, "", error);
                self.abort().await;
                Err(error)
            }
        }
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(mut parts) = self.parts.take()
            && let Err(error) = parts.abort().await
        {
            tracing::debug!(%error, "the parts of an unfinished file could not be deleted");
        }
    }
}

struct Reading {
    store: std::sync::Arc<AmazonS3>,
    meta: ObjectMeta,
    context: String,
}

#[async_trait]
impl Opened for Reading {
    fn bytes(&self) -> u64 {
        self.meta.size
    }

    fn version(&self) -> String {
        self.meta.e_tag.clone().unwrap_or_default()
    }

    async fn range(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        // Only of the object that was opened: another one has other places.
        let options = GetOptions::new().with_range(Some(range)).with_if_match(self.meta.e_tag.clone());
        let read = async {
            let answer = self.store.get_opts(&self.meta.location, options).await?;
            // Some servers do not know conditions.
            let is_same = answer.meta.e_tag == self.meta.e_tag && answer.meta.size == self.meta.size;
            answer.bytes().await.map(|bytes| is_same.then_some(bytes))
        };
        match read.await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) | Err(S3Error::Precondition { .. } | S3Error::NotFound { .. }) => {
                Err(Error::external(self.context.clone(), "it was replaced meanwhile"))
            }
            Err(error) => Err(failed(&self.context, "", error)),
        }
    }
}

fn login(url: &StoreUrl, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
    let (key, secret) = match &url.user {
        Some(user) => (Some(user.clone()), url.password.as_ref().map(|secret| secret.reveal().to_owned())),
        None => (clock::environment("AWS_ACCESS_KEY_ID"), clock::environment("AWS_SECRET_ACCESS_KEY")),
    };
    let (Some(key), Some(secret)) = (key, secret) else {
        return Err(Error::configuration(
            "s3: no login: give the key in the URL (s3://KEY@BUCKET) and its secret by password_file=FILE, password_env=NAME or HEADRACE_S3_PASSWORD, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    };
    let builder = builder.with_access_key_id(key).with_secret_access_key(secret);
    match clock::environment("AWS_SESSION_TOKEN").filter(|_| url.user.is_none()) {
        Some(token) => Ok(builder.with_token(token)),
        None => Ok(builder),
    }
}

/// A few seconds: longer waiting is the business of the run loop.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 4, retry_timeout: Duration::from_secs(30) }
}

/// The kind of an error of the client, and what the server said of it.
fn failed(context: &str, what: &str, error: S3Error) -> Error {
    let context = if what.is_empty() { context.to_owned() } else { format!("{what} {context}") };
    let cause = crate::certificate::innermost(&error);
    if crate::certificate::is_refused(&error) {
        let advice = "give the certificate authority of the server by tls_ca=FILE";
        return Error::configuration(format!("{context}: {cause}; {advice}"));
    }
    let text = cause.to_string();
    let said = said(&text);
    let code = said.split(':').next().unwrap_or_default().to_owned();
    match (&error, code.as_str()) {
        (_, "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable") => Error::external(context, said),
        (_, "NoSuchBucket" | "InvalidBucketName" | "AllAccessDisabled") => {
            Error::configuration(format!("{context}: {said}; make the bucket first, or check its name"))
        }
        (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "AccessDenied"
            | "ExpiredToken"
            | "InvalidToken"
            | "Forbidden",
        )
        | (S3Error::PermissionDenied { .. } | S3Error::Unauthenticated { .. }, _) => {
            Error::configuration(format!("{context}: {said}; check key, secret and what they may do"))
        }
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            Error::configuration(format!("{context}: {said}; give the bucket's region by region=NAME"))
        }
        (S3Error::NotFound { .. }, _) => Error::configuration(format!("{context}: {said}; check bucket and endpoint")),
        _ => Error::external(context, said),
    }
}

/// The code and message in an XML answer, or the whole text.
fn said(text: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => text.lines().next().unwrap_or("no answer").chars().take(400).collect(),
    }
}

#[cfg(test)]
mod tests {
    use headrace_core::{ErrorKind, StoreUrl};
    use object_store::Error as S3Error;

    use super::{Bucket, failed};

    #[tokio::test]
    async fn wrong_urls_are_configuration_errors() {
        for (url, named) in [
            ("s3://key:canary@bucket:90/lake", "endpoint"),
            ("s3://key:canary@a,b/lake", "one bucket"),
            ("s3://key:canary@bucket?endpoint=127.0.0.1:9", "http://"),
            ("s3://key:canary@bucket?endpoint=http://u:canary2@127.0.0.1:9", "before the bucket"),
            ("s3://key:canary@bucket?tls_ca=/no/such/file&endpoint=https://127.0.0.1:9", "/no/such/file"),
            ("s3://key:canary@bucket?regoin=x", "regoin"),
            ("s3://key@bucket?endpoint=http://127.0.0.1:9", "HEADRACE_S3_PASSWORD"),
        ] {
            let error = Bucket::open(&StoreUrl::parse(url).unwrap()).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            assert!(error.to_string().contains(named) && !error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_the_server_says_has_a_kind() {
        for (code, kind) in [
            ("NoSuchBucket", ErrorKind::Configuration),
            ("InvalidAccessKeyId", ErrorKind::Configuration),
            ("SignatureDoesNotMatch", ErrorKind::Configuration),
            ("SlowDown", ErrorKind::External),
        ] {
            let body = format!("Server returned 4xx: <Error><Code>{code}</Code><Message>no</Message></Error>");
            let error = failed("cannot read x", "", S3Error::Generic { store: "S3", source: body.into() });
            assert_eq!(error.kind(), kind, "{error}");
            assert!(
                error.to_string().ends_with("no") || error.to_string().contains(&format!("{code}: no;")),
                "{error}"
            );
        }
    }
}
