//! The server's end of the link: it keeps the live links by node, asks the agents, and opens
//! terminals backwards through them.
//!
//! At most one link per node is live; a newer one cuts the older with everything open on it.
//! Every request carries a token of its own, signed here, good for that node and for a minute.

mod assertion;
mod call;
mod hop;
mod node_link;
mod peers;
mod registry;
mod tunnel;
mod way;

use std::fmt;
use std::sync::Arc;

use axum::extract::ws::WebSocket;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use sam_core::auth::NodeRight;
use sam_core::keys::Signer;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, NodeId, Result, WorkspaceId};

use crate::deadline;
use crate::link::{self, Severable, WsIo};

pub use self::assertion::{Assertion, LinkVersionError, link_version};
pub use self::call::CALL_DEADLINE;
pub use self::hop::{HOP_HEADER, HOP_PATH};
pub use self::peers::{LinkDirectory, Replicas};
pub use self::tunnel::{TUNNELS_PER_NODE_MAX, Tunnel};

use self::call::HANDSHAKE_DEADLINE;
use self::peers::Peers;
use self::registry::Registry;
use self::way::Way;

/// Called with the node whenever its link came up or went down.
pub type OnChange = Arc<dyn Fn(NodeId) + Send + Sync>;

/// Largest WebSocket message a server should accept on a link, in bytes.
pub const LINK_MESSAGE_BYTES_MAX: usize = link::MESSAGE_BYTES_MAX;

/// What a controller is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct ControllerConfig {
    /// The installation's name in tokens.
    pub issuer: String,
    /// Signs the tokens; agents learn its public key when they are bootstrapped.
    pub signer: Arc<dyn Signer>,
    /// Dates the tokens.
    pub clock: Arc<dyn Clock>,
    /// Told when a link comes up or goes down. It must not block.
    pub on_change: OnChange,
    /// Set where other replicas may hold links, and ask for ours.
    pub replicas: Option<Replicas>,
}

impl ControllerConfig {
    /// Names the parts that have no default; nobody is told of changes.
    pub fn new(issuer: String, signer: Arc<dyn Signer>, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, signer, clock, on_change: Arc::new(|_| {}), replicas: None }
    }

    /// Sets who is told that a link came up or went down.
    #[must_use]
    pub fn with_on_change(mut self, on_change: OnChange) -> Self {
        self.on_change = on_change;
        self
    }

    /// Sets how nodes are shared with other replicas.
    #[must_use]
    pub fn with_replicas(mut self, replicas: Replicas) -> Self {
        self.replicas = Some(replicas);
        self
    }
}

impl fmt::Debug for ControllerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerConfig").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// On whose behalf a request is made, of which node, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The node.
    pub node: NodeId,
    /// Who asks, for the agent's log; at most 255 bytes.
    pub actor: String,
    /// The workspace it is about.
    pub workspace: Option<WorkspaceId>,
    /// What it may do.
    pub rights: Vec<NodeRight>,
}

impl Grant {
    /// Grants rights on a node as a whole.
    pub fn on_node(
        node: NodeId,
        actor: impl Into<String>,
        rights: impl IntoIterator<Item = NodeRight>,
    ) -> Self {
        let rights = rights.into_iter().collect();
        Self { node, actor: actor.into(), workspace: None, rights }
    }

    /// Narrows the rights to one workspace.
    #[must_use]
    pub fn with_workspace(mut self, workspace: WorkspaceId) -> Self {
        self.workspace = Some(workspace);
        self
    }
}

/// Holds the live links. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Controller {
    config: ControllerConfig,
    registry: Registry,
    peers: Peers,
}

impl Controller {
    /// Makes a controller without links.
    pub fn new(config: ControllerConfig) -> Self {
        let registry = Registry::new(Arc::clone(&config.on_change));
        Self { config, registry, peers: Peers::default() }
    }

    /// Runs the link of a node whose assertion was verified, until it ends. Dropping the future
    /// ends the link; so does a newer link of the same node.
    ///
    /// # Errors
    /// `Timeout` or `Unavailable` when the agent does not answer at first, or the link broke.
    pub async fn accept(&self, node: NodeId, socket: WebSocket) -> Result<()> {
        self.run_link(node, WsIo::new(socket)).await
    }

    /// Returns the nodes that are connected here now, ordered.
    pub fn connected(&self) -> Vec<NodeId> {
        self.registry.nodes()
    }

    /// Returns whether a node is connected here now.
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.registry.link(node).is_some()
    }

    /// Returns the number of a node's link here, which rises with each one, while it is connected.
    pub fn link_number(&self, node: NodeId) -> Option<u64> {
        self.registry.link(node).map(|link| link.epoch())
    }

    /// Ends a node's link of this number with everything open on it: a newer one is held elsewhere.
    pub fn cut(&self, node: NodeId, number: u64) {
        if let Some(link) = self.registry.link(node).filter(|link| link.epoch() == number) {
            link.cut();
        }
    }

    pub(crate) async fn run_link<I>(&self, node: NodeId, io: I) -> Result<()>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let token = CancellationToken::new();
        // The guard also covers a future that is dropped half-way.
        let _cut = token.clone().drop_guard();
        let io = TokioIo::new(Severable::new(io, token.clone()));
        let handshake = link::client_builder().handshake(io);
        let handshake = deadline::within(HANDSHAKE_DEADLINE, handshake).await;
        let (sender, connection) = handshake.map_err(|_| silent())?.map_err(broken)?;
        let mut connection = std::pin::pin!(connection);
        // The first answer proves that the agent serves, and that its settings have arrived:
        // before that, terminals cannot be opened.
        tokio::select! {
            biased;
            result = &mut connection => {
                result.map_err(broken)?;
                return Err(Error::new(ErrorKind::Unavailable, "the agent closed the link at once"));
            }
            answer = self.greet(node, Way::over(sender.clone())) => answer?,
        }
        let entry = self.registry.enter(node, sender, token.clone());
        tracing::info!(node.id = %node, link.epoch = entry.epoch(), "link is up");
        let result = tokio::select! {
            biased;
            () = token.cancelled() => Ok(()),
            result = &mut connection => result.map_err(broken),
        };
        tracing::info!(node.id = %node, link.epoch = entry.epoch(), "link is down");
        result
    }
}

fn silent() -> Error {
    Error::new(ErrorKind::Timeout, "the agent does not answer on its link")
        .with_operation("accept_link")
}

fn broken(error: hyper::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the link to the agent broke")
        .with_operation("accept_link")
        .with_source(error)
}
