//! Errors on their way through the link: RFC 9457 problem details, written by the agent and read
//! by the controller.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};

use sam_core::{Effect, Error, ErrorKind};

/// Largest problem that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 16 * 1024;
const MEDIA_TYPE: &str = "application/problem+json";

#[derive(Serialize, Deserialize)]
struct Details {
    #[serde(rename = "type")]
    type_: String,
    title: String,
    status: u16,
    code: String,
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// An error as an answer of the agent.
#[cfg(feature = "node")]
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) Error);

#[cfg(feature = "node")]
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[cfg(feature = "node")]
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.0.kind();
        let details = Details {
            type_: "about:blank".to_owned(),
            title: kind.code().replace('_', " "),
            status: kind.http_status(),
            code: kind.code().to_owned(),
            detail: self.0.public_message().to_owned(),
            hint: self.0.hint().map(str::to_owned),
        };
        let status = StatusCode::from_u16(kind.http_status());
        let mut response =
            Response::new(Body::from(serde_json::to_vec(&details).unwrap_or_default()));
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

/// Turns the answer of an agent that refused into the error it described.
#[cfg(feature = "controller")]
pub(crate) async fn read_problem(response: http::Response<Body>) -> Error {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), PROBLEM_BYTES_MAX).collect().await;
    let details: Option<Details> =
        body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let error = match details {
        Some(details) => {
            let kind = ErrorKind::from_code(&details.code).unwrap_or_else(|| kind_of(status));
            let error = Error::new(kind, details.detail);
            match details.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        None => Error::new(kind_of(status), format!("the agent answered with status {status}")),
    };
    // A request that was refused changed nothing; one that failed half-way may have.
    let effect = if status >= 500 { Effect::Unknown } else { Effect::NotApplied };
    error.with_effect(effect)
}

#[cfg(feature = "controller")]
fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 | 405 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadInput,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(all(test, feature = "node", feature = "controller"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_of_every_kind_survives_the_way() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "it went wrong").with_hint("try something else");
            let response = Problem(error).into_response();
            assert_eq!(response.status().as_u16(), kind.http_status());
            let read = read_problem(response).await;
            assert_eq!(
                (read.kind(), read.public_message(), read.hint()),
                (kind, "it went wrong", Some("try something else"))
            );
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_no_problem_is_judged_by_its_status() {
        let mut response = Response::new(Body::from("<html>"));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        let error = read_problem(response).await;
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    }
}
