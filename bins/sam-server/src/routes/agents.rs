//! What agents ask: an identity, a nonce, and their link; and what machines report before they have one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use sam_agent::controller::{Assertion, HOP_HEADER, LINK_MESSAGE_BYTES_MAX, link_version};
use sam_agent::wire::{
    ASSERTION_HEADER, BootstrapReply, BootstrapRequest, ChallengeReply, GIT_CREDENTIAL_PATH,
    GitCredentialAsk, GitCredentialReply, LINK_VERSION_HEADER,
};
use sam_core::auth::BOOT_PROOF_HEADER;
use sam_core::{Error, ErrorKind, NodeId, Report, Result};

use crate::app::App;
use crate::github::credentials;
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

/// Takes what a machine says of its first start; the proof is over the bytes of the body.
pub(super) async fn boot_report(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let proof = header(&headers, BOOT_PROOF_HEADER).unwrap_or_default();
    app.sam.boot_reported(&body, proof).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn challenge(State(app): State<App>) -> Json<ChallengeReply> {
    let nonce = app.challenge.issue(app.sam.clock().now(), &**app.sam.entropy());
    Json(ChallengeReply { nonce, control_urls: public(&app.control_urls) })
}

/// Answers git in a workspace, through the workspace's node.
pub(super) async fn git_credential(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<GitCredentialReply>, ApiError> {
    let assertion = claimed(header(&headers, ASSERTION_HEADER))?;
    let known = app.sam.node_public_key(assertion.node()).await?;
    let fresh = (&app.challenge, app.sam.clock().now());
    assertion.verify_request(public_key(&known)?, fresh, GIT_CREDENTIAL_PATH, &body)?;
    // Without the parser's text: it may quote a secret.
    let ask: GitCredentialAsk = serde_json::from_slice(&body)
        .map_err(|_| Error::new(ErrorKind::BadInput, "git's question cannot be read"))?;
    Ok(Json(credentials::answer(&app, assertion.node(), ask).await?))
}

pub(super) async fn link(
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    if let Err(error) = link_version(header(&headers, LINK_VERSION_HEADER)) {
        // The header tells an agent of another version which one to become.
        let version = env!("CARGO_PKG_VERSION");
        let refusal = Error::new(ErrorKind::BadInput, error.to_string())
            .with_hint(format!("install agent version {version}"));
        let mut response = ApiError::from(refusal).into_response();
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return Ok(response);
    }
    let node = identify(&app, header(&headers, ASSERTION_HEADER)).await?;
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
    let assertion = claimed(assertion)?;
    let known = app.sam.node_public_key(assertion.node()).await?;
    assertion.verify(public_key(&known)?, &app.challenge, app.sam.clock().now())?;
    Ok(assertion.node())
}

fn claimed(assertion: Option<&str>) -> Result<Assertion> {
    assertion
        .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "the node's assertion is missing"))?
        .parse()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn public_key(text: &str) -> Result<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "a public key is 32 bytes in base64url without padding")
    })
}
