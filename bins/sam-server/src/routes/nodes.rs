//! Nodes: list, show, delete. They belong to the installation: an administrator sees those of every
//! owner, and those that were recovered, whose owner may be nobody any more.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use sam_api::{Node, Page};
use sam_core::node::NodeState;
use sam_core::{Error, ErrorKind, NodeId, Result};
use serde::Deserialize;

use crate::access::Admin;
use crate::app::App;
use crate::problem::ApiError;
use crate::project;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    _admin: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Node>>, ApiError> {
    let page = app.sam.list_nodes(query.after, Page::<Node>::LIMIT_MAX).await?;
    let shown =
        page.items.iter().filter(|node| query.all || node.record.state != NodeState::Deleted);
    let items = shown.map(project::node).collect::<Result<Vec<_>>>()?;
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn show(
    State(app): State<App>,
    _admin: Admin,
    Path(node): Path<String>,
) -> Result<Json<Node>, ApiError> {
    let found = app.sam.node(id(&node)?).await?.ok_or_else(|| unknown(&node))?;
    Ok(Json(project::node(&found)?))
}

/// Refuses a node that a workspace uses: that goes with its workspace.
pub(super) async fn delete(
    State(app): State<App>,
    Admin(identity): Admin,
    Path(node): Path<String>,
) -> Result<(StatusCode, Json<Node>), ApiError> {
    let deleting = app.sam.delete_unused_node(id(&node)?, &identity.caller()).await?;
    Ok((StatusCode::ACCEPTED, Json(project::node(&deleting)?)))
}

fn id(text: &str) -> Result<NodeId> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(text: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    Error::new(ErrorKind::NotFound, format!("there is no node {shown:?}"))
        .with_hint("`sam node ls` lists them")
}
