//! Both ends of the link in one process: a server as `sam-server` builds it, on loopback, and the
//! whole agent but for its holder.

mod api;
mod conformance;
mod credentials;
mod fake;
mod link;
mod replicas;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use sam_core::auth::{BootKey, ChallengeKey, NodeRight};
use sam_core::entropy::{Entropy as _, SeededEntropy};
use sam_core::keys::{Ed25519Signer, Signer as _};
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{NodeId, Secret, WorkspaceId};

use super::*;
use crate::controller::{
    Assertion, Controller, ControllerConfig, Grant, HOP_HEADER, HOP_PATH, LINK_MESSAGE_BYTES_MAX,
    link_version,
};
use crate::wire::{BootstrapRequest, GIT_CREDENTIAL_PATH, ServerKey};

pub(super) use self::fake::FakeHolder;

pub(super) const NODE: NodeId = NodeId::from_bits(77);
pub(super) const WORKSPACE: WorkspaceId = WorkspaceId::from_bits(5);
const SOON: Duration = Duration::from_secs(10);

/// What the server's routes share.
pub(super) struct Server {
    pub(super) controller: Controller,
    boot: BootKey,
    challenge: ChallengeKey,
    entropy: SeededEntropy,
    signer: Ed25519Signer,
    public_key: Mutex<Option<[u8; 32]>>,
    /// Bootstrap answers to lose before one arrives.
    answers_to_lose: AtomicUsize,
    pub(super) bootstraps: AtomicUsize,
    /// Links that have ended.
    pub(super) ended: watch::Sender<usize>,
    /// What agents are told of other replicas.
    pub(super) control_urls: Mutex<Vec<String>>,
    /// Ends every connection.
    stop: CancellationToken,
}

pub(super) struct Rig {
    pub(super) server: Arc<Server>,
    pub(super) changes: watch::Receiver<usize>,
    pub(super) address: std::net::SocketAddr,
    pub(super) directory: tempfile::TempDir,
    stop: CancellationToken,
    _stop_all: DropGuard,
}

pub(super) fn server_signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(&Secret::new([42; 32]))
}

fn environment() -> Vec<(OsString, OsString)> {
    let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
    vec![("PATH".into(), path.into())]
}

async fn bootstrap(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    server.bootstraps.fetch_add(1, Ordering::SeqCst);
    let request: BootstrapRequest = serde_json::from_slice(&body).unwrap();
    if server.boot.verify(request.node_id, 0, &request.token).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let key = URL_SAFE_NO_PAD.decode(request.public_key).unwrap().try_into().unwrap();
    let stored = *server.public_key.lock().unwrap().get_or_insert(key);
    if stored != key {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let lose = server
        .answers_to_lose
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if lose.is_ok() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let server_keys = vec![ServerKey {
        key_id: server.signer.key_id().to_owned(),
        public_key: URL_SAFE_NO_PAD.encode(server.signer.public_key()),
    }];
    axum::Json(BootstrapReply { server_keys }).into_response()
}

async fn challenge(State(server): State<Arc<Server>>) -> axum::Json<ChallengeReply> {
    let nonce = server.challenge.issue(wall_clock(), &server.entropy);
    axum::Json(ChallengeReply { nonce, control_urls: server.control_urls.lock().unwrap().clone() })
}

async fn link(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if link_version(header(LINK_VERSION_HEADER)).is_err() {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    }
    let key = *server.public_key.lock().unwrap();
    let verify = || {
        let assertion: Assertion = header(ASSERTION_HEADER)?.parse().ok()?;
        assertion.verify(key?, &server.challenge, wall_clock()).ok()?;
        Some(assertion.node())
    };
    let Some(node) = verify() else { return StatusCode::UNAUTHORIZED.into_response() };
    let upgrade = upgrade.max_message_size(LINK_MESSAGE_BYTES_MAX);
    upgrade.on_upgrade(async move |socket| {
        drop(server.stop.run_until_cancelled(server.controller.accept(node, socket)).await);
        server.ended.send_modify(|count| *count += 1);
    })
}

/// What other replicas use.
async fn hop(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = headers.get(HOP_HEADER).and_then(|value| value.to_str().ok());
    match server.controller.admit_replica(token) {
        Err(error) => StatusCode::from_u16(error.kind().http_status()).unwrap().into_response(),
        Ok(_) => upgrade.max_message_size(LINK_MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
            let serving = server.controller.accept_replica(socket);
            drop(server.stop.run_until_cancelled(serving).await);
        }),
    }
}

