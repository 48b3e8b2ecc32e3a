//! Private repositories: git in a workspace is given a credential of its own repository when it asks,
//! and nothing else sees one. Real git on both sides, behind a GitHub of our own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_agent::wire::{
    ASSERTION_HEADER, ChallengeReply, GIT_CREDENTIAL_PATH, assertion_text, request_text,
};
use sam_api::client::TerminalMessage;
use sam_api::wire::{ExitStatus, OpenTerminal, TerminalEvent};
use sam_core::keys::{Ed25519Signer, Signer as _};
use sam_core::{NodeId, Secret};
use sam_github::testkit::{
    FakeApp, FakeGithub, FakeInstallation, FakeRepository, FakeUser, Served,
};
use sam_github::{Level, Permissions, PrivateKey, Rs256Signer};
use sam_providers::system::SystemClock;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::deadline::{LIMIT, eventually, pause, within};
use crate::home::{Home, assert_failed, said, trials};
use crate::processes::Role;

trials! {
    a_private_repository_is_cloned_fetched_and_pushed_without_a_token_anywhere,
    a_workspace_is_given_its_own_repository_only_whatever_that_is_called,
    a_node_is_answered_for_the_workspaces_at_work_on_it_alone,
    without_an_app_git_has_the_helpers_of_its_own_configuration,
    the_look_at_processes_and_files_sees_a_token,
}

const APP: u64 = 77;
const INSTALLATION: u64 = 1;
const PEM: &str = include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");
/// How each token begins, and how the header with one does.
const TOKENS: [&str; 2] = ["ghs_", "eC1hY2Nlc3MtdG9rZW46"];
/// Between two looks at what processes were started with.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// For so long after its making a token is tried again when it is refused.
const YOUNG: Duration = Duration::from_secs(5);

/// A GitHub with the private repositories `octo/r0` (1000) and `octo/r1` (1001).
struct Github {
    fake: FakeGithub,
    folder: PathBuf,
    key: PathBuf,
    served: Served,
}

impl Github {
    async fn new(home: &Home) -> Self {
        let pem: PrivateKey = PEM.parse().unwrap();
        let app = FakeApp::new(APP, Rs256Signer::new(&pem).unwrap().public_key());
        let fake = FakeGithub::new(app, Arc::new(SystemClock::new()));
        let user =
            |id, login: &str| FakeUser { id, login: login.to_owned(), ..FakeUser::default() };
        fake.put_user(FakeUser { is_organization: true, ..user(10, "octo") });
        let permissions = Permissions::new().with("contents", Level::Write);
        fake.put_installation(FakeInstallation::new(INSTALLATION, "octo", permissions));
        let folder = home.path().join("github");
        fs::create_dir(&folder).unwrap();
        for number in 0..2 {
            let id = 1_000 + number;
            fake.put_repository(FakeRepository::new(id, "octo", &format!("r{number}")));
            let seed = home.repo_named(&format!("seed{number}"), 1).await;
            let bare = folder.join(format!("{id}.git"));
            home.git(&seed, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]).await;
        }
        fake.serve_git_below(&folder);
        let served = fake.serve().await.unwrap();
        let key = home.path().join("app.pem");
        fs::write(&key, PEM).unwrap();
        Self { fake, folder, key, served }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/octo/{name}.git", self.served.address())
    }

    /// Starts the daemon with the App.
    async fn start_daemon(&self, home: &Home) {
        let mut starting = home.sam(&["ls"]);
        starting
            .env("GITHUB_APP_ID", APP.to_string())
            .env("GITHUB_APP_PRIVATE_KEY_PATH", &self.key)
            .env("SAM_GITHUB_BASE_URL", format!("http://{}", self.served.address()));
        let output = within("the daemon starts", LIMIT, starting.output()).await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    async fn subject(&self, home: &Home, id: u64) -> String {
        let bare = self.folder.join(format!("{id}.git"));
        home.git(&bare, &["log", "-1", "--format=%s", "main"]).await
    }

    fn minted(&self) -> usize {
        self.fake.count(&format!("POST /app/installations/{INSTALLATION}/access_tokens"))
    }
}

/// Looks at what the processes of a test were started with, again and again, until asked for what it saw.
struct Looking {
    task: JoinHandle<()>,
    found: Arc<std::sync::Mutex<BTreeSet<String>>>,
    /// Processes of git's helper, so that the look is known to have been quick enough.
    helpers: Arc<std::sync::atomic::AtomicUsize>,
}

