//! Real git behind the fake: clone, fetch and push through the credential helper, with tokens that
//! end in between.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sam_core::time::{ManualClock, Timestamp};
use sam_github::testkit::{FakeGithub, LoopbackHttp};
use sam_github::{
    GitAccess, GitCredentialAction, GitCredentialRequest, GithubApp, Level, Permissions,
    RepositoryId,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::support::{INSTALLATION, app_by, github};

/// Passes git's question to the host and its answer to git. The answer is on no disk and in no
/// argument.
const HELPER: &str = "#!/bin/bash\nset -u\nexec 3<>/dev/tcp/127.0.0.1/$SAM_HELPER_PORT\n{ echo \"$1\"; \
                      while IFS= read -r line && [ -n \"$line\" ]; do echo \"$line\"; done; echo; } >&3\ncat <&3\n";

struct Bench {
    clock: ManualClock,
    github: FakeGithub,
    folder: tempfile::TempDir,
    address: String,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: (sam_github::testkit::Served, tokio::task::JoinSet<()>),
}

impl Bench {
    async fn new(access: GitAccess) -> Self {
        let clock = ManualClock::new(now());
        let github = github(&clock);
        let folder = tempfile::tempdir().unwrap();
        github.serve_git_below(folder.path());
        let served = github.serve().await.unwrap();
        let address = format!("http://{}/octo/r000.git", served.address());
        let bare = folder.path().join("1000.git");
        good(
            &run(folder.path(), 0, &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()])
                .await,
        );
        let seed = folder.path().join("seed");
        good(&run(folder.path(), 0, &["clone", "-q", bare.to_str().unwrap(), "seed"]).await);
        commit(&seed, "first").await;
        good(&run(&seed, 0, &["push", "-q", "origin", "HEAD:main"]).await);
        let app = app_by(LoopbackHttp::new(), &github, &clock);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (port, host) = host(app, access, Arc::clone(&asked)).await;
        let helper = folder.path().join("helper");
        std::fs::write(&helper, HELPER).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { clock, github, folder, address, port, asked, _tasks: (served, host) }
    }

    /// Runs git as in a workspace: with the helper, and no question to a person.
    async fn git(&self, at: &Path, arguments: &[&str]) -> Output {
        let helper = format!("credential.helper={}", self.folder.path().join("helper").display());
        let all = [&["-c", "credential.helper=", "-c", &helper][..], arguments].concat();
        run(at, self.port, &all).await
    }

    fn minted(&self) -> usize {
        self.github.count("POST /app/installations/1/access_tokens")
    }
}

/// Git has a clock of its own, and uses no password whose time is over.
fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::EPOCH.plus(Duration::from_secs(since.as_secs()))
}

/// What the host does for a workspace's helper.
async fn host(
    app: GithubApp,
    access: GitAccess,
    asked: Arc<Mutex<Vec<String>>>,
) -> (u16, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let action = lines.next_line().await.unwrap().unwrap_or_default();
            let mut question = String::new();
            while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty())
            {
                question.push_str(&line);
                question.push('\n');
            }
            asked.lock().unwrap().push(action.clone());
            let action: GitCredentialAction = action.parse().unwrap();
            let question: GitCredentialRequest = question.parse().unwrap();
            if let Ok(Some(credential)) = app.git_credential(&access, action, &question).await {
                write.write_all(credential.to_lines().expose().as_bytes()).await.unwrap();
            }
        }
    });
    (port, tasks)
}

