//! A user's token, as GitHub gives it and as a host keeps it.

use std::time::Duration;

use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Secret};
use serde::Deserialize;

use crate::app::Secretly;

/// A user's token. One of a GitHub App ends after eight hours and can be refreshed; one of an OAuth
/// App does not end by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UserToken {
    /// What proves who it is.
    pub access: Secret<String>,
    /// When it ends, on GitHub's clock.
    pub expires_at: Option<Timestamp>,
    /// What a new one is had with, once.
    pub refresh: Option<Secret<String>>,
    /// When that ends.
    pub refresh_expires_at: Option<Timestamp>,
}

impl UserToken {
    /// Puts one together that does not end by itself; set the other members for one that does.
    pub const fn new(access: Secret<String>) -> Self {
        Self { access, expires_at: None, refresh: None, refresh_expires_at: None }
    }
}

/// GitHub's answer, which is one of two things with the same status.
#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    interval: Option<u64>,
    access_token: Option<Secretly>,
    expires_in: Option<u64>,
    refresh_token: Option<Secretly>,
    refresh_token_expires_in: Option<u64>,
}

/// A refusal that came with status 200.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) interval: Option<Duration>,
}

/// Reads an answer: a token or a refusal.
pub(super) fn read(
    operation: &'static str,
    body: &[u8],
    now: Timestamp,
) -> Result<Result<UserToken, Refused>> {
    let unreadable = || {
        Error::new(ErrorKind::Corrupt, "GitHub's answer to a sign-in cannot be read")
            .with_operation(operation)
    };
    let answer: Answer = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if let Some(code) = answer.error {
        let interval = answer.interval.map(Duration::from_secs);
        return Ok(Err(Refused { code, interval }));
    }
    let Secretly(access) = answer.access_token.ok_or_else(unreadable)?;
    let graphic = |byte: u8| byte.is_ascii_graphic();
    if access.expose().is_empty() || !access.expose().bytes().all(graphic) {
        return Err(unreadable());
    }
    let at = |secs: Option<u64>| secs.map(|secs| now.plus(Duration::from_secs(secs)));
    Ok(Ok(UserToken {
        access,
        expires_at: at(answer.expires_in),
        refresh: answer.refresh_token.map(|Secretly(token)| token),
        refresh_expires_at: at(answer.refresh_token_expires_in),
    }))
}
