//! The server as the daemon of one data directory, on a Unix socket that only its owner may use.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use sam_core::node::NodeState;
use sam_core::workspace::WorkspaceState;
use sam_core::{Policy, Report, Result, Sam};

use crate::deadline;
use crate::github::GithubSettings;
use crate::installation;
use crate::listen::OwnerSocket;
use crate::naming::NamingSettings;
use crate::providers::ProviderSettings;
use crate::routes::router;
use crate::running::{Plan, Running, serve};
use crate::store::StorePlan;

/// The client socket's name in the data directory.
pub const SOCKET: &str = "daemon.sock";

/// What a daemon is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DaemonConfig {
    /// The directory it serves.
    pub data_dir: PathBuf,
    /// The program, with its first arguments, that becomes holder and agent of nodes.
    pub agent_command: Vec<OsString>,
    /// What nodes inherit of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// How long it stays without a node and without a workspace.
    pub idle: Duration,
    /// What decisions about workspaces and nodes follow.
    pub policy: Policy,
    /// The GitHub App, as far as there is one.
    pub github: GithubSettings,
    /// Where nodes are bought.
    pub providers: ProviderSettings,
}

impl DaemonConfig {
    /// Describes a daemon that stays for ten idle minutes.
    pub fn new(data_dir: PathBuf, agent_command: Vec<OsString>) -> Self {
        let idle = Duration::from_mins(10);
        let policy = Policy::default();
        let github = GithubSettings::default();
        let providers = ProviderSettings::default();
        Self { data_dir, agent_command, environment: Vec::new(), idle, policy, github, providers }
    }

    /// Sets what nodes inherit of the environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(OsString, OsString)>) -> Self {
        self.environment = environment;
        self
    }

    /// Sets what decisions about workspaces and nodes follow.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets its GitHub App.
    #[must_use]
    pub fn with_github(mut self, github: GithubSettings) -> Self {
        self.github = github;
        self
    }

    /// Sets where nodes are bought.
    #[must_use]
    pub fn with_providers(mut self, providers: ProviderSettings) -> Self {
        self.providers = providers;
        self
    }

    /// Sets how long it stays idle.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }
}

/// What the daemon's own routes show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DaemonFacts {
    /// The directory it serves.
    pub data_dir: PathBuf,
}

/// Runs the daemon until it is told to stop, `shutdown` completes, or it was idle for long.
/// `ready` is called once it accepts connections.
///
/// # Errors
/// `Conflict` when another process has the directory; `Denied` or `Unavailable` when it cannot be
/// used.
pub async fn run(
    config: DaemonConfig,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let plan = Plan {
        data_dir: config.data_dir.clone(),
        keys_file: config.data_dir.join(installation::FILE),
        nodes_dir: config.data_dir.join("nodes"),
        agent_command: config.agent_command,
        environment: config.environment,
        local_repos: true,
        base_domain: None,
        publishing: None,
        naming: NamingSettings::default(),
        providers: config.providers,
        github: config.github,
        sign_in: None,
        replica_url: String::new(),
        policy: config.policy,
        is_daemon: true,
    };
    let running = Box::pin(Running::start(plan, StorePlan::Embedded)).await?;
    let token = running.app.shutdown.clone();
    let socket = OwnerSocket::bind(&config.data_dir.join(SOCKET))?;
    let serving = tokio::spawn(serve(socket, router(running.app.clone()), token.clone()));
    ready();
    let idle = idle(running.app.sam.clone(), config.idle);
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown => {}
            () = idle => tracing::info!("nothing to do for long: the daemon ends"),
        }
        token.cancel();
    });
    running.finish().await;
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener panicked");
    }
    Ok(())
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    /// Nodes that are not deleted.
    pub(crate) nodes: u64,
    /// Workspaces that are not deleted.
    pub(crate) workspaces: u64,
}

/// Counts what is not deleted.
pub(crate) async fn census(sam: &Sam) -> Result<Census> {
    let mut census = Census::default();
    let mut after = None;
    loop {
        let page = sam.list_nodes(after, 200).await?;
        let alive = page.items.iter().filter(|node| node.record.state != NodeState::Deleted);
        census.nodes += alive.count() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let page = sam.list_workspaces(after, 200).await?;
        let alive = page.items.iter().filter(|w| w.record.state != WorkspaceState::Deleted);
        census.workspaces += alive.count() as u64;
        after = page.next;
        if after.is_none() {
            return Ok(census);
        }
    }
}

/// Looks in a row that must find nothing, each a twentieth of the span after the other. Two are left
/// out: the sweep writes a line every ten minutes, and must not keep an idle daemon for ever.
const QUIET_LOOKS: u32 = 18;

/// Completes when there was nothing to look after for nearly `span`.
async fn idle(sam: Sam, span: Duration) {
    let mut quiet = 0;
    let mut head = None;
    while quiet < QUIET_LOOKS {
        deadline::sleep(span / 20).await;
        let (census, now) = match tokio::join!(census(&sam), sam.head()) {
            (Ok(census), Ok(now)) => (census, Some(now)),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(error = %Report::new(&error), "the daemon cannot tell whether it is idle");
                quiet = 0;
                continue;
            }
        };
        let busy = census != Census::default() || now != head;
        head = now;
        quiet = if busy { 0 } else { quiet + 1 };
    }
}
