//! The serving half: an error becomes an answer.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use sam_core::Error;

use super::Details;

const MEDIA_TYPE: &str = "application/problem+json";

/// An error as an answer.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

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
