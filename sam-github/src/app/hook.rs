//! The App's webhook: how it is set up, what was delivered, and what should be again.

use http::Method;
use sam_core::{Page, Result};
use serde::Deserialize;

use super::GithubApp;
use crate::client::Call;
use crate::pages::{Pages, page};

/// How the App's webhook is set up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct HookConfig {
    /// Where it is delivered.
    pub url: Option<String>,
    /// `json` or `form`.
    pub content_type: Option<String>,
    /// Stars where there is a secret.
    secret: Option<String>,
}

impl HookConfig {
    /// Returns whether it has a secret. Without one every delivery is refused here.
    pub const fn has_secret(&self) -> bool {
        self.secret.is_some()
    }
}

/// A delivery as GitHub keeps it for three days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SentDelivery {
    /// What a redelivery is asked for by. Each has its own.
    pub id: u64,
    /// What the receiver was told; a redelivery repeats it.
    pub guid: String,
    /// When, in RFC 3339.
    pub delivered_at: String,
    /// Whether it is a redelivery.
    #[serde(default)]
    pub redelivery: bool,
    /// What the receiver answered; zero when it did not.
    #[serde(default)]
    pub status_code: u16,
    /// Its event.
    pub event: String,
}

impl SentDelivery {
    /// Returns whether the receiver took it.
    pub const fn was_taken(&self) -> bool {
        matches!(self.status_code, 200..300)
    }
}

impl GithubApp {
    /// Returns how the App's webhook is set up.
    ///
    /// # Errors
    /// `NotFound` when the App has none; `Unauthenticated`, `RateLimited`, `Unavailable`, …
    pub async fn hook_config(&self) -> Result<HookConfig> {
        let call = Call::get("hook_config", "/app/hook/config");
        self.0.send_as_app(&call).await?.read(call.operation)
    }

    /// Returns one page of what was delivered in the last three days, newest first.
    ///
    /// GitHub never sends a failed one again by itself: a host that was away looks here.
    ///
    /// # Errors
    /// `BadInput` for an `after` that is not from such a page; `RateLimited`, `Unavailable`, …
    pub async fn hook_deliveries(&self, after: Option<&str>) -> Result<Page<SentDelivery>> {
        let pages = Pages::new("hook_deliveries", "/app/hook/deliveries".to_owned());
        let call = pages.call(after)?;
        page(&self.0.send_as_app(&call).await?, call.operation, |found: Vec<SentDelivery>| found)
    }

    /// Asks for a delivery to be sent again. It comes with the same id, so that it is handled once
    /// however often this is asked.
    ///
    /// # Errors
    /// `NotFound` for one that GitHub has forgotten; `RateLimited`, `Unavailable`, …
    pub async fn redeliver(&self, id: u64) -> Result<()> {
        let path = format!("/app/hook/deliveries/{id}/attempts");
        let call = Call::new("redeliver", Method::POST, path);
        self.0.send_as_app(&call).await.map(|_| ())
    }
}
