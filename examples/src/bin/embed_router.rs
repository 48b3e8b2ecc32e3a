//! Mounting SAM's HTTP API inside one's own axum program, beside one's own routes.
//!
//! Run with `cargo run -p sam-examples --bin embed_router`. It asks itself once, prints what it
//! got, and ends.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use sam_agent::controller::{Controller, ControllerConfig};
use sam_core::auth::ChallengeKey;
use sam_core::compute::MemoryCompute;
use sam_core::entropy::Entropy as _;
use sam_core::keys::Ed25519Signer;
use sam_core::replica::{ControlUrls, Replica};
use sam_core::store::MemoryStore;
use sam_core::time::Clock as _;
use sam_core::{Sam, Secret};
use sam_github::WebhookSecrets;
use sam_providers::system::{OsEntropy, SystemClock};
use sam_server::{Access, App, AppParts};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Builds the router, without a socket, so that a test can call it.
fn app() -> anyhow::Result<Router> {
    let clock = Arc::new(SystemClock::new());
    let entropy = Arc::new(OsEntropy::new());
    let random = || {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Secret::new(bytes)
    };
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let sam = Sam::builder(store, Arc::new(MemoryCompute::new()))
        .clock(clock.clone())
        .entropy(entropy.clone())
        .build()?;
    let signer = Arc::new(Ed25519Signer::from_seed(&random()));
    let parts = AppParts {
        sam: sam.clone(),
        controller: Controller::new(ControllerConfig::new("example".into(), signer, clock.clone())),
        challenge: ChallengeKey::new(random()),
        server_keys: Vec::new(),
        // The host authenticates in front of the mounted router.
        access: Access::Owner,
        replica: Replica::new("example", ""),
        control_urls: ControlUrls::new(["memory:"]),
        upkeep: None,
        started_at: clock.now(),
        github: None,
        sign_in: None,
        webhook_secrets: WebhookSecrets::none(),
        base_domain: None,
        local_repos: false,
        shutdown: CancellationToken::new(),
        daemon: None,
    };
    tokio::spawn(async move { sam.run(std::future::pending()).await });
    let own = Router::new().route("/", get(|| async { "my own page\n" }));
    Ok(own.merge(sam_server::router(App::new(parts))))
}

async fn ask(router: &Router, request: axum::http::Request<Body>) -> anyhow::Result<String> {
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1024 * 1024).await?;
    Ok(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let router = app()?;
    let get = |path| axum::http::Request::get(path).body(Body::empty());
    println!("{}", ask(&router, get("/")?).await?);
    let create = axum::http::Request::post("/api/workspaces")
        .header("content-type", "application/json")
        .body(Body::from(r#"{"repo":"octo/hello"}"#))?;
    println!("{}", ask(&router, create).await?);
    println!("{}", ask(&router, get("/api/workspaces/nobody")?).await?);
    Ok(())
}