impl Looking {
    fn begin(home: &Home) -> Self {
        let mark = home.path().to_str().unwrap().to_owned();
        let (found, helpers) = (Arc::default(), Arc::default());
        let (into, seen) = (Arc::clone(&found), Arc::clone(&helpers));
        let task = tokio::spawn(async move {
            loop {
                look_at_processes(&mark, &into, &seen);
                pause(LOOK_EVERY).await;
            }
        });
        Self { task, found, helpers }
    }

    fn end(self) -> BTreeSet<String> {
        self.task.abort();
        let helpers = self.helpers.load(std::sync::atomic::Ordering::Relaxed);
        assert!(helpers > 0, "git's helper was never seen");
        self.found.lock().unwrap().clone()
    }
}

/// Looks at the processes of one test: the path of its directory is in all that they inherit.
fn look_at_processes(
    mark: &str,
    found: &std::sync::Mutex<BTreeSet<String>>,
    helpers: &std::sync::atomic::AtomicUsize,
) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        if !holds(&environment, mark) && !holds(&arguments, mark) {
            continue;
        }
        if holds(&arguments, "git-credential\0get") {
            helpers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        for token in TOKENS {
            if holds(&arguments, token) || holds(&environment, token) {
                let text = String::from_utf8_lossy(&arguments).replace('\0', " ");
                found.lock().unwrap().insert(text);
            }
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The files below a directory that hold a text.
fn files_with(below: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_with(&path, text, found),
            Ok(kind) if kind.is_file() && holds(&fs::read(&path).unwrap_or_default(), text) => {
                found.push(path);
            }
            _ => {}
        }
    }
}

async fn shell(home: &Home, name: &str, line: &str) -> Output {
    home.run(&["exec", name, "--shell", line]).await
}

