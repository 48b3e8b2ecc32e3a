//! Who may ask: one extractor that every handler of people's routes takes.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sam_api::IDEMPOTENCY_KEY_HEADER;
use sam_core::{Caller, Error, ErrorKind};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::problem::{ApiError, RequestId};

/// The rule by which callers are known.
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
    actor: &'static str,
    request_id: Option<String>,
    idempotency_key: Option<String>,
}

impl Identity {
    /// Returns whose things it may see; every caller owns what it made.
    pub const fn owner(&self) -> &'static str {
        self.actor
    }

    /// Returns the caller of a facade verb.
    pub fn caller(&self) -> Caller {
        Caller::named(self.actor)
            .with_request_id(self.request_id.clone())
            .with_idempotency_key(self.idempotency_key.clone())
    }
}

/// A caller who may look at, and decide on, what belongs to the installation and not to one owner:
/// sweeps, orphans, nodes of anybody, the hold on deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Identity);

impl Access {
    fn check(&self, parts: &Parts) -> Result<&'static str, Error> {
        let expected = match self {
            Self::Owner => return Ok("owner"),
            Self::Token { sha256 } => sha256,
        };
        let unknown = |message| {
            Error::new(ErrorKind::Unauthenticated, message)
                .with_hint("give the administrator's token with SAM_TOKEN or --token-file")
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unknown("a bearer token is needed"))?;
        let found = Sha256::digest(token.as_bytes());
        if found.as_slice().ct_eq(expected).into() {
            Ok("admin")
        } else {
            Err(unknown("the token is not accepted"))
        }
    }
}

impl FromRequestParts<App> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let actor = app.access.check(parts)?;
        let idempotency_key = match parts.headers.get(IDEMPOTENCY_KEY_HEADER) {
            None => None,
            Some(value) => Some(value.to_str().map(str::to_owned).map_err(|_| {
                Error::new(ErrorKind::BadInput, "the idempotency key has illegal characters")
            })?),
        };
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        Ok(Self { actor, request_id, idempotency_key })
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let identity = Identity::from_request_parts(parts, app).await?;
        // Both rules know administrators only: whoever has the socket, and whoever has the token.
        match app.access {
            Access::Owner | Access::Token { .. } => Ok(Self(identity)),
        }
    }
}
