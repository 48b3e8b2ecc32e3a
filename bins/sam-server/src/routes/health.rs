//! Whether the server lives, and whether it can work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use sam_api::Health;
use sam_core::{Error, ErrorKind};

use crate::app::App;
use crate::deadline;
use crate::problem::ApiError;

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// How long the store may take to answer.
const STORE_DEADLINE: Duration = Duration::from_secs(3);

/// Ready means that the server is not on its way out, and that the store answers and has the schema
/// this program knows.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    let not_ready = |message| Error::new(ErrorKind::Unavailable, message);
    if app.shutdown.is_cancelled() {
        return Err(not_ready("the server is shutting down").into());
    }
    let asked = async {
        if let Some(upkeep) = &app.upkeep {
            upkeep.schema().await?.require()?;
        }
        app.sam.head().await
    };
    let answer = deadline::within(STORE_DEADLINE, asked).await;
    answer.ok_or_else(|| not_ready("the store does not answer"))??;
    Ok("ready\n")
}

pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_id: app.replica.id.clone(),
    })
}
