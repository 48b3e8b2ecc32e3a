//! Checkouts against repositories made here by git.

use std::ffi::OsString;

use super::*;
use crate::wire::WireCredential;

fn environment() -> Vec<(OsString, OsString)> {
    let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
    ["AUTHOR", "COMMITTER"]
        .iter()
        .flat_map(|who| ["NAME", "EMAIL"].map(|what| format!("GIT_{who}_{what}")))
        .map(|name| (OsString::from(name), OsString::from("tester")))
        .chain([("PATH".into(), path.into()), ("HOME".into(), "/nonexistent".into())])
        .collect()
}

fn git() -> Git {
    Git::new("git".into(), environment())
}

/// A bare repository with a branch, a tag and a commit that is on neither.
pub(in crate::node) struct Repo {
    place: tempfile::TempDir,
    pub(in crate::node) main_commit: String,
    side_commit: String,
    hidden_commit: String,
}

impl Repo {
    pub(in crate::node) async fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut repo = Self {
            place,
            main_commit: String::new(),
            side_commit: String::new(),
            hidden_commit: String::new(),
        };
        repo.git(&["init", "--quiet", "--bare", "--initial-branch=main"]).await;
        let tree = repo.git(&["mktree", "--missing"]).await;
        repo.main_commit = repo.commit(&tree, "first").await;
        repo.git(&["update-ref", "refs/heads/main", &repo.main_commit]).await;
        repo.side_commit = repo.commit(&tree, "second").await;
        repo.git(&["update-ref", "refs/heads/feature/side", &repo.side_commit]).await;
        repo.git(&["update-ref", "refs/tags/v1.0", &repo.side_commit]).await;
        repo.hidden_commit = repo.commit(&tree, "hidden").await;
        repo.git(&["update-ref", "refs/hidden/x", &repo.hidden_commit]).await;
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]).await;
        repo
    }

    async fn commit(&self, tree: &str, message: &str) -> String {
        self.git(&["commit-tree", tree, "-m", message]).await
    }

    pub(in crate::node) async fn git(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new("git");
        command.args(arguments).current_dir(self.place.path()).env_clear();
        let output = command.envs(environment()).stdin(std::process::Stdio::null()).output().await;
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(in crate::node) fn repo_ref(&self) -> RepoRef {
        self.place.path().to_str().unwrap().parse().unwrap()
    }

    fn request(&self, name: Option<&str>) -> PrepareRequest {
        request(self.repo_ref(), name)
    }
}

fn request(repo: RepoRef, name: Option<&str>) -> PrepareRequest {
    let checkout = name.map_or(Checkout::Default, |name| Checkout::Ref(name.parse().unwrap()));
    PrepareRequest { repo, checkout, credential: None }
}

async fn run(workspace: &Path, request: &PrepareRequest) -> Result<Head> {
    checkout(&git(), workspace, request, &|_| {}).await
}

#[tokio::test]
async fn branches_tags_and_commits_are_checked_out() {
    let repo = Repo::new().await;
    let short: String = repo.side_commit.chars().take(12).collect();
    for (name, commit, branch) in [
        (None, &repo.main_commit, Some("main")),
        (Some("feature/side"), &repo.side_commit, Some("feature/side")),
        (Some("v1.0"), &repo.side_commit, None),
        (Some(repo.side_commit.as_str()), &repo.side_commit, None),
        (Some(short.as_str()), &repo.side_commit, None),
        (Some(repo.hidden_commit.as_str()), &repo.hidden_commit, None),
    ] {
        let node = tempfile::tempdir().unwrap();
        let place = node.path().join("ws-1");
        let head = run(&place, &repo.request(name)).await.unwrap();
        let expected = Head { commit: Some(commit.clone()), branch: branch.map(str::to_owned) };
        assert_eq!(head, expected, "{name:?}");
        assert!(directory(&place).join(".git").is_dir());
        assert!(!place.join(PARTIAL).exists());
    }
}

