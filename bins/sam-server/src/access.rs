//! Who may ask: one extractor that every handler of people's routes takes.
//!
//! A caller is the administrator (who has the token, or the socket) or somebody who signed in (a
//! login's token in the `Authorization` header, or in the browser's cookie). The header outranks
//! the cookie: where it is wrong, the cookie is not tried. What a browser sends along by itself
//! proves nothing about the page that made it, so a request by cookie that changes something must
//! come from a page of ours; see [`Site`](crate::Site).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sam_api::IDEMPOTENCY_KEY_HEADER;
use sam_core::account::{AccountRecord, LoginRecord};
use sam_core::{Caller, Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::problem::{ApiError, RequestId};
use crate::sign_in::cookie;

/// The rule by which administrators are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Whoever reaches the socket is its owner: the listener let nobody else in.
    Owner,
    /// Whoever knows the administrator's token; only its SHA-256 is kept.
    Token {
        /// SHA-256 of the token.
        sha256: [u8; 32],
    },
}

/// A caller who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    owner: String,
    person: Option<Arc<Person>>,
    request_id: Option<String>,
    idempotency_key: Option<String>,
}

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Person {
    /// Who.
    pub account: AccountRecord,
    /// By which login.
    pub login: LoginRecord,
}

impl Identity {
    /// Returns whose things it may see; every caller owns what it made.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns who signed in; `None` is an administrator.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_deref()
    }

    /// Returns the caller of a facade verb.
    pub fn caller(&self) -> Caller {
        Caller::named(&self.owner)
            .with_request_id(self.request_id.clone())
            .with_idempotency_key(self.idempotency_key.clone())
    }
}

/// A caller who may look at, and decide on, what belongs to the installation and not to one owner:
/// sweeps, orphans, nodes of anybody, the hold on deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Identity);

/// Who asks, before it is an [`Identity`].
enum Known {
    Administrator(&'static str),
    Person(Box<Person>),
}

async fn known(parts: &Parts, app: &App) -> Result<Known> {
    let expected = match &app.access {
        Access::Owner => return Ok(Known::Administrator("owner")),
        Access::Token { sha256 } => sha256,
    };
    if parts.headers.contains_key(AUTHORIZATION) {
        let token = bearer(&parts.headers).ok_or_else(|| unknown("a bearer token is needed"))?;
        let found = Sha256::digest(token.as_bytes());
        if found.as_slice().ct_eq(expected).into() {
            return Ok(Known::Administrator("admin"));
        }
        return person(app, token).await.map(Known::Person);
    }
    let site = app.sign_in.as_ref().map(crate::SignInDesk::site);
    let carried = site.and_then(|site| Some((site, cookie(&parts.headers, site.login_cookie())?)));
    let (site, token) = carried.ok_or_else(|| unknown("a bearer token or a login is needed"))?;
    if !site.lets_browser(parts) {
        // Before the login is looked at: what a foreign page learns is the same for all.
        let message = "this came from a page that is not the server's own";
        return Err(Error::new(ErrorKind::Denied, message)
            .with_hint("send Origin or Sec-Fetch-Site as browsers do, or a bearer token"));
    }
    person(app, token).await.map(Known::Person)
}

/// Finds whose login it is, and that they may still be here.
async fn person(app: &App, token: &str) -> Result<Box<Person>> {
    let refused = || unknown("the token is not accepted");
    let desk = app.sign_in.as_ref().ok_or_else(refused)?;
    let (login, account) = app.sam.login(token).await?.ok_or_else(refused)?;
    if !desk.keeps(&account) {
        return Err(refused());
    }
    Ok(Box::new(Person { account, login }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn unknown(message: &'static str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message).with_hint(
        "sign in with `sam login`, or give the administrator's token with SAM_TOKEN or --token-file",
    )
}

impl FromRequestParts<App> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let (owner, person) = match known(parts, app).await? {
            Known::Administrator(name) => (name.to_owned(), None),
            Known::Person(person) => (person.account.id.to_string(), Some(Arc::from(person))),
        };
        let idempotency_key = match parts.headers.get(IDEMPOTENCY_KEY_HEADER) {
            None => None,
            Some(value) => Some(value.to_str().map(str::to_owned).map_err(|_| {
                Error::new(ErrorKind::BadInput, "the idempotency key has illegal characters")
            })?),
        };
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        Ok(Self { owner, person, request_id, idempotency_key })
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let identity = Identity::from_request_parts(parts, app).await?;
        if identity.person.is_some() {
            let error = Error::new(ErrorKind::Denied, "this is for administrators");
            return Err(error.with_hint("give the administrator's token").into());
        }
        Ok(Self(identity))
    }
}
