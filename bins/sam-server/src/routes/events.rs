//! The feed as server-sent events.

use std::convert::Infallible;

use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::StreamExt as _;
use http::HeaderMap;
use sam_core::store::Cursor;
use sam_core::{Error, ErrorKind, WorkspaceId};
use serde::Deserialize;

use super::workspaces::find;
use crate::access::Identity;
use crate::app::App;
use crate::follow::{Scope, follow as follow_feed};
use crate::problem::ApiError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    workspace: Option<String>,
    after: Option<String>,
}

pub(super) async fn follow(
    State(app): State<App>,
    identity: Identity,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    // A client that comes back says where it was by the header; it outranks the address.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = match last.or(query.after.as_deref()) {
        Some(text) => text.parse::<Cursor>().map_err(|error| {
            Error::new(ErrorKind::BadInput, error.to_string())
                .with_hint("leave it out to begin at the end of the feed")
        })?,
        None => app.sam.head().await?,
    };
    let workspace: Option<WorkspaceId> = match &query.workspace {
        Some(text) => Some(find(&app, &identity, text).await?.record.id),
        None => None,
    };
    let scope = Scope { owner: identity.owner().to_owned(), workspace };
    let shutdown = app.shutdown.clone().cancelled_owned();
    let events = follow_feed(&app.sam, after, scope).take_until(shutdown);
    Ok(Sse::new(events.map(Ok::<Event, Infallible>)))
}
