//! What every [`RepoAccess`] must do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Failure, Outcome, always, cases, ensure, ensure_eq, ensure_kind};
use crate::error::ErrorKind;
use crate::forge::{
    Access, AccessToken, GrantId, ListRepositories, RepoAccess, RepoPath, Right, TokenRequest,
};
use crate::time::Timestamp;

/// Most pages a listing may have.
const PAGES_MAX: usize = 1_000;

/// A forge under test: one grant over a few repositories, and looks at what tokens can do.
#[async_trait]
pub trait ForgeHarness: fmt::Debug + Send + Sync {
    /// Returns the access.
    fn forge(&self) -> &dyn RepoAccess;

    /// Returns the grant. It gives write access to contents, read access to issues, and no right
    /// for workflows.
    fn grant(&self) -> GrantId;

    /// Returns the name of a grant that does not exist.
    fn no_grant(&self) -> GrantId;

    /// Returns all repositories of the grant, at least two.
    fn repositories(&self) -> Vec<RepoPath>;

    /// Returns a repository that exists and is not the grant's.
    fn foreign(&self) -> RepoPath;

    /// Asks the forge, as git would, whether a token gives this access now.
    async fn allows(&self, token: &AccessToken, repo: &RepoPath, need: (Right, Access)) -> bool;

    /// Returns the forge's time.
    fn now(&self) -> Timestamp;

    /// Lets time pass, at the forge and for the access.
    async fn wait(&self, span: Duration);
}

cases! {
    ForgeHarness, Scope;
    "RepoAccess C1", always {
        a_token_reaches_what_was_asked_for_and_no_more,
        a_token_for_several_repositories_reaches_each,
        a_foreign_repository_is_denied,
        more_rights_than_the_grant_holds_are_denied,
        a_grant_that_does_not_exist_is_not_found,
        less_asked_for_later_is_less_given,
    }
    "RepoAccess C2", always {
        a_token_is_good_for_as_long_as_was_asked,
        a_token_near_its_end_is_not_given_out,
    }
    "RepoAccess C3", always { every_repository_is_listed_once }
    "RepoAccess C4", always {
        a_revoked_token_ends_at_once,
        a_token_that_has_ended_can_be_revoked,
    }
    "RepoAccess C5", always { a_revoked_token_is_never_given_out_again }
    "RepoAccess C6", always { no_token_is_shown }
}

const READ: (Right, Access) = (Right::Contents, Access::Read);
const WRITE: (Right, Access) = (Right::Contents, Access::Write);
const ISSUES: (Right, Access) = (Right::Issues, Access::Read);

#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn ForgeHarness,
    one: RepoPath,
    other: RepoPath,
    given: Mutex<Vec<AccessToken>>,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn ForgeHarness) -> Result<Self, Failure> {
        let mut repositories = harness.repositories().into_iter();
        match (repositories.next(), repositories.next()) {
            (Some(one), Some(other)) => Ok(Self { harness, one, other, given: Mutex::default() }),
            _ => Err(Failure::new("the harness has fewer than two repositories")),
        }
    }

    fn forge(&self) -> &dyn RepoAccess {
        self.harness.forge()
    }

    fn request<const N: usize>(
        &self,
        repos: &[&RepoPath],
        rights: [(Right, Access); N],
    ) -> Result<TokenRequest, Failure> {
        let repos = repos.iter().map(|&repo| repo.clone());
        Ok(TokenRequest::new(self.harness.grant(), repos, rights)?)
    }

    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Failure> {
        let token = self.forge().access_token(request).await?;
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        Ok(token)
    }

    async fn allows(&self, token: &AccessToken, repo: &RepoPath, need: (Right, Access)) -> bool {
        self.harness.allows(token, repo, need).await
    }

    /// Ends every token that was given out.
    async fn close(&self) -> Outcome {
        let given = std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner));
        for token in &given {
            self.forge().revoke(token).await?;
            let left = self.allows(token, &self.one, READ).await;
            ensure!(!left, "a token outlives its revocation");
        }
        Ok(())
    }
}

async fn a_token_reaches_what_was_asked_for_and_no_more(scope: &Scope<'_>) -> Outcome {
    let token = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    ensure!(scope.allows(&token, &scope.one, READ).await, "it does not reach what it is for");
    for (repo, need) in [(&scope.one, WRITE), (&scope.one, ISSUES), (&scope.other, READ)] {
        ensure!(!scope.allows(&token, repo, need).await, "it reaches {repo} with {need:?}");
    }
    Ok(())
}

async fn a_token_for_several_repositories_reaches_each(scope: &Scope<'_>) -> Outcome {
    let repos = [&scope.one, &scope.other];
    let token = scope.token(&scope.request(&repos, [WRITE, ISSUES])?).await?;
    for repo in repos {
        for need in [READ, WRITE, ISSUES] {
            ensure!(scope.allows(&token, repo, need).await, "no {need:?} at {repo}");
        }
    }
    Ok(())
}

async fn a_foreign_repository_is_denied(scope: &Scope<'_>) -> Outcome {
    let foreign = scope.harness.foreign();
    for repos in [&[&foreign][..], &[&scope.one, &foreign]] {
        let token = scope.forge().access_token(&scope.request(repos, [READ])?).await;
        ensure_kind!(token, ErrorKind::Denied, "a token for {repos:?}");
    }
    Ok(())
}

