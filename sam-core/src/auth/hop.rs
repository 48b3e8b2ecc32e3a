//! Hop tokens: what one replica of the control plane shows another when it dials it.
//!
//! A compact JWT like a node token, signed by the key that all replicas share, but of another type:
//! none is ever taken for the other. It is for one replica by its id, which a restart changes, and it
//! opens a connection whose requests are never passed on a second time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::CLOCK_SKEW_MAX;
use super::token::{ALGORITHM, Header, decode, encode};
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::keys::{Signer, Verifier};
use crate::time::Timestamp;

const TYPE: &str = "sam-hop+jwt";

/// What a hop token says. Times count in whole seconds once it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HopToken {
    /// The installation that signed it; at most 255 bytes.
    pub issuer: String,
    /// The replica that dials; at most 255 bytes.
    pub from: String,
    /// The replica that is dialled; at most 255 bytes.
    pub to: String,
    /// When it was made.
    pub issued_at: Timestamp,
}

impl HopToken {
    /// Longest token, in bytes.
    pub const BYTES_MAX: usize = 2_048;
    /// How long a token lives: enough to dial.
    pub const LIFETIME: Duration = Duration::from_secs(30);
    /// Longest issuer and ids, in bytes.
    pub const NAME_BYTES_MAX: usize = 255;

    /// Makes the claims of a token that is good for [`Self::LIFETIME`].
    pub const fn new(issuer: String, from: String, to: String, now: Timestamp) -> Self {
        Self { issuer, from, to, issued_at: now }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
}

/// Signs a hop token.
///
/// # Errors
/// `BadInput` when a name is too long; else what the signer says.
///
/// ```
/// use sam_core::Secret;
/// use sam_core::auth::{HopToken, sign_hop_token, verify_hop_token};
/// use sam_core::keys::{Ed25519Signer, Ed25519Verifier};
/// use sam_core::time::Timestamp;
/// # futures_util::future::FutureExt::now_or_never(async {
/// let signer = Ed25519Signer::from_seed(&Secret::new([7; 32]));
/// let verifier = Ed25519Verifier::new([signer.public_key()])?;
/// let now = Timestamp::from_micros(1_000_000);
/// let claims = HopToken::new("here".into(), "b".into(), "a".into(), now);
/// let token = sign_hop_token(&claims, &signer).await?;
/// assert_eq!(verify_hop_token(token.expose(), &verifier, "a", now)?.from, "b");
/// assert!(verify_hop_token(token.expose(), &verifier, "c", now).is_err());
/// # Ok::<(), sam_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
pub async fn sign_hop_token(token: &HopToken, signer: &dyn Signer) -> Result<Secret<String>> {
    let longest = token.issuer.len().max(token.from.len()).max(token.to.len());
    if longest > HopToken::NAME_BYTES_MAX {
        let message = "issuer and ids of a hop token have at most 255 bytes";
        return Err(Error::new(ErrorKind::BadInput, message));
    }
    let header =
        Header { alg: ALGORITHM.to_owned(), typ: TYPE.to_owned(), kid: signer.key_id().to_owned() };
    let iat = token.issued_at.as_secs_unsigned();
    let claims = Claims {
        iss: token.issuer.clone(),
        aud: token.to.clone(),
        sub: token.from.clone(),
        iat,
        exp: iat + HopToken::LIFETIME.as_secs(),
    };
    let mut text = format!("{}.{}", encode(&header)?, encode(&claims)?);
    let signature = signer.sign(text.as_bytes()).await?;
    text.push('.');
    text.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(Secret::new(text))
}

/// Checks a hop token that was shown to the replica `expected`, and returns what it says.
///
/// # Errors
/// `Unauthenticated`, whatever is wrong with it.
pub fn verify_hop_token(
    text: &str,
    verifier: &dyn Verifier,
    expected: &str,
    now: Timestamp,
) -> Result<HopToken> {
    if text.len() > HopToken::BYTES_MAX {
        return Err(refuse("the hop token is too long"));
    }
    let malformed = || refuse("the hop token is malformed");
    let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = decode(header).ok_or_else(malformed)?;
    if header.alg != ALGORITHM || header.typ != TYPE {
        return Err(refuse("the token is no hop token"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    verifier.verify(&header.kid, signed.as_bytes(), &signature)?;
    let claims: Claims = decode(claims).ok_or_else(malformed)?;
    if claims.aud != expected {
        return Err(refuse("the hop token is for another replica")
            .with_hint("the replica was started anew under its old address"));
    }
    let (now, skew) = (now.as_secs_unsigned(), CLOCK_SKEW_MAX.as_secs());
    let lives = claims.exp.saturating_sub(claims.iat);
    let (ended, early) = (claims.exp.saturating_add(skew), now.saturating_add(skew));
    if lives > HopToken::LIFETIME.as_secs() || now >= ended || claims.iat > early {
        return Err(refuse("the hop token has expired").with_hint("check the replicas' clocks"));
    }
    let issued_at = Timestamp::EPOCH.plus(Duration::from_secs(claims.iat));
    Ok(HopToken { issuer: claims.iss, from: claims.sub, to: claims.aud, issued_at })
}

fn refuse(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{NodeToken, sign_node_token, verify_node_token};
    use crate::id::NodeId;
    use crate::keys::{Ed25519Signer, Ed25519Verifier};
    use futures_util::FutureExt as _;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&Secret::new([seed; 32]))
    }

    fn token(seed: u8) -> String {
        let claims = HopToken::new("inst".into(), "b".into(), "a".into(), NOW);
        let signed = sign_hop_token(&claims, &signer(seed)).now_or_never().unwrap().unwrap();
        signed.expose().clone()
    }

    fn verify(text: &str, to: &str, now: Timestamp) -> Result<HopToken> {
        let verifier = Ed25519Verifier::new([signer(1).public_key()]).unwrap();
        verify_hop_token(text, &verifier, to, now)
    }

    #[test]
    fn it_is_good_for_one_replica_one_key_and_half_a_minute() {
        let text = token(1);
        for (offset_secs, good) in [(0, true), (59, true), (60, false), (-30, true), (-31, false)] {
            let now = Timestamp::from_micros(NOW.as_micros() + offset_secs * 1_000_000);
            assert_eq!(verify(&text, "a", now).is_ok(), good, "{offset_secs}");
        }
        let long = "x".repeat(HopToken::BYTES_MAX + 1);
        let foreign = token(2);
        for (text, to) in [(text.as_str(), "b"), (&foreign, "a"), (&long, "a"), ("", "a")] {
            let error = verify(text, to, NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{text}");
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = token(1);
        for index in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[index] = if bent[index] == b'A' { b'B' } else { b'A' };
            verify(&String::from_utf8(bent).unwrap(), "a", NOW).unwrap_err();
        }
    }

    #[test]
    fn a_token_for_a_node_opens_no_hop_and_the_other_way_round() {
        let node = NodeId::from_bits(1);
        let claims = NodeToken::new("inst".into(), node, "x".into(), NOW);
        let signed = sign_node_token(&claims, &signer(1)).now_or_never().unwrap().unwrap();
        verify(signed.expose(), "a", NOW).unwrap_err();
        let verifier = Ed25519Verifier::new([signer(1).public_key()]).unwrap();
        verify_node_token(&token(1), &verifier, node, NOW).unwrap_err();
    }
}