async fn run(at: &Path, port: u16, arguments: &[&str]) -> Output {
    let (at, arguments) =
        (at.to_owned(), arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    tokio::task::spawn_blocking(move || {
        Command::new("git")
            .current_dir(&at)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("SAM_HELPER_PORT", port.to_string())
            .env_remove("GIT_ASKPASS")
            .env_remove("SSH_ASKPASS")
            .output()
            .unwrap()
    })
    .await
    .unwrap()
}

fn good(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn commit(at: &Path, text: &str) {
    std::fs::write(at.join("file"), text).unwrap();
    good(&run(at, 0, &["add", "file"]).await);
    let who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    good(&run(at, 0, &[&who[..], &["commit", "-q", "-m", text]].concat()).await);
}

fn files(below: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.extend(std::fs::read(&path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_lives_longer_than_its_tokens_and_holds_none() {
    let bench = Bench::new(GitAccess::new(INSTALLATION, RepositoryId::new(1_000))).await;
    let work = bench.folder.path().join("work");
    let address = bench.address.clone();
    let mut shown = Vec::new();
    let cloned = bench.git(bench.folder.path(), &["clone", "-q", &address, "work"]).await;
    good(&cloned);
    shown.extend([cloned.stdout, cloned.stderr].concat());
    assert_eq!(bench.minted(), 1);
    // Its token ends; fetching and pushing go on with a new one each.
    bench.clock.advance(Duration::from_mins(61));
    good(&bench.git(&work, &["fetch", "-q"]).await);
    assert_eq!(bench.minted(), 2);
    bench.clock.advance(Duration::from_mins(61));
    commit(&work, "second").await;
    let pushed = bench.git(&work, &["push", "origin", "HEAD:main"]).await;
    good(&pushed);
    shown.extend([pushed.stdout, pushed.stderr].concat());
    assert_eq!(bench.minted(), 3);
    // GitHub ends all tokens before their time: git is refused once, says so, and is given another.
    bench.github.revoke_all_tokens();
    let refused = bench.git(&work, &["fetch", "-q"]).await;
    assert!(!refused.status.success());
    assert_eq!(bench.asked.lock().unwrap().last().map(String::as_str), Some("erase"));
    good(&bench.git(&work, &["fetch", "-q"]).await);
    assert_eq!(bench.minted(), 4);
    files(&work, &mut shown);
    let all = String::from_utf8_lossy(&shown);
    assert!(!all.contains("ghs_") && !all.contains("x-access-token"));
    let log = run(&bench.folder.path().join("1000.git"), 0, &["log", "--oneline", "main"]).await;
    assert!(String::from_utf8_lossy(&log.stdout).contains("second"));
    assert!(bench.github.count("GET /octo/r000.git/info/refs") >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_workspace_s_own_repository_is_reached_and_only_as_allowed() {
    let reads = Permissions::new().with("contents", Level::Read);
    let access = GitAccess::new(INSTALLATION, RepositoryId::new(1_000)).with_permissions(reads);
    let bench = Bench::new(access).await;
    let work = bench.folder.path().join("work");
    let address = bench.address.clone();
    good(&bench.git(bench.folder.path(), &["clone", "-q", &address, "work"]).await);
    commit(&work, "second").await;
    let pushed = bench.git(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    assert!(!pushed.status.success());
    // Another repository of the same installation.
    let other = address.replace("r000", "r001");
    let cloned = bench.git(bench.folder.path(), &["clone", "-q", &other, "other"]).await;
    assert!(!cloned.status.success());
    // Renamed between the listing and the clone: the number is the identity.
    bench.github.rename_repository(1_000, "octo", "renamed");
    good(&bench.git(&work, &["fetch", "-q"]).await);
    let renamed = address.replace("r000", "renamed");
    good(&bench.git(bench.folder.path(), &["clone", "-q", &renamed, "again"]).await);
    // The installation is deleted while the workspace lives.
    bench.github.delete_installation(1);
    bench.clock.advance(Duration::from_mins(61));
    assert!(!bench.git(&work, &["fetch", "-q"]).await.status.success());
}

#[tokio::test]
async fn a_question_about_another_host_is_not_answered() {
    let clock = ManualClock::new(now());
    let github = github(&clock);
    let app = app_by(github.clone(), &github, &clock);
    let access = GitAccess::new(INSTALLATION, RepositoryId::new(1_000));
    let ask = async |action, question: &str| {
        app.git_credential(&access, action, &question.parse().unwrap()).await.unwrap()
    };
    let ours = "protocol=https\nhost=GitHub.test\n";
    for other in [
        "protocol=https\nhost=github.test.evil.example\n",
        "protocol=https\nhost=github.test:8443\n",
        "protocol=http\nhost=github.test\n",
        "protocol=https\nhost=api.github.test\n",
    ] {
        assert!(ask(GitCredentialAction::Get, other).await.is_none(), "{other}");
    }
    for action in [GitCredentialAction::Store, GitCredentialAction::Erase] {
        assert!(ask(action, ours).await.is_none());
    }
    assert!(github.asked().is_empty());
    let given = ask(GitCredentialAction::Get, ours).await.unwrap();
    // Refused somewhere else is not refused here.
    let password = given.password.expose();
    ask(GitCredentialAction::Erase, &format!("protocol=https\nhost=x\npassword={password}\n"))
        .await;
    let again = ask(GitCredentialAction::Get, ours).await.unwrap();
    assert_eq!(again.password.expose(), password);
    ask(GitCredentialAction::Erase, &format!("{ours}password={password}\n")).await;
    let fresh = ask(GitCredentialAction::Get, ours).await.unwrap();
    assert_ne!(fresh.password.expose(), password);
}