async fn good(home: &Home, name: &str, line: &str) -> String {
    let output = shell(home, name, line).await;
    assert!(output.status.success(), "{line}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

async fn up(home: &Home, url: &str, name: &str) -> Output {
    home.run(&["up", url, "--no-attach", "--name", name]).await
}

async fn git_in_a_terminal_waits_for_an_agent_that_was_killed(home: &Home) {
    let go = home.path().join("go");
    let line = format!("while [ ! -e {} ]; do sleep 0.05; done; git fetch -q", go.display());
    let command = ["sh", "-c", &line].map(str::to_owned).to_vec();
    let request = OpenTerminal { command, ..OpenTerminal::default() };
    let id = home.client().open_terminal("a", &request).await.unwrap().id;
    home.one(Role::Agent).await.kill();
    fs::write(go, "").unwrap();
    let attach = async || home.client().attach("a", id, 0).await.ok();
    let mut socket = eventually("the terminal is there again", attach).await;
    let ending = async {
        loop {
            let message = socket.receiver.next().await.unwrap().expect("it says how it ended");
            if let TerminalMessage::Event(TerminalEvent::Exit { status }) = message {
                return status;
            }
        }
    };
    let status = within("git ends", LIMIT, ending).await;
    assert_eq!(status, ExitStatus::Code(0));
}

async fn a_private_repository_is_cloned_fetched_and_pushed_without_a_token_anywhere(home: &Home) {
    let github = Github::new(home).await;
    // Somebody's own helper, which would keep a token on the disk if it were told of one.
    let config = home.path().join("home/.gitconfig");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(config, before + "[credential]\n\thelper = store\n").unwrap();
    github.start_daemon(home).await;
    let looking = Looking::begin(home);
    let made = up(home, &github.url("r0"), "a").await;
    let made_at = Instant::now();
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(good(home, "a", "git log -1 --format=%s").await, "first");
    good(home, "a", "git fetch -q").await;
    good(home, "a", "git commit -q --allow-empty -m second && git push -q origin HEAD:main").await;
    assert_eq!(github.subject(home, 1_000).await, "second");

    // All tokens end before their time. Git is refused with the one that was good a moment ago, and
    // says so; the next one is fresh.
    let before = github.minted();
    github.fake.revoke_all_tokens();
    let push = "git commit -q --allow-empty -m third && git push -q origin HEAD:main";
    let again = format!("{{ {push}; }} || git push -q origin HEAD:main");
    good(home, "a", &again).await;
    assert_eq!(github.subject(home, 1_000).await, "third");
    assert!(github.minted() > before);

    git_in_a_terminal_waits_for_an_agent_that_was_killed(home).await;

    // A workspace that was stopped is served again.
    home.done(&["stop", "a"]).await;
    home.done(&["start", "a"]).await;
    good(home, "a", "git fetch -q").await;

    // Another workspace is made while the tokens that the server keeps are no good: the agent tries
    // again with a fresh one. Young tokens are something else: not all of GitHub knows them yet.
    let old = async || (made_at.elapsed() > YOUNG).then_some(());
    eventually("the tokens are old enough to be given up at once", old).await;
    github.fake.revoke_all_tokens();
    let made = up(home, &github.url("r0"), "again").await;
    assert!(made.status.success(), "{}", said(&made));
    home.done(&["rm", "again"]).await;

    assert_eq!(looking.end(), BTreeSet::new());
    let own = ["home", "data"].map(|name| home.path().join(name));
    for (text, expected) in [(TOKENS[0], 0), (TOKENS[1], 0), (&*github.url("r0"), 1)] {
        let mut found = Vec::new();
        for directory in &own {
            files_with(directory, text, &mut found);
        }
        assert_eq!(found.len().min(1), expected, "{text}: {found:?}");
    }
    home.done(&["rm", "a"]).await;
}

async fn a_workspace_is_given_its_own_repository_only_whatever_that_is_called(home: &Home) {
    let github = Github::new(home).await;
    github.start_daemon(home).await;
    for (name, repository) in [("a", "r0"), ("b", "r1")] {
        let made = up(home, &github.url(repository), name).await;
        assert!(made.status.success(), "{}", said(&made));
    }
    // Another repository of the same installation, which another workspace may have.
    let refused = shell(home, "b", &format!("git ls-remote {}", github.url("r0"))).await;
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("credentials for octo/r1 only"), "{told}");
    good(home, "a", &format!("git ls-remote {}", github.url("r0"))).await;

    // Renamed: both names lead to it, since the number is what counts.
    github.fake.rename_repository(1_000, "octo", "renamed");
    good(home, "a", "git fetch -q").await;
    good(home, "a", &format!("git ls-remote {}", github.url("renamed"))).await;
    // Somebody else takes the old name: that is no longer this workspace's repository.
    github.fake.put_repository(FakeRepository::new(1_002, "octo", "r0"));
    let bare = github.folder.join("1002.git");
    home.git(home.path(), &["init", "-q", "--bare", bare.to_str().unwrap()]).await;
    assert!(!shell(home, "a", "git fetch -q").await.status.success());
    good(home, "a", &format!("git ls-remote {}", github.url("renamed"))).await;

    // What the App does not reach is not cloned, and it says what to do.
    github.fake.put_repository(FakeRepository::new(9_000, "other", "secret"));
    let foreign = github.url("r0").replace("octo/r0", "other/secret");
    let output = up(home, &foreign, "c").await;
    assert_failed(&output, 4, &["the GitHub App does not reach other/secret", "install"]);
    for name in ["a", "b", "c"] {
        home.done(&["rm", name]).await;
    }
}

/// What a node asks, signed with its key.
struct Asking {
    http: reqwest::Client,
    node: NodeId,
    signer: Ed25519Signer,
}

impl Asking {
    /// Takes the key of a workspace's node, as somebody could who broke into it.
    async fn of(home: &Home, workspace: &str) -> Self {
        let node = home.client().workspace(workspace).await.unwrap().node_id.unwrap();
        let identity = home.data().join("nodes").join(node.to_string()).join("identity.json");
        let identity: Value = serde_json::from_slice(&fs::read(identity).unwrap()).unwrap();
        let seed = URL_SAFE_NO_PAD.decode(identity["seed"].as_str().unwrap()).unwrap();
        let signer = Ed25519Signer::from_seed(&Secret::new(seed.try_into().unwrap()));
        let socket = home.data().join("agents/agents.sock");
        let http = reqwest::Client::builder().timeout(LIMIT).unix_socket(socket).build().unwrap();
        Self { http, node, signer }
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("http://localhost{path}"))
    }

    async fn header(&self, text: impl FnOnce(&str) -> Vec<u8>) -> String {
        let challenge = self.post("/api/agent/challenge").json(&json!({})).send().await.unwrap();
        let nonce = challenge.json::<ChallengeReply>().await.unwrap().nonce;
        let signature = self.signer.sign(&text(&nonce)).await.unwrap();
        format!("{}.{nonce}.{}", self.node, URL_SAFE_NO_PAD.encode(signature))
    }

    /// Asks with a header over a body, and returns the status and the answer.
    async fn send(&self, header: Option<String>, body: &[u8]) -> (u16, Value) {
        let mut request = self.post(GIT_CREDENTIAL_PATH).body(body.to_vec());
        if let Some(header) = header {
            request = request.header(ASSERTION_HEADER, header);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Asks as an agent does.
    async fn ask(&self, body: &[u8]) -> (u16, Value) {
        let sign = |nonce: &str| request_text(self.node, nonce, GIT_CREDENTIAL_PATH, body);
        let header = self.header(sign).await;
        self.send(Some(header), body).await
    }
}

async fn a_node_is_answered_for_the_workspaces_at_work_on_it_alone(home: &Home) {
    let github = Github::new(home).await;
    github.start_daemon(home).await;
    for (name, repository) in [("a", "r0"), ("b", "r1")] {
        let made = up(home, &github.url(repository), name).await;
        assert!(made.status.success(), "{}", said(&made));
    }
    let of = async |name: &str| {
        let id = home.client().workspace(name).await.unwrap().id;
        let question = format!("protocol=http\nhost={}\n", github.served.address());
        json!({ "workspace_id": id, "action": "get", "question": question }).to_string()
    };
    let (body, foreign) = (of("a").await.into_bytes(), of("b").await.into_bytes());
    let node = Asking::of(home, "a").await;
    let (status, answer) = node.ask(&body).await;
    assert_eq!(status, 200, "{answer}");
    let lines = answer["answer"].as_str().unwrap();
    let token = lines.lines().find_map(|line| line.strip_prefix("password=")).unwrap();
    for (id, expected) in [(1_000, true), (1_001, false)] {
        assert_eq!(github.fake.allows(token, id, "contents", Level::Write), expected, "{id}");
    }
    let (status, refusal) = node.ask(&foreign).await;
    assert_eq!((status, &refusal["code"]), (403, &json!("denied")), "{refusal}");

    // Nothing signed, something else signed, and what opens a link.
    let sign = |nonce: &str| request_text(node.node, nonce, GIT_CREDENTIAL_PATH, &foreign);
    let other = node.header(sign).await;
    let link = node.header(|nonce| assertion_text(node.node, nonce).into_bytes()).await;
    for header in [None, Some(other), Some(link)] {
        let (status, refusal) = node.send(header, &body).await;
        assert_eq!((status, &refusal["code"]), (401, &json!("unauthenticated")), "{refusal}");
    }
    let (status, refusal) = node.ask(b"{\"question\": \"canary").await;
    assert_eq!(status, 400);
    assert!(!refusal.to_string().contains("canary"), "{refusal}");

    // Nothing runs in it any more.
    home.done(&["stop", "a"]).await;
    assert_eq!(node.ask(&body).await.0, 403);
    for name in ["a", "b"] {
        home.done(&["rm", name]).await;
    }
}

async fn the_look_at_processes_and_files_sees_a_token(home: &Home) {
    let file = home.path().join("home/planted");
    fs::write(&file, format!("password={}x", TOKENS[0])).unwrap();
    let mut found = Vec::new();
    files_with(&home.path().join("home"), TOKENS[0], &mut found);
    assert_eq!(found, [file]);
    let mut command = home.command("sh");
    command.args(["-c", "read x", TOKENS[1]]).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mark = home.path().to_str().unwrap();
    let seen = async || {
        let (found, helpers) = Default::default();
        look_at_processes(mark, &found, &helpers);
        let found = found.into_inner().unwrap();
        found.iter().any(|line| line.contains(TOKENS[1])).then_some(())
    };
    eventually("the process is seen", seen).await;
    child.kill().await.unwrap();
}

async fn without_an_app_git_has_the_helpers_of_its_own_configuration(home: &Home) {
    let github = Github::new(home).await;
    let refused = up(home, &github.url("r0"), "a").await;
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    home.done(&["rm", "a"]).await;
    // Somebody's own helper, in his own configuration: it is asked, and told what was good.
    let told = home.path().join("told");
    let helper = format!(
        "\n[credential]\n\thelper = \"!f() {{ echo $1 >> {0}; cat >> {0}; \
         test $1 = get && echo username=me && echo password=own; }}; f\"\n",
        told.display()
    );
    let config = home.path().join("home/.gitconfig");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, before + &helper).unwrap();
    let refused = up(home, &github.url("r0"), "b").await;
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    let told = fs::read_to_string(told).unwrap();
    assert!(told.contains("get\n") && told.contains("erase\n"), "{told}");
    assert!(told.contains("password=own"), "{told}");
    home.done(&["rm", "b"]).await;
}
