//! Credentials of one's own: stored, tried, given another token, deleted. Tokens come in and never go
//! out.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use sam_api::{AcceptedCredential, CreateCredential, Credential, Page, ReplaceToken};
use sam_core::credential::{CredentialRecord, CredentialState, NewCredential};
use sam_core::engine::Stamped;
use sam_core::{CredentialId, Error, ErrorKind, Result, Secret};
use serde::Deserialize;

use crate::access::Identity;
use crate::app::App;
use crate::problem::ApiError;
use crate::providers::{offered, stored};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Credential>>, ApiError> {
    let limit = Page::<Credential>::LIMIT_MAX;
    let page = app.sam.list_credentials(identity.owner(), query.after, limit).await?;
    let items = page.items.iter().map(stored).collect::<Result<Vec<_>>>()?;
    Ok(Json(Page::new(items, page.next)))
}

pub(super) async fn add(
    State(app): State<App>,
    identity: Identity,
    Json(request): Json<CreateCredential>,
) -> Result<(StatusCode, Json<Credential>), ApiError> {
    let added = app.sam.add_credential(wanted(&app, request)?, &identity.caller()).await?;
    Ok((StatusCode::CREATED, Json(stored(&added)?)))
}

pub(super) async fn validate(
    State(app): State<App>,
    _identity: Identity,
    Json(request): Json<CreateCredential>,
) -> Result<Json<AcceptedCredential>, ApiError> {
    let catalog = app.sam.check_credential(&wanted(&app, request)?).await?;
    Ok(Json(AcceptedCredential { catalog: offered(catalog) }))
}

pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Path(credential): Path<String>,
) -> Result<Json<Credential>, ApiError> {
    Ok(Json(stored(&find(&app, &identity, &credential).await?)?))
}

pub(super) async fn replace_token(
    State(app): State<App>,
    identity: Identity,
    Path(credential): Path<String>,
    Json(request): Json<ReplaceToken>,
) -> Result<Json<Credential>, ApiError> {
    let id = find(&app, &identity, &credential).await?.record.id;
    let token = Secret::new(request.token);
    Ok(Json(stored(&app.sam.replace_secret(id, &token, &identity.caller()).await?)?))
}

pub(super) async fn delete(
    State(app): State<App>,
    identity: Identity,
    Path(credential): Path<String>,
) -> Result<(StatusCode, Json<Credential>), ApiError> {
    let id = find(&app, &identity, &credential).await?.record.id;
    let deleting = app.sam.delete_credential(id, &identity.caller()).await?;
    Ok((StatusCode::ACCEPTED, Json(stored(&deleting)?)))
}

fn wanted(app: &App, request: CreateCredential) -> Result<NewCredential> {
    if app.sam.credential_vendors().is_empty() {
        let message = "this server cannot make nodes of machines of a cloud yet";
        return Err(Error::new(ErrorKind::Unsupported, message).with_hint(
            "set SAM_CONTROL_URL, SAM_AGENT_URL_X86_64 and SAM_AGENT_SHA256_X86_64 for it",
        ));
    }
    let token = Secret::new(request.token);
    NewCredential::new(&request.provider, request.name.as_deref(), &token)
}

/// Finds a credential of the caller's by its id or its name. What belongs to others does not exist.
async fn find(app: &App, identity: &Identity, text: &str) -> Result<Stamped<CredentialRecord>> {
    let found = match text.parse::<CredentialId>() {
        Ok(id) => app.sam.credential(id).await?,
        Err(_) => named(app, identity.owner(), text).await?,
    };
    found.filter(|found| found.record.owner == identity.owner()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        Error::new(ErrorKind::NotFound, format!("there is no credential {shown:?}"))
            .with_hint("`sam credential ls` lists them")
    })
}

async fn named(app: &App, owner: &str, name: &str) -> Result<Option<Stamped<CredentialRecord>>> {
    let mut after = None;
    loop {
        let limit = Page::<Credential>::LIMIT_MAX;
        let page = app.sam.list_credentials(owner, after, limit).await?;
        let found = page
            .items
            .into_iter()
            .find(|it| it.record.name == name && it.record.state != CredentialState::Deleted);
        after = page.next;
        if found.is_some() || after.is_none() {
            return Ok(found);
        }
    }
}
