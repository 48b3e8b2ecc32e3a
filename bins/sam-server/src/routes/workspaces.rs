//! Workspaces: create, list, show, start, stop, delete, renew.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sam_api::{CreateWorkspace, Lifetime, Page, Workspace};
use sam_core::compute::Size;
use sam_core::engine::Stamped;
use sam_core::workspace::{
    Checkout, IdleStop, NewWorkspace, WorkspaceName, WorkspaceRecord, WorkspaceState,
};
use sam_core::{Error, ErrorKind, Result, WorkspaceId};
use serde::Deserialize;

use crate::access::Identity;
use crate::app::App;
use crate::github::visible;
use crate::problem::ApiError;
use crate::project;

/// Finds a workspace by its id or its name. What belongs to others does not exist.
pub(super) async fn find(
    app: &App,
    identity: &Identity,
    text: &str,
) -> Result<Stamped<WorkspaceRecord>> {
    let found = match text.parse::<WorkspaceId>() {
        Ok(id) => app.sam.workspace(id).await?,
        Err(_) => match text.parse::<WorkspaceName>() {
            Ok(name) => app.sam.workspace_named(identity.owner(), &name).await?,
            Err(_) => None,
        },
    };
    found.filter(|workspace| workspace.record.owner == identity.owner()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, format!("there is no workspace {shown:?}"))
            .with_hint("`sam ls` lists them")
    })
}

pub(super) async fn create(
    State(app): State<App>,
    identity: Identity,
    Json(request): Json<CreateWorkspace>,
) -> Result<impl IntoResponse, ApiError> {
    let mut new = parse(&app, &identity, request)?;
    if let Some(person) = identity.person() {
        new.forge = visible::reached(&app, person, &new.repo).await?;
    }
    let made = app.sam.create_workspace(new, &identity.caller()).await?;
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/workspaces/{}", made.record.id)) {
        headers.insert(header::LOCATION, location);
    }
    Ok((StatusCode::CREATED, headers, Json(project::workspace(&made)?)))
}

fn parse(app: &App, identity: &Identity, request: CreateWorkspace) -> Result<NewWorkspace> {
    let bad = |message: String| Error::new(ErrorKind::BadInput, message);
    // What lies on the server's own disk is nobody's who signed in.
    let is_reached = app.local_repos && identity.person().is_none();
    if request.repo.is_local() && !is_reached {
        return Err(Error::new(
            ErrorKind::Denied,
            "this server does not read repositories from its own file system",
        )
        .with_hint("give the repository's URL"));
    }
    let name = request.name.map(|name| name.parse::<WorkspaceName>()).transpose();
    let name = name.map_err(|error| {
        bad(error.to_string())
            .with_hint("choose such a name, or give none to have one made of the repository's")
    })?;
    let size = match request.size.as_deref() {
        None => Size::default(),
        // The types that the reference documents name stand for what they were.
        Some("small" | "cx22") => Size::Small,
        Some("medium" | "cx32") => Size::Medium,
        Some("large" | "cx42") => Size::Large,
        Some(other) => {
            let shown: String = other.chars().take(32).collect();
            return Err(
                bad(format!("{shown:?} is no size")).with_hint("sizes are small, medium and large")
            );
        }
    };
    let checkout = request.reference.map_or(Checkout::Default, Checkout::Ref);
    let lease = request.lifetime.map(lease).transpose()?;
    Ok(NewWorkspace::new(request.repo)
        .with_checkout(checkout)
        .with_name(name)
        .with_size(size)
        .with_provider(request.provider)
        .with_lease(lease)
        .with_idle_stop(idle_stop(request.idle_stop_ms)?))
}

