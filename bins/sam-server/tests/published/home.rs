//! A server in this process that publishes names into a zone in memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use sam_core::dns::{DnsProvider as _, ListRecords, MemoryDns, OwnedNames, RecordName};
use sam_core::published_name::{NameTarget, Publishing};
use sam_server::config::{ServerConfig, node_environment};
use sam_server::server;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything. Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_mins(2);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
pub(crate) const BASE: &str = "workspaces.example.com";

/// Waits for a future, or fails.
pub(crate) async fn within<F: Future>(what: &str, work: F) -> F::Output {
    #[expect(clippy::disallowed_methods, reason = "every wait of a test has an end")]
    let done = tokio::time::timeout(LIMIT, work).await;
    done.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Looks until something is there, or fails.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun_at = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun_at.elapsed() < LIMIT, "waited in vain: {what}");
        #[expect(clippy::disallowed_methods, reason = "a pause between two looks")]
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The program that becomes holder and agent, where it is built.
pub(crate) fn agent() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sam-server")).with_file_name("sam-agentd")
}

pub(crate) struct Home {
    dir: tempfile::TempDir,
    zone: Arc<MemoryDns>,
    pub(crate) address: String,
    pub(crate) token: String,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<sam_core::Result<()>>,
}

impl Home {
    /// Starts a server whose local nodes are made by this program.
    pub(crate) async fn start(agent: impl Into<OsString>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base: RecordName = BASE.parse().unwrap();
        let zone = Arc::new(MemoryDns::new(base.clone()));
        let names = OwnedNames::new(Arc::clone(&zone) as _, base.clone());
        let target = NameTarget::addresses([[127, 0, 0, 1].into()]).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = ServerConfig::new(listen, dir.path().join("data"), vec![agent.into()]);
        config.local_repos = true;
        config.environment = node_environment();
        config.publishing = Some(Publishing::new(names, base, target));
        let (teller, told) = oneshot::channel();
        let stop = CancellationToken::new();
        let started = move |started: server::Started| drop(teller.send(started));
        let running = tokio::spawn(server::run(config, started, stop.clone().cancelled_owned()));
        let started = within("the server starts", told).await.expect("it starts");
        let token = started.fresh_admin_token.unwrap().expose().clone();
        let address = started.address.to_string();
        Self { dir, zone, address, token, stop, running }
    }

    /// Ends the server.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        within("the server ends", self.running).await.unwrap().unwrap();
    }

    /// Everything in the zone, as `TYPE name`.
    pub(crate) async fn zone(&self) -> Vec<String> {
        let under = ListRecords::new(BASE.parse().unwrap());
        let page = self.zone.list_records(&under).await.unwrap();
        assert!(page.next.is_none(), "the zone of a test is small");
        page.items.iter().map(|set| set.key().to_string()).collect()
    }

    /// Asks the server, under a host's name, with the headers given.
    pub(crate) async fn send(
        &self,
        (method, host): (Method, &str),
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let client = Client::builder().timeout(LIMIT).no_proxy().build().unwrap();
        let mut request = client.request(method, format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("host", host).json(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Asks with the administrator's token.
    pub(crate) async fn ask(&self, method: Method, host: &str, path: &str) -> (u16, Value) {
        self.ask_with(method, host, path, &Value::Null).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: Method,
        host: &str,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        self.send((method, host), path, &[("authorization", &bearer)], body).await
    }

    /// A repository with one commit.
    pub(crate) fn repo(&self) -> PathBuf {
        let repo = self.dir.path().join("repo");
        std::fs::create_dir(&repo).unwrap();
        std::fs::write(repo.join("file"), "first\n").unwrap();
        let name = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        for arguments in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "first"]] {
            let mut git = std::process::Command::new("git");
            git.args(["-C", repo.to_str().unwrap()]).args(name).args(arguments);
            assert!(git.status().unwrap().success(), "git {arguments:?}");
        }
        repo
    }

    /// Deletes a workspace and waits until nothing of it is left.
    pub(crate) async fn delete(&self, id: &str) {
        let path = format!("/api/workspaces/{id}");
        eventually("it is deleted", async || {
            let (status, body) = self.ask(Method::DELETE, &self.address, &path).await;
            assert_eq!(status, 202, "{body}");
            (body["state"] == "deleted").then_some(())
        })
        .await;
    }
}
