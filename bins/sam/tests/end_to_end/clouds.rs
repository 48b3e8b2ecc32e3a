//! A whole installation on machines of a cloud and names in a DNS, both simulated over HTTP: a machine is
//! bought, boots from what it was told, a terminal is attached under the workspace's own name, and after the
//! deletion neither has anything left.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use futures_util::StreamExt as _;
use libtest_mimic::Trial;
use sam_api::wire::Frame;
use sam_providers::system::SystemClock;
use sam_providers::testkit::hetzner::{HetznerModel, ServerSeen};
use sam_providers::testkit::{CloudflareModel, Fake, Served};

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, said};
use crate::server::{Server, beside, command_at, start, with_programs};

crate::home::trials! {
    fn all,
    a_workspace_on_a_bought_machine_has_a_name_and_leaves_nothing,
    a_person_s_own_token_buys_and_is_kept_while_it_is_needed,
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<Trial> {
    with_programs("clouds", all)
}

const BASE: &str = "sam.example.com";
const HETZNER_TOKEN: &str = "canary-of-hetzner";
const CLOUDFLARE_TOKEN: &str = "canary-of-cloudflare";

/// Both vendors, and a server that was told of them.
struct Installation {
    hetzner: Fake<HetznerModel>,
    cloudflare: Fake<CloudflareModel>,
    _served: (Served, Served),
    server: Server,
    token: PathBuf,
}

impl Installation {
    async fn start(home: &Home, own_account: bool) -> Self {
        let clock = || Arc::new(SystemClock::new());
        let hetzner = Fake::new(HetznerModel::new(HETZNER_TOKEN), clock());
        let model = CloudflareModel::new(CLOUDFLARE_TOKEN);
        let cloudflare =
            Fake::new(model.with_zone("023e105f4ecef8ad9ca31a8372d0c353", BASE), clock());
        let both = (hetzner.serve().await.unwrap(), cloudflare.serve().await.unwrap());
        // A machine must be told the address before there is a server.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut program = command_at(home, &format!("127.0.0.1:{port}"));
        program
            .args(["--base-domain", BASE])
            .arg("--data-dir")
            .arg(home.data())
            .env("SAM_HETZNER_BASE_URL", both.0.url("/v1"))
            .env("SAM_CONTROL_URL", format!("http://127.0.0.1:{port}"))
            .env("SAM_AGENT_URL_X86_64", "https://agents.example.com/sam-agentd")
            .env("SAM_AGENT_SHA256_X86_64", "0".repeat(64))
            .env("CF_API_TOKEN", CLOUDFLARE_TOKEN)
            .env("SAM_CLOUDFLARE_BASE_URL", both.1.url("/client/v4"))
            .env("SAM_PUBLIC_ADDRESSES", "127.0.0.1");
        if own_account {
            program.env("SAM_HETZNER_TOKEN", HETZNER_TOKEN);
        }
        let server = start(home, program).await;
        let token = home.path().join("token");
        std::fs::write(&token, server.token.clone().expect("a first start")).unwrap();
        Self { hetzner, cloudflare, _served: both, server, token }
    }

    fn sam(&self, home: &Home, arguments: &[&str]) -> Command {
        let mut sam = home.sam(&["--server", &self.server.url, "--token-file"]);
        sam.arg(&self.token).args(arguments);
        sam
    }

    async fn done(&self, home: &Home, arguments: &[&str]) -> String {
        let output = within("sam", LIMIT, self.sam(home, arguments).output()).await;
        let output = output.expect("sam starts");
        assert!(output.status.success(), "sam {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Asks for a workspace and lets the machine that is bought for it boot.
    async fn up(&self, home: &Home, provider: &str) -> (Value, Child) {
        let repo = home.repo().await;
        let url = format!("file://{}", repo.display());
        let arguments = ["up", &url, "--provider", provider, "--no-attach", "--name", "one"];
        let asked = self.sam(home, &arguments).spawn().unwrap();
        let machine = eventually("a machine is bought", async || {
            self.hetzner.with(|model| model.servers().pop())
        })
        .await;
        let guest = boot(home, &machine);
        let output = within("it is up", LIMIT, asked.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let shown = self.done(home, &["show", "one", "--json"]).await;
        (serde_json::from_str(&shown).unwrap(), guest)
    }

    /// What both vendors would bill for, or have a name of.
    fn left(&self) -> Vec<String> {
        [self.hetzner.left(), self.cloudflare.left()].concat()
    }

    async fn end(mut self) {
        self.server.child.kill().await.unwrap();
    }
}

/// Stands in for a machine: takes the files of its user data, below a directory, and runs what the unit of
/// the agent runs. What the boot program does before that is tried by the core's own tests.
fn boot(home: &Home, machine: &ServerSeen) -> Child {
    let text = machine.user_data.strip_prefix("#cloud-config\n").expect("cloud-init reads it");
    let config: Value = serde_json::from_str(text).expect("it is JSON");
    let files: BTreeMap<&str, &str> = config["write_files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["content"].as_str().unwrap()))
        .collect();
    let plan: Value = serde_json::from_str(files["/etc/sam/boot-plan.json"]).unwrap();
    assert_eq!(plan["agent"]["x86_64"]["url"], "https://agents.example.com/sam-agentd");
    let path = plan["boot_file"].as_str().unwrap();
    let boot: Value = serde_json::from_str(files[path]).unwrap();
    assert!(!machine.labels.values().any(|value| *value == boot["token"]), "{:?}", machine.labels);
    let below = |path: &str| home.path().join("machine").join(path.trim_start_matches('/'));
    let dir = below(path).parent().expect("a directory").to_owned();
    make_private(&dir);
    std::fs::write(below(path), files[path]).unwrap();
    let unit = files["/etc/systemd/system/sam-agentd.service"];
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it runs");
    let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    let here = arguments.iter().map(|it| match it.strip_prefix('/') {
        Some(_) => below(it).into_os_string(),
        None => it.into(),
    });
    let mut agent = home.command(beside("sam-agentd"));
    agent.args(here).stdout(Stdio::null()).stderr(Stdio::null());
    agent.spawn().unwrap()
}

fn make_private(dir: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
}

/// Pulls the plug of a machine that the vendor deleted.
async fn unplug(guest: Child) {
    let id = guest.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
        // It ends what it started. Where it ended by itself, there is nothing to end.
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    within("the machine ends", LIMIT, guest.wait_with_output()).await.unwrap();
}

/// Attaches to a terminal under a workspace's own name, at the server's address, until it has printed so
/// much.
async fn attached(
    installation: &Installation,
    host: &str,
    terminal: &str,
    bytes: usize,
) -> Vec<u8> {
    let address = installation.server.url.strip_prefix("http://").unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    let url = format!("ws://{host}:{port}/terminals/{terminal}/attach?offset=0");
    let mut request = url.into_client_request().unwrap();
    let token = installation.server.token.as_deref().unwrap();
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < bytes {
        let message = socket.next().await.expect("the terminal goes on").unwrap();
        if let Message::Binary(frame) = message
            && let Ok(Frame::Output { bytes, .. }) = Frame::parse(&frame)
        {
            seen.extend_from_slice(bytes);
        }
    }
    seen
}

async fn a_workspace_on_a_bought_machine_has_a_name_and_leaves_nothing(home: &Home) {
    let installation = Installation::start(home, true).await;
    let (workspace, guest) = installation.up(home, "hetzner").await;
    let id = workspace["id"].as_str().unwrap();
    let host = format!("{id}.{BASE}");
    eventually("its name is published", async || {
        let shown = installation.done(home, &["show", "one", "--json"]).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        (shown["host"] == host.as_str()).then_some(())
    })
    .await;
    let names: Vec<String> = installation.cloudflare.with(|model| {
        let name = |record: &Value| format!("{} {}", record["type"], record["name"]);
        model.records().iter().map(name).collect()
    });
    assert!(names.contains(&format!("\"A\" \"{host}\"")), "{names:?}");

    let client = reqwest::Client::builder().timeout(LIMIT).build().unwrap();
    let opened = client
        .post(format!("{}/terminals", installation.server.url))
        .header("host", &host)
        .bearer_auth(installation.server.token.as_deref().unwrap())
        .json(&json!({"command": ["sh", "-c", "printf 'from %s' \"$(ls -A | head -n 1)\"; sleep 600"]}));
    let terminal: Value = opened.send().await.unwrap().json().await.unwrap();
    let terminal = terminal["id"].as_str().expect("a terminal");
    let attaching = attached(&installation, &host, terminal, 9);
    assert_eq!(within("it prints", LIMIT, attaching).await, b"from .git");

    installation.done(home, &["delete", "one"]).await;
    assert_eq!(installation.hetzner.left(), Vec::<String>::new());
    unplug(guest).await;
    eventually("nothing is left", async || installation.left().is_empty().then_some(())).await;
    let log = std::fs::read_to_string(home.data().join("daemon.log")).unwrap();
    assert!(!log.contains(HETZNER_TOKEN) && !log.contains(CLOUDFLARE_TOKEN), "{log}");
    installation.end().await;
}

async fn a_person_s_own_token_buys_and_is_kept_while_it_is_needed(home: &Home) {
    let installation = Installation::start(home, false).await;
    let providers = installation.done(home, &["providers"]).await;
    assert!(providers.contains("sam credential add hetzner"), "{providers}");
    let file = home.path().join("hetzner");
    let file = file.to_str().unwrap();
    let add = ["credential", "add", "hetzner", "--token-from", file];
    std::fs::write(file, "wrong\n").unwrap();
    let refused = within("sam", LIMIT, installation.sam(home, &add).output()).await.unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    std::fs::write(file, format!("{HETZNER_TOKEN}\n")).unwrap();
    installation.done(home, &add).await;

    let (_, guest) = installation.up(home, "hetzner").await;
    let remove = ["credential", "rm", "hetzner"];
    let needed = within("sam", LIMIT, installation.sam(home, &remove).output()).await.unwrap();
    assert_eq!(needed.status.code(), Some(5), "{}", said(&needed));
    installation.done(home, &["delete", "one"]).await;
    unplug(guest).await;
    installation.done(home, &remove).await;
    assert_eq!(installation.done(home, &["credential", "ls"]).await, "");
    eventually("nothing is left", async || installation.left().is_empty().then_some(())).await;
    // Neither the store nor the ring holds the token in the open.
    for entry in std::fs::read_dir(home.data()).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let canary = HETZNER_TOKEN.as_bytes();
        assert!(!bytes.windows(canary.len()).any(|part| part == canary), "{:?}", entry.path());
    }
    installation.end().await;
}
