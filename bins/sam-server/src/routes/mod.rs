//! The routes. People's routes take an [`Identity`](crate::Identity); agents' routes check what
//! an agent proves.

mod agents;
mod auth;
mod credentials;
mod daemon;
mod events;
mod github;
mod health;
mod hosts;
mod nodes;
mod providers;
mod reconcile;
mod terminals;
mod workspaces;

pub(crate) use self::auth::CALLBACK_PATHS;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, delete, get, post, put};
use sam_agent::controller::HOP_PATH;
use sam_agent::wire::GIT_CREDENTIAL_PATH;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::problem::name_and_explain;

/// Largest body of a request, in bytes. Bytes of terminals and commands travel in
/// a `WebSocket`.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Returns every route: what people and programs, agents and other replicas ask. Below the base domain, a
/// workspace's own name leads to that workspace and to nothing else.
pub fn router(app: App) -> Router {
    let base_domain = app.base_domain.clone();
    let nothing = finish(Router::new(), app.clone());
    let routes = people().merge(strangers()).merge(github::webhooks());
    let all = finish(routes.merge(agents()).merge(replicas()), app);
    match base_domain {
        Some(base) => hosts::by_host(base, all, nothing),
        None => all,
    }
}

/// Returns only the routes that agents ask, for a socket of their own.
pub fn agent_router(app: App) -> Router {
    finish(agents(), app)
}

fn people() -> Router<App> {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/api/health", get(health::health))
        .route("/api/workspaces", get(workspaces::list).post(workspaces::create))
        .route("/api/workspaces/{workspace}", get(workspaces::show).delete(workspaces::delete))
        .route("/api/workspaces/{workspace}/start", post(workspaces::start))
        .route("/api/workspaces/{workspace}/stop", post(workspaces::stop))
        .route("/api/workspaces/{workspace}/lease", put(workspaces::renew))
        .route(
            "/api/workspaces/{workspace}/terminals",
            get(terminals::collection).post(terminals::collection),
        )
        .route("/api/workspaces/{workspace}/terminals/{terminal}", delete(terminals::close))
        .route("/api/workspaces/{workspace}/terminals/{terminal}/attach", any(terminals::attach))
        .route("/api/workspaces/{workspace}/exec", any(terminals::exec))
        .route("/api/workspaces/{workspace}/activity", get(terminals::activity))
        .route(
            "/api/workspaces/{workspace}/work/{name}",
            put(terminals::work).delete(terminals::work),
        )
        .route("/api/nodes", get(nodes::list))
        .route("/api/nodes/{node}", get(nodes::show).delete(nodes::delete))
        .route("/api/providers", get(providers::list))
        .route("/api/credentials", get(credentials::list).post(credentials::add))
        .route("/api/credentials/validate", post(credentials::validate))
        .route("/api/credentials/{credential}", get(credentials::show).delete(credentials::delete))
        .route("/api/credentials/{credential}/token", put(credentials::replace_token))
        .route("/api/sweeps", get(reconcile::sweeps))
        .route("/api/sweeps/{sweep}/run", post(reconcile::run_sweep))
        .route("/api/orphans", get(reconcile::orphans))
        .route("/api/orphans/{orphan}", get(reconcile::orphan).delete(reconcile::delete_orphan))
        .route("/api/replicas", get(reconcile::replicas))
        .route("/api/deletion-hold", get(reconcile::hold).put(reconcile::set_hold))
        .route("/api/github/deliveries", get(github::deliveries))
        .route("/api/github/deliveries/{delivery}/retry", post(github::retry_delivery))
        .route("/api/github/installations", get(github::installations))
        .route("/api/github/installations/{installation}/repositories", get(github::repositories))
        .route("/api/github/repositories/{repository}/branches", get(github::branches))
        .route("/api/github/install-url", get(github::install_url))
        .route("/api/events", get(events::follow))
        .route("/api/daemon", get(daemon::show))
        .route("/api/daemon/stop", post(daemon::stop))
        .route("/api/accounts", get(auth::accounts))
        .route("/api/auth/me", get(auth::me))
        .route("/api/auth/sign-out", post(auth::sign_out))
        .route("/api/auth/sessions", delete(auth::sign_out_everywhere))
}

/// What nobody is asked who they are for: it is how that becomes known.
fn strangers() -> Router<App> {
    let routes = Router::new()
        .route(auth::BEGIN_PATH, get(auth::begin))
        .route("/api/auth/device", post(auth::device))
        .route("/api/auth/device/poll", post(auth::poll_device));
    CALLBACK_PATHS.iter().fold(routes, |routes, path| routes.route(path, get(auth::callback)))
}

fn agents() -> Router<App> {
    Router::new()
        .route("/api/bootstrap", post(agents::bootstrap))
        .route("/api/nodes/boot-report", post(agents::boot_report))
        .route("/api/agent/challenge", post(agents::challenge))
        .route(GIT_CREDENTIAL_PATH, post(agents::git_credential))
        .route("/api/agent/link", any(agents::link))
}

fn replicas() -> Router<App> {
    Router::new().route(HOP_PATH, any(agents::replica))
}

fn finish(routes: Router<App>, app: App) -> Router {
    routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(app.clone(), name_and_explain))
        .with_state(app)
}
