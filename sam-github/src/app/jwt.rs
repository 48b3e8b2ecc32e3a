//! The App's own token: RS256 over two short texts, good for ten minutes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use sam_core::keys::Signer;
use sam_core::time::Timestamp;
use sam_core::{Result, Secret};

use crate::Issuer;
use crate::flight::{Abandoned, Flights};

/// How far back the token says it was made, so that a clock ahead of GitHub's does no harm.
const BACKDATED_BY: Duration = Duration::from_mins(1);
/// From the time it says it was made to its end: GitHub takes no more than ten minutes.
const LIFETIME: Duration = Duration::from_mins(10);
/// For so long a token is kept: it ends a minute later, so that none ends on the way.
const KEPT_FOR: Duration = Duration::from_mins(8);

/// `{"alg":"RS256","typ":"JWT"}` as base64 for URLs.
const HEADER: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

/// Makes an App's own token, once for all who wait, and keeps it until shortly before its end.
pub(crate) struct AppJwt {
    issuer: Issuer,
    signer: Arc<dyn Signer>,
    kept: Flights<(), Arc<Kept>>,
}

struct Kept {
    token: Secret<String>,
    made_at: Timestamp,
}

impl AppJwt {
    pub(crate) fn new(issuer: Issuer, signer: Arc<dyn Signer>) -> Self {
        Self { issuer, signer, kept: Flights::new(Abandoned::Dropped) }
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns a token that is good for a minute at least, by GitHub's clock.
    pub(crate) async fn token(&self, github_now: Timestamp) -> Result<Secret<String>> {
        // One from the future is of a clock that has been set back since.
        let good = |kept: &Arc<Kept>| {
            kept.made_at <= github_now && github_now < kept.made_at.plus(KEPT_FOR)
        };
        let make = || {
            let (signer, issuer) = (Arc::clone(&self.signer), self.issuer.clone());
            let minted = async move {
                let token = mint(&*signer, &issuer, github_now).await?;
                Ok(Arc::new(Kept { token, made_at: github_now }))
            };
            minted.boxed()
        };
        Ok(self.kept.value(&(), good, make).await?.token.clone())
    }

    /// Forgets the token that is kept.
    pub(crate) fn forget(&self) {
        self.kept.forget(|(), _| true);
    }
}

impl fmt::Debug for AppJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppJwt")
            .field("issuer", &self.issuer)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// Makes an App's own token (RS256), from a minute before `now` to nine minutes after it.
///
/// ```
/// use sam_core::time::Timestamp;
/// use sam_github::{PrivateKey, Rs256Signer, mint_app_jwt};
/// # let pem = include_str!("../../tests/keys/rsa2048.pkcs1.pem");
/// # futures_util::future::FutureExt::now_or_never(async {
/// let signer = Rs256Signer::new(&pem.parse()?)?;
/// let now = Timestamp::from_micros(1_767_225_600_000_000);
/// let token = mint_app_jwt(&signer, &"1136541".parse()?, now).await?;
/// assert_eq!(token.expose().split('.').count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
///
/// # Errors
/// What the signer says.
pub async fn mint(signer: &dyn Signer, issuer: &Issuer, now: Timestamp) -> Result<Secret<String>> {
    let iat = now.as_secs_unsigned().saturating_sub(BACKDATED_BY.as_secs());
    let exp = iat.saturating_add(LIFETIME.as_secs());
    let claims = format!("{{\"iat\":{iat},\"exp\":{exp},\"iss\":{}}}", issuer.claim());
    let mut token = String::with_capacity(1_024);
    token.push_str(HEADER);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = signer.sign(token.as_bytes()).await?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret::new(token))
}
