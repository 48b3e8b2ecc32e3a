//! Installations, repositories and branches: pages, renames, what has not changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use sam_core::forge::{Access, RepoAccess as _, RepoPath, Right, TokenRequest};
use sam_core::http::HttpTransport;
use sam_core::time::ManualClock;
use sam_core::{ErrorKind, Result};
use sam_github::testkit::{FakeGithub, FakeRepository};
use sam_github::{GithubApp, InstallationId, Level};

use crate::support::keys::START;
use crate::support::{INSTALLATION, app, app_by, github};

fn parts() -> (ManualClock, FakeGithub, GithubApp) {
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let app = app(&github, &clock);
    (clock, github, app)
}

fn repo(text: &str) -> RepoPath {
    text.parse().unwrap()
}

#[tokio::test]
async fn pages_are_followed_where_github_says_they_are() {
    let (_, _, app) = parts();
    let first = app.repositories(INSTALLATION, None).await.unwrap();
    let second = app.repositories(INSTALLATION, first.next.as_deref()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (100, 50, None));
    let ids: BTreeSet<_> = first.items.iter().chain(&second.items).map(|found| found.id).collect();
    assert_eq!(ids.len(), 150);
    assert!(first.items[7].archived && first.items[7].is_read_only() && !first.items[6].archived);
    let error = app.repositories(INSTALLATION, Some("/user/emails")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    let page = app.installations(None).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0].account.as_ref().unwrap().login, "octo");
    let none = app.repositories(InstallationId::new(9), None).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

/// Notes the statuses of answers.
#[derive(Debug, Clone)]
struct Statuses(FakeGithub, Arc<Mutex<Vec<u16>>>);

#[async_trait]
impl HttpTransport for Statuses {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let looks = request.method() == http::Method::GET;
        let answer = self.0.send(request).await?;
        if looks {
            self.1.lock().unwrap().push(answer.status().as_u16());
        }
        Ok(answer)
    }
}

#[tokio::test]
async fn what_has_not_changed_is_answered_from_memory_and_what_has_is_not() {
    let (clock, github, _) = parts();
    let transport = Statuses(github.clone(), Arc::default());
    let statuses = Arc::clone(&transport.1);
    let app = app_by(transport, &github, &clock);
    let first = app.repositories(INSTALLATION, None).await.unwrap();
    // Also after the token was replaced: it is the same installation.
    clock.advance(Duration::from_hours(1));
    assert_eq!(app.repositories(INSTALLATION, None).await.unwrap(), first);
    github.put_repository(FakeRepository::new(500, "octo", "new"));
    let later = app.repositories(INSTALLATION, None).await.unwrap();
    assert_eq!(later.items[0].full_name, "octo/new");
    let page = app.repositories(INSTALLATION, later.next.as_deref()).await.unwrap();
    assert_eq!(page.items.len(), 51);
    assert_eq!(*statuses.lock().unwrap(), [200, 304, 200, 200]);
    // One installation is not answered with what another was told.
    let other = app.repositories(InstallationId::new(2), None).await.unwrap();
    assert_eq!(other.items.len(), 1);
    assert_eq!(statuses.lock().unwrap().last(), Some(&200));
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_old_name_and_another_s_is_not() {
    let (clock, github, app) = parts();
    github.rename_repository(1_000, "octo", "renamed");
    let found = app.repository(INSTALLATION, &repo("octo/r000")).await.unwrap().unwrap();
    assert_eq!((found.id.as_u64(), found.full_name.as_str()), (1_000, "octo/renamed"));
    let found = app.repository(INSTALLATION, &repo("OCTO/Renamed")).await.unwrap().unwrap();
    assert_eq!(found.id.as_u64(), 1_000);
    assert_eq!(app.repository(INSTALLATION, &repo("octo/none")).await.unwrap(), None);
    assert_eq!(app.repository(INSTALLATION, &repo("other/secret")).await.unwrap(), None);
    // Somebody else takes the old name: it is his from now on.
    let request = TokenRequest::new(
        "1".parse().unwrap(),
        [repo("octo/r000")],
        [(Right::Contents, Access::Read)],
    );
    let request = request.unwrap();
    let old = app.access_token(&request).await.unwrap();
    assert!(github.allows(old.token.expose(), 1_000, "contents", Level::Read));
    github.put_repository(FakeRepository::new(2_000, "octo", "r000"));
    clock.advance(Duration::from_mins(6));
    let new = app.access_token(&request).await.unwrap();
    assert!(github.allows(new.token.expose(), 2_000, "contents", Level::Read));
    assert!(!github.allows(new.token.expose(), 1_000, "contents", Level::Read));
}

#[tokio::test]
async fn a_name_that_means_something_else_by_now_is_asked_for_again() {
    let (_, github, app) = parts();
    let rights = [(Right::Contents, Access::Read)];
    let request = TokenRequest::new("1".parse().unwrap(), [repo("octo/r000")], rights).unwrap();
    app.access_token(&request).await.unwrap();
    github.delete_repository(1_000);
    github.put_repository(FakeRepository::new(2_000, "octo", "r000"));
    // The name is still trusted; that what it meant is gone, GitHub says when a token is made.
    let rights = [(Right::Contents, Access::Write)];
    let request = TokenRequest::new("1".parse().unwrap(), [repo("octo/r000")], rights).unwrap();
    let token = app.access_token(&request).await.unwrap();
    assert!(github.allows(token.token.expose(), 2_000, "contents", Level::Write));
    // A webhook of the deletion says so sooner.
    app.forget_repository(sam_github::RepositoryId::new(1_000));
}

#[tokio::test]
async fn branches_come_in_pages_that_go_on_under_the_number() {
    let (_, github, app) = parts();
    let branches = (0..130).map(|n| (format!("b{n:03}"), format!("{n:040x}"))).collect();
    github
        .put_repository(FakeRepository { branches, ..FakeRepository::new(1_000, "octo", "r000") });
    let path = repo("octo/r000");
    let first = app.branches(INSTALLATION, &path, None).await.unwrap();
    assert!(first.next.as_deref().is_some_and(|next| next.starts_with("/repositories/1000/")));
    let second = app.branches(INSTALLATION, &path, first.next.as_deref()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (100, 30, None));
    assert_eq!(second.items[29].commit.sha, format!("{:040x}", 129));
}

#[tokio::test]
async fn a_search_is_bounded_and_ignores_case() {
    let (_, _, app) = parts();
    let names = |found: Vec<sam_github::Repository>| -> Vec<String> {
        found.into_iter().map(|found| found.name).collect()
    };
    let found = app.search_repositories(INSTALLATION, "R14", 3).await.unwrap();
    assert_eq!(names(found), ["r140", "r141", "r142"]);
    let found = app.search_repositories(INSTALLATION, "OCTO/R14", 50).await.unwrap();
    assert_eq!(found.len(), 10);
    assert!(app.search_repositories(INSTALLATION, "nothing", 50).await.unwrap().is_empty());
    assert!(app.search_repositories(INSTALLATION, "", 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_installation_of_a_repository_is_found_by_name() {
    let (_, _, app) = parts();
    let found = app.installation_of(&repo("octo/r003")).await.unwrap().unwrap();
    assert_eq!((found.id, found.is_suspended()), (INSTALLATION, false));
    assert!(app.installation_of(&repo("nobody/none")).await.unwrap().is_none());
    assert!(app.installation(InstallationId::new(2)).await.unwrap().is_some());
    assert!(app.installation(InstallationId::new(9)).await.unwrap().is_none());
}
