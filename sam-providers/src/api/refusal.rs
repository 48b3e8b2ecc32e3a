//! From a vendor's refusal to an error.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use sam_core::{Effect, Error, ErrorKind, Retry, Secret};

use super::Call;

/// Longest part of a vendor's own sentence that is shown, in characters.
const SENTENCE_CHARS_MAX: usize = 300;

/// How a vendor refused, as its dialect reads it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    kind: ErrorKind,
    code: Option<String>,
    sentence: Option<String>,
    retry: Option<Retry>,
    effect: Option<Effect>,
    hint: Option<Cow<'static, str>>,
}

impl Refusal {
    /// A refusal of a kind.
    pub(crate) const fn new(kind: ErrorKind) -> Self {
        Self { kind, code: None, sentence: None, retry: None, effect: None, hint: None }
    }

    /// What a status says where the vendor says nothing better; `None` for a good one.
    pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let kind = match status.as_u16() {
            200..300 => return None,
            401 => ErrorKind::Unauthenticated,
            402 | 413 => ErrorKind::QuotaExceeded,
            403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            408 | 504 => ErrorKind::Timeout,
            409 | 412 | 423 => ErrorKind::Conflict,
            429 => ErrorKind::RateLimited,
            400..500 => ErrorKind::BadInput,
            500..600 => ErrorKind::Unavailable,
            _ => ErrorKind::Corrupt,
        };
        let refusal = Self::new(kind);
        Some(match retry_after(headers) {
            Some(wait) if matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable) => {
                refusal.with_retry(Retry::After(wait))
            }
            _ => refusal,
        })
    }

    /// Says it is of another kind after all.
    #[must_use]
    pub(crate) const fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Keeps the vendor's code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Keeps the vendor's own sentence.
    #[must_use]
    pub(crate) fn with_sentence(mut self, sentence: impl Into<String>) -> Self {
        self.sentence = Some(sentence.into());
        self
    }

    /// Says what trying again means.
    #[must_use]
    pub(crate) const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Says whether a change may have happened all the same, where the status says otherwise.
    #[must_use]
    pub(crate) const fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// Says what a person can do.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn into_error(
        self,
        vendor: &str,
        call: &Call,
        status: StatusCode,
        secret: &Secret<String>,
    ) -> Error {
        // A refusal did nothing. Trouble on the way may have come after it was done.
        let in_doubt = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        let said = if in_doubt { Effect::Unknown } else { Effect::NotApplied };
        let effect = match self.effect {
            _ if call.only_looks() => Effect::NotApplied,
            known => known.unwrap_or(said),
        };
        let code = self.code.unwrap_or_else(|| status.as_str().to_owned());
        let message = sentence(vendor, status, self.sentence.as_deref(), secret);
        let mut error = Error::new(self.kind, message)
            .with_operation(call.operation)
            .with_provider_code(code)
            .with_effect(effect);
        if let Some(retry) = self.retry {
            error = error.with_retry(retry);
        }
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// Reads the wait that an answer asks for, in seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The vendor's sentence, cut, on one line, and without the credential, should somebody echo it.
fn sentence(
    vendor: &str,
    status: StatusCode,
    said: Option<&str>,
    secret: &Secret<String>,
) -> String {
    let answered = format!("{vendor} answered {}", status.as_u16());
    let Some(said) = said.map(str::trim).filter(|said| !said.is_empty()) else { return answered };
    if said.contains(secret.expose().as_str()) {
        return answered;
    }
    let clean = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = clean.take(SENTENCE_CHARS_MAX).collect();
    format!("{answered}: {cut}")
}
