//! One request to GitHub and what came of it: headers, limits, conditional requests, redirects, and
//! answers turned into errors.

mod answer;
mod limits;
mod link;
mod memory;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use sam_core::http::HttpTransport;
use sam_core::time::{Clock, Timestamp};
use sam_core::{Effect, Error, ErrorKind, Result, Secret};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

pub(crate) use self::answer::code;
use self::limits::Limits;
pub(crate) use self::link::next_of;
use self::memory::Memory;
use crate::Endpoints;
use crate::encode::hex;

/// Most redirects in a row; a renamed repository takes one.
const REDIRECTS_MAX: usize = 3;
/// The version of the interface this was written against.
const API_VERSION: &str = "2022-11-28";

/// Sends requests to one GitHub.
pub(crate) struct Client {
    endpoints: Endpoints,
    http: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// GitHub's clock less ours, by the last answer that carried a date.
    skew_micros: AtomicI64,
}

#[derive(Default)]
struct State {
    limits: Limits,
    memory: Memory,
}

/// Whom a request is from, and how it proves it.
#[derive(Clone)]
pub(crate) struct Credential {
    /// Whose limits count, and whose answers may be remembered. Never the secret.
    who: Arc<str>,
    header: Secret<String>,
    secret: Secret<String>,
}

impl Credential {
    pub(crate) fn bearer(who: impl Into<Arc<str>>, token: &Secret<String>) -> Self {
        let header = Secret::new(format!("Bearer {}", token.expose()));
        Self { who: who.into(), header, secret: token.clone() }
    }

    /// The id and the secret of a client, for what clients ask.
    pub(crate) fn basic(id: &str, secret: &Secret<String>) -> Self {
        let pair = Secret::new(format!("{id}:{}", secret.expose()));
        let header = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
        Self { who: format!("client:{id}").into(), header, secret: secret.clone() }
    }

    /// A user's token, known by its hash.
    pub(crate) fn user(token: &Secret<String>) -> Self {
        Self::bearer(format!("user:{}", fingerprint(token)), token)
    }
}

/// Returns what a token is known by in memory: half of its hash.
pub(crate) fn fingerprint(token: &Secret<String>) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    hex(digest.iter().copied().take(16))
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    method: Method,
    /// Below the REST interface, with its query.
    path: String,
    body: Option<Bytes>,
    remembered: bool,
}

impl Call {
    pub(crate) fn new(operation: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self { operation, method, path: path.into(), body: None, remembered: false }
    }

    pub(crate) fn get(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::GET, path)
    }

    /// Gives it a body of JSON.
    pub(crate) fn with_body(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self
    }

    /// Asks "has it changed since" where the last answer is still there: that is free of limits.
    pub(crate) const fn remembered(mut self) -> Self {
        self.remembered = true;
        self
    }
}

/// A good answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    /// The path of the next page below the REST interface.
    pub(crate) next: Option<String>,
}

impl Answer {
    /// Reads the body.
    pub(crate) fn read<T: DeserializeOwned>(&self, operation: &'static str) -> Result<T> {
        // The cause is not kept: it quotes the body, and a body may hold a token.
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "GitHub's answer cannot be read")
                .with_operation(operation)
                .with_context("line", error.line())
                .with_context("column", error.column())
        })
    }
}

impl Client {
    pub(crate) fn new(
        endpoints: Endpoints,
        http: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { endpoints, http, clock, state: Mutex::default(), skew_micros: AtomicI64::new(0) }
    }

    pub(crate) const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Returns GitHub's time: ours, moved by what its last answer said.
    pub(crate) fn github_now(&self) -> Timestamp {
        let skew = self.skew_micros.load(Ordering::Relaxed);
        Timestamp::from_micros(self.clock.now().as_micros().saturating_add(skew))
    }

