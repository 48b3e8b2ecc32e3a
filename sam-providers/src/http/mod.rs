//! The HTTP transport: every provider that speaks HTTP is handed one of these, and none makes a client
//! of its own.
//!
//! It sends one request and returns the answer, over HTTP/1.1 or HTTP/2, with TLS by rustls and the
//! roots of the system beside those it is given. What is tried again, and what waits, is decided above
//! it, by the layers and the engine, who know what an effect allows.
//!
//! Invariants:
//! - Nothing is taken from the environment: a proxy is used when it is named here, and only then.
//! - Every wait has an end: connecting, the pause between two pieces of an answer, and the whole call.
//! - A body is never held that is larger than the bound of the contract.
//! - Neither a URL nor a header nor a body is in an error or a log: they hold secrets.

mod config;
mod fault;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use reqwest::Client;
use sam_core::http::{BODY_BYTES_MAX, HttpTransport};
use sam_core::{Error, ErrorKind, Result};

pub use self::config::HttpConfig;
use self::fault::{cut, of_config, of_sending};

/// Sends requests over the network. Clones share connections.
///
/// ```no_run
/// use bytes::Bytes;
/// use sam_core::http::HttpTransport;
/// use sam_providers::http::{Http, HttpConfig};
///
/// # async fn ask() -> sam_core::Result<()> {
/// let transport = Http::new(&HttpConfig::default())?;
/// let request = http::Request::get("https://api.example/ping").body(Bytes::new());
/// let answer = transport.send(request.expect("the URL is one")).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    config: Arc<HttpConfig>,
}

impl Http {
    /// Makes a transport. Nothing is connected yet.
    ///
    /// # Errors
    /// `BadInput` when the proxy is not a URL or a root certificate is not one; `Unavailable` when the
    /// roots of the system cannot be read.
    pub fn new(config: &HttpConfig) -> Result<Self> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(config.connect_deadline)
            .read_timeout(config.read_deadline)
            .timeout(config.total_deadline)
            .pool_max_idle_per_host(config.idle_connections)
            .user_agent(&config.user_agent);
        if let Some(proxy) = &config.proxy {
            let proxy = reqwest::Proxy::all(proxy.expose())
                .map_err(|error| of_config("the proxy", error))?;
            builder = builder.proxy(proxy);
        }
        for pem in &config.root_certificates {
            let roots = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| of_config("a root certificate", error))?;
            builder = roots.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "no HTTP client can be made")
                .with_operation("open_http")
                .with_hint("install the certificates of the system (ca-certificates)")
                .with_source(error.without_url())
        })?;
        Ok(Self { client, config: Arc::new(config.clone()) })
    }
}

#[async_trait]
impl HttpTransport for Http {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        if request.body().len() > BODY_BYTES_MAX {
            let message = format!("a request's body is longer than {BODY_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::BadInput, message).with_operation("send"));
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let request = reqwest::Request::try_from(request).map_err(|error| {
            Error::new(ErrorKind::BadInput, "the request has no address that can be asked")
                .with_operation("send")
                .with_source(error.without_url())
        })?;
        let started = Instant::now();
        let answer = self.exchange(request, &host).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &answer {
            Ok(answer) => tracing::debug!(
                http.host = host, http.method = %method, http.status = answer.status().as_u16(),
                duration_ms, "answered"
            ),
            Err(error) => tracing::debug!(
                http.host = host, http.method = %method, error.kind = ?error.kind(),
                duration_ms, "not answered"
            ),
        }
        answer
    }
}

impl Http {
    async fn exchange(&self, request: reqwest::Request, host: &str) -> Result<Response<Bytes>> {
        let failed = |error| of_sending(error, host, &self.config);
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        let mut body = BytesMut::new();
        let most = u64::try_from(BODY_BYTES_MAX).unwrap_or(u64::MAX);
        // One that says that it is too long is not read at all.
        if answer.content_length().is_some_and(|length| length > most) {
            return Err(cut(host));
        }
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > BODY_BYTES_MAX {
                return Err(cut(host));
            }
            body.extend_from_slice(&part);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}
