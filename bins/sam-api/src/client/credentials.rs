//! Credentials of one's own.

use reqwest::Method;

use sam_core::{Result, Secret};

use super::Client;
use super::api::add;
use super::send::Call;
use crate::{AcceptedCredential, CreateCredential, Credential, Page, ReplaceToken};

/// Errors of every method: as of every call.
impl Client {
    /// Returns one page of the caller's credentials, after the one of this id.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn credentials(&self, after: Option<&str>) -> Result<Page<Credential>> {
        let mut url = self.url(&["api", "credentials"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_credentials")).await
    }

    /// Stores a credential after its provider has accepted it. Not repeatable: a second call is
    /// `AlreadyExists`.
    ///
    /// # Errors
    /// `BadInput` when the provider refuses the token, `AlreadyExists`, `Unsupported`, and those of
    /// every call.
    pub async fn add_credential(&self, request: &CreateCredential) -> Result<Credential> {
        let url = self.url(&["api", "credentials"])?;
        self.call(Call::new(Method::POST, url, "add_credential").with_body(request)?).await
    }

    /// Asks a provider whether it accepts a token; nothing is kept.
    ///
    /// # Errors
    /// As [`Client::add_credential`].
    pub async fn validate_credential(
        &self,
        request: &CreateCredential,
    ) -> Result<AcceptedCredential> {
        let url = self.url(&["api", "credentials", "validate"])?;
        self.call(Call::new(Method::POST, url, "validate_credential").with_body(request)?).await
    }

    /// Gives a credential, by id or name, another token of the same account.
    ///
    /// # Errors
    /// `NotFound`, `BadInput`, `Conflict` for a token of another account, and those of every call.
    pub async fn replace_token(
        &self,
        credential: &str,
        token: &Secret<String>,
    ) -> Result<Credential> {
        let url = self.url(&["api", "credentials", credential, "token"])?;
        let body = ReplaceToken { token: token.expose().clone() };
        self.call(Call::new(Method::PUT, url, "replace_token").with_body(&body)?).await
    }

    /// Asks for a credential, by id or name, to be deleted. Repeatable by id.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while something that was bought with it needs it, and those of every
    /// call.
    pub async fn delete_credential(&self, credential: &str) -> Result<Credential> {
        let url = self.url(&["api", "credentials", credential])?;
        self.call(Call::new(Method::DELETE, url, "delete_credential")).await
    }

    /// Returns a credential, by id or name.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn credential(&self, credential: &str) -> Result<Credential> {
        self.get(&["api", "credentials", credential], "credential").await
    }
}
