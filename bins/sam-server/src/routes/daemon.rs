//! The daemon's own routes; elsewhere they do not exist.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use sam_api::{DaemonStatus, DaemonStopping};
use sam_core::{Error, ErrorKind};

use crate::access::Admin;
use crate::app::App;
use crate::daemon::{DaemonFacts, census};
use crate::problem::ApiError;

fn facts(app: &App) -> Result<&DaemonFacts, ApiError> {
    let absent = || Error::new(ErrorKind::NotFound, "this server is not a daemon").into();
    app.daemon.as_ref().ok_or_else(absent)
}

pub(super) async fn show(
    State(app): State<App>,
    _admin: Admin,
) -> Result<Json<DaemonStatus>, ApiError> {
    let facts = facts(&app)?;
    let census = census(&app.sam).await?;
    Ok(Json(DaemonStatus {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data_dir: facts.data_dir.display().to_string(),
        started_at: app.started_at.into(),
        nodes: census.nodes,
        workspaces: census.workspaces,
    }))
}

pub(super) async fn stop(
    State(app): State<App>,
    _admin: Admin,
) -> Result<(StatusCode, Json<DaemonStopping>), ApiError> {
    facts(&app)?;
    app.shutdown.cancel();
    Ok((StatusCode::ACCEPTED, Json(DaemonStopping { pid: std::process::id() })))
}
