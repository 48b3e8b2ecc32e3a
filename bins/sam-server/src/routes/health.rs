//! Whether the server lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use sam_api::Health;

use crate::app::App;
use crate::problem::ApiError;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready means that the store answers.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.sam.head().await?;
    Ok("ready\n")
}

pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_id: app.server_id.clone(),
    })
}
