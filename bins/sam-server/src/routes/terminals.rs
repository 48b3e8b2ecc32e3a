//! Terminals, commands and declared work: passed on to the workspace's agent over its link.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::Method;
use sam_agent::controller::Grant;
use sam_core::auth::NodeRight;
use sam_core::node_link::{ParseWorkNameError, WorkName};
use sam_core::workspace::WorkspaceState;
use sam_core::{Error, ErrorKind, Result, TerminalId};

use super::workspaces::find;
use crate::access::Identity;
use crate::app::App;
use crate::problem::ApiError;

/// Finds the workspace and grants one right on it, where it runs.
async fn grant(
    app: &App,
    identity: &Identity,
    workspace: &str,
    right: NodeRight,
) -> Result<(Grant, String)> {
    let record = find(app, identity, workspace).await?.record;
    let node = record.node.filter(|_| record.state == WorkspaceState::Running);
    let node = node.ok_or_else(|| {
        let state = record.state.code();
        let hint = match record.state {
            WorkspaceState::Stopped => format!("start it with `sam start {}`", record.name),
            WorkspaceState::Failed => format!("see why with `sam show {}`", record.name),
            WorkspaceState::Deleting | WorkspaceState::Deleted => {
                "create it again with `sam up`".to_owned()
            }
            _ => "wait until it runs; `sam ls` shows its state".to_owned(),
        };
        let message = format!("workspace {} is {state}, not running", record.name);
        Error::new(ErrorKind::Conflict, message).with_hint(hint)
    })?;
    let grant = Grant::on_node(node, identity.owner(), [right]).with_workspace(record.id);
    Ok((grant, format!("/v1/workspaces/{}", record.id)))
}

fn terminal_id(text: &str) -> Result<TerminalId> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, format!("there is no terminal {shown:?}"))
    })
}

async fn pass(app: &App, grant: &Grant, path: String, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let mut passed = http::Request::builder().method(parts.method).uri(path);
    if let Some(kind) = parts.headers.get(http::header::CONTENT_TYPE) {
        passed = passed.header(http::header::CONTENT_TYPE, kind);
    }
    let bytes = axum::body::to_bytes(body, super::BODY_BYTES_MAX).await.map_err(|error| {
        Error::new(ErrorKind::BadInput, "the body is too large").with_source(error)
    })?;
    let passed = passed.body(Body::from(bytes)).map_err(|error| {
        Error::new(ErrorKind::Bug, "a request could not be passed on").with_source(error)
    })?;
    app.controller.send(grant, passed).await
}

/// Lists the terminals of a workspace, or opens one: the agent tells by the method.
pub(super) async fn collection(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Terminal).await?;
    Ok(pass(&app, &grant, format!("{base}/terminals"), request).await?)
}

pub(super) async fn close(
    State(app): State<App>,
    identity: Identity,
    Path((workspace, terminal)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let terminal = terminal_id(&terminal)?;
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Terminal).await?;
    Ok(pass(&app, &grant, format!("{base}/terminals/{terminal}"), request).await?)
}

/// Says what goes on in a workspace.
pub(super) async fn activity(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Activity).await?;
    Ok(pass(&app, &grant, format!("{base}/activity"), request).await?)
}

/// Declares work in a workspace, or ends it: the agent tells by the method.
pub(super) async fn work(
    State(app): State<App>,
    identity: Identity,
    Path((workspace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let name: WorkName = name
        .parse()
        .map_err(|error: ParseWorkNameError| Error::new(ErrorKind::BadInput, error.to_string()))?;
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Work).await?;
    Ok(pass(&app, &grant, format!("{base}/work/{name}"), request).await?)
}

pub(super) async fn attach(
    State(app): State<App>,
    identity: Identity,
    Path((workspace, terminal)): Path<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let terminal = terminal_id(&terminal)?;
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Terminal).await?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{base}/terminals/{terminal}/attach{query}");
    tunnel(&app, &grant, &path, request).await
}

pub(super) async fn exec(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (grant, base) = grant(&app, &identity, &workspace, NodeRight::Exec).await?;
    tunnel(&app, &grant, &format!("{base}/exec"), request).await
}

async fn tunnel(
    app: &App,
    grant: &Grant,
    path: &str,
    request: Request,
) -> Result<Response, ApiError> {
    if request.method() != Method::GET {
        let error = Error::new(ErrorKind::BadInput, "this is a WebSocket: ask with GET");
        return Err(error.into());
    }
    Ok(app.controller.proxy_websocket(grant, path, request).await?)
}
