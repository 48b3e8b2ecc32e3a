//! The token of boot data: derived from a key, so that nothing secret has to be stored per node.
//!
//! It names the node and a generation. A new generation makes all earlier tokens of the node void;
//! that a token is used once is the business of the node's record (I9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::keyed_hash;
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;

const DOMAIN: &[u8] = b"sam-boot-v1";
/// 32 bytes in base64 without padding.
const TOKEN_LENGTH: usize = 43;

/// Makes and checks the tokens with which new nodes ask for their identity.
///
/// ```
/// use sam_core::{NodeId, Secret};
/// use sam_core::auth::BootKey;
/// let key = BootKey::new(Secret::new([3; 32]));
/// let token = key.token(NodeId::from_bits(1), 0);
/// assert!(key.verify(NodeId::from_bits(1), 0, token.expose()).is_ok());
/// assert!(key.verify(NodeId::from_bits(1), 1, token.expose()).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct BootKey(Secret<[u8; 32]>);

impl BootKey {
    /// Takes the key: 32 random bytes of the installation, used for nothing else.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// Returns the token of a node's generation; always the same one.
    pub fn token(&self, node: NodeId, generation: u32) -> Secret<String> {
        let hash = self.hash(node, generation).finalize().into_bytes();
        Secret::new(URL_SAFE_NO_PAD.encode(hash))
    }

    /// Checks a token, in constant time.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn verify(&self, node: NodeId, generation: u32, token: &str) -> Result<()> {
        let bytes = (token.len() == TOKEN_LENGTH).then(|| URL_SAFE_NO_PAD.decode(token));
        match bytes {
            Some(Ok(bytes)) if self.hash(node, generation).verify_slice(&bytes).is_ok() => Ok(()),
            _ => Err(Error::new(ErrorKind::Unauthenticated, "the boot token is not valid")
                .with_hint("boot data is good for one start of one node; create the node anew")),
        }
    }

    fn hash(&self, node: NodeId, generation: u32) -> hmac::Hmac<sha2::Sha256> {
        let (node, generation) = (node.to_bits().to_be_bytes(), generation.to_be_bytes());
        keyed_hash(&self.0, &[DOMAIN, &node, &generation])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_node_its_generation_and_its_key_alone() {
        let (key, other) = (BootKey::new([1; 32].into()), BootKey::new([2; 32].into()));
        let (node, stranger) = (NodeId::from_bits(7), NodeId::from_bits(8));
        let token = key.token(node, 4);
        let text = token.expose().as_str();
        assert_eq!(text.len(), TOKEN_LENGTH);
        key.verify(node, 4, text).unwrap();
        let mut bent = text.to_owned();
        bent.replace_range(0..1, if text.starts_with('A') { "B" } else { "A" });
        let padded = format!("{text}=");
        for (key, node, generation, text) in [
            (&other, node, 4, text),
            (&key, stranger, 4, text),
            (&key, node, 5, text),
            (&key, node, 4, bent.as_str()),
            (&key, node, 4, padded.as_str()),
            (&key, node, 4, ""),
            (&key, node, 4, "\u{fc}"),
        ] {
            let error = key.verify(node, generation, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        }
    }
}
