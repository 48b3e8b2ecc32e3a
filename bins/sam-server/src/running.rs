//! A control plane put together and running: store, provider, engine and links of one data
//! directory.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sam_agent::controller::{Controller, ControllerConfig};
use sam_agent::wire::ServerKey;
use sam_core::auth::ChallengeKey;
use sam_core::entropy::Entropy;
use sam_core::keys::{Ed25519Signer, Signer as _};
use sam_core::node::NodeState;
use sam_core::time::Clock;
use sam_core::workspace::WorkspaceState;
use sam_core::{Caller, NodeId, Report, Result, Sam};
use sam_providers::process::{ProcessCompute, ProcessConfig};
use sam_providers::sqlite::{Retention, SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::app::{App, AppParts};
use crate::config::IdleConfig;
use crate::daemon::DaemonFacts;
use crate::deadline;
use crate::installation::{Installation, make_directory};
use crate::listen::OwnerSocket;
use crate::routes::agent_router;

/// Link changes that wait to be told to the engine; more are noticed by its next look.
const LINK_CHANGES_MAX: usize = 1_024;
/// How long after the start the nodes are looked at whose agents did not dial in again. Shorter than
/// an agent's longest pause: one that comes later is merely unreachable until then.
const RETURN_WITHIN: Duration = Duration::from_secs(3);
/// How often old changes are forgotten.
const TRIM_EVERY: Duration = Duration::from_hours(1);
/// How long open requests may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a control plane is made from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) data_dir: PathBuf,
    pub(crate) agent_command: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) local_repos: bool,
    pub(crate) idle: IdleConfig,
    /// Everything is the owner's; else the administrator's token is asked for.
    pub(crate) is_daemon: bool,
}

/// A control plane at work.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) app: App,
    pub(crate) installation: Installation,
    engine: JoinHandle<()>,
    agents: JoinHandle<()>,
}

impl Running {
    /// Takes the data directory, opens everything and starts working, on the runtime it is
    /// called from.
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        make_directory(&plan.data_dir)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        // The store's lock comes first: whoever has it owns the directory.
        let path = plan.data_dir.join("sam.db");
        let options = SqliteOptions::new(Arc::clone(&entropy));
        let store = Arc::new(SqliteStore::open(&path, Arc::clone(&clock), options)?);
        let installation = Installation::open(&plan.data_dir, &*entropy)?;
        let keys = &installation.keys;
        let signer = Arc::new(Ed25519Signer::from_seed(&keys.signing));
        let server_key = ServerKey {
            key_id: signer.key_id().to_owned(),
            public_key: base64_url(&signer.public_key()),
        };
        let (link_changed, changes) = mpsc::channel(LINK_CHANGES_MAX);
        let on_change = Arc::new(move |node: NodeId| {
            // A closed channel means that we are ending: nobody needs to know.
            if let Err(TrySendError::Full(_)) = link_changed.try_send(node) {
                tracing::warn!(node.id = %node, "a link change is left to the next look");
            }
        });
        let config = ControllerConfig::new(installation.id.clone(), signer, Arc::clone(&clock));
        let controller = Controller::new(config.with_on_change(on_change));
        let agents_path = plan.data_dir.join("agents.sock");
        let compute = ProcessCompute::new(
            ProcessConfig::new(plan.data_dir.join("nodes"), plan.agent_command)
                .with_environment(plan.environment),
        );
        let sam = Sam::builder(Arc::clone(&store) as _, Arc::new(compute))
            .clock(Arc::clone(&clock))
            .entropy(Arc::clone(&entropy))
            .link(Arc::new(controller.clone()))
            .boot_key(keys.boot.clone())
            .control_url(format!("unix:{}", agents_path.display()))
            .installation(installation.id.clone())
            .idle_stop(plan.idle.stop_after, plan.idle.warning)
            .build()?;
        let shutdown = CancellationToken::new();
        let access = if plan.is_daemon {
            Access::Owner
        } else {
            Access::Token { sha256: installation.admin_sha256 }
        };
        let app = App::new(AppParts {
            sam: sam.clone(),
            controller,
            challenge: ChallengeKey::new(keys.challenge.clone()),
            server_keys: vec![server_key],
            access,
            server_id: server_id(&sam),
            started_at: clock.now(),
            local_repos: plan.local_repos,
            shutdown: shutdown.clone(),
            daemon: plan.is_daemon.then(|| DaemonFacts { data_dir: plan.data_dir.clone() }),
        });
        let socket = OwnerSocket::bind(&agents_path)?;
        let agents = tokio::spawn(serve(socket, agent_router(app.clone()), shutdown.clone()));
        tokio::spawn(shorten_feed(store, shutdown.clone()));
        if plan.idle.stop_after.is_some() {
            let looking = look_at_running(sam.clone());
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(looking));
        }
        tokio::spawn(tell_engine(sam.clone(), changes, shutdown.clone()));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(miss_links(app.clone())));
        let engine = tokio::spawn(async move {
            if let Err(error) = sam.run(shutdown.cancelled()).await {
                tracing::error!(error = %Report::new(&error), "the engine stopped");
                shutdown.cancel();
            }
        });
        Ok(Self { app, installation, engine, agents })
    }

    /// Waits until everything has ended after the shutdown was asked for.
    pub(crate) async fn finish(self) {
        self.app.shutdown.cancelled().await;
        let ended = deadline::within(FAREWELL, async {
            let (_engine, _agents) = tokio::join!(self.engine, self.agents);
        });
        if ended.await.is_none() {
            tracing::warn!("some requests were cut off");
        }
    }
}

