//! Signing in and out, and who is signed in.

use reqwest::Method;

use sam_core::Result;

use super::Client;
use super::api::add;
use super::send::Call;
use crate::{Account, DevicePoll, DevicePolled, DeviceSignIn, LoginsEnded, Me, Page};

/// Errors of every method: as of every call.
impl Client {
    /// Returns who this client is.
    ///
    /// # Errors
    /// `Unauthenticated` for nobody, and those of every call.
    pub async fn me(&self) -> Result<Me> {
        self.get(&["api", "auth", "me"], "me").await
    }

    /// Begins a sign-in that a person goes on with in a browser.
    ///
    /// # Errors
    /// `NotFound` where nobody can sign in, and those of every call.
    pub async fn begin_device_sign_in(&self) -> Result<DeviceSignIn> {
        self.post(&["api", "auth", "device"], "begin_sign_in").await
    }

    /// Asks whether the person has agreed.
    ///
    /// # Errors
    /// `Unauthenticated` when nobody did in time, `Denied` when the person refused or may not sign
    /// in, and those of every call.
    pub async fn poll_device_sign_in(&self, poll: &DevicePoll) -> Result<DevicePolled> {
        let url = self.url(&["api", "auth", "device", "poll"])?;
        self.call(Call::new(Method::POST, url, "poll_sign_in").with_body(poll)?).await
    }

    /// Ends the login of this client.
    ///
    /// # Errors
    /// `Unauthenticated` when it has ended already, `BadInput` for the administrator's token, and
    /// those of every call.
    pub async fn sign_out(&self) -> Result<()> {
        let _answer: serde::de::IgnoredAny =
            self.post(&["api", "auth", "sign-out"], "sign_out").await?;
        Ok(())
    }

    /// Ends all logins of this client's account.
    ///
    /// # Errors
    /// As of [`Client::sign_out`].
    pub async fn sign_out_everywhere(&self) -> Result<LoginsEnded> {
        let url = self.url(&["api", "auth", "sessions"])?;
        self.call(Call::new(Method::DELETE, url, "sign_out_everywhere")).await
    }

    /// Returns one page of the accounts, oldest first.
    ///
    /// # Errors
    /// `Denied` unless asked by an administrator, and those of every call.
    pub async fn accounts(&self, after: Option<&str>) -> Result<Page<Account>> {
        let mut url = self.url(&["api", "accounts"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_accounts")).await
    }
}
