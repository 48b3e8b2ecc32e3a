//! Errors on their way through the link: RFC 9457 problem details, written by the agent and read
//! by the controller.

#[cfg(feature = "controller")]
mod read;
mod write;

use serde::{Deserialize, Serialize};

#[cfg(feature = "controller")]
pub(crate) use self::read::read_problem;
pub(crate) use self::write::Problem;

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

#[cfg(all(test, feature = "node", feature = "controller"))]
mod tests {
    use axum::body::Body;
    use axum::response::{IntoResponse as _, Response};
    use http::StatusCode;

    use sam_core::{Effect, Error, ErrorKind};

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
