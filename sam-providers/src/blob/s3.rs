//! Blobs in S3, R2 and what speaks like them.
//!
//! Everything is handed in: no variable, no file and no metadata address is looked at, no proxy of
//! the environment is used, and nothing is sent twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::signer::Signer as _;
use object_store::{BackoffConfig, RetryConfig};
use sam_core::blob::{BlobKey, SignUrl, UrlAccess, UrlSigner};
use sam_core::{Error, ErrorKind, Result, Secret};

use super::fault::{Asked, of};
use super::layout::Layout;
use super::objects::ObjectBlobs;

/// Where a bucket is, and who asks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Its region, such as `eu-central-1`; `auto` for R2.
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret<String>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret<String>>,
    /// Another server than Amazon's; the bucket is then the first segment of the path.
    pub endpoint: Option<String>,
    /// Below which key everything lies, where others use the bucket, too.
    pub prefix: Option<BlobKey>,
    /// Until a connection stands.
    pub connect_deadline: Duration,
    /// Between two pieces of an answer.
    pub read_deadline: Duration,
    /// From the call to the last byte.
    pub total_deadline: Duration,
}

impl S3Config {
    /// Uses a bucket of Amazon S3. 10 s to connect, 30 s between two pieces, 5 min for all of it:
    /// the largest blob passes at 2 Mbit/s.
    pub fn new(
        bucket: impl Into<String>,
        region: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: Secret<String>,
    ) -> Self {
        Self {
            bucket: bucket.into(),
            region: region.into(),
            access_key_id: access_key_id.into(),
            secret_access_key,
            session_token: None,
            endpoint: None,
            prefix: None,
            connect_deadline: Duration::from_secs(10),
            read_deadline: Duration::from_secs(30),
            total_deadline: Duration::from_mins(5),
        }
    }

    /// Uses a bucket of Cloudflare R2.
    pub fn r2(
        account_id: &str,
        bucket: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: Secret<String>,
    ) -> Self {
        Self::new(bucket, "auto", access_key_id, secret_access_key)
            .with_endpoint(format!("https://{account_id}.r2.cloudflarestorage.com"))
    }

    /// Asks another server: scheme, host and port.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Adds the token of temporary credentials.
    #[must_use]
    pub fn with_session_token(mut self, token: Secret<String>) -> Self {
        self.session_token = Some(token);
        self
    }

    /// Puts everything below a key.
    #[must_use]
    pub fn with_prefix(mut self, prefix: BlobKey) -> Self {
        self.prefix = Some(prefix);
        self
    }

    /// Sets how long connecting may take, a pause within an answer, and the whole call.
    #[must_use]
    pub fn with_deadlines(mut self, connect: Duration, read: Duration, total: Duration) -> Self {
        (self.connect_deadline, self.read_deadline, self.total_deadline) = (connect, read, total);
        self
    }

    fn check(&self) -> Result<()> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(legal) {
            return Err(wrong(format!("{:?} is no name of a bucket", self.bucket)));
        }
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.region.is_empty() || !self.region.bytes().all(legal) {
            return Err(wrong(format!("{:?} is no region", self.region)));
        }
        if self.access_key_id.trim().is_empty() || self.secret_access_key.expose().is_empty() {
            return Err(wrong("the access key is empty".to_owned()));
        }
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let uri = endpoint.parse::<http::Uri>().ok();
        let is_server = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        if is_server { Ok(()) } else { Err(wrong("the endpoint is no address of a server".into())) }
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::BadInput, message)
        .with_operation("open_blobs")
        .with_hint("name bucket, region, access key and, for another server, scheme and host")
}

impl ObjectBlobs {
    /// Keeps blobs in a bucket. Nothing is sent.
    ///
    /// # Errors
    /// `BadInput` when the configuration cannot work; `Unavailable` when no HTTP client can be made.
    pub fn s3(config: S3Config) -> Result<Self> {
        config.check()?;
        let endpoint = config.endpoint.as_deref();
        let shown = endpoint.map_or_else(
            || format!("s3://{}", config.bucket),
            |endpoint| format!("{}/{}", endpoint.trim_end_matches('/'), config.bucket),
        );
        // A host name with the bucket in it fits no certificate where the bucket has dots.
        let in_host = endpoint.is_none() && !config.bucket.contains('.');
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Connector::new(&config)?)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(config.secret_access_key.expose())
            .with_virtual_hosted_style_request(in_host)
            .with_disable_bulk_delete(true)
            .with_retry(once());
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(token) = &config.session_token {
            builder = builder.with_token(token.expose());
        }
        let store = builder.build().map_err(|_| wrong(format!("{shown} cannot be used")))?;
        let store = Arc::new(store);
        let layout = Layout::Objects { prefix: config.prefix };
        let place: Arc<str> = shown.into();
        let urls =
            Urls { store: Arc::clone(&store), layout: layout.clone(), place: Arc::clone(&place) };
        Ok(Self { store, layout, place, remote: true, urls: Some(Arc::new(urls)) })
    }
}

/// Whoever asks decides whether to ask again.
fn once() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

/// Hands in the one client that this store uses.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl Connector {
    fn new(config: &S3Config) -> Result<Self> {
        let plain = config.endpoint.as_deref().is_some_and(|e| e.starts_with("http://"));
        reqwest::Client::builder()
            .connect_timeout(config.connect_deadline)
            .read_timeout(config.read_deadline)
            .timeout(config.total_deadline)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(!plain)
            .no_proxy()
            // What is stored comes back byte for byte.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .user_agent(concat!("sam/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "no HTTP client can be made")
                    .with_operation("open_blobs")
                    .with_hint("install the certificates of the system (ca-certificates)")
                    .with_source(error.without_url())
            })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// Signs URLs of a bucket.
struct Urls {
    store: Arc<AmazonS3>,
    layout: Layout,
    place: Arc<str>,
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls").field("place", &self.place).finish_non_exhaustive()
    }
}

#[async_trait]
impl UrlSigner for Urls {
    async fn sign_url(&self, request: &SignUrl) -> Result<Secret<String>> {
        let method = match request.access {
            UrlAccess::Read => http::Method::GET,
            UrlAccess::Write => http::Method::PUT,
            _ => return Err(wrong_url("there is no such access")),
        };
        // The fields are public, so the bound is kept here, too.
        let lifetime = request.lifetime.min(SignUrl::LIFETIME_MAX);
        if lifetime < Duration::from_secs(1) {
            return Err(wrong_url("a URL lives at least a second"));
        }
        let path = self.layout.blob(&request.key)?;
        let url = self.store.signed_url(method, &path, lifetime).await.map_err(|error| {
            let asked =
                Asked { operation: "sign_url", place: &self.place, writes: false, remote: true };
            of(error, asked)
        })?;
        Ok(Secret::new(url.into()))
    }
}

fn wrong_url(message: &str) -> Error {
    Error::new(ErrorKind::BadInput, message).with_operation("sign_url")
}
