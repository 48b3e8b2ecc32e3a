//! Two replicas on one store: a workspace does not notice which of them it is asked through, nor that
//! the one which held its link was killed.
//!
//! The replicas share a file here, which only one process may have: so they are servers in this
//! process, on a runtime each, and killing one is dropping its runtime where it stands.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sam_api::client::{IdempotencyKey, TerminalSocket};
use sam_api::wire::OpenTerminal;
use sam_api::{Client, CreateWorkspace, Target, WorkspaceState};
use sam_core::engine::decode;
use sam_core::entropy::Entropy;
use sam_core::replica::LinkRecord;
use sam_core::time::Clock;
use sam_core::{Secret, TerminalId};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};
use sam_server::config::ServerConfig;
use sam_server::{Backing, server};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::deadline::{LIMIT, eventually, until, within};
use crate::home::Home;
use crate::server::beside;
use crate::terminals::{Seen, counting};

crate::home::trials! {
    fn all,
    a_workspace_outlives_the_replica_that_held_its_link,
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    if beside("sam-agentd").is_file() {
        return all();
    }
    let why = "not built: sam-agentd; `cargo build --workspace` builds it";
    vec![crate::home::skipped("replicas", why)]
}

/// How soon everything must work again: leases last 15 s.
const AGAIN_WITHIN: Duration = Duration::from_secs(20);

/// A server on a runtime of its own.
struct Replica {
    /// Taken when it is killed.
    runtime: Option<Runtime>,
    url: String,
    token: Option<Secret<String>>,
}

impl Replica {
    async fn start(home: &Home, backing: Backing, name: &str) -> Self {
        let data = home.path().join(name);
        let listen = "127.0.0.1:0".parse().unwrap();
        let agent = vec![beside("sam-agentd").into_os_string()];
        let mut config = ServerConfig::new(listen, data, agent);
        config.keys_file = home.path().join("keys.json");
        config.nodes_dir = home.data().join("nodes");
        config.local_repos = true;
        config.environment = [("HOME", "home"), ("PATH", "")]
            .map(|(name, below)| match below {
                "" => (name.into(), "/usr/local/bin:/usr/bin:/bin".into()),
                below => (name.into(), home.path().join(below).into()),
            })
            .to_vec();
        // The address is not known before it listens, so the port is chosen here.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        config.listen = port;
        config.replica_url = Some(format!("http://{port}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (teller, told) = oneshot::channel();
        let started = move |started: server::Started| drop(teller.send(started));
        runtime.spawn(async move {
            let running = server::run_on(backing, config, started, std::future::pending());
            running.await.expect("the replica runs");
        });
        let started = within("a replica starts", LIMIT, told).await.expect("it starts");
        let url = format!("http://{}", started.address);
        Self { runtime: Some(runtime), url, token: started.fresh_admin_token }
    }

    fn client(&self, token: &Secret<String>) -> Client {
        Client::new(Target::Http(self.url.clone()), Some(token.clone())).unwrap()
    }
}

/// Ends it where it stands: nothing it was about to do is done.
impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn open(client: &Client, script: &str) -> TerminalId {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let request = OpenTerminal { command, ..OpenTerminal::default() };
    client.open_terminal("one", &request).await.unwrap().id
}

async fn attach(client: &Client, terminal: TerminalId, offset: u64) -> TerminalSocket {
    client.attach("one", terminal, offset).await.unwrap()
}

/// Which of the replicas holds the link of the one node.
async fn holder(backing: &Backing) -> LinkRecord {
    let query = sam_core::store::ListQuery::new(LinkRecord::KIND);
    eventually("the link is written", async || {
        let page = backing.store.list(&query).await.unwrap();
        page.items.first().map(|record| decode::<LinkRecord>(record).unwrap().record)
    })
    .await
}

async fn a_workspace_outlives_the_replica_that_held_its_link(home: &Home) {
    let repo = home.repo().await;
    std::fs::create_dir_all(home.data()).unwrap();
    let backing = shared(&home.data().join("sam.db"));
    let a = Replica::start(home, backing.clone(), "a").await;
    let b = Replica::start(home, backing.clone(), "b").await;
    let token = a.token.clone().expect("the first one makes the keys");
    // Created through one, used through both: one of them has to ask the other.
    let mut request = CreateWorkspace::new(repo.to_str().unwrap().parse().unwrap());
    request.name = Some("one".to_owned());
    let key = IdempotencyKey::new("key").unwrap();
    a.client(&token).create_workspace(&request, &key).await.unwrap();
    eventually("it runs", async || {
        let workspace = b.client(&token).workspace("one").await.unwrap();
        assert_ne!(workspace.state, WorkspaceState::Failed, "{:?}", workspace.error);
        (workspace.state == WorkspaceState::Running).then_some(())
    })
    .await;
    let (script, expected) = counting();
    let terminal = open(&a.client(&token), &script).await;
    let mut seen = Seen::default();
    for replica in [&a, &b] {
        let mut socket = attach(&replica.client(&token), terminal, seen.end()).await;
        let enough = seen.lines() + 100;
        assert!(seen.read(&mut socket.receiver, |seen| seen.lines() >= enough).await);
    }

    let link = holder(&backing).await;
    let (dead, alive) = if link.replica.url == a.url { (a, b) } else { (b, a) };
    assert_eq!(link.replica.url, dead.url);
    let client = alive.client(&token);
    // Whoever watches through the replica that stays loses the connection, too, and comes again.
    let mut socket = attach(&client, terminal, seen.end()).await;
    drop(dead);
    seen.read(&mut socket.receiver, Seen::has_exited).await;
    let back = until(AGAIN_WITHIN, async || client.terminals("one").await.ok()).await;
    let back = back.expect("the agent comes back through the replica that is left");
    assert_eq!(back.first().map(|info| info.id), Some(terminal));
    let newer = holder(&backing).await;
    assert!(newer.link_epoch > link.link_epoch && newer.replica.url == alive.url, "{newer:?}");
    let mut socket = attach(&client, terminal, seen.end()).await;
    assert!(seen.read(&mut socket.receiver, Seen::has_exited).await);
    assert_eq!(seen.bytes, expected);

    client.delete_workspace("one").await.unwrap();
    eventually("it is deleted", async || {
        let workspace = client.workspace("one").await.unwrap();
        (workspace.state == WorkspaceState::Deleted).then_some(())
    })
    .await;
}

/// A file as if several processes could have it.
fn shared(path: &Path) -> Backing {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let store = SqliteStore::open(path, clock, SqliteOptions::new(entropy)).unwrap();
    let store = Arc::new(store);
    Backing::shared(Arc::clone(&store) as _, store)
}