async fn more_rights_than_the_grant_holds_are_denied(scope: &Scope<'_>) -> Outcome {
    for more in [(Right::Issues, Access::Write), (Right::Workflows, Access::Read)] {
        let request = scope.request(&[&scope.one], [READ, more])?;
        let token = scope.forge().access_token(&request).await;
        ensure_kind!(token, ErrorKind::Denied, "a token with {more:?}");
    }
    Ok(())
}

async fn a_grant_that_does_not_exist_is_not_found(scope: &Scope<'_>) -> Outcome {
    let none = scope.harness.no_grant();
    let request = TokenRequest::new(none.clone(), [scope.one.clone()], [READ])?;
    let token = scope.forge().access_token(&request).await;
    ensure_kind!(token, ErrorKind::NotFound, "a token of {none}");
    let listed = scope.forge().repositories(&ListRepositories::new(none.clone())).await;
    ensure_kind!(listed, ErrorKind::NotFound, "the repositories of {none}");
    Ok(())
}

async fn less_asked_for_later_is_less_given(scope: &Scope<'_>) -> Outcome {
    // A cache that answers with what it has would give more than was asked for.
    scope.token(&scope.request(&[&scope.one, &scope.other], [WRITE, ISSUES])?).await?;
    let less = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    for (repo, need) in [(&scope.one, WRITE), (&scope.one, ISSUES), (&scope.other, READ)] {
        ensure!(!scope.allows(&less, repo, need).await, "the lesser token gives {need:?}: {repo}");
    }
    Ok(())
}

async fn a_token_is_good_for_as_long_as_was_asked(scope: &Scope<'_>) -> Outcome {
    for span in [Duration::from_mins(1), TokenRequest::VALID_FOR_MAX] {
        let request = scope.request(&[&scope.one], [READ])?.with_valid_for(span);
        let token = scope.token(&request).await?;
        let left = token.expires_at.since(scope.harness.now());
        ensure!(left >= span, "asked for {span:?}, but it ends in {left:?}");
    }
    let request = scope.request(&[&scope.one], [READ])?.with_valid_for(Duration::from_mins(20));
    let token = scope.token(&request).await?;
    scope.harness.wait(Duration::from_mins(20)).await;
    ensure!(scope.allows(&token, &scope.one, READ).await, "it ended before its time");
    Ok(())
}

async fn a_token_near_its_end_is_not_given_out(scope: &Scope<'_>) -> Outcome {
    let request = scope.request(&[&scope.one], [READ])?.with_valid_for(Duration::from_mins(10));
    for _ in 0..12 {
        let token = scope.token(&request).await?;
        let left = token.expires_at.since(scope.harness.now());
        ensure!(left >= request.valid_for(), "given out with only {left:?} left");
        ensure!(scope.allows(&token, &scope.one, READ).await, "given out, but not good");
        scope.harness.wait(Duration::from_mins(7)).await;
    }
    Ok(())
}

async fn every_repository_is_listed_once(scope: &Scope<'_>) -> Outcome {
    let expected: BTreeSet<RepoPath> = scope.harness.repositories().into_iter().collect();
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let mut query = ListRepositories::new(scope.harness.grant());
        let mut listed = Vec::new();
        for page in 0.. {
            ensure!(page < PAGES_MAX, "the listing has more than {PAGES_MAX} pages");
            let page = scope.forge().repositories(&query).await?;
            listed.extend(page.items);
            match page.next {
                None => break,
                next => query.after = next,
            }
        }
        rounds.push(listed);
    }
    ensure!(rounds[0] == rounds[1], "the order changed between two listings");
    let unique: BTreeSet<RepoPath> = rounds[0].iter().cloned().collect();
    ensure_eq!(rounds[0].len(), unique.len(), "repositories, each once");
    ensure_eq!(unique, expected, "the repositories");
    Ok(())
}

async fn a_revoked_token_ends_at_once(scope: &Scope<'_>) -> Outcome {
    let token = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    let other = scope.token(&scope.request(&[&scope.other], [READ])?).await?;
    scope.forge().revoke(&token).await?;
    ensure!(!scope.allows(&token, &scope.one, READ).await, "it is good after its revocation");
    ensure!(scope.allows(&other, &scope.other, READ).await, "another token ended with it");
    Ok(())
}

async fn a_token_that_has_ended_can_be_revoked(scope: &Scope<'_>) -> Outcome {
    let token = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    for _ in 0..2 {
        scope.forge().revoke(&token).await?;
    }
    let token = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    scope.harness.wait(token.expires_at.since(scope.harness.now())).await;
    ensure!(!scope.allows(&token, &scope.one, READ).await, "it is good after its end");
    Ok(scope.forge().revoke(&token).await?)
}

async fn a_revoked_token_is_never_given_out_again(scope: &Scope<'_>) -> Outcome {
    let request = scope.request(&[&scope.one], [READ])?;
    let mut ended = Vec::new();
    for _ in 0..3 {
        let token = scope.token(&request).await?;
        let text = token.token.expose().clone();
        ensure!(!ended.contains(&text), "a revoked token was given out again");
        ensure!(scope.allows(&token, &scope.one, READ).await, "given out, but not good");
        scope.forge().revoke(&token).await?;
        ended.push(text);
    }
    Ok(())
}

async fn no_token_is_shown(scope: &Scope<'_>) -> Outcome {
    let token = scope.token(&scope.request(&[&scope.one], [READ])?).await?;
    let shown = format!("{token:?} {:?} {}", scope.forge(), scope.forge());
    ensure!(!shown.contains(token.token.expose().as_str()), "a token can be read");
    Ok(())
}