#[tokio::test]
async fn an_empty_repository_has_no_commit() {
    let (repo, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = ["init", "--quiet", "--bare", "--initial-branch=main"].map(OsStr::new);
    git().run(repo.path(), None, &here).await.unwrap();
    let repo = repo.path().to_str().unwrap().parse().unwrap();
    let head = run(&node.path().join("ws-1"), &request(repo, None)).await.unwrap();
    assert_eq!(head, Head { commit: None, branch: Some("main".into()) });
}

#[tokio::test]
async fn what_is_there_stays_and_what_a_crash_left_goes() {
    let (repo, node) = (Repo::new().await, tempfile::tempdir().unwrap());
    let place = node.path().join("ws-1");
    std::fs::create_dir_all(place.join(PARTIAL).join("half")).unwrap();
    run(&place, &repo.request(None)).await.unwrap();
    assert!(!place.join(PARTIAL).exists());
    let work = directory(&place).join("work");
    std::fs::write(&work, b"unsaved").unwrap();
    // Even another request: it is the workspace's content now.
    let head = run(&place, &repo.request(Some("v1.0"))).await.unwrap();
    assert_eq!(head.branch.as_deref(), Some("main"));
    assert_eq!(std::fs::read(&work).unwrap(), b"unsaved");
}

#[tokio::test]
async fn failures_say_what_is_missing_and_leave_nothing() {
    let repo = Repo::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |path: &str| -> RepoRef { path.parse().unwrap() };
    let no_repo = at(elsewhere.path().to_str().unwrap());
    let nowhere = at(elsewhere.path().join("nowhere").to_str().unwrap());
    let zeros = "0123456789012345678901234567890123456789";
    for (request, kind, words) in [
        (request(nowhere.clone(), None), ErrorKind::NotFound, "there is nothing at"),
        (request(at(&format!("file://{nowhere}")), None), ErrorKind::NotFound, "there is nothing"),
        (request(no_repo.clone(), None), ErrorKind::NotFound, "git could not read"),
        (request(no_repo, Some("main")), ErrorKind::NotFound, "git could not read"),
        (repo.request(Some("nope")), ErrorKind::NotFound, "named \"nope\""),
        (repo.request(Some(zeros)), ErrorKind::NotFound, zeros),
        // Port 1 of loopback: nobody listens there.
        (request(at("http://127.0.0.1:1/x.git"), None), ErrorKind::Unavailable, "git could not"),
    ] {
        let node = tempfile::tempdir().unwrap();
        let place = node.path().join("ws-1");
        let error = run(&place, &request).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{request:?}: {error:?}");
        assert!(error.public_message().contains(words), "{error:?}");
        assert!(error.hint().is_some() && !place.join(PARTIAL).exists());
    }
}

#[tokio::test]
async fn a_git_that_is_ended_by_a_signal_is_started_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let repo = Repo::new().await;
    let place = tempfile::tempdir().unwrap();
    // Ends by a signal twice, then is git.
    let program = place.path().join("git");
    let script = "#!/bin/sh\nn=$(cat \"$0.count\" 2>/dev/null || echo 0)\n\
        [ \"$n\" -lt \"LIMIT\" ] && { echo $((n+1)) >\"$0.count\"; kill -9 $$; }\nexec git \"$@\"\n";
    let try_with = async |limit: &str, name: &str| {
        std::fs::write(&program, script.replace("LIMIT", limit)).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let git = Git::new(program.clone().into(), environment());
        checkout(&git, &place.path().join(name), &repo.request(None), &|_| {}).await
    };
    let head = try_with("2", "w1").await.unwrap();
    assert_eq!(head.commit.as_ref(), Some(&repo.main_commit));
    std::fs::remove_file(place.path().join("git.count")).unwrap();
    let error = try_with("9", "w2").await.unwrap_err();
    assert_eq!(error.to_string(), "git was ended by a signal");
}

#[tokio::test]
async fn a_node_without_git_says_so() {
    let (repo, node) = (Repo::new().await, tempfile::tempdir().unwrap());
    let git = Git::new("git-that-is-not".into(), environment());
    let place = node.path().join("ws-1");
    let error = checkout(&git, &place, &repo.request(None), &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("install git"));
}

#[tokio::test]
async fn a_credential_goes_to_the_server_and_into_no_file() {
    use axum::response::IntoResponse as _;
    // A git server that wants a password, and then has no repository.
    let app = axum::Router::new().fallback(async |headers: http::HeaderMap| {
        match headers.get("authorization").and_then(|value| value.to_str().ok()) {
            // "me:canary" in base64.
            Some("Basic bWU6Y2FuYXJ5") => http::StatusCode::NOT_FOUND.into_response(),
            _ => (http::StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"x\"")])
                .into_response(),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let node = tempfile::tempdir().unwrap();
    let mut request = request(format!("http://{address}/x.git").parse().unwrap(), None);
    let error = run(&node.path().join("ws-1"), &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    request.credential = Some(WireCredential { username: "me".into(), password: "canary".into() });
    let error = run(&node.path().join("ws-1"), &request).await.unwrap_err();
    // The server let it in: now the repository is what is missing.
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(!format!("{error:?}").contains("canary"));
    server.abort();
}
