//! What a credential owns, compared with the records: sweeps and what they found. And the hold on
//! deleting what nobody asked to delete; and the servers that look after it.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use sam_api::{DeletionHold, Orphan, Page, Replica, SetDeletionHold, Sweep};
use sam_core::hold::HoldRecord;
use sam_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::access::Admin;
use crate::app::App;
use crate::problem::ApiError;
use crate::project;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
}

pub(super) async fn sweeps(
    State(app): State<App>,
    _admin: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Sweep>>, ApiError> {
    let page = app.sam.list_sweeps(query.after, Page::<Sweep>::LIMIT_MAX).await?;
    let items = page.items.iter().map(project::sweep).collect();
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn run_sweep(
    State(app): State<App>,
    Admin(identity): Admin,
    Path(sweep): Path<String>,
) -> Result<(StatusCode, Json<Sweep>), ApiError> {
    let asked = app.sam.sweep_scope_now(&sweep, &identity.caller()).await;
    let asked = asked.map_err(|error| hinted(error, "`sam sweep ls` lists them"))?;
    Ok((StatusCode::ACCEPTED, Json(project::sweep(&asked))))
}

pub(super) async fn orphans(
    State(app): State<App>,
    _admin: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Orphan>>, ApiError> {
    let page = app.sam.list_orphans(query.after, Page::<Orphan>::LIMIT_MAX).await?;
    let items = page.items.iter().map(project::orphan).collect::<Result<Vec<_>>>()?;
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn orphan(
    State(app): State<App>,
    _admin: Admin,
    Path(orphan): Path<String>,
) -> Result<Json<Orphan>, ApiError> {
    let id = orphan_id(&orphan)?;
    let found = app.sam.orphan(id).await?.ok_or_else(|| unknown_orphan(id))?;
    Ok(Json(project::orphan(&found)?))
}

pub(super) async fn delete_orphan(
    State(app): State<App>,
    Admin(identity): Admin,
    Path(orphan): Path<String>,
) -> Result<(StatusCode, Json<Orphan>), ApiError> {
    let id = orphan_id(&orphan)?;
    let deleting = app.sam.delete_orphan(id, &identity.caller()).await;
    let deleting = deleting.map_err(|error| hinted(error, ORPHANS))?;
    Ok((StatusCode::ACCEPTED, Json(project::orphan(&deleting)?)))
}

/// There are few: they fit one page.
pub(super) async fn replicas(
    State(app): State<App>,
    _admin: Admin,
) -> Result<Json<Page<Replica>>, ApiError> {
    let known = app.sam.list_replicas().await?;
    let items = known.iter().map(|known| project::replica(&known.record, &app.replica.id));
    Ok(Json(Page::new(items.collect(), None)))
}

pub(super) async fn hold(
    State(app): State<App>,
    _admin: Admin,
) -> Result<Json<DeletionHold>, ApiError> {
    let hold = app.sam.automatic_deletion_hold().await?;
    Ok(Json(project::hold(hold.as_ref().map(|hold| &hold.record))))
}

pub(super) async fn set_hold(
    State(app): State<App>,
    Admin(identity): Admin,
    Json(request): Json<SetDeletionHold>,
) -> Result<Json<DeletionHold>, ApiError> {
    let (caller, reason) = (identity.caller(), request.reason.trim());
    let most = HoldRecord::REASON_CHARS_MAX;
    if reason.is_empty() || reason.chars().count() > most {
        let message = format!("reason is 1 to {most} characters");
        return Err(Error::new(ErrorKind::BadInput, message).into());
    }
    let hold = if request.held {
        app.sam.hold_automatic_deletion(reason, &caller).await?
    } else {
        app.sam.resume_automatic_deletion(reason, &caller).await?
    };
    Ok(Json(project::hold(Some(&hold.record))))
}

const ORPHANS: &str = "`sam orphan ls` lists those there are; what is gone is not listed any more";

/// Refuses what cannot be the id of a record, which the store would refuse less kindly.
fn orphan_id(text: &str) -> Result<&str> {
    let legal = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if legal { Ok(text) } else { Err(unknown_orphan(text)) }
}

fn unknown_orphan(text: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    Error::new(ErrorKind::NotFound, format!("there is no orphan {shown:?}")).with_hint(ORPHANS)
}

fn hinted(error: Error, hint: &'static str) -> Error {
    if error.kind() == ErrorKind::NotFound { error.with_hint(hint) } else { error }
}
