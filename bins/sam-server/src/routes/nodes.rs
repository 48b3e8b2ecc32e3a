//! Nodes: list and show.

use axum::Json;
use axum::extract::{Path, Query, State};
use sam_api::{Node, Page};
use sam_core::{Error, ErrorKind, NodeId, Result};
use serde::Deserialize;

use crate::access::Identity;
use crate::app::App;
use crate::problem::ApiError;
use crate::project;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Node>>, ApiError> {
    let page = app.sam.list_nodes(query.after, Page::<Node>::LIMIT_MAX).await?;
    let owned = page.items.iter().filter(|node| node.record.owner == identity.owner());
    let items = owned.map(project::node).collect::<Result<Vec<_>>>()?;
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Path(node): Path<String>,
) -> Result<Json<Node>, ApiError> {
    let found = match node.parse::<NodeId>() {
        Ok(id) => app.sam.node(id).await?,
        Err(_) => None,
    };
    let found = found.filter(|node| node.record.owner == identity.owner()).ok_or_else(|| {
        let shown: String = node.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, format!("there is no node {shown:?}"))
    })?;
    Ok(Json(project::node(&found)?))
}
