//! What a person sees of what the App reaches: both must, the person and the App.
//!
//! With one GitHub App for everything, the person's own token tells. That of an OAuth App beside it
//! is not told of installations, so GitHub is asked as the App what the person may do.

use sam_core::account::AccountRecord;
use sam_core::forge::{GrantId, RepoPath};
use sam_core::workspace::{ForgeRepository, RepoRef};
use sam_core::{AccountId, Error, ErrorKind, Page, Result};
use sam_github::sign_in::UserToken;
use sam_github::{
    GithubApp, Installation, InstallationId, KnownRepository, Level, Repository, RepositoryId,
    UserId,
};

use super::of_github;
use crate::SignInDesk;
use crate::access::Person;
use crate::app::App;

/// Most pages of a person's repositories that are looked through for one, of 100 each.
const PAGES_MAX: usize = 50;

/// Returns which repository a person's workspace may be given credentials for: none where the App
/// reaches none of that name, or where the person sees a public one like everybody.
///
/// # Errors
/// `NotFound` for one that is private and that the person does not see; `Unauthenticated` when the
/// person has to sign in again; what GitHub answered.
pub(crate) async fn reached(
    app: &App,
    person: &Person,
    repo: &RepoRef,
) -> Result<Option<ForgeRepository>> {
    let (Some(github), Some(desk)) = (&app.github, &app.sign_in) else { return Ok(None) };
    let Some((protocol, host, own)) = repo.on_forge() else { return Ok(None) };
    if !github.is_at(protocol, host) {
        return Ok(None);
    }
    let installation = github.installation_of(&own).await.map_err(of_github)?;
    let Some(installation) = installation else { return Ok(None) };
    let repository = github.repository(installation.id, &own).await.map_err(of_github)?;
    let Some(repository) = repository else { return Ok(None) };
    let level = level(github, desk, person, (&installation, &repository)).await?;
    match level {
        None if repository.private => Err(unseen(&own)),
        None => Ok(None),
        Some(level) => {
            let grant: GrantId = installation.id.to_string().parse()?;
            let known = ForgeRepository::new(grant, repository.id.as_u64());
            Ok(Some(known.with_read_only(level == Level::Read)))
        }
    }
}

/// Returns what a person may do with a repository of an installation.
async fn level(
    github: &GithubApp,
    desk: &SignInDesk,
    person: &Person,
    (installation, repository): (&Installation, &Repository),
) -> Result<Option<Level>> {
    if is_apart(github, desk).await? {
        let who = (person.account.handle.as_str(), UserId::new(person.account.number));
        let level = github.user_permission(installation.id, repository.id, who).await;
        return level.map_err(of_github);
    }
    let found = own(desk, person, installation.id, repository.id).await;
    let found = found.or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    })?;
    Ok(found.map(|found| {
        let pushes = found.permissions.is_some_and(|rights| rights.push);
        if pushes { Level::Write } else { Level::Read }
    }))
}

/// Returns what git in a person's workspace may be given now of the repository that was settled when
/// the workspace was made: no more than the person may do with it at GitHub today.
///
/// # Errors
/// `Denied` for who may not sign in any more, or has lost access; what GitHub answered.
pub(crate) async fn still(
    app: &App,
    github: &GithubApp,
    owner: AccountId,
    (own, settled): (&RepoPath, KnownRepository),
) -> Result<KnownRepository> {
    let account = app.sam.account(owner).await?.map(|account| account.record);
    let may_be_here =
        |account: &AccountRecord| app.sign_in.as_ref().is_some_and(|desk| desk.keeps(account));
    let account = account.filter(may_be_here).ok_or_else(|| {
        Error::new(ErrorKind::Denied, "the owner of this workspace may not sign in any more")
    })?;
    let who = (account.handle.as_str(), UserId::new(account.number));
    let asked = async |installation| {
        let level = github.user_permission(installation, settled.repository, who).await;
        level.map_err(of_github)
    };
    let mut level = asked(settled.installation).await?;
    if level.is_none() {
        // It may have been moved, or the App installed anew: another installation, perhaps.
        let now = github.installation_of(own).await.map_err(of_github)?;
        if let Some(now) = now.filter(|now| now.id != settled.installation) {
            level = asked(now.id).await?;
        }
    }
    let level = level.ok_or_else(|| {
        Error::new(
            ErrorKind::Denied,
            format!("{} has no access to {own} (any more)", account.handle),
        )
        .with_hint("have its owner give you access; if you were renamed at GitHub, sign in again")
    })?;
    Ok(settled.with_read_only(settled.read_only || level == Level::Read))
}

