//! Replicas as they are installed: programs of their own, each started again by a supervisor when it
//! ends, and clients that ask any of them.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use sam_api::{Client, Target};
use sam_core::entropy::SeededEntropy;
use sam_core::{Error, ErrorKind, Secret};
use tokio::process::{Child, Command};

use super::cluster::free_port;
use super::history::History;
use crate::deadline::{LIMIT, pause};
use crate::home::Home;
use crate::processes;
use crate::server::{Server, beside, start};

/// Replicas.
const REPLICAS: u16 = 3;
/// Longest pause before a supervisor starts a replica again.
const RESTART_AFTER_MS: u64 = 1_500;
/// Pause before a call is made again, at any replica.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long a call is repeated; PostgreSQL and the replicas are never away for longer.
const PATIENCE: Duration = LIMIT;

/// The replicas and how they are asked.
pub(super) struct Fleet<'a> {
    home: &'a Home,
    pub(super) history: &'a History,
    pub(super) token: Secret<String>,
    database: String,
    replicas: Vec<Replica>,
    stopping: AtomicBool,
}

struct Replica {
    name: String,
    /// The same for every start, as where a supervisor runs it.
    address: String,
    client: Client,
    pid: AtomicI32,
}

impl<'a> Fleet<'a> {
    /// Starts all of them. Whoever drops the children kills them.
    pub(super) async fn start(
        home: &'a Home,
        history: &'a History,
        database: &str,
    ) -> (Self, Vec<Child>) {
        let mut fleet = Self {
            home,
            history,
            token: Secret::new(String::new()),
            database: database.to_owned(),
            replicas: Vec::new(),
            stopping: AtomicBool::new(false),
        };
        let mut children = Vec::new();
        for number in 1..=REPLICAS {
            let name = format!("r{number}");
            let address = format!("127.0.0.1:{}", free_port(number));
            let command = fleet.command(&name, &address);
            let Server { child, url, token } = start(home, command).await;
            if let Some(token) = token {
                fleet.token = Secret::new(token);
            }
            let client = Client::new(Target::Http(url), Some(fleet.token.clone())).unwrap();
            let pid = AtomicI32::new(pid_of(&child));
            fleet.replicas.push(Replica { name, address, client, pid });
            children.push(child);
        }
        (fleet, children)
    }

    fn command(&self, name: &str, address: &str) -> Command {
        let mut command = self.home.command(beside("sam-server"));
        command
            .env("SAM_DATABASE_URL", &self.database)
            .args(["--listen", address, "--allow-local-repos", "true", "--agent-command"])
            .arg(beside("sam-agentd"))
            .arg("--data-dir")
            .arg(self.home.path().join(name))
            .arg("--keys-file")
            .arg(self.home.path().join("keys.json"))
            .arg("--nodes-dir")
            .arg(self.home.data().join("nodes"));
        command
    }

    /// Starts each replica again when it ends, until [`Fleet::stop`].
    pub(super) async fn keep(&self, children: Vec<Child>, seed: u64) {
        let keeping =
            self.replicas.iter().zip(children).zip(1..).map(|((replica, child), number)| {
                let random = SeededEntropy::new(seed.wrapping_mul(3_001).wrapping_add(number));
                self.keep_one(replica, child, random)
            });
        join_all(keeping).await;
    }

    async fn keep_one(&self, replica: &Replica, mut child: Child, random: SeededEntropy) {
        loop {
            let status = child.wait().await.expect("a child");
            if self.stopping.load(Relaxed) {
                assert!(status.success(), "{} was asked to end: {status}", replica.name);
                return;
            }
            // Without its database it may refuse to start; whatever else ends it is a defect.
            let legal = status.signal() == Some(9) || status.code() == Some(7);
            assert!(legal, "{} ended by itself: {status}", replica.name);
            self.history.note(format_args!("{} ended: {status}", replica.name));
            pause(Duration::from_millis(random.below(RESTART_AFTER_MS))).await;
            let mut command = self.command(&replica.name, &replica.address);
            let log =
                std::fs::File::options().append(true).open(self.home.data().join("daemon.log"));
            command.stdout(Stdio::null()).stderr(log.unwrap());
            child = command.spawn().unwrap();
            replica.pid.store(pid_of(&child), Relaxed);
        }
    }

    /// Asks all replicas to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
        for replica in &self.replicas {
            processes::signal(replica.pid.load(Relaxed), Signal::TERM);
        }
    }

    /// Any replica.
    pub(super) fn client(&self, random: &SeededEntropy) -> &Client {
        let chosen = usize::try_from(random.below(self.replicas.len() as u64)).expect("small");
        &self.replicas[chosen].client
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &Client> {
        self.replicas.iter().map(|replica| &replica.client)
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| format!("http://{}", replica.address)).collect()
    }

    /// Asks any replica, and any again until one has answered. Who asks for a change asks again when
    /// it is not known what became of it: every call made here is repeatable.
    pub(super) async fn ask<T>(
        &self,
        random: &SeededEntropy,
        call: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let begun_at = self.history.elapsed();
        loop {
            let error = match call(self.client(random)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passing = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::RateLimited];
            let waited = self.history.since(begun_at);
            if !passing.contains(&error.kind()) || waited > PATIENCE {
                return Err(error);
            }
            pause(AGAIN_AFTER).await;
        }
    }
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id().expect("it was not waited for")).expect("a pid")
}