fn idle_stop(idle_stop_ms: Option<u64>) -> Result<IdleStop> {
    let Some(millis) = idle_stop_ms else { return Ok(IdleStop::Default) };
    let span = Duration::from_millis(millis);
    if millis == 0 {
        return Ok(IdleStop::Never);
    }
    if span < IdleStop::AFTER_MIN || span > IdleStop::AFTER_MAX {
        let (min, max) = (IdleStop::AFTER_MIN.as_millis(), IdleStop::AFTER_MAX.as_millis());
        return Err(Error::new(ErrorKind::BadInput, format!("idle_stop_ms is {min} to {max}"))
            .with_hint("0 is never"));
    }
    Ok(IdleStop::After { span })
}

fn lease(lifetime: Lifetime) -> Result<Duration> {
    use sam_core::workspace::Lifetime as Core;
    let span = Duration::from_millis(lifetime.lease_ms);
    if span < Core::LEASE_MIN || span > Core::LEASE_MAX {
        let (min, max) = (Core::LEASE_MIN.as_millis(), Core::LEASE_MAX.as_millis());
        return Err(Error::new(ErrorKind::BadInput, format!("lease_ms is {min} to {max}")));
    }
    Ok(span)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<usize>,
    after: Option<String>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Workspace>>, ApiError> {
    let limit = query.limit.unwrap_or(Page::<Workspace>::LIMIT_MAX);
    if limit == 0 || limit > Page::<Workspace>::LIMIT_MAX {
        return Err(Error::new(ErrorKind::BadInput, "limit is 1 to 200").into());
    }
    let page = app.sam.list_workspaces(query.after, limit).await?;
    let shown = page
        .items
        .iter()
        .filter(|workspace| workspace.record.owner == identity.owner())
        .filter(|workspace| query.all || workspace.record.state != WorkspaceState::Deleted);
    let shown: Vec<_> = shown.collect();
    let names = app.sam.published_names(shown.iter().map(|workspace| workspace.record.id)).await?;
    let items = shown.iter().map(|it| project::named(it, names.get(&it.record.id)));
    Ok(Json(Page::new(items.collect::<Result<Vec<_>>>()?, page.next)))
}

pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
) -> Result<Json<Workspace>, ApiError> {
    let found = find(&app, &identity, &workspace).await?;
    Ok(Json(named(&app, &found).await?))
}

/// A workspace as it is shown, with its published name.
async fn named(app: &App, workspace: &Stamped<WorkspaceRecord>) -> Result<Workspace> {
    let id = workspace.record.id;
    let names = app.sam.published_names([id]).await?;
    project::named(workspace, names.get(&id))
}

type Accepted = (StatusCode, Json<Workspace>);

async fn accepted(app: &App, workspace: &Stamped<WorkspaceRecord>) -> Result<Accepted, ApiError> {
    Ok((StatusCode::ACCEPTED, Json(named(app, workspace).await?)))
}

pub(super) async fn start(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
) -> Result<Accepted, ApiError> {
    let found = find(&app, &identity, &workspace).await?;
    accepted(&app, &app.sam.start_workspace(found.record.id, &identity.caller()).await?).await
}

pub(super) async fn stop(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
) -> Result<Accepted, ApiError> {
    let found = find(&app, &identity, &workspace).await?;
    accepted(&app, &app.sam.stop_workspace(found.record.id, &identity.caller()).await?).await
}

pub(super) async fn delete(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
) -> Result<Accepted, ApiError> {
    let found = find(&app, &identity, &workspace).await?;
    accepted(&app, &app.sam.delete_workspace(found.record.id, &identity.caller()).await?).await
}

pub(super) async fn renew(
    State(app): State<App>,
    identity: Identity,
    Path(workspace): Path<String>,
    Json(lifetime): Json<Lifetime>,
) -> Result<Json<Workspace>, ApiError> {
    let span = lease(lifetime)?;
    let found = find(&app, &identity, &workspace).await?;
    let renewed = app.sam.renew_workspace(found.record.id, span, &identity.caller()).await?;
    Ok(Json(named(&app, &renewed).await?))
}