/// Returns whether people sign in with an OAuth App beside the GitHub App: its tokens are not told
/// of installations.
async fn is_apart(github: &GithubApp, desk: &SignInDesk) -> Result<bool> {
    let info = github.recent_info().await.map_err(of_github)?;
    Ok(info.client_id.is_some_and(|client_id| client_id != desk.github().client_id()))
}

/// Finds a repository among those that both the person sees and the installation has.
///
/// # Errors
/// `NotFound` when the person does not see the installation; `Unauthenticated` when the person has
/// to sign in again; `Unavailable` for who sees more than 5,000.
async fn own(
    desk: &SignInDesk,
    person: &Person,
    installation: InstallationId,
    repository: RepositoryId,
) -> Result<Option<Repository>> {
    let account = person.account.id;
    let token = desk.user_token(account).await?;
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = desk.github().repositories(&token, installation, after.as_deref()).await;
        let page = page.map_err(|error| desk.of_user(account, error))?;
        if let Some(found) = page.items.into_iter().find(|found| found.id == repository) {
            return Ok(Some(found));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
    let message = "you see more than 5,000 repositories of this installation";
    Err(Error::new(ErrorKind::Unavailable, message))
}

/// Returns one page of the installations that a person sees.
///
/// # Errors
/// As [`repositories`].
pub(crate) async fn installations(
    app: &App,
    person: &Person,
    after: Option<&str>,
) -> Result<Page<Installation>> {
    let (desk, token) = asked(app, person).await?;
    let page = desk.github().installations(&token, after).await;
    page.map_err(|error| desk.of_user(person.account.id, error))
}

/// Returns one page of the repositories that both the person sees and the installation has.
///
/// # Errors
/// `NotFound` when the person does not see the installation; `Unsupported` where people sign in with
/// an OAuth App; `Unauthenticated` when the person has to sign in again; what GitHub answered.
pub(crate) async fn repositories(
    app: &App,
    person: &Person,
    installation: InstallationId,
    after: Option<&str>,
) -> Result<Page<Repository>> {
    let (desk, token) = asked(app, person).await?;
    let page = desk.github().repositories(&token, installation, after).await;
    page.map_err(|error| desk.of_user(person.account.id, error))
}

async fn asked<'a>(app: &'a App, person: &Person) -> Result<(&'a SignInDesk, UserToken)> {
    let desk = app.sign_in.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Bug, "somebody is signed in where nobody can sign in")
    })?;
    if let Some(github) = &app.github
        && is_apart(github, desk).await?
    {
        let message = "GitHub tells an OAuth App of no installations";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("an administrator lets people sign in with the GitHub App itself"));
    }
    Ok((desk, desk.user_token(person.account.id).await?))
}

/// Returns whether a person sees an installation.
pub(crate) async fn sees_installation(
    app: &App,
    desk: &SignInDesk,
    person: &Person,
    installation: InstallationId,
) -> Result<bool> {
    let account = person.account.id;
    if let Some(github) = &app.github
        && is_apart(github, desk).await?
    {
        // As the App: only that it is the person's own is certain.
        let found = github.installation(installation).await.map_err(of_github)?;
        let owner = found.and_then(|found| found.account);
        return Ok(owner.is_some_and(|owner| owner.id.as_u64() == person.account.number));
    }
    let token = desk.user_token(account).await?;
    let found = desk.github().installation(&token, installation).await;
    found.map(|found| found.is_some()).map_err(|error| desk.of_user(account, error))
}

/// The same for one that is not there.
fn unseen(repo: &RepoPath) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no repository {repo}, or you do not see it"))
        .with_hint("check its name, and at GitHub that you have access to it")
}
