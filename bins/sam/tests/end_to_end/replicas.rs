//! Two replicas on one store: a workspace does not notice which of them it is asked through, nor that
//! the one which held its link was killed.
//!
//! Once on a file, which only one process may have: so the replicas are servers in this process, on a
//! runtime each, and killing one is dropping its runtime where it stands. And once as they are installed,
//! on a database of PostgreSQL that `SAM_TEST_POSTGRES_URL` leads to, and `kill -9`.

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
use sam_core::{ErrorKind, Secret, TerminalId};
use sam_providers::postgres::{PgOptions, PgStore};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};
use sam_server::config::ServerConfig;
use sam_server::{Backing, server};
use tokio::process::Child;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::deadline::{LIMIT, eventually, until, within};
use crate::home::Home;
use crate::server::{Server as Started, beside, start};
use crate::terminals::{Seen, counting};

crate::home::trials! {
    fn all,
    a_workspace_outlives_the_replica_that_held_its_link,
}

mod on_postgresql {
    use super::a_workspace_outlives_a_killed_server_on_postgresql;

    crate::home::trials! {
        fn all,
        a_workspace_outlives_a_killed_server_on_postgresql,
    }
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    let absent = ["sam-agentd", "sam-server"].into_iter().find(|name| !beside(name).is_file());
    if let Some(name) = absent {
        let why = format!("not built: {name}; `cargo build --workspace` builds it");
        return vec![crate::home::skipped("replicas", &why)];
    }
    let mut trials = all();
    match Database::is_there() {
        Ok(()) => trials.extend(on_postgresql::all()),
        Err(why) => trials.push(crate::home::skipped("replicas::on_postgresql", &why)),
    }
    trials
}

/// How soon everything must work again: leases last 15 s.
const AGAIN_WITHIN: Duration = Duration::from_secs(20);

/// A server that can be killed.
struct Replica {
    life: Life,
    url: String,
    token: Option<Secret<String>>,
}

enum Life {
    /// In this process, on a runtime of its own; taken when it is killed.
    Here(Option<Runtime>),
    /// A process of its own, which is killed when this is dropped.
    Program { _child: Child },
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
        Self { life: Life::Here(Some(runtime)), url, token: started.fresh_admin_token }
    }

    /// Starts the program as it is installed.
    async fn program(home: &Home, database: &Database, name: &str) -> Self {
        let mut command = home.command(beside("sam-server"));
        command
            .env("SAM_DATABASE_URL", &database.url)
            .args(["--listen", "127.0.0.1:0", "--allow-local-repos", "true", "--agent-command"])
            .arg(beside("sam-agentd"))
            .arg("--data-dir")
            .arg(home.path().join(name))
            .arg("--keys-file")
            .arg(home.path().join("keys.json"))
            .arg("--nodes-dir")
            .arg(home.data().join("nodes"));
        let Started { child, url, token } = start(home, command).await;
        Self { life: Life::Program { _child: child }, url, token: token.map(Secret::new) }
    }

    fn client(&self, token: &Secret<String>) -> Client {
        Client::new(Target::Http(self.url.clone()), Some(token.clone())).unwrap()
    }
}

/// Ends it where it stands: nothing it was about to do is done.
impl Drop for Replica {
    fn drop(&mut self) {
        if let Life::Here(runtime) = &mut self.life
            && let Some(runtime) = runtime.take()
        {
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
    std::fs::create_dir_all(home.data()).unwrap();
    let backing = shared(&home.data().join("sam.db"));
    let a = Replica::start(home, backing.clone(), "a").await;
    let b = Replica::start(home, backing.clone(), "b").await;
    outlives(home, &backing, a, b).await;
}

async fn a_workspace_outlives_a_killed_server_on_postgresql(home: &Home) {
    std::fs::create_dir_all(home.data()).unwrap();
    let database = Database::new();
    let a = Replica::program(home, &database, "a").await;
    let b = Replica::program(home, &database, "b").await;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let url = Secret::new(database.url.clone());
    let store = Arc::new(PgStore::open(&url, PgOptions::new(entropy)).await.unwrap());
    let backing = Backing::shared(Arc::clone(&store) as _, store);
    outlives(home, &backing, a, b).await;
}

/// A workspace is created through one replica and used through both; the one that holds its link is
/// killed; it is used and deleted through the other.
async fn outlives(home: &Home, backing: &Backing, a: Replica, b: Replica) {
    let repo = home.repo().await;
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

    // Lines and bytes are as they were printed, whoever was asked.
    let link = holder(backing).await;
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
    let newer = holder(backing).await;
    assert!(newer.link_epoch > link.link_epoch && newer.replica.url == alive.url, "{newer:?}");
    let mut socket = attach(&client, terminal, seen.end()).await;
    assert!(seen.read(&mut socket.receiver, Seen::has_exited).await);
    assert_eq!(seen.bytes, expected);

    client.delete_workspace("one").await.unwrap();
    eventually("it is deleted", async || {
        match client.workspace("one").await {
            Ok(workspace) => (workspace.state == WorkspaceState::Deleted).then_some(()),
            // Its name is free again.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                Some(())
            }
        }
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

/// A database of a test's own, removed at the end.
struct Database {
    name: String,
    url: String,
}

impl Database {
    #[expect(clippy::disallowed_methods, reason = "where the peer of the tests is")]
    fn server() -> String {
        let local = || "postgresql://postgres@127.0.0.1:5432/test".to_owned();
        std::env::var("SAM_TEST_POSTGRES_URL").unwrap_or_else(|_| local())
    }

    /// Runs a statement on a thread and a runtime of its own: a guard cannot wait.
    fn execute(sql: &str) -> Result<(), String> {
        let work = async {
            let connected = tokio_postgres::connect(&Self::server(), tokio_postgres::NoTls).await;
            let (client, connection) = connected.map_err(|error| error.to_string())?;
            let connection = tokio::spawn(connection);
            let done = client.batch_execute(sql).await.map_err(|error| error.to_string());
            connection.abort();
            done
        };
        std::thread::scope(|scope| {
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(work)
            };
            scope.spawn(run).join().unwrap()
        })
    }

    fn is_there() -> Result<(), String> {
        Self::execute("SELECT 1")
            .map_err(|error| format!("no PostgreSQL answers (SAM_TEST_POSTGRES_URL): {error}"))
    }

    fn new() -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let name = format!("sam_e2e_{}_{since}", std::process::id());
        Self::execute(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
            .unwrap();
        let server = Self::server();
        let (address, query) = server.split_once('?').unwrap_or((&server, "sslmode=prefer"));
        let (address, _) = address.rsplit_once('/').expect("the URL names a database");
        let url = format!("{address}/{name}?{query}");
        Self { name, url }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let gone = Self::execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        if let Err(error) = gone {
            tracing::warn!(error, "a test's database was left behind");
        }
    }
}