/// What people use: any WebSocket of the agent, by its path.
async fn proxy(
    State(server): State<Arc<Server>>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let grant = Grant::on_node(NODE, "tester", [NodeRight::Terminal, NodeRight::Exec])
        .with_workspace(WORKSPACE);
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/{path}{query}");
    match server.controller.proxy_websocket(&grant, &path, request).await {
        Ok(response) => response,
        Err(error) => StatusCode::from_u16(error.kind().http_status()).unwrap().into_response(),
    }
}

impl Rig {
    /// Starts a server, on a TCP port and a Unix socket, with a node's boot data beside it.
    pub(super) async fn server() -> Self {
        Self::server_with(|config| config).await
    }

    pub(super) async fn server_with(
        configure: impl FnOnce(ControllerConfig) -> ControllerConfig,
    ) -> Self {
        let (teller, changes) = watch::channel(0);
        let on_change = Arc::new(move |_| teller.send_modify(|count| *count += 1));
        let clock = Arc::new(ManualClock::new(wall_clock()));
        let signer = Arc::new(server_signer());
        let config = ControllerConfig::new("rig".into(), signer, clock).with_on_change(on_change);
        let config = configure(config);
        let stop = CancellationToken::new();
        let entropy = SeededEntropy::new(8);
        let mut key = [0; 32];
        entropy.fill(&mut key);
        let server = Arc::new(Server {
            controller: Controller::new(config),
            boot: BootKey::new(Secret::new(key)),
            challenge: ChallengeKey::new(Secret::new(key)),
            entropy,
            signer: server_signer(),
            public_key: Mutex::default(),
            answers_to_lose: AtomicUsize::new(0),
            bootstraps: AtomicUsize::new(0),
            ended: watch::Sender::new(0),
            control_urls: Mutex::default(),
            stop: stop.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let stop_all = stop.clone().drop_guard();
        let rig = Self { server, changes, address, directory, stop, _stop_all: stop_all };
        let app = rig.app();
        rig.background(async move { axum::serve(listener, app).await.unwrap() });
        rig
    }

    pub(super) fn app(&self) -> Router {
        Router::new()
            .route("/api/bootstrap", post(bootstrap))
            .route("/api/agent/challenge", post(challenge))
            .route("/api/agent/link", get(link))
            .route(GIT_CREDENTIAL_PATH, post(credentials::git_credential))
            .route("/proxy/{*path}", any(proxy))
            .route(HOP_PATH, any(hop))
            .with_state(Arc::clone(&self.server))
    }

    /// Runs something until the rig is dropped.
    pub(super) fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn write_boot(&self, control_url: &str) {
        let token = self.server.boot.token(NODE, 0);
        let boot = serde_json::json!({
            "node_id": NODE, "control_url": control_url, "token": token.expose(),
        });
        std::fs::write(self.directory.path().join("boot.json"), boot.to_string()).unwrap();
    }

    /// Starts the agent in the background; the answer ends when it does.
    pub(super) fn start_agent(&self) -> CancellationToken {
        self.start_agent_with(Arc::new(FakeHolder::default()))
    }

    /// Starts the agent with this holder.
    fn start_agent_with(&self, holder: Arc<FakeHolder>) -> CancellationToken {
        let shutdown = self.stop.child_token();
        let config = AgentConfig::new(self.directory.path().to_owned())
            .with_environment(environment())
            .with_git_helper("/opt/sam".into());
        let told = shutdown.clone();
        self.background(async move {
            let told = async move { told.cancelled().await };
            serve(config, holder, told).await.unwrap();
        });
        shutdown
    }

    /// A server with a connected agent.
    pub(super) async fn connected() -> Self {
        Self::connected_with(Arc::new(FakeHolder::default())).await
    }

    /// A server with a connected agent that has this holder.
    async fn connected_with(holder: Arc<FakeHolder>) -> Self {
        let mut rig = Self::server().await;
        rig.write_boot(&rig.url());
        rig.start_agent_with(holder);
        rig.wait_until_connected().await;
        rig
    }

    pub(super) async fn wait_until_connected(&mut self) {
        let controller = self.server.controller.clone();
        let up = self.changes.wait_for(|_| controller.is_connected(NODE));
        drop(deadline::within(SOON, up).await.expect("the agent connects").unwrap());
    }

    /// Makes the workspace look prepared, without git.
    pub(super) fn fake_checkout(&self) {
        let checkout =
            self.directory.path().join("ws").join(WORKSPACE.to_string()).join("checkout");
        std::fs::create_dir_all(checkout).unwrap();
    }

    /// Asks the agent as the engine or a person would.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
        rights: impl IntoIterator<Item = NodeRight>,
    ) -> (u16, serde_json::Value) {
        let grant = Grant::on_node(NODE, "tester", rights).with_workspace(WORKSPACE);
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.server.controller.send(&grant, request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}
