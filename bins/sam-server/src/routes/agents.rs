//! What agents ask: an identity, a nonce, and their link.

use axum::Json;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use sam_agent::controller::{Assertion, HOP_HEADER, LINK_MESSAGE_BYTES_MAX, link_version};
use sam_agent::wire::{
    ASSERTION_HEADER, BootstrapReply, BootstrapRequest, ChallengeReply, LINK_VERSION_HEADER,
};
use sam_core::{Error, ErrorKind, NodeId, Report, Result};

use crate::app::App;
use crate::problem::ApiError;
use crate::replica::public;

pub(super) async fn bootstrap(
    State(app): State<App>,
    Json(request): Json<BootstrapRequest>,
) -> Result<Json<BootstrapReply>, ApiError> {
    public_key(&request.public_key)?;
    app.sam.bootstrap_node(request.node_id, &request.token, &request.public_key).await?;
    Ok(Json(BootstrapReply { server_keys: app.server_keys.clone() }))
}

pub(super) async fn challenge(State(app): State<App>) -> Json<ChallengeReply> {
    let nonce = app.challenge.issue(app.sam.clock().now(), &**app.sam.entropy());
    Json(ChallengeReply { nonce, control_urls: public(&app.control_urls) })
}

pub(super) async fn link(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Err(error) = link_version(text(LINK_VERSION_HEADER)) {
        // The header tells an agent of another version which one to become.
        let version = env!("CARGO_PKG_VERSION");
        let refusal = Error::new(ErrorKind::BadInput, error.to_string())
            .with_hint(format!("install agent version {version}"));
        let mut response = ApiError::from(refusal).into_response();
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return Ok(response);
    }
    let node = identify(&app, text(ASSERTION_HEADER)).await?;
    let upgrade = upgrade.max_message_size(LINK_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let link = app.controller.accept(node, socket);
        if let Some(Err(error)) = app.shutdown.run_until_cancelled(link).await {
            tracing::info!(node.id = %node, error = %Report::new(&error), "link ended");
        }
    }))
}

/// Lets another replica in, which asks for agents whose links are here.
pub(super) async fn replica(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    // Who asks comes before what is asked.
    let token = headers.get(HOP_HEADER).and_then(|value| value.to_str().ok());
    let from = app.controller.admit_replica(token)?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(LINK_MESSAGE_BYTES_MAX),
        Err(refusal) => return Ok(refusal.into_response()),
    };
    Ok(upgrade.on_upgrade(move |socket| async move {
        let serving = app.controller.accept_replica(socket);
        if let Some(Err(error)) = app.shutdown.run_until_cancelled(serving).await {
            tracing::info!(replica.id = from, error = %Report::new(&error), "a replica left");
        }
    }))
}

async fn identify(app: &App, assertion: Option<&str>) -> Result<NodeId> {
    let assertion: Assertion = assertion
        .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "the node's assertion is missing"))?
        .parse()?;
    let known = app.sam.node_public_key(assertion.node()).await?;
    assertion.verify(public_key(&known)?, &app.challenge, app.sam.clock().now())?;
    Ok(assertion.node())
}

fn public_key(text: &str) -> Result<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "a public key is 32 bytes in base64url without padding")
    })
}
