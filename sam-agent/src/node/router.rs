//! The agent's one HTTP API, the same over the link and direct.
//!
//! Every route checks the node token first: audience, right and workspace. Every refusal is a
//! problem document with a stable code.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post, put};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use sam_core::auth::{NodeRight, verify_node_token};
use sam_core::keys::Verifier;
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, NodeId, WorkspaceId};

use super::holder::Holder;
use super::workspaces::Workspaces;
use super::{activity, attach, exec};
use crate::problem::Problem;
use crate::wire::{NodeStatus, OpenTerminal, PrepareReply, PrepareRequest, TerminalList};

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest that an answer about a checkout is held back.
const WAIT_MS_MAX: u64 = 5_000;

/// What the routes share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) node: NodeId,
    pub(super) verifier: Arc<dyn Verifier>,
    pub(super) now: fn() -> Timestamp,
    pub(super) holder: Arc<dyn Holder>,
    pub(super) workspaces: Workspaces,
}

pub(super) type Shared = Arc<Parts>;
pub(super) type Answer = Result<Response, Problem>;

pub(super) fn router(parts: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/drain", post(drain))
        .route("/v1/workspaces/{workspace}", put(prepare).delete(remove))
        .route("/v1/workspaces/{workspace}/stop", post(stop))
        .route("/v1/workspaces/{workspace}/stop-idle", post(activity::stop_idle))
        .route("/v1/workspaces/{workspace}/activity", get(activity::activity))
        .route("/v1/workspaces/{workspace}/warning", post(activity::warn))
        .route(
            "/v1/workspaces/{workspace}/work/{name}",
            put(activity::declare_work).delete(activity::end_work),
        )
        .route("/v1/workspaces/{workspace}/terminals", get(terminals).post(open_terminal))
        .route("/v1/workspaces/{workspace}/terminals/{terminal}", delete(close_terminal))
        // Through the link a WebSocket arrives as CONNECT, direct as GET.
        .route("/v1/workspaces/{workspace}/terminals/{terminal}/attach", any(attach::attach))
        .route("/v1/workspaces/{workspace}/exec", any(exec::exec))
        .fallback(absent)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(parts)
}

impl Parts {
    /// Checks the request's token.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        right: NodeRight,
        workspace: Option<WorkspaceId>,
    ) -> sam_core::Result<()> {
        let text = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = text.and_then(|text| text.strip_prefix("Bearer ")).ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "the request carries no node token")
        })?;
        let token = verify_node_token(token, &self.verifier, self.node, (self.now)())?;
        token.allow(right, workspace)?;
        tracing::debug!(actor = token.actor, right = right.name(), "request allowed");
        Ok(())
    }
}

async fn absent() -> Problem {
    Problem(
        Error::new(ErrorKind::NotFound, "the agent has no such route")
            .with_hint("update the agent: the server knows more than it does"),
    )
}

async fn wrong_method(method: Method) -> Response {
    let text = format!("the agent does not answer {method} here");
    let mut response = Problem(Error::new(ErrorKind::BadInput, text)).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

pub(super) fn parse_id<T: std::str::FromStr<Err = sam_core::id::ParseIdError>>(
    text: &str,
) -> sam_core::Result<T> {
    text.parse().map_err(|error: sam_core::id::ParseIdError| {
        Error::new(ErrorKind::BadInput, error.to_string())
    })
}

pub(super) fn parse_body<T: DeserializeOwned>(body: &Bytes) -> sam_core::Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        // The text of the parser may quote the body, and the body may hold a credential.
        let place = format!("line {} column {}", error.line(), error.column());
        Error::new(ErrorKind::BadInput, format!("the body is not what is expected at {place}"))
    })
}

pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|error| {
        Error::new(ErrorKind::Bug, "the answer cannot be written").with_source(error)
    })?;
    let response = Response::builder().status(status);
    let response = response.header("content-type", "application/json").body(Body::from(body));
    Ok(response.map_err(|error| {
        Error::new(ErrorKind::Bug, "the answer cannot be written").with_source(error)
    })?)
}

pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

async fn status(State(parts): State<Shared>, headers: HeaderMap) -> Answer {
    parts.authorize(&headers, NodeRight::Status, None)?;
    let status = NodeStatus {
        node_id: parts.node,
        instance: parts.holder.instance().await?,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        draining: parts.workspaces.is_draining(),
    };
    json(StatusCode::OK, &status)
}

async fn drain(State(parts): State<Shared>, headers: HeaderMap) -> Answer {
    parts.authorize(&headers, NodeRight::Drain, None)?;
    parts.workspaces.drain().await?;
    Ok(done())
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

async fn prepare(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    wait: Result<Query<Wait>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Prepare, Some(workspace))?;
    let Query(wait) = wait.map_err(|_| Error::new(ErrorKind::BadInput, "wait_ms is no number"))?;
    let request: PrepareRequest = parse_body(&body)?;
    let wait = Duration::from_millis(wait.wait_ms.min(WAIT_MS_MAX));
    let preparation = parts.workspaces.prepare(workspace, request, wait).await?;
    json(StatusCode::OK, &PrepareReply { preparation })
}

async fn stop(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Stop, Some(workspace))?;
    parts.workspaces.cancel(workspace).await;
    parts.holder.stop_workspace(workspace).await?;
    Ok(done())
}

async fn remove(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Remove, Some(workspace))?;
    parts.workspaces.remove(workspace, parts.holder.as_ref()).await?;
    Ok(done())
}

async fn terminals(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Terminal, Some(workspace))?;
    parts.workspaces.directory(workspace)?;
    let items = parts.holder.terminals(workspace).await?;
    json(StatusCode::OK, &TerminalList { items })
}

async fn open_terminal(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Terminal, Some(workspace))?;
    let directory = parts.workspaces.directory(workspace)?;
    parts.workspaces.check_not_draining()?;
    let request: OpenTerminal = parse_body(&body)?;
    let info = parts.holder.open_terminal(workspace, &directory, &request).await?;
    json(StatusCode::CREATED, &info)
}

async fn close_terminal(
    State(parts): State<Shared>,
    Path((workspace, terminal)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (workspace, terminal) = (parse_id(&workspace)?, parse_id(&terminal)?);
    parts.authorize(&headers, NodeRight::Terminal, Some(workspace))?;
    parts.holder.close_terminal(workspace, terminal).await?;
    Ok(done())
}
