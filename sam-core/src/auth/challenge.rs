//! The nonce a node signs to open its link. It is stateless: the server keeps none of them, and
//! knows its own by a keyed hash. Within its minute a nonce could be signed twice; that only lets
//! the same key open the link again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::{CLOCK_SKEW_MAX, keyed_hash};
use crate::Secret;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

const DOMAIN: &[u8] = b"sam-challenge-v1";
/// Eight bytes of microseconds and 16 random ones.
const BODY_LENGTH: usize = 24;
const NONCE_LENGTH: usize = BODY_LENGTH + 32;
/// [`NONCE_LENGTH`] bytes in base64 without padding.
const TEXT_LENGTH: usize = 75;

/// Issues and checks nonces that are good for a minute.
///
/// ```
/// use sam_core::auth::ChallengeKey;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::time::Timestamp;
/// let key = ChallengeKey::new([9; 32].into());
/// let nonce = key.issue(Timestamp::from_micros(5), &SeededEntropy::new(1));
/// assert!(key.check(&nonce, Timestamp::from_micros(60_000_005)).is_ok());
/// assert!(key.check(&nonce, Timestamp::from_micros(60_000_006)).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct ChallengeKey(Secret<[u8; 32]>);

impl ChallengeKey {
    /// How long a nonce is good.
    pub const LIFETIME: Duration = Duration::from_mins(1);

    /// Takes the key: 32 random bytes of the installation, the same on all its servers.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// Makes a nonce.
    pub fn issue(&self, now: Timestamp, entropy: &dyn Entropy) -> String {
        let mut nonce = [0_u8; NONCE_LENGTH];
        nonce[..8].copy_from_slice(&now.as_micros().to_be_bytes());
        entropy.fill(&mut nonce[8..BODY_LENGTH]);
        let hash = keyed_hash(&self.0, &[DOMAIN, &nonce[..BODY_LENGTH]]).finalize().into_bytes();
        nonce[BODY_LENGTH..].copy_from_slice(&hash);
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Checks that a nonce is one of ours, and no older than [`Self::LIFETIME`].
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn check(&self, nonce: &str, now: Timestamp) -> Result<()> {
        let issued_at = self.issued_at(nonce).ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "the nonce was not issued by this server")
        })?;
        if now.since(issued_at) > Self::LIFETIME || issued_at.since(now) > CLOCK_SKEW_MAX {
            return Err(Error::new(ErrorKind::Unauthenticated, "the nonce has expired")
                .with_hint("ask for a new challenge and check the clocks of both computers"));
        }
        Ok(())
    }

    fn issued_at(&self, nonce: &str) -> Option<Timestamp> {
        if nonce.len() != TEXT_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (body, hash) = bytes.split_at_checked(BODY_LENGTH)?;
        keyed_hash(&self.0, &[DOMAIN, body]).verify_slice(hash).ok()?;
        Some(Timestamp::from_micros(i64::from_be_bytes(*body.first_chunk()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn a_nonce_is_good_for_a_minute_and_a_small_difference_of_clocks() {
        let key = ChallengeKey::new([1; 32].into());
        let nonce = key.issue(NOW, &SeededEntropy::new(3));
        for (offset_micros, good) in [
            (0, true),
            (60_000_000, true),
            (60_000_001, false),
            (-30_000_000, true),
            (-30_000_001, false),
        ] {
            let at = Timestamp::from_micros(NOW.as_micros() + offset_micros);
            assert_eq!(key.check(&nonce, at).is_ok(), good, "{offset_micros}");
        }
    }

    #[test]
    fn every_changed_character_and_a_foreign_key_are_noticed() {
        let key = ChallengeKey::new([1; 32].into());
        let nonce = key.issue(NOW, &SeededEntropy::new(3));
        for index in 0..nonce.len() {
            let mut bent = nonce.clone().into_bytes();
            bent[index] = if bent[index] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(key.check(&bent, NOW).is_err(), "character {index}");
        }
        let foreign = ChallengeKey::new([2; 32].into());
        for (key, text) in [(&foreign, nonce.as_str()), (&key, ""), (&key, nonce.get(1..).unwrap())]
        {
            assert_eq!(key.check(text, NOW).unwrap_err().kind(), ErrorKind::Unauthenticated);
        }
    }

    #[test]
    fn two_nonces_of_one_moment_differ() {
        let (key, entropy) = (ChallengeKey::new([1; 32].into()), SeededEntropy::new(3));
        assert_ne!(key.issue(NOW, &entropy), key.issue(NOW, &entropy));
    }
}
