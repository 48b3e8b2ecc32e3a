//! GitHub: the webhook, what an administrator sees of deliveries, and what each caller sees of the App.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use http::StatusCode;
use sam_api::{
    Delivery, DeliveryReceipt, GithubBranch, GithubInstallUrl, GithubInstallation,
    GithubRepository, Page,
};
use sam_core::delivery::DeliveryRecord;
use sam_core::forge::RepoPath;
use sam_core::{Caller, Error, ErrorKind, Result};
use sam_github::webhook::WEBHOOK_BYTES_MAX;
use sam_github::{GithubApp, InstallationId, Repository, RepositoryId, WebhookError};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::access::{Admin, Identity};
use crate::app::App;
use crate::deadline;
use crate::github::{new_delivery, of_github, visible};
use crate::problem::{ApiError, RequestId};
use crate::project;

/// Webhooks that are read at once, each of up to 25 MiB; others wait.
const WEBHOOKS_MAX: usize = 8;
/// How long a webhook may take to arrive: GitHub itself waits no longer.
const WEBHOOK_DEADLINE: Duration = Duration::from_secs(10);
/// Most pages that a repository is looked for in, of 100 each.
const PAGES_MAX: usize = 50;

/// Returns the webhook's routes. They have a bound of their own, and nobody is asked who they are: the
/// signature tells.
pub(super) fn webhooks() -> Router<App> {
    Router::new()
        .route("/api/github/webhook", post(webhook))
        .route("/api/integrations/github/webhook", post(webhook))
        .layer(Extension(Turns(Arc::new(Semaphore::new(WEBHOOKS_MAX)))))
        .layer(DefaultBodyLimit::max(WEBHOOK_BYTES_MAX))
}

/// The turns of webhooks that are read.
#[derive(Debug, Clone)]
struct Turns(Arc<Semaphore>);

async fn webhook(
    State(app): State<App>,
    Extension(Turns(turns)): Extension<Turns>,
    request: Request,
) -> Response {
    // What cannot be accepted whatever the body is, is refused before a body is read.
    let early = app.webhook_secrets.delivery(request.headers(), &Bytes::new());
    if let Err(error @ (WebhookError::NoSecret | WebhookError::Unsigned)) = early {
        return refused(error);
    }
    let taken = deadline::within(WEBHOOK_DEADLINE, async {
        // It is never closed.
        let _turn = turns.acquire().await;
        take(&app, request).await
    });
    taken.await.unwrap_or_else(|| {
        let slow = Error::new(ErrorKind::Timeout, "the webhook did not arrive in time");
        ApiError::from(slow).into_response()
    })
}

async fn take(app: &App, request: Request<Body>) -> Response {
    let headers = request.headers().clone();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
    let body = match Bytes::from_request(request, app).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return refused(WebhookError::TooLarge);
        }
        Err(rejection) => return rejection.into_response(),
    };
    let delivery = match app.webhook_secrets.delivery(&headers, &body) {
        Ok(delivery) => delivery,
        Err(error) => return refused(error),
    };
    let caller = Caller::named("github").with_request_id(request_id);
    let kept = async {
        let new = new_delivery(&delivery, &body)?;
        app.sam.receive_delivery(new, &caller).await
    };
    match kept.await {
        Ok(kept) => {
            let receipt = DeliveryReceipt { id: kept.record.id };
            (StatusCode::ACCEPTED, Json(receipt)).into_response()
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn refused(error: WebhookError) -> Response {
    let mut response = ApiError::from(Error::from(error)).into_response();
    if let Ok(status) = StatusCode::from_u16(error.http_status()) {
        *response.status_mut() = status;
    }
    response
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveriesQuery {
    after: Option<String>,
    state: Option<sam_api::DeliveryState>,
}

pub(super) async fn deliveries(
    State(app): State<App>,
    _admin: Admin,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    let state = query.state.map(project::delivery_state_of);
    let page = app.sam.list_deliveries(state, query.after, Page::<Delivery>::LIMIT_MAX).await?;
    let items = page.items.iter().map(project::delivery).collect::<Result<Vec<_>>>()?;
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn retry_delivery(
    State(app): State<App>,
    Admin(identity): Admin,
    Path(delivery): Path<String>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    if delivery.is_empty() || delivery.len() > DeliveryRecord::ID_BYTES_MAX {
        return Err(Error::new(ErrorKind::NotFound, "there is no delivery of that id").into());
    }
    let again = app.sam.retry_delivery(&delivery, &identity.caller()).await?;
    Ok((StatusCode::ACCEPTED, Json(project::delivery(&again)?)))
}

pub(super) async fn installations(
    State(app): State<App>,
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<GithubInstallation>>, ApiError> {
    let (github, after) = (github(&app)?, query.after.as_deref());
    let page = match identity.person() {
        Some(person) => visible::installations(&app, person, after).await?,
        None => github.installations(after).await.map_err(of_github)?,
    };
    let items = page.items.into_iter().map(project::github_installation).collect();
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn repositories(
    State(app): State<App>,
    identity: Identity,
    Path(installation): Path<u64>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<GithubRepository>>, ApiError> {
    let page = listed(&app, &identity, InstallationId::new(installation), query.after).await?;
    let items = page.items.into_iter().map(project::github_repository).collect();
    Ok(Json(Page::new(items, page.next)))
}

/// Returns one page of an installation's repositories, and for a person those that the person sees.
async fn listed(
    app: &App,
    identity: &Identity,
    installation: InstallationId,
    after: Option<String>,
) -> Result<sam_core::Page<Repository>> {
    let github = github(app)?;
    match identity.person() {
        Some(person) => visible::repositories(app, person, installation, after.as_deref()).await,
        None => github.repositories(installation, after.as_deref()).await.map_err(of_github),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BranchesQuery {
    installation: u64,
    after: Option<String>,
}

pub(super) async fn branches(
    State(app): State<App>,
    identity: Identity,
    Path(repository): Path<u64>,
    Query(query): Query<BranchesQuery>,
) -> Result<Json<Page<GithubBranch>>, ApiError> {
    let (github, installation) = (github(&app)?, InstallationId::new(query.installation));
    let repository = path_of(&app, &identity, installation, RepositoryId::new(repository)).await?;
    let page = github.branches(installation, &repository, query.after.as_deref());
    let page = page.await.map_err(of_github)?;
    let items = page.items.into_iter().map(project::github_branch).collect();
    Ok(Json(Page::new(items, page.next)))
}

/// Whoever is known may install the App: GitHub asks who owns what it is installed at.
pub(super) async fn install_url(
    State(app): State<App>,
    _identity: Identity,
) -> Result<Json<GithubInstallUrl>, ApiError> {
    let github = github(&app)?;
    let slug = github.recent_info().await.map_err(of_github)?.slug;
    let slug = slug.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the App has no name"))?;
    let url = sam_github::sign_in::install_url(github.endpoints(), &slug, None);
    Ok(Json(GithubInstallUrl { url }))
}

fn github(app: &App) -> Result<&GithubApp> {
    app.github.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "github is not configured")
            .with_hint("set GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY, and start the server again")
    })
}

/// Returns a repository's name of today. The pages are remembered, so that asking again costs nothing
/// of GitHub's limits.
async fn path_of(
    app: &App,
    identity: &Identity,
    installation: InstallationId,
    repository: RepositoryId,
) -> Result<RepoPath> {
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = listed(app, identity, installation, after).await?;
        if let Some(found) = page.items.iter().find(|found| found.id == repository) {
            return found.path();
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let message = format!("the installation {installation} has no repository {repository}");
    Err(Error::new(ErrorKind::NotFound, message))
}
