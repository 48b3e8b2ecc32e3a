//! Errors as RFC 9457 problem details, and the request id that every answer carries.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use sam_api::{PROBLEM_CONTENT_TYPE, Problem};
use sam_core::{Error, ErrorKind, Report, Retry};

use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Longest text of a refusal by the framework that is passed on.
const REFUSAL_BYTES_MAX: usize = 1_024;

/// The request's name, in logs, the feed and the answer.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError(Arc<Error>);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = status_of(self.0.kind());
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Names the request, and writes the body of every refusal.
pub(crate) async fn name_and_explain(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers()).unwrap_or_else(|| fresh_id(&app));
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let mut response = explain(response, &id, &format!("{method} {path}")).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let legal = !text.is_empty()
        && text.len() <= REQUEST_ID_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    legal.then(|| text.to_owned())
}

fn fresh_id(app: &App) -> String {
    let mut bytes = [0; 8];
    app.sam.entropy().fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

async fn explain(mut response: Response, id: &str, what: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(PROBLEM_CONTENT_TYPE.as_bytes()));
    if is_problem {
        return response;
    }
    // A sign-in that failed takes its cookie back.
    let cookies: Vec<HeaderValue> =
        response.headers().get_all(SET_COOKIE).iter().cloned().collect();
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error.0,
        None => Arc::new(refusal(response).await),
    };
    if status.is_server_error() {
        tracing::warn!(request.id = id, request.what = what, error = %Report::new(&*error), "request failed");
    }
    let mut problem = Problem::new(&error, id);
    problem.status = status.as_u16();
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut answer = (status, body).into_response();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
    if let Retry::After(pause) = error.retry()
        && let Ok(value) = HeaderValue::from_str(&pause.as_secs().max(1).to_string())
    {
        answer.headers_mut().insert(http::header::RETRY_AFTER, value);
    }
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// What the framework refused by itself: an unknown route, a body too large, JSON that is none.
async fn refusal(response: Response) -> Error {
    let status = response.status();
    let kind = match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        400..=499 => ErrorKind::BadInput,
        _ => ErrorKind::Bug,
    };
    let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    let text = text.unwrap_or_default();
    let fallback = || match status.as_u16() {
        404 => "there is no such route".to_owned(),
        405 => "the route does not take this method".to_owned(),
        413 => "the body is too large".to_owned(),
        _ => status.canonical_reason().unwrap_or("refused").to_lowercase(),
    };
    Error::new(kind, if text.is_empty() { fallback() } else { text })
}
