//! A workspace's repository: found by its name once, and by its number from then on.

use sam_core::forge::RepoPath;
use sam_core::time::ManualClock;
use sam_core::{ErrorKind, Secret};
use sam_github::testkit::FakeRepository;
use sam_github::{
    GitCredential, GitCredentialRequest, GithubApp, InstallationId, KnownRepository, Level,
    RepositoryId,
};

use crate::support::keys::START;
use crate::support::{app, github};

struct Workspace {
    app: GithubApp,
    own: RepoPath,
    known: Option<KnownRepository>,
}

impl Workspace {
    fn new(app: GithubApp, own: &str) -> Self {
        Self { app, own: own.parse().unwrap(), known: None }
    }

    /// Asks for a path as git does, and keeps what is known.
    async fn ask(&mut self, path: Option<&str>) -> sam_core::Result<GitCredential> {
        let (protocol, host) = self.app.endpoints().git_host();
        let path = path.map(|path| format!("path={path}\n")).unwrap_or_default();
        let request = format!("protocol={protocol}\nhost={host}\n{path}").parse()?;
        let (known, credential) =
            self.app.workspace_git_credential(&self.own, self.known, &request).await?;
        self.known = Some(known);
        Ok(credential)
    }
}

#[tokio::test]
async fn a_workspace_reaches_one_repository_under_all_of_its_names() {
    let clock = ManualClock::new(START);
    let fake = github(&clock);
    let mut workspace = Workspace::new(app(&fake, &clock), "octo/r000");
    for path in [None, Some("octo/r000.git"), Some("Octo/R000"), Some("octo/r000/")] {
        let token = workspace.ask(path).await.unwrap().password;
        assert!(fake.allows(token.expose(), 1_000, "contents", Level::Write));
        assert!(!fake.allows(token.expose(), 1_001, "contents", Level::Read));
    }
    let expected = KnownRepository::new(InstallationId::new(1), RepositoryId::new(1_000));
    assert_eq!(workspace.known, Some(expected));
    for path in ["octo/r001.git", "octo/nothing", "octo/r000/info", "other/secret", ".."] {
        let error = workspace.ask(Some(path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{path}");
        assert!(error.public_message().contains("octo/r000 only"), "{path}: {error}");
    }
    fake.rename_repository(1_000, "octo", "renamed");
    workspace.ask(Some("octo/r000.git")).await.unwrap();
    workspace.ask(Some("octo/renamed.git")).await.unwrap();
}

#[tokio::test]
async fn who_takes_a_name_does_not_get_the_workspaces_of_it() {
    let clock = ManualClock::new(START);
    let fake = github(&clock);
    let mut workspace = Workspace::new(app(&fake, &clock), "octo/r000");
    workspace.ask(None).await.unwrap();
    fake.rename_repository(1_000, "octo", "renamed");
    fake.put_repository(FakeRepository::new(7_000, "octo", "r000"));
    // The number counts: the token is not for the repository that has the name now.
    let token = workspace.ask(Some("octo/r000.git")).await.unwrap().password;
    assert!(!fake.allows(token.expose(), 7_000, "contents", Level::Read));
    assert!(fake.allows(token.expose(), 1_000, "contents", Level::Write));
}

#[tokio::test]
async fn a_repository_that_was_moved_is_found_in_its_new_installation() {
    let clock = ManualClock::new(START);
    let fake = github(&clock);
    let app = app(&fake, &clock);
    let mut workspace = Workspace::new(app.clone(), "octo/r000");
    let before = workspace.ask(None).await.unwrap().password;
    fake.rename_repository(1_000, "other", "moved");
    app.forget_repository(RepositoryId::new(1_000));
    let after = workspace.ask(Some("octo/r000.git")).await.unwrap().password;
    assert_eq!(workspace.known.unwrap().installation, InstallationId::new(2));
    assert!(fake.allows(after.expose(), 1_000, "contents", Level::Write));
    assert_ne!(before.expose(), after.expose());
    // Taken away altogether.
    fake.delete_installation(2);
    app.forget_installation(InstallationId::new(2));
    let error = workspace.ask(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("install"));
}

#[tokio::test]
async fn what_git_says_was_refused_is_not_given_again() {
    let clock = ManualClock::new(START);
    let fake = github(&clock);
    let mut workspace = Workspace::new(app(&fake, &clock), "octo/r000");
    let first = workspace.ask(None).await.unwrap().password;
    let same = workspace.ask(None).await.unwrap().password;
    assert_eq!(first.expose(), same.expose());
    let mut refused: GitCredentialRequest = "protocol=https\nhost=x".parse().unwrap();
    refused.password = Some(Secret::new(first.expose().clone()));
    workspace.app.forget_refused(&refused);
    let next = workspace.ask(None).await.unwrap().password;
    assert_ne!(first.expose(), next.expose());
}
