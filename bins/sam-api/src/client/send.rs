//! Sending one call: deadlines, repetition, bounded bodies, and what failures mean.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use sam_core::{Effect, Error, ErrorKind, Result, Retry};

use super::{ATTEMPTS_MAX, BODY_BYTES_MAX, Client, IdempotencyKey, Target};
use crate::problem::kind_of_status;
use crate::{IDEMPOTENCY_KEY_HEADER, PROBLEM_CONTENT_TYPE, Problem, deadline};

/// First pause before a call is repeated; each next one is four times longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause a server may ask for before a call is repeated; a longer one ends the call.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// One call.
pub(super) struct Call<'a> {
    method: Method,
    url: Url,
    body: Option<Bytes>,
    key: Option<&'a IdempotencyKey>,
    operation: &'static str,
}

impl<'a> Call<'a> {
    pub(super) const fn new(method: Method, url: Url, operation: &'static str) -> Self {
        Self { method, url, body: None, key: None, operation }
    }

    pub(super) fn with_body(mut self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(|cause| {
            Error::new(ErrorKind::Bug, "the request cannot be written as JSON").with_source(cause)
        })?;
        self.body = Some(body.into());
        Ok(self)
    }

    pub(super) const fn with_key(mut self, key: &'a IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    fn is_repeatable(&self) -> bool {
        self.method == Method::GET || self.key.is_some()
    }
}

impl Client {
    /// Sends a call and reads its JSON answer, repeating it where that is safe and may help.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let error = match self.attempt(&call).await {
                Ok(bytes) => return decode(&bytes, call.operation),
                Err(error) => error,
            };
            let wait = match error.retry() {
                Retry::Backoff => pause,
                Retry::After(wait) if wait <= RETRY_AFTER_MAX => wait,
                _ => return Err(error),
            };
            if attempt >= ATTEMPTS_MAX || !call.is_repeatable() || !helps(&error) {
                return Err(error);
            }
            deadline::pause(wait).await;
            pause *= 4;
        }
        Err(Error::new(ErrorKind::Bug, "the attempts ran out without an answer"))
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Bytes> {
        let mut request = self.authorized(self.http.request(call.method.clone(), call.url.clone()));
        request = request.timeout(deadline::TOTAL);
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Some(key) = call.key {
            request = request.header(IDEMPOTENCY_KEY_HEADER, key.as_str());
        }
        let changes = call.method != Method::GET;
        let named = |error: Error| {
            let unknown = changes && matches!(error.kind(), ErrorKind::Timeout);
            let error = error.with_operation(call.operation);
            if unknown { error.with_effect(Effect::Unknown) } else { error }
        };
        let response = request.send().await.map_err(|cause| named(self.failure(cause)))?;
        let response = accept(response).await.map_err(named)?;
        let is_json = media_type(response.headers()) == "application/json";
        let status = response.status();
        let bytes = read_body(response).await.map_err(named)?;
        if !is_json && status != StatusCode::NO_CONTENT {
            return Err(named(not_sam(&format!("{} does not answer in JSON", self.target))));
        }
        Ok(bytes)
    }

    /// Adds the token.
    pub(super) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.as_ref().clone()),
            None => request,
        }
    }

    /// Says what it means that a request got no answer.
    pub(super) fn failure(&self, cause: reqwest::Error) -> Error {
        // The URL is ours and holds no secret, but it repeats what the message says.
        let cause = cause.without_url();
        let is_local = matches!(self.target, Target::Unix(_));
        let error = if cause.is_connect() {
            unreachable_error(&self.target)
        } else if cause.is_timeout() {
            Error::new(ErrorKind::Timeout, format!("{} did not answer in time", self.target))
        } else {
            Error::new(ErrorKind::Unavailable, format!("the connection to {} broke", self.target))
                .with_effect(Effect::Unknown)
        };
        let error = error.with_source(cause);
        // Nobody listens on a local socket a moment later unless somebody starts a daemon.
        if is_local && error.effect() == Effect::NotApplied {
            error.with_retry(Retry::Never)
        } else {
            error
        }
    }
}

/// Says that nobody listens there.
fn unreachable_error(target: &Target) -> Error {
    let error = Error::new(ErrorKind::Unavailable, format!("{target} cannot be reached"));
    match target {
        Target::Http(_) => error.with_hint("check the address and that the server runs"),
        Target::Unix(_) => error.with_hint("start the daemon: every `sam` command does"),
    }
}

/// Refusals are final; only trouble on the way is worth another attempt.
fn helps(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited)
}

/// Lets a success pass and turns everything else into an error.
pub(super) async fn accept(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = retry_after(response.headers());
    let is_problem = media_type(response.headers()) == PROBLEM_CONTENT_TYPE;
    let body = read_body(response).await?;
    let error = problem_error(status, is_problem, &body);
    Err(match after {
        Some(wait) => error.with_retry(Retry::After(wait)),
        None => error,
    })
}

/// Turns an answer that is no success into an error.
fn problem_error(status: StatusCode, is_problem: bool, body: &[u8]) -> Error {
    if is_problem && let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return problem.to_error();
    }
    let message = format!("the server answered {status} without saying why");
    if status.is_redirection() {
        return not_sam(&message);
    }
    let error = Error::new(kind_of_status(status.as_u16()), message);
    match status {
        StatusCode::UNAUTHORIZED => error.with_hint("give a token that the server knows"),
        StatusCode::NOT_FOUND => error.with_hint("check that the address is a SAM server's"),
        _ => error,
    }
}

pub(super) fn not_sam(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_hint("check that the address is a SAM server's")
}

fn decode<T: DeserializeOwned>(bytes: &[u8], operation: &'static str) -> Result<T> {
    // An answer without a body reads as `null`, which is what `()` takes.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|cause| {
        Error::new(ErrorKind::Corrupt, "the server's answer cannot be read")
            .with_operation(operation)
            .with_hint("compare the versions of client and server")
            .with_source(cause)
    })
}

/// Reads a body of at most [`BODY_BYTES_MAX`] bytes.
async fn read_body(response: Response) -> Result<Bytes> {
    let too_large = || Error::new(ErrorKind::Corrupt, "the server's answer is larger than 8 MiB");
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |length| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|cause| {
            let kind = if cause.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unavailable };
            Error::new(kind, "the server's answer broke off")
                .with_effect(Effect::Unknown)
                .with_source(cause.without_url())
        })?;
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Returns the media type without its parameters, in lower case; empty when there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
