//! Signing in on a machine without a browser: a person enters a code elsewhere.

use std::time::Duration;

use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Retry, Secret};
use serde::Deserialize;

use super::{SignIn, UserToken, error, user_token};
use crate::app::Secretly;
use crate::encode::pairs;

/// GitHub adds so much when it is asked too often.
const SLOWED_BY: Duration = Duration::from_secs(5);
/// Longest pause between questions.
const INTERVAL_MAX: Duration = Duration::from_mins(5);

/// A sign-in by device that was begun.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceSignIn {
    /// What the person enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// Until when, on GitHub's clock.
    pub expires_at: Timestamp,
    /// How long to wait before each [`SignIn::poll_device`].
    pub interval: Duration,
    device_code: Secret<String>,
}

impl DeviceSignIn {
    /// Puts one together again from what was kept; what the person was shown is not needed.
    pub fn kept(device_code: Secret<String>, expires_at: Timestamp, interval: Duration) -> Self {
        let (user_code, verification_uri) = (String::new(), String::new());
        Self { user_code, verification_uri, expires_at, interval, device_code }
    }

    /// Returns what the sign-in is asked about with, to keep it.
    pub const fn device_code(&self) -> &Secret<String> {
        &self.device_code
    }
}

/// What a question came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DevicePoll {
    /// The person has agreed.
    Done(UserToken),
    /// Not yet: ask again after [`DeviceSignIn::interval`], which may have grown.
    Pending,
}

#[derive(Deserialize)]
struct Begun {
    error: Option<String>,
    device_code: Option<Secretly>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    expires_in: Option<u64>,
    interval: Option<u64>,
}

impl SignIn {
    /// Begins a sign-in by device.
    ///
    /// # Errors
    /// `Denied` when the App does not allow it; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn begin_device(&self) -> Result<DeviceSignIn> {
        const OPERATION: &str = "begin_device_sign_in";
        let (client_id, scope) = (self.0.client_id.as_str(), self.0.scope.as_str());
        let form = pairs([("client_id", client_id), ("scope", scope)]);
        let body =
            self.0.client.post_form(OPERATION, "/login/device/code", Secret::new(form)).await?;
        let unreadable = || {
            Error::new(ErrorKind::Corrupt, "GitHub's answer to a sign-in cannot be read")
                .with_operation(OPERATION)
        };
        let begun: Begun = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if let Some(code) = begun.error {
            return Err(error::refused(OPERATION, &user_token::Refused { code, interval: None }));
        }
        let lasts = Duration::from_secs(begun.expires_in.unwrap_or(900));
        let Secretly(device_code) = begun.device_code.ok_or_else(unreadable)?;
        Ok(DeviceSignIn {
            user_code: begun.user_code.ok_or_else(unreadable)?,
            verification_uri: begun.verification_uri.ok_or_else(unreadable)?,
            expires_at: self.0.client.github_now().plus(lasts),
            interval: Duration::from_secs(begun.interval.unwrap_or(5)).min(INTERVAL_MAX),
            device_code,
        })
    }

    /// Asks once whether the person has agreed.
    ///
    /// # Errors
    /// `Unauthenticated` when nobody did in time; `Denied` when the person refused; `RateLimited`,
    /// `Unavailable`, `Timeout`, …: then ask again after the interval.
    pub async fn poll_device(&self, device: &mut DeviceSignIn) -> Result<DevicePoll> {
        const OPERATION: &str = "poll_device_sign_in";
        let form = pairs([
            ("client_id", self.0.client_id.as_str()),
            ("device_code", device.device_code.expose()),
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ]);
        let path = "/login/oauth/access_token";
        let body = self.0.client.post_form(OPERATION, path, Secret::new(form)).await;
        let body = body.map_err(|error| match error.retry() {
            Retry::Backoff => error.with_retry(Retry::After(device.interval)),
            Retry::After(_) | Retry::Never | _ => error,
        })?;
        match user_token::read(OPERATION, &body, self.0.client.github_now())? {
            Ok(token) => Ok(DevicePoll::Done(token)),
            Err(refused) if refused.code == "authorization_pending" => Ok(DevicePoll::Pending),
            Err(refused) if refused.code == "slow_down" => {
                let slowed = device.interval.saturating_add(SLOWED_BY);
                device.interval = refused.interval.unwrap_or(slowed).max(slowed).min(INTERVAL_MAX);
                Ok(DevicePoll::Pending)
            }
            Err(refused) => Err(error::refused(OPERATION, &refused)),
        }
    }
}
