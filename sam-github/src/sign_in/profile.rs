//! Who signed in, and what they see.

use sam_core::{Error, ErrorKind, Page, Result};
use serde::Deserialize;

use super::{SignIn, UserToken};
use crate::client::{Call, Credential};
use crate::pages::{Pages, page};
use crate::{Endpoints, Installation, InstallationId, Repository, UserId};

/// Most pages of installations that are looked through for one.
const PAGES_MAX: usize = 50;
/// Longest e-mail address that is taken, in bytes.
const EMAIL_BYTES_MAX: usize = 254;

/// Who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The user's number, which stays: the identity.
    pub id: UserId,
    /// The user's name, which may change.
    pub login: String,
    /// What the user is called.
    pub name: Option<String>,
    /// The user's picture.
    pub avatar_url: Option<String>,
    /// The primary address, else the public one, else GitHub's `noreply` form.
    pub email: String,
    /// Whether GitHub says that the address is the user's.
    pub email_is_verified: bool,
}

#[derive(Deserialize)]
struct User {
    id: UserId,
    login: String,
    name: Option<String>,
    avatar_url: Option<String>,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Email {
    #[serde(rename = "email")]
    address: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

#[derive(Deserialize)]
struct Installations {
    installations: Vec<Installation>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Vec<Repository>,
}

impl SignIn {
    /// Returns who a token is of.
    ///
    /// An App that may not read e-mail addresses gets the public one or the `noreply` form.
    ///
    /// # Errors
    /// `Unauthenticated` for a token that has ended; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn profile(&self, token: &UserToken) -> Result<Profile> {
        let credential = Credential::user(&token.access);
        let call = Call::get("profile", "/user");
        let user: User = self.0.client.send(&call, &credential).await?.read(call.operation)?;
        let emails = Call::get("emails", "/user/emails?per_page=100");
        let emails = match self.0.client.send(&emails, &credential).await {
            Ok(answer) => answer.read::<Vec<Email>>(emails.operation)?,
            // The App was not given the permission.
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let primary = emails.into_iter().find(|email| email.primary && usable(&email.address));
        let (email, email_is_verified) = match (primary, user.email.filter(|email| usable(email))) {
            (Some(primary), _) => (primary.address, primary.verified),
            (None, Some(public)) => (public, false),
            (None, None) => (noreply_email(self.0.client.endpoints(), user.id, &user.login), true),
        };
        let User { id, login, name, avatar_url, .. } = user;
        Ok(Profile { id, login, name, avatar_url, email, email_is_verified })
    }

    /// Returns one page of the installations that a user sees.
    ///
    /// # Errors
    /// `Unauthenticated` for a token that has ended; `BadInput` for an `after` that is not from
    /// such a page; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn installations(
        &self,
        token: &UserToken,
        after: Option<&str>,
    ) -> Result<Page<Installation>> {
        let call =
            Pages::new("user_installations", "/user/installations".to_owned()).call(after)?;
        let call = call.remembered();
        let answer = self.0.client.send(&call, &Credential::user(&token.access)).await?;
        page(&answer, call.operation, |found: Installations| found.installations)
    }

    /// Returns an installation if the user sees it: what a set-up callback says is checked by this.
    ///
    /// # Errors
    /// As [`SignIn::installations`]; `Unavailable` for a user who sees more than 5,000.
    pub async fn installation(
        &self,
        token: &UserToken,
        id: InstallationId,
    ) -> Result<Option<Installation>> {
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let page = self.installations(token, after.as_deref()).await?;
            if let Some(found) = page.items.into_iter().find(|found| found.id == id) {
                return Ok(Some(found));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the user sees more than 5,000 installations")
            .with_operation("user_installation"))
    }

    /// Returns one page of the repositories that both the user sees and the installation has.
    ///
    /// # Errors
    /// `NotFound` when the user sees no such installation; `Unauthenticated` for a token that has
    /// ended; `BadInput` for an `after` that is not from such a page; `RateLimited`, …
    pub async fn repositories(
        &self,
        token: &UserToken,
        installation: InstallationId,
        after: Option<&str>,
    ) -> Result<Page<Repository>> {
        let path = format!("/user/installations/{installation}/repositories");
        let call = Pages::new("user_repositories", path).call(after)?.remembered();
        let answer = self.0.client.send(&call, &Credential::user(&token.access)).await?;
        page(&answer, call.operation, |found: Repositories| found.repositories)
    }
}

/// Returns the address that GitHub gives every user.
pub fn noreply_email(endpoints: &Endpoints, id: UserId, login: &str) -> String {
    let (_, host) = endpoints.git_host();
    let host = host.split(':').next().unwrap_or(host);
    format!("{id}+{login}@users.noreply.{host}")
}

/// Git and a header take it as it is.
fn usable(email: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>".contains(c);
    email.len() <= EMAIL_BYTES_MAX && email.contains('@') && email.chars().all(plain)
}
