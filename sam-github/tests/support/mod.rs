//! A fake GitHub with something on it, for the tests of this folder.

pub(crate) mod contract;
pub(crate) mod folder;
pub(crate) mod keys;

use std::sync::Arc;

use sam_core::http::HttpTransport;
use sam_core::time::ManualClock;
use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository, FakeUser};
use sam_github::{GithubApp, InstallationId, Level, Permissions};

use self::contract::{Checked, Contract};
use self::keys::signer;

pub(crate) const APP_ID: u64 = 1_136_541;
pub(crate) const INSTALLATION: InstallationId = InstallationId::new(1);
/// A GitHub with the organisation `octo`, whose installation 1 has 150 repositories `octo/r000` …,
/// numbered from 1000, and another one of somebody else.
pub(crate) fn github(clock: &ManualClock) -> FakeGithub {
    let app = FakeApp::new(APP_ID, signer().public_key());
    let github = FakeGithub::new(app, Arc::new(clock.clone()));
    let user = |id, login: &str| FakeUser { id, login: login.to_owned(), ..FakeUser::default() };
    github.put_user(FakeUser { is_organization: true, ..user(10, "octo") });
    github.put_user(FakeUser {
        public_email: Some("mona@example.com".to_owned()),
        emails: vec![
            ("old@example.com".to_owned(), false, true),
            ("mona@private.example".to_owned(), true, true),
        ],
        ..user(11, "mona")
    });
    github.put_user(user(12, "other"));
    for n in 0..150 {
        let mut repository = FakeRepository::new(1_000 + n, "octo", &format!("r{n:03}"));
        repository.seen_by = if n % 2 == 0 { vec!["mona".to_owned()] } else { Vec::new() };
        repository.is_archived = n == 7;
        github.put_repository(repository);
    }
    github.put_repository(FakeRepository::new(9_000, "other", "secret"));
    let permissions = Permissions::new()
        .with("contents", Level::Write)
        .with("issues", Level::Read)
        .with("metadata", Level::Read);
    for (id, account) in [(1, "octo"), (2, "other")] {
        github.put_installation(FakeInstallation {
            id,
            account: account.to_owned(),
            repositories: None,
            permissions: permissions.clone(),
            suspended_at: None,
            seen_by: vec!["mona".to_owned()].into_iter().filter(|_| id == 1).collect(),
        });
    }
    github
}

/// The App on it, by a transport that holds every exchange to the contract.
pub(crate) fn app(github: &FakeGithub, clock: &ManualClock) -> GithubApp {
    app_by(Checked::new(github.clone(), Contract::read()), github, clock)
}

pub(crate) fn app_by(
    http: impl HttpTransport,
    github: &FakeGithub,
    clock: &ManualClock,
) -> GithubApp {
    GithubApp::builder(APP_ID.to_string().parse().expect("a number"), signer())
        .endpoints(github.endpoints())
        .build(Arc::new(http), Arc::new(clock.clone()))
}
