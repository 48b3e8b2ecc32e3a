//! The App's own token: RS256 over two short texts, good for ten minutes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_core::keys::Signer;
use sam_core::time::Timestamp;
use sam_core::{Result, Secret};

use crate::Issuer;

/// How far back the token says it was made, so that a clock ahead of GitHub's does no harm.
const BACKDATED_BY: Duration = Duration::from_mins(1);
/// From the time it says it was made to its end: GitHub takes no more than ten minutes.
const LIFETIME: Duration = Duration::from_mins(10);
/// For so long a token is kept: it ends a minute later, so that none ends on the way.
const KEPT_FOR: Duration = Duration::from_mins(8);

/// `{"alg":"RS256","typ":"JWT"}` as base64 for URLs.
const HEADER: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";

/// Makes an App's own token, and keeps it until shortly before its end.
pub(crate) struct AppJwt {
    issuer: Issuer,
    signer: Arc<dyn Signer>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: Secret<String>,
    made_at: Timestamp,
}

impl AppJwt {
    pub(crate) fn new(issuer: Issuer, signer: Arc<dyn Signer>) -> Self {
        Self { issuer, signer, kept: Mutex::new(None) }
    }

    pub(crate) const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns a token that is good for a minute at least, by GitHub's clock.
    pub(crate) async fn token(&self, github_now: Timestamp) -> Result<Secret<String>> {
        if let Some(kept) = &*self.kept() {
            let good_until = kept.made_at.plus(KEPT_FOR);
            // One from the future is of a clock that has been set back since.
            if kept.made_at <= github_now && github_now < good_until {
                return Ok(kept.token.clone());
            }
        }
        let token = mint(&*self.signer, &self.issuer, github_now).await?;
        *self.kept() = Some(Kept { token: token.clone(), made_at: github_now });
        Ok(token)
    }

    /// Forgets the token that is kept.
    pub(crate) fn forget(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
