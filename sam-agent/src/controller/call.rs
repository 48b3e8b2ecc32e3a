//! One request to an agent and its answer, with a token, a deadline and an honest account of
//! whether it may have happened.

use std::time::Duration;

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;

use sam_core::auth::{NodeRight, NodeToken, sign_node_token};
use sam_core::{Effect, Error, ErrorKind, NodeId, Result};

use super::way::Way;
use super::{Controller, Grant};
use crate::deadline;

/// How long [`Controller::send`] waits for the head of an answer.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long a new link may take to answer its first request.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

impl Controller {
    /// Sends a request to a node's agent and returns its answer, whatever its status. The path is
    /// the agent's, such as `/v1/status`; the token is added here.
    ///
    /// # Errors
    /// `Unavailable` with effect not applied while the node is not connected, with effect unknown
    /// when the link broke meanwhile; `Timeout` when no answer began within [`CALL_DEADLINE`].
    pub async fn send(&self, grant: &Grant, request: Request<Body>) -> Result<Response<Body>> {
        let way = self.must_reach(grant.node).await?;
        let request = self.authorize(grant, &way, request).await?;
        let response = way.exchange(request, CALL_DEADLINE).await?;
        Ok(response.map(Body::new))
    }

    /// Asks a new link anything, to see that it answers.
    pub(super) async fn greet(&self, node: NodeId, way: Way) -> Result<()> {
        let grant = Grant::on_node(node, "controller", [NodeRight::Status]);
        let request = Request::builder().uri("/v1/status").body(Body::empty()).map_err(bad)?;
        let request = self.authorize(&grant, &way, request).await?;
        way.exchange(request, HANDSHAKE_DEADLINE).await.map(drop)
    }

    /// Addresses a request for its way, and adds the token that the agent asks for.
    pub(super) async fn authorize(
        &self,
        grant: &Grant,
        way: &Way,
        mut request: Request<Body>,
    ) -> Result<Request<Body>> {
        way.address(&mut request)?;
        let now = self.config.clock.now();
        let actor = grant.actor.clone();
        let claims = NodeToken::new(self.config.issuer.clone(), grant.node, actor, now)
            .with_workspace(grant.workspace)
            .with_rights(grant.rights.iter().copied());
        let token = sign_node_token(&claims, &self.config.signer).await?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(bad)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }
}

/// Sends over one link and waits for the head of the answer.
pub(super) async fn exchange(
    mut sender: SendRequest<Body>,
    request: Request<Body>,
    span: Duration,
) -> Result<Response<Incoming>> {
    let answer = deadline::within(span, sender.send_request(request)).await;
    let answer = answer.map_err(|_| {
        Error::new(ErrorKind::Timeout, "the agent did not answer in time")
            .with_effect(Effect::Unknown)
    })?;
    answer.map_err(|error| {
        // Cancelled means that hyper never began to send it.
        let effect = if error.is_canceled() { Effect::NotApplied } else { Effect::Unknown };
        Error::new(ErrorKind::Unavailable, "the link to the agent broke")
            .with_effect(effect)
            .with_source(error)
    })
}

pub(super) fn bad(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::BadInput, "the request to the agent cannot be written").with_source(error)
}
