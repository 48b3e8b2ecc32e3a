//! Being the replica in between: requests for agents whose link is here, from replicas that were
//! asked for them.
//!
//! What arrives this way is answered over a link of this process or not at all: nothing is ever passed
//! on a second time, so there are no loops. The agent checks the node token that travels with each
//! request, as it does for requests of ours.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocket;
use axum::response::{IntoResponse as _, Response};
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

use sam_core::auth::{HopToken, sign_hop_token, verify_hop_token};
use sam_core::replica::Replica;
use sam_core::{Effect, Error, ErrorKind, NodeId, Result, Secret};

use super::tunnel::{bridge, tunnel_request};
use super::way::{Way, absolute, not_connected};
use super::{Controller, Replicas};
use crate::link::{self, WsIo};
use crate::problem::Problem;

/// Where a server takes the connections of other replicas: a WebSocket.
pub const HOP_PATH: &str = "/internal/replica";
/// Name of the header with the token that opens it.
pub const HOP_HEADER: &str = "sam-hop-token";
/// What the paths of requests to agents begin with, inside that connection; the node follows.
pub(super) const AGENTS_PATH: &str = "/internal/agents";
/// Marks what this replica answers for itself, and says whether the agent may have been asked.
pub(super) const EFFECT_HEADER: &str = "sam-hop-effect";

/// Longest wait for an agent's answer. Whoever asks has a shorter one, and lets go of the request.
const PASS_DEADLINE: Duration = Duration::from_secs(90);

impl Controller {
    /// Checks the token of a replica that wants to connect, and returns that replica's name.
    ///
    /// # Errors
    /// `Unauthenticated` without a token, with a foreign or an old one, with one for another replica,
    /// and wherever there is only one replica.
    pub fn admit_replica(&self, token: Option<&str>) -> Result<String> {
        let denied = |message| Error::new(ErrorKind::Unauthenticated, message);
        let replicas = self.config.replicas.as_ref();
        let replicas = replicas.ok_or_else(|| denied("this server is the only replica"))?;
        let token = token.ok_or_else(|| denied("the hop token is missing"))?;
        let now = self.config.clock.now();
        let token = verify_hop_token(token, &*replicas.verifier, &replicas.id, now)?;
        if token.issuer == self.config.issuer {
            Ok(token.from)
        } else {
            Err(denied("the hop token is of another installation"))
        }
    }

    /// Answers the requests of a replica that was admitted, until it leaves. Dropping the future ends
    /// the connection.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn accept_replica(&self, socket: WebSocket) -> Result<()> {
        let router = Router::new().fallback(pass).with_state(self.clone());
        let io = TokioIo::new(WsIo::new(socket));
        let service = TowerToHyperService::new(router);
        let serving = link::server_builder().serve_connection(io, service).await;
        serving.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the connection of a replica broke")
                .with_source(error)
        })
    }

    pub(super) async fn hop_token(&self, me: &Replicas, to: &Replica) -> Result<Secret<String>> {
        let (issuer, now) = (self.config.issuer.clone(), self.config.clock.now());
        let token = HopToken::new(issuer, me.id.clone(), to.id.clone(), now);
        sign_hop_token(&token, &*self.config.signer).await
    }

    /// Passes a request on to the agent over the link that is here.
    async fn pass(&self, mut request: Request<Body>) -> Result<Response> {
        let (node, path) = destination(&request)?;
        let link = self.registry.link(node).ok_or_else(|| not_connected(node))?;
        let way = Way::from(link);
        if request.method() != Method::CONNECT {
            *request.uri_mut() = absolute(&path)?;
            return Ok(way.exchange(request, PASS_DEADLINE).await?.map(Body::new));
        }
        let is_web_socket = request
            .extensions()
            .get::<Protocol>()
            .is_some_and(|found| found.as_str() == "websocket");
        let client = request.extensions_mut().remove::<OnUpgrade>().filter(|_| is_web_socket);
        let client = client.ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "a replica connects to WebSockets of agents only")
        })?;
        let mut inner = tunnel_request(&path)?;
        if let Some(token) = request.headers_mut().remove(AUTHORIZATION) {
            inner.headers_mut().insert(AUTHORIZATION, token);
        }
        let tunnel = self.open_tunnel(way, inner).await?;
        tokio::spawn(async move {
            match client.await {
                Ok(client) => bridge(TokioIo::new(client), tunnel).await,
                Err(error) => tracing::debug!(%error, "a replica left before its WebSocket opened"),
            }
        });
        Ok(Response::new(Body::empty()))
    }
}

/// Reads whom a request is for, and the path it has there.
fn destination(request: &Request<Body>) -> Result<(NodeId, String)> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let split = || {
        let rest = path.strip_prefix(AGENTS_PATH)?.strip_prefix('/')?;
        let (node, _) = rest.split_once('/')?;
        Some((node.parse().ok()?, rest.get(node.len()..)?.to_owned()))
    };
    split().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "replicas pass requests on to agents, and nothing else")
    })
}

async fn pass(State(controller): State<Controller>, request: Request<Body>) -> Response {
    if request.uri().path() == "/" {
        return StatusCode::NO_CONTENT.into_response();
    }
    controller.pass(request).await.unwrap_or_else(|error| {
        let word = match error.effect() {
            Effect::NotApplied => "not_applied",
            _ => "unknown",
        };
        let mut response = Problem(error).into_response();
        response.headers_mut().insert(EFFECT_HEADER, HeaderValue::from_static(word));
        response
    })
}
