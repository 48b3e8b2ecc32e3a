//! Errors as they travel: RFC 9457 problem details.

use serde::{Deserialize, Serialize};

use sam_core::{Error, ErrorKind};

/// The media type of an error's body.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind: `urn:sam:problem:<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// A short text that depends on the kind alone.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// The kind, as [`ErrorKind::code`] writes it; what programs branch on.
    pub code: String,
    /// What went wrong this time.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Finds the request in the server's log.
    #[serde(default)]
    pub request_id: String,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

impl Problem {
    /// Writes an error down for a client; nothing of its causes is included.
    pub fn new(error: &Error, request_id: impl Into<String>) -> Self {
        let kind = error.kind();
        Self {
            type_uri: format!("urn:sam:problem:{}", kind.code()),
            title: title(kind).to_owned(),
            status: kind.http_status(),
            code: kind.code().to_owned(),
            detail: error.public_message().to_owned(),
            hint: error.hint().map(str::to_owned),
            request_id: request_id.into(),
            step: error.operation().map(str::to_owned),
        }
    }

    /// Turns the problem back into an error.
    ///
    /// A code this version does not know falls back to what its HTTP status means.
    pub fn to_error(&self) -> Error {
        let kind = ErrorKind::from_code(&self.code).unwrap_or_else(|| kind_of_status(self.status));
        let mut error = Error::new(kind, self.detail.clone());
        if let Some(hint) = &self.hint {
            error = error.with_hint(hint.clone());
        }
        if let Some(step) = &self.step {
            error = error.with_context("step", step);
        }
        if !self.request_id.is_empty() {
            error = error.with_context("request_id", &self.request_id);
        }
        error
    }
}

/// Returns what an HTTP status means when nothing else is known.
pub(crate) const fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 407 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 | 423 => ErrorKind::Conflict,
        408 | 504 => ErrorKind::Timeout,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::BadInput,
        _ => ErrorKind::Unavailable,
    }
}

const fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AlreadyExists => "It exists already",
        ErrorKind::BadInput => "The request can never work as it is",
        ErrorKind::Bug => "A defect of the server",
        ErrorKind::CapacityUnavailable => "The provider has no such machine left",
        ErrorKind::Conflict => "Its state forbids the request",
        ErrorKind::Corrupt => "Data cannot be read",
        ErrorKind::Denied => "Not allowed",
        ErrorKind::NotFound => "There is no such thing",
        ErrorKind::QuotaExceeded => "A limit of the account is reached",
        ErrorKind::RateLimited => "Too many requests",
        ErrorKind::Timeout => "No answer in time",
        ErrorKind::Unauthenticated => "The caller is not known",
        ErrorKind::Unavailable => "The other side cannot be reached",
        ErrorKind::Unsupported => "The provider cannot do this",
        // The enum may grow in the core before this table does.
        _ => "An error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_hint_and_detail_survive_the_journey() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "it failed")
                .with_hint("do this")
                .with_operation("placing")
                .with_source(std::io::Error::other("inner secret"));
            let problem = Problem::new(&error, "r1");
            let text = serde_json::to_string(&problem).unwrap();
            assert!(!text.contains("inner secret"));
            assert_ne!(problem.title, "An error");
            let back = serde_json::from_str::<Problem>(&text).unwrap().to_error();
            assert_eq!(back.kind(), kind);
            assert_eq!(back.hint(), Some("do this"));
            assert_eq!(back.public_message(), "it failed");
            assert!(back.context().contains(&("step", "placing".to_owned())));
        }
    }

    #[test]
    fn an_unknown_code_means_what_its_status_means() {
        let text = r#"{"type":"x","title":"x","status":409,"code":"brand_new","detail":"no"}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(problem.to_error().kind(), ErrorKind::Conflict);
    }
}