    /// Sends a call to the REST interface, with a credential.
    ///
    /// A limit that was announced is kept: until it has passed, calls of that credential fail with
    /// `RateLimited` and are not sent.
    pub(crate) async fn send(&self, call: &Call, credential: &Credential) -> Result<Answer> {
        let mut path = call.path.clone();
        for _ in 0..=REDIRECTS_MAX {
            self.lock().limits.check(&credential.who, self.clock.monotonic(), call.operation)?;
            let remembered = call.remembered.then(|| self.recall(credential, &path)).flatten();
            let request = self.request(call, credential, &path, remembered.as_ref())?;
            let response = self.exchange(call, request).await?;
            match response.status() {
                StatusCode::NOT_MODIFIED => {
                    return remembered
                        .map(|(_, answer)| answer)
                        .ok_or_else(|| answer::unexpected(call, 304));
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => path = self.target(call, &response)?,
                status if status.is_success() => {
                    return Ok(self.keep(call, credential, &path, &response));
                }
                _ => return Err(self.refused(call, credential, &response)),
            }
        }
        Err(Error::new(ErrorKind::Corrupt, "GitHub redirects in a circle")
            .with_operation(call.operation))
    }

    /// Sends a form to the web pages, where sign-in is, and returns the answer, whose errors come
    /// with status 200.
    pub(crate) async fn post_form(
        &self,
        operation: &'static str,
        path: &str,
        form: Secret<String>,
    ) -> Result<Bytes> {
        let call = Call::new(operation, Method::POST, path);
        let request = http::Request::post(format!("{}{path}", self.endpoints.web()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Bytes::copy_from_slice(form.expose().as_bytes()))
            .map_err(|_| answer::unsendable(operation))?;
        let response = self.exchange(&call, request).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        match limits::pause(&response, self.github_now()) {
            Some(limits::Pause::For(wait)) => Err(answer::limited(&call, &response, wait)),
            Some(limits::Pause::Growing) | None => Err(answer::refused(&call, &response, None)),
        }
    }

    async fn exchange(
        &self,
        call: &Call,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>> {
        let safe = request.method().is_safe();
        let response = self.http.send(request).await.map_err(|error| {
            // What only looks was not applied, whatever became of the answer.
            let effect = if safe { Effect::NotApplied } else { error.effect() };
            error.with_operation(call.operation).with_effect(effect)
        })?;
        if let Some(date) = response.headers().get(header::DATE).and_then(date) {
            let skew = date.as_micros().saturating_sub(self.clock.now().as_micros());
            // A date has whole seconds: less than two of difference is none.
            let skew = if skew.unsigned_abs() < 2_000_000 { 0 } else { skew };
            self.skew_micros.store(skew, Ordering::Relaxed);
        }
        Ok(response)
    }

    fn request(
        &self,
        call: &Call,
        credential: &Credential,
        path: &str,
        remembered: Option<&(HeaderValue, Answer)>,
    ) -> Result<http::Request<Bytes>> {
        let unsendable = || answer::unsendable(call.operation);
        let mut value =
            HeaderValue::from_str(credential.header.expose()).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{path}", self.endpoints.api()))
            .header(header::ACCEPT, "application/vnd.github+json")
            .header(header::AUTHORIZATION, value)
            .header(header::USER_AGENT, USER_AGENT)
            .header("x-github-api-version", API_VERSION);
        if let Some((etag, _)) = remembered {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(call.body.clone().unwrap_or_default()).map_err(|_| unsendable())
    }

    fn recall(&self, credential: &Credential, path: &str) -> Option<(HeaderValue, Answer)> {
        self.lock().memory.recall(&credential.who, path)
    }

    fn keep(
        &self,
        call: &Call,
        credential: &Credential,
        path: &str,
        response: &http::Response<Bytes>,
    ) -> Answer {
        let next = next_of(response.headers())
            .and_then(|next| self.endpoints.api_path(next).map(str::to_owned));
        let answer = Answer { body: response.body().clone(), next };
        let (now, github_now) = (self.clock.monotonic(), self.github_now());
        let mut state = self.lock();
        state.limits.passed(&credential.who, now);
        // The last of so many: the next one would be refused.
        if let Some(wait) = limits::exhausted(response.headers(), github_now) {
            state.limits.hit(&credential.who, limits::Pause::For(wait), now);
        }
        if let Some(etag) = response.headers().get(header::ETAG).filter(|_| call.remembered) {
            state.memory.keep(&credential.who, path, etag.clone(), answer.clone());
        }
        answer
    }

    /// Returns where a redirect leads: elsewhere on this GitHub, or the credential would be given
    /// to somebody else.
    fn target(&self, call: &Call, response: &http::Response<Bytes>) -> Result<String> {
        let location =
            response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let path = location.and_then(|location| self.endpoints.api_path(location));
        path.map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "GitHub redirects to another place")
                .with_operation(call.operation)
        })
    }

    fn refused(
        &self,
        call: &Call,
        credential: &Credential,
        response: &http::Response<Bytes>,
    ) -> Error {
        let now = self.github_now();
        let pause = limits::pause(response, now);
        if let Some(pause) = pause {
            let mut state = self.lock();
            let wait = state.limits.hit(&credential.who, pause, self.clock.monotonic());
            return answer::limited(call, response, wait);
        }
        answer::refused(call, response, Some(&credential.secret))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

const USER_AGENT: &str = concat!("sam-github/", env!("CARGO_PKG_VERSION"));

/// Reads a date of HTTP.
fn date(value: &HeaderValue) -> Option<Timestamp> {
    let parsed =
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.as_bytes()).ok()?;
    Some(Timestamp::from_micros(parsed.as_microsecond()))
}

/// Reads a date of JSON.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let parsed: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(parsed.as_microsecond()))
}

/// A span of whole seconds in a header.
fn seconds(headers: &http::HeaderMap, name: &str) -> Option<Duration> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
