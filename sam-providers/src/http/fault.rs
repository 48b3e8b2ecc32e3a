//! What went wrong, in our words: whether it may have happened decides what may be done about it.

use sam_core::{Effect, Error, ErrorKind};

use super::HttpConfig;
use sam_core::http::BODY_BYTES_MAX;

/// Explains why no answer came.
pub(super) fn of_sending(error: reqwest::Error, host: &str, config: &HttpConfig) -> Error {
    // Before there is a connection nothing can have left; afterwards nobody knows.
    let effect =
        if error.is_connect() || error.is_builder() { Effect::NotApplied } else { Effect::Unknown };
    let (kind, message, hint) = if error.is_timeout() && error.is_connect() {
        let span = config.connect_deadline.as_secs_f32();
        let message = format!("no connection to {host} within {span} s");
        (ErrorKind::Timeout, message, "check the network, the proxy and the address")
    } else if error.is_timeout() {
        let message = format!("{host} did not answer in time");
        (ErrorKind::Timeout, message, "try again; the host may be overloaded")
    } else if error.is_connect() {
        let message = format!("no connection to {host}");
        (
            ErrorKind::Unavailable,
            message,
            "check the name, the network, the proxy and its certificate",
        )
    } else if error.is_builder() {
        (ErrorKind::BadInput, "the request cannot be sent as it is".to_owned(), "check its address")
    } else {
        let message = format!("the connection to {host} broke before the answer was complete");
        (ErrorKind::Unavailable, message, "try again; look first whether it happened")
    };
    Error::new(kind, message)
        .with_operation("send")
        .with_effect(effect)
        .with_hint(hint)
        .with_source(error.without_url())
}

/// Explains that an answer is longer than is read.
pub(super) fn cut(host: &str) -> Error {
    let message = format!("an answer of {host} is longer than {BODY_BYTES_MAX} bytes");
    Error::new(ErrorKind::Corrupt, message)
        .with_operation("send")
        .with_effect(Effect::Unknown)
        .with_hint("ask for smaller pages")
}

/// Explains what of the configuration cannot be used.
pub(super) fn of_config(what: &str, error: reqwest::Error) -> Error {
    Error::new(ErrorKind::BadInput, format!("{what} cannot be used"))
        .with_operation("open_http")
        .with_hint("a proxy is written http://host:port, a certificate as PEM")
        .with_source(error.without_url())
}