/// Serves a router until the shutdown, then gives open requests a moment.
pub(crate) async fn serve<L>(listener: L, router: axum::Router, shutdown: CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let farewell = async {
        shutdown.cancelled().await;
        deadline::sleep(FAREWELL).await;
    };
    tokio::select! {
        result = serving => if let Err(error) = result {
            tracing::error!(%error, "a listener failed");
        },
        () = farewell => tracing::warn!("some requests were cut off"),
    }
}

/// Forgets changes that are older than the default retention, so that the feed does not grow for
/// ever.
async fn shorten_feed(store: Arc<SqliteStore>, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(deadline::sleep(TRIM_EVERY)).await.is_some() {
        if let Err(error) = store.trim(Retention::default()).await {
            tracing::warn!(error = %Report::new(&error), "the feed was not shortened");
        }
    }
}

async fn tell_engine(sam: Sam, mut changes: mpsc::Receiver<NodeId>, shutdown: CancellationToken) {
    while let Some(Some(node)) = shutdown.run_until_cancelled(changes.recv()).await {
        if let Err(error) = sam.node_link_changed(node).await {
            tracing::warn!(node.id = %node, error = %Report::new(&error), "the engine was not told");
        }
    }
}

/// Tells the engine which nodes have no link some time after the start. Links end with the process
/// that had them, so a node that went down meanwhile is announced by nobody else.
async fn miss_links(app: App) {
    deadline::sleep(RETURN_WITHIN).await;
    let mut after = None;
    loop {
        let listed = app.sam.list_nodes(after, 200).await;
        let page = match listed {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(error = %Report::new(&error), "nodes without a link were not looked for");
                return;
            }
        };
        for node in page.items.iter().filter(|node| node.record.state == NodeState::Ready) {
            let id = node.record.id;
            if app.controller.is_connected(id) {
                continue;
            }
            if let Err(error) = app.sam.node_link_changed(id).await {
                tracing::warn!(node.id = %id, error = %Report::new(&error), "the engine was not told");
            }
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

/// Has the engine look at the workspaces that run: they came to rest under the policy of the
/// process before, which may not have stopped idle ones.
async fn look_at_running(sam: Sam) {
    let caller = Caller::named("idle");
    let mut after = None;
    loop {
        let looked = async {
            let page = sam.list_workspaces(after.take(), 200).await?;
            for workspace in page.items {
                if workspace.record.state == WorkspaceState::Running {
                    sam.look_at_workspace(workspace.record.id, &caller).await?;
                }
            }
            Ok::<_, sam_core::Error>(page.next)
        };
        match looked.await {
            Ok(None) => return,
            Ok(next) => after = next,
            Err(error) => {
                tracing::warn!(error = %Report::new(&error), "idle workspaces were not looked for");
                return;
            }
        }
    }
}

fn server_id(sam: &Sam) -> String {
    let mut bytes = [0; 8];
    sam.entropy().fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
