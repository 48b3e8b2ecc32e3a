//! What goes on in a workspace, and what is done about it: activity, declared work, warnings and
//! idle stops.

use axum::body::Bytes;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};

use sam_core::auth::NodeRight;
use sam_core::node_link::ParseWorkNameError;
use sam_core::{Error, ErrorKind};

use super::router::{Answer, Shared, done, json, parse_body, parse_id};
use crate::wire::{DeclareWork, NOTICE_BYTES_MAX, StopIdleReply, WarnRequest, Work, WorkName};

pub(super) async fn activity(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Activity, Some(workspace))?;
    parts.workspaces.directory(workspace)?;
    json(StatusCode::OK, &parts.holder.activity(workspace).await?)
}

pub(super) async fn declare_work(
    State(parts): State<Shared>,
    Path((workspace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Work, Some(workspace))?;
    let name = work_name(&name)?;
    let request: DeclareWork = parse_body(&body)?;
    if request.for_ms == 0 || u128::from(request.for_ms) > Work::SPAN_MAX.as_millis() {
        let text = format!("for_ms is 1 to {}", Work::SPAN_MAX.as_millis());
        let error = Error::new(ErrorKind::BadInput, text);
        return Err(error.with_hint("declare it again before that is over").into());
    }
    parts.workspaces.directory(workspace)?;
    parts.holder.declare_work(workspace, &name, &request).await?;
    Ok(done())
}

pub(super) async fn end_work(
    State(parts): State<Shared>,
    Path((workspace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Work, Some(workspace))?;
    let name = work_name(&name)?;
    parts.workspaces.directory(workspace)?;
    parts.holder.end_work(workspace, &name).await?;
    Ok(done())
}

pub(super) async fn warn(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Warn, Some(workspace))?;
    let request: WarnRequest = parse_body(&body)?;
    if request.notice.len() > NOTICE_BYTES_MAX {
        let text = format!("a notice has at most {NOTICE_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::BadInput, text).into());
    }
    parts.workspaces.directory(workspace)?;
    parts.holder.warn(workspace, &request.notice).await?;
    Ok(done())
}

pub(super) async fn stop_idle(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Stop, Some(workspace))?;
    let end = parts.holder.stop_idle(workspace).await?;
    json(StatusCode::OK, &StopIdleReply { end })
}

fn work_name(text: &str) -> sam_core::Result<WorkName> {
    text.parse()
        .map_err(|error: ParseWorkNameError| Error::new(ErrorKind::BadInput, error.to_string()))
}
