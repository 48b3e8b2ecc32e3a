//! The way to a node's agent: over its link here, or through the replica that holds the link.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Semaphore;

use sam_core::{Effect, Error, ErrorKind, NodeId, Result};

use super::Controller;
use super::call::{bad, exchange};
use super::hop::{AGENTS_PATH, EFFECT_HEADER};
use super::registry::Link;
use crate::problem::read_problem;

/// A connection on which the agent of one node can be asked.
pub(super) struct Way {
    sender: SendRequest<Body>,
    /// Bounds the terminals and commands where the link is ours; the replica that holds it does it
    /// elsewhere.
    pub(super) tunnels: Option<Arc<Semaphore>>,
    /// Set where another replica passes requests on.
    hop: Option<NodeId>,
}

impl From<Link> for Way {
    fn from(link: Link) -> Self {
        Self { sender: link.sender, tunnels: Some(link.tunnels), hop: None }
    }
}

impl Way {
    /// The way over a link that is not known to others yet.
    pub(super) const fn over(sender: SendRequest<Body>) -> Self {
        Self { sender, tunnels: None, hop: None }
    }

    /// Makes the request an absolute one, which HTTP/2 wants, with the path that leads to the agent.
    pub(super) fn address(&self, request: &mut Request<Body>) -> Result<()> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = match self.hop {
            None => absolute(path)?,
            Some(node) => absolute(&format!("{AGENTS_PATH}/{node}{path}"))?,
        };
        Ok(())
    }

    /// Sends a request that is addressed and waits for the head of the answer. What a replica in
    /// between says for itself is an error; what the agent says is an answer.
    pub(super) async fn exchange(
        self,
        request: Request<Body>,
        span: Duration,
    ) -> Result<Response<Incoming>> {
        let response = exchange(self.sender, request, span).await?;
        if self.hop.is_none() {
            return Ok(response);
        }
        let Some(effect) = response.headers().get(EFFECT_HEADER) else { return Ok(response) };
        let effect = if effect == "not_applied" { Effect::NotApplied } else { Effect::Unknown };
        Err(read_problem(response.map(Body::new)).await.with_effect(effect))
    }
}

pub(super) fn absolute(path: &str) -> Result<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("node"));
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(bad)?);
    Uri::from_parts(parts).map_err(bad)
}

pub(super) fn not_connected(node: NodeId) -> Error {
    Error::new(ErrorKind::Unavailable, "the node is not connected")
        .with_context("node", node)
        .with_hint("wait until its agent dials in again, or look at the agent's log")
}

impl Controller {
    /// Finds the way to a node; `None` while nobody holds its link.
    ///
    /// Who holds it elsewhere is asked of the directory each time, so that the answer is as old as
    /// one read of the store at most.
    ///
    /// # Errors
    /// What the directory answered; `Unavailable` with effect not applied when the holder cannot
    /// be reached.
    pub(super) async fn way(&self, node: NodeId) -> Result<Option<Way>> {
        if let Some(link) = self.registry.link(node) {
            return Ok(Some(link.into()));
        }
        let Some(replicas) = &self.config.replicas else { return Ok(None) };
        let Some(holder) = replicas.directory.holder(node).await? else { return Ok(None) };
        // Ours has just ended, and the record of it is about to.
        if holder.id == replicas.id {
            return Ok(None);
        }
        match self.peers.reach(&holder, || self.hop_token(replicas, &holder)).await {
            Ok(sender) => Ok(Some(Way { sender, tunnels: None, hop: Some(node) })),
            Err(unreached) if unreached.is_gone => {
                tracing::info!(node.id = %node, replica.url = holder.url, "the replica that held the link is gone");
                replicas.directory.gone(node, &holder).await;
                Ok(None)
            }
            Err(unreached) => Err(unreached.error.with_context("node", node)),
        }
    }

    /// Finds the way to a node that must be connected.
    ///
    /// # Errors
    /// As [`Self::way`]; `Unavailable` with effect not applied while nobody holds its link.
    pub(super) async fn must_reach(&self, node: NodeId) -> Result<Way> {
        self.way(node).await?.ok_or_else(|| not_connected(node))
    }
}
