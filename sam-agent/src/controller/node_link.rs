//! [`NodeLink`] over the link. Every call has a deadline longer than the agent's own, and is
//! repeatable, so an answer that was lost is asked for again.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use sam_core::auth::NodeRight;
use sam_core::node_link::{Activity, IdleEnd, NodeLink, Preparation, Prepare, Readiness};
use sam_core::{Effect, Error, ErrorKind, NodeId, Result, WorkspaceId};

use super::call::bad;
use super::way::Way;
use super::{Controller, Grant};
use crate::deadline;
use crate::problem::read_problem;
use crate::wire::{
    NodeStatus, PrepareReply, PrepareRequest, StopIdleReply, WarnRequest, WireCredential,
};

/// Who asks, in tokens, when nobody but the engine does.
const ACTOR: &str = "engine";
/// How long the agent may hold back its answer about a checkout that is not done.
const PREPARE_WAIT_MS: u32 = 2_000;
const STATUS_DEADLINE: Duration = Duration::from_secs(10);
const PREPARE_DEADLINE: Duration = Duration::from_secs(15);
/// Processes get some seconds to end by themselves, and files take a while to delete.
const END_DEADLINE: Duration = Duration::from_mins(1);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

impl Controller {
    /// Sends a request of the engine and reads the whole answer, within one deadline.
    async fn ask(
        &self,
        grant: &Grant,
        request: Request<Body>,
        span: Duration,
    ) -> Result<bytes::Bytes> {
        let way = self.must_reach(grant.node).await?;
        self.ask_over(way, grant, request, span).await
    }

    async fn ask_over(
        &self,
        way: Way,
        grant: &Grant,
        request: Request<Body>,
        span: Duration,
    ) -> Result<bytes::Bytes> {
        let request = self.authorize(grant, &way, request).await?;
        let exchanged = async {
            let response = way.exchange(request, span).await?.map(Body::new);
            if response.status().is_success() {
                read(response).await
            } else {
                Err(read_problem(response).await)
            }
        };
        let answer = deadline::within(span, exchanged).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, "the agent did not answer in time")
                .with_effect(Effect::Unknown)
        });
        answer?.map_err(|error| error.with_context("node", grant.node))
    }
}

/// Whoever was said to hold the link does not, or the way there broke before anything was asked.
fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.effect() == Effect::NotApplied
}

async fn read(response: Response<Body>) -> Result<bytes::Bytes> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the agent's answer broke off")
            .with_effect(Effect::Unknown)
            .with_source(error)
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the agent's answer cannot be read")
            .with_effect(Effect::Unknown)
            .with_hint("update the agent: it speaks another version")
            .with_source(error)
    })
}

fn plain(method: Method, path: String) -> Result<Request<Body>> {
    Request::builder().method(method).uri(path).body(Body::empty()).map_err(bad)
}

fn json(method: Method, path: String, body: &impl Serialize) -> Result<Request<Body>> {
    let body = serde_json::to_vec(body).map_err(bad)?;
    let request = Request::builder().method(method).uri(path);
    request.header(CONTENT_TYPE, "application/json").body(Body::from(body)).map_err(bad)
}

fn on_workspace(node: NodeId, workspace: WorkspaceId, right: NodeRight) -> Grant {
    Grant::on_node(node, ACTOR, [right]).with_workspace(workspace)
}

#[async_trait]
impl NodeLink for Controller {
    async fn readiness(&self, node: NodeId) -> Result<Option<Readiness>> {
        let Some(way) = self.way(node).await? else { return Ok(None) };
        let is_here = way.tunnels.is_some();
        let grant = Grant::on_node(node, ACTOR, [NodeRight::Status]);
        let request = plain(Method::GET, "/v1/status".to_owned())?;
        match self.ask_over(way, &grant, request, STATUS_DEADLINE).await {
            Ok(answer) => {
                let status: NodeStatus = parse(&answer)?;
                Ok(Some(Readiness::new(status.instance, status.agent_version)))
            }
            // The link went down while we asked: that is the answer.
            Err(_) if is_here && !self.is_connected(node) => Ok(None),
            Err(error) if !is_here && is_absent(&error) => Ok(None),
            Err(error) => Err(error.with_operation("readiness")),
        }
    }

    async fn prepare(&self, node: NodeId, request: &Prepare) -> Result<Preparation> {
        let workspace = request.workspace;
        let body = PrepareRequest {
            repo: request.repo.clone(),
            checkout: request.checkout.clone(),
            credential: request.credential.as_ref().map(|credential| WireCredential {
                username: credential.username.clone(),
                password: credential.password.expose().clone(),
            }),
        };
        let path = format!("/v1/workspaces/{workspace}?wait_ms={PREPARE_WAIT_MS}");
        let request = json(Method::PUT, path, &body)?;
        let grant = on_workspace(node, workspace, NodeRight::Prepare);
        let answer = self.ask(&grant, request, PREPARE_DEADLINE).await;
        let answer = answer.map_err(|error| error.with_operation("prepare"))?;
        Ok(parse::<PrepareReply>(&answer)?.preparation)
    }

    async fn activity(&self, node: NodeId, workspace: WorkspaceId) -> Result<Activity> {
        let request = plain(Method::GET, format!("/v1/workspaces/{workspace}/activity"))?;
        let grant = on_workspace(node, workspace, NodeRight::Activity);
        let answer = self.ask(&grant, request, STATUS_DEADLINE).await;
        parse(&answer.map_err(|error| error.with_operation("activity"))?)
    }

    async fn warn(&self, node: NodeId, workspace: WorkspaceId, notice: &str) -> Result<()> {
        let body = WarnRequest { notice: notice.to_owned() };
        let request = json(Method::POST, format!("/v1/workspaces/{workspace}/warning"), &body)?;
        let grant = on_workspace(node, workspace, NodeRight::Warn);
        let answer = self.ask(&grant, request, STATUS_DEADLINE).await;
        answer.map(drop).map_err(|error| error.with_operation("warn"))
    }

    async fn stop_idle(&self, node: NodeId, workspace: WorkspaceId) -> Result<IdleEnd> {
        let request = plain(Method::POST, format!("/v1/workspaces/{workspace}/stop-idle"))?;
        let grant = on_workspace(node, workspace, NodeRight::Stop);
        let answer = self.ask(&grant, request, END_DEADLINE).await;
        let answer = answer.map_err(|error| error.with_operation("stop_idle"))?;
        Ok(parse::<StopIdleReply>(&answer)?.end)
    }

    async fn stop(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        let request = plain(Method::POST, format!("/v1/workspaces/{workspace}/stop"))?;
        let grant = on_workspace(node, workspace, NodeRight::Stop);
        let answer = self.ask(&grant, request, END_DEADLINE).await;
        answer.map(drop).map_err(|error| error.with_operation("stop"))
    }

    async fn remove(&self, node: NodeId, workspace: WorkspaceId) -> Result<()> {
        let request = plain(Method::DELETE, format!("/v1/workspaces/{workspace}"))?;
        let grant = on_workspace(node, workspace, NodeRight::Remove);
        let answer = self.ask(&grant, request, END_DEADLINE).await;
        answer.map(drop).map_err(|error| error.with_operation("remove"))
    }

    async fn drain(&self, node: NodeId) -> Result<()> {
        let request = plain(Method::POST, "/v1/drain".to_owned())?;
        let grant = Grant::on_node(node, ACTOR, [NodeRight::Drain]);
        let answer = self.ask(&grant, request, STATUS_DEADLINE).await;
        answer.map(drop).map_err(|error| error.with_operation("drain"))
    }
}
