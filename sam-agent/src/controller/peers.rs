//! Connections to the other replicas: one each, dialled when it is needed, HTTP/2 inside one
//! WebSocket as an agent's link is, with the same windows and the same pings.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use sam_core::keys::Verifier;
use sam_core::replica::Replica;
use sam_core::{Error, ErrorKind, NodeId, Result, Secret};

use super::call::exchange;
use super::hop::{HOP_HEADER, HOP_PATH};
use super::way::absolute;
use crate::deadline;
use crate::link::{self, Dialled, dial_tcp};

/// How long another replica may take to let us in.
const DIAL_DEADLINE: Duration = Duration::from_secs(3);
/// How long a failure to reach a replica is the answer for everybody.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// Knows which replica holds a node's link.
///
/// # Contract
/// - **C1** `holder` is as fresh as one read of what the replicas share.
/// - **C2** `gone` is a hint that nobody answers for a replica any more; it may be wrong, and whoever
///   still holds the link says so again.
#[async_trait]
pub trait LinkDirectory: fmt::Debug + Send + Sync + 'static {
    /// Returns the replica that holds a node's link.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    async fn holder(&self, node: NodeId) -> Result<Option<Replica>>;

    /// Is told that a replica which was said to hold a node's link is not there.
    async fn gone(&self, node: NodeId, holder: &Replica);
}

/// What a controller needs to share nodes with other replicas.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replicas {
    /// The name of this replica; another after a restart.
    pub id: String,
    /// Checks the tokens of other replicas: their signer's key is the one they share with us.
    pub verifier: Arc<dyn Verifier>,
    /// Knows who holds what.
    pub directory: Arc<dyn LinkDirectory>,
}

impl Replicas {
    /// Puts the parts together.
    pub fn new(
        id: impl Into<String>,
        verifier: Arc<dyn Verifier>,
        directory: Arc<dyn LinkDirectory>,
    ) -> Self {
        Self { id: id.into(), verifier, directory }
    }
}

/// A replica was not reached, and nothing was asked of it.
pub(super) struct Unreached {
    pub(super) error: Error,
    /// Nobody listens there, or another process does.
    pub(super) is_gone: bool,
}

/// The connections by replica. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Peers(Arc<Mutex<BTreeMap<String, Slot>>>);

/// One dials at a time; the others wait for what comes of it.
type Slot = Arc<tokio::sync::Mutex<Peer>>;

#[derive(Default)]
struct Peer {
    sender: Option<SendRequest<Body>>,
    failed_at: Option<(Instant, bool)>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Peers").field(&peers.len()).finish()
    }
}

impl Peers {
    /// Returns a connection to a replica, dialling it with a fresh token when there is none.
    pub(super) async fn reach<F>(
        &self,
        replica: &Replica,
        token: impl FnOnce() -> F + Send,
    ) -> Result<SendRequest<Body>, Unreached>
    where
        F: Future<Output = Result<Secret<String>>> + Send,
    {
        let slot = self.slot(&replica.id);
        let mut peer = slot.lock().await;
        if let Some(sender) = peer.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        if let Some((at, is_gone)) = peer.failed_at
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(Unreached { error: not_reached(replica), is_gone });
        }
        let dialled = async {
            let token = token().await.map_err(|error| Unreached { error, is_gone: false })?;
            let dialling = deadline::within(DIAL_DEADLINE, Box::pin(dial(replica, &token))).await;
            dialling
                .unwrap_or_else(|_| Err(Unreached { error: not_reached(replica), is_gone: false }))
        };
        let outcome = dialled.await;
        match &outcome {
            Ok(sender) => *peer = Peer { sender: Some(sender.clone()), failed_at: None },
            Err(unreached) => peer.failed_at = Some((Instant::now(), unreached.is_gone)),
        }
        outcome
    }

    fn slot(&self, id: &str) -> Slot {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = peers.get(id) {
            return Arc::clone(slot);
        }
        // Replicas come and go: whoever is not connected now is dialled anew when it is needed.
        peers.retain(|_, slot| match slot.try_lock() {
            Ok(peer) => peer.sender.as_ref().is_some_and(|sender| !sender.is_closed()),
            Err(_) => true,
        });
        Arc::clone(peers.entry(id.to_owned()).or_default())
    }
}

/// Opens a connection, and keeps it until either side ends it.
async fn dial(replica: &Replica, token: &Secret<String>) -> Result<SendRequest<Body>, Unreached> {
    let failed = |error: Error| Unreached { error, is_gone: false };
    let io = open(replica, token).await?;
    let handshake = link::client_builder().handshake(TokioIo::new(io)).await;
    let (sender, connection) =
        handshake.map_err(|error| failed(not_reached(replica).with_source(error)))?;
    let url = replica.url.clone();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::info!(replica.url = url, %error, "the connection to a replica broke");
        }
    });
    // The first answer shows that its settings have arrived: before that, terminals cannot be opened.
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = absolute("/").map_err(failed)?;
    exchange(sender.clone(), request, DIAL_DEADLINE).await.map_err(failed)?;
    Ok(sender)
}

async fn open(replica: &Replica, token: &Secret<String>) -> Result<Dialled, Unreached> {
    let unusable = || {
        let text = format!("the address {:?} of a replica cannot be used", replica.url);
        let error = Error::new(ErrorKind::Unavailable, text)
            .with_hint("--replica-url is http://host:port or https://host");
        Unreached { error, is_gone: false }
    };
    let rest = replica.url.strip_prefix("http").ok_or_else(unusable)?;
    let url = format!("ws{rest}{HOP_PATH}");
    let mut request = url.into_client_request().map_err(|_| unusable())?;
    let mut value = http::HeaderValue::try_from(token.expose()).map_err(|_| unusable())?;
    value.set_sensitive(true);
    request.headers_mut().insert(HOP_HEADER, value);
    dial_tcp(request).await.map_err(|error| {
        let is_gone = match &error {
            WsError::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
            // It does not know the name we called it by.
            WsError::Http(response) => response.status() == http::StatusCode::UNAUTHORIZED,
            _ => false,
        };
        Unreached { error: not_reached(replica).with_source(error), is_gone }
    })
}

fn not_reached(replica: &Replica) -> Error {
    let text = format!("the replica at {} that holds the node's link is not reached", replica.url);
    Error::new(ErrorKind::Unavailable, text)
        .with_operation("reach_replica")
        .with_hint("the node's agent dials in elsewhere soon: try again")
}
