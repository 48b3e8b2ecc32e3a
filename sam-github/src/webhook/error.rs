//! Why a webhook is refused.

use sam_core::{Error, ErrorKind};

/// Why a webhook is refused. It never holds a part of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// It is neither JSON nor a form.
    #[error("the webhook's content type is neither JSON nor a form")]
    ContentType,
    /// A header is missing, there twice, or not what GitHub sends.
    #[error("the webhook's header {name} is missing, doubled or malformed")]
    Header {
        /// Which.
        name: &'static str,
    },
    /// There is no secret to check it with.
    #[error("no webhook secret is set, so every delivery is refused")]
    NoSecret,
    /// It is larger than GitHub's own bound.
    #[error("the webhook is larger than 25 MiB")]
    TooLarge,
    /// Its body is not the JSON of its event.
    #[error("the webhook's body cannot be read")]
    Unreadable,
    /// It has no signature over SHA-256.
    #[error("the webhook is not signed")]
    Unsigned,
    /// Its signature was made with another secret or over other bytes.
    #[error("the webhook's signature does not hold")]
    WrongSignature,
}

impl WebhookError {
    /// Returns the status to answer with.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::ContentType => 415,
            Self::Header { .. } | Self::Unreadable => 400,
            Self::NoSecret => 503,
            Self::TooLarge => 413,
            Self::Unsigned | Self::WrongSignature => 401,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::ContentType => "webhook_content_type",
            Self::Header { .. } => "webhook_header",
            Self::NoSecret => "webhook_no_secret",
            Self::TooLarge => "webhook_too_large",
            Self::Unreadable => "webhook_unreadable",
            Self::Unsigned => "webhook_unsigned",
            Self::WrongSignature => "webhook_wrong_signature",
        }
    }

    const fn kind(self) -> ErrorKind {
        match self {
            Self::ContentType | Self::Header { .. } | Self::TooLarge | Self::Unreadable => {
                ErrorKind::BadInput
            }
            Self::NoSecret => ErrorKind::Unavailable,
            Self::Unsigned | Self::WrongSignature => ErrorKind::Unauthenticated,
        }
    }

    const fn hint(self) -> Option<&'static str> {
        match self {
            Self::NoSecret => Some(
                "set GITHUB_WEBHOOK_SECRET, and the same value in the App's settings under \
                 \"Webhook\"",
            ),
            Self::Unsigned => Some(
                "set a secret in the App's settings under \"Webhook\", and let the proxy pass \
                 X-Hub-Signature-256",
            ),
            Self::WrongSignature => Some(
                "check that both sides have the same secret, and that no proxy changes the body",
            ),
            Self::Header { .. } => Some("let the proxy pass GitHub's headers as they are"),
            Self::ContentType => Some("choose application/json in the App's settings"),
            Self::TooLarge | Self::Unreadable => None,
        }
    }
}

impl From<WebhookError> for Error {
    fn from(error: WebhookError) -> Self {
        let made = Self::new(error.kind(), error.to_string())
            .with_operation("receive_webhook")
            .with_provider_code(error.code());
        match error.hint() {
            Some(hint) => made.with_hint(hint),
            None => made,
        }
    }
}
