//! Calls of an App: about itself, its installations and their repositories.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sam_core::forge::RepoPath;
use sam_core::{Page, Result};
use serde::Deserialize;

use super::{Account, AppInfo, GithubApp, Installation, TokenScope};
use crate::client::{Answer, Call};
use crate::encode::segment;
use crate::pages::{Pages, page};
use crate::{Branch, InstallationId, Level, Permissions, Repository, RepositoryId, UserId};

/// Most pages that a search looks through, of 100 repositories each.
const SEARCH_PAGES_MAX: usize = 50;

/// What GitHub says of the App is asked for again after so long.
const INFO_KEPT: Duration = Duration::from_hours(1);

/// What GitHub said of the App, and when.
pub(super) type Recent = Mutex<Option<(AppInfo, Duration)>>;

#[derive(Deserialize)]
struct UserPermission {
    permission: String,
    user: Option<Account>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Vec<Repository>,
}

impl GithubApp {
    /// Returns the App as GitHub knows it.
    ///
    /// # Errors
    /// `Unauthenticated` when the key is not the App's; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn info(&self) -> Result<AppInfo> {
        let call = Call::get("app", "/app");
        self.0.send_as_app(&call).await?.read(call.operation)
    }

    /// Returns one page of the App's installations.
    ///
    /// # Errors
    /// `BadInput` for an `after` that is not from such a page; `RateLimited`, `Unavailable`,
    /// `Timeout`, …
    pub async fn installations(&self, after: Option<&str>) -> Result<Page<Installation>> {
        let pages = Pages::new("installations", "/app/installations".to_owned());
        let call = pages.call(after)?;
        page(&self.0.send_as_app(&call).await?, call.operation, |found: Vec<Installation>| found)
    }

    /// Returns an installation, or `None` when there is none of that number.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn installation(&self, id: InstallationId) -> Result<Option<Installation>> {
        let call = Call::get("installation", format!("/app/installations/{id}"));
        found(self.0.send_as_app(&call).await)?
            .map(|answer| answer.read(call.operation))
            .transpose()
    }

    /// Returns the installation that has a repository, or `None` when none has.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn installation_of(&self, repo: &RepoPath) -> Result<Option<Installation>> {
        let call = Call::get("installation_of", format!("{}/installation", repo_path(repo)));
        found(self.0.send_as_app(&call).await)?
            .map(|answer| answer.read(call.operation))
            .transpose()
    }

    /// Returns the installation of a user's own account, or `None` when there is none: how a host
    /// whose users sign in by an OAuth App finds it, since such a token lists no installations.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn installation_of_user(&self, login: &str) -> Result<Option<Installation>> {
        let path = format!("/users/{}/installation", segment(login));
        let call = Call::get("installation_of_user", path);
        found(self.0.send_as_app(&call).await)?
            .map(|answer| answer.read(call.operation))
            .transpose()
    }

    /// Returns one page of an installation's repositories.
    ///
    /// A page that has not changed since it was last asked for costs nothing of GitHub's limits.
    ///
    /// # Errors
    /// `NotFound` when there is no such installation; `BadInput` for an `after` that is not from
    /// such a page; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn repositories(
        &self,
        installation: InstallationId,
        after: Option<&str>,
    ) -> Result<Page<Repository>> {
        let pages = Pages::new("repositories", "/installation/repositories".to_owned());
        let call = pages.call(after)?.remembered();
        let answer = self.send_as_installation(&call, &looking(installation)?).await?;
        page(&answer, call.operation, |found: Repositories| found.repositories)
    }

    /// Returns a repository of an installation by its name of today or an earlier one, or `None`
    /// when the installation sees none of that name.
    ///
    /// # Errors
    /// `NotFound` when there is no such installation; `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn repository(
        &self,
        installation: InstallationId,
        repo: &RepoPath,
    ) -> Result<Option<Repository>> {
        let scope = looking(installation)?;
        // First the token: that the installation is not there is no answer about a repository.
        self.installation_token(&scope, Duration::ZERO).await?;
        let call = Call::get("repository", repo_path(repo)).remembered();
        let answer = found(self.send_as_installation(&call, &scope).await)?;
        answer.map(|answer| answer.read(call.operation)).transpose()
    }

    /// Returns what a user may do with a repository of an installation: nothing, read or write. The
    /// user is asked for by name, so the number of whoever has that name must be the user's.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn user_permission(
        &self,
        installation: InstallationId,
        repository: RepositoryId,
        (login, user): (&str, UserId),
    ) -> Result<Option<Level>> {
        // By number, as GitHub itself leads to a repository that was renamed.
        let path =
            format!("/repositories/{repository}/collaborators/{}/permission", segment(login));
        let call = Call::get("user_permission", path);
        let answer = self.send_as_installation(&call, &looking(installation)?).await;
        let Some(answer) = found(answer)? else { return Ok(None) };
        let told: UserPermission = answer.read(call.operation)?;
        let is_theirs = told.user.is_some_and(|found| found.id == user);
        Ok(match told.permission.as_str() {
            "admin" | "write" if is_theirs => Some(Level::Write),
            "read" if is_theirs => Some(Level::Read),
            _ => None,
        })
    }

    /// Returns the App as GitHub knew it within the last hour.
    ///
    /// # Errors
    /// As [`GithubApp::info`].
    pub async fn recent_info(&self) -> Result<AppInfo> {
        let now = self.0.client.clock().monotonic();
        let known = lock(&self.0.recent).clone();
        if let Some((info, _)) = known.filter(|(_, at)| now.saturating_sub(*at) < INFO_KEPT) {
            return Ok(info);
        }
        let info = self.info().await?;
        *lock(&self.0.recent) = Some((info.clone(), now));
        Ok(info)
    }

    /// Returns one page of a repository's branches.
    ///
    /// # Errors
    /// `NotFound` when the installation sees no such repository; `Denied` when it may not read
    /// contents; `BadInput` for an `after` that is not from such a page; `RateLimited`, …
    pub async fn branches(
        &self,
        installation: InstallationId,
        repo: &RepoPath,
        after: Option<&str>,
    ) -> Result<Page<Branch>> {
        let pages = Pages::new("branches", format!("{}/branches", repo_path(repo)));
        let call = pages.call(after)?.remembered();
        let permissions = Permissions::new().with("contents", Level::Read);
        let scope = TokenScope::all_repositories(installation, permissions)?;
        let answer = self.send_as_installation(&call, &scope).await?;
        page(&answer, call.operation, |found: Vec<Branch>| found)
    }

    /// Returns an installation's repositories whose name holds a text, in any case: at most `limit`
    /// of them, from its first 5,000.
    ///
    /// # Errors
    /// As [`GithubApp::repositories`].
    pub async fn search_repositories(
        &self,
        installation: InstallationId,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Repository>> {
        let text = text.to_lowercase();
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..SEARCH_PAGES_MAX {
            let page = self.repositories(installation, after.as_deref()).await?;
            let fits = |repo: &Repository| repo.full_name.to_lowercase().contains(&text);
            found.extend(page.items.into_iter().filter(fits).take(limit - found.len()));
            after = page.next;
            if after.is_none() || found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}

fn lock(recent: &Recent) -> MutexGuard<'_, Option<(AppInfo, Duration)>> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the scope that looking around takes.
fn looking(installation: InstallationId) -> Result<TokenScope> {
    let permissions = Permissions::new().with("metadata", Level::Read);
    TokenScope::all_repositories(installation, permissions)
}

/// Returns a repository's path below the interface.
pub(crate) fn repo_path(repo: &RepoPath) -> String {
    let (owner, name) = repo.as_str().split_once('/').unwrap_or((repo.as_str(), ""));
    format!("/repos/{}/{}", segment(owner), segment(name))
}

/// Turns "not found" into absence.
pub(crate) fn found(answer: Result<Answer>) -> Result<Option<Answer>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == sam_core::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
