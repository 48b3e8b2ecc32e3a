//! The proof that a boot report comes from the machine that was given the boot token.
//!
//! Reports are many and the token is good for one exchange, so it is not shown: both sides derive a
//! key from it and the node's id, and a report carries the keyed hash of its bytes. Who reads a report
//! on its way learns nothing that is good for another one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::keyed_hash;
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;

const DOMAIN: &[u8] = b"sam-boot-report-v1";

/// The header that a boot report carries its proof in.
pub const BOOT_PROOF_HEADER: &str = "sam-boot-proof";

/// Signs and checks the boot reports of one node. Derived from its boot token, of which it tells
/// nothing.
///
/// ```
/// use sam_core::{NodeId, Secret};
/// use sam_core::auth::BootReportKey;
/// let token = Secret::new(String::from("of the boot data"));
/// let key = BootReportKey::of(&token, NodeId::from_bits(1));
/// let proof = key.proof(b"{}");
/// assert!(key.verify(b"{}", &proof).is_ok());
/// assert!(key.verify(b"{ }", &proof).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct BootReportKey(Secret<[u8; 32]>);

impl BootReportKey {
    /// Derives the key of a node from its boot token:
    /// `HMAC-SHA256(SHA-256(token), "sam-boot-report-v1" + node id)`.
    pub fn of(token: &Secret<String>, node: NodeId) -> Self {
        let seed = Secret::new(Sha256::digest(token.expose().as_bytes()).into());
        let node = node.to_string();
        let key = keyed_hash(&seed, &[DOMAIN, node.as_bytes()]).finalize().into_bytes();
        Self(Secret::new(key.into()))
    }

    /// Returns the proof of a report's bytes: HMAC-SHA256, base64url without padding.
    pub fn proof(&self, body: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(keyed_hash(&self.0, &[body]).finalize().into_bytes())
    }

    /// Checks a proof, in constant time.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn verify(&self, body: &[u8], proof: &str) -> Result<()> {
        let bytes = URL_SAFE_NO_PAD.decode(proof);
        match bytes {
            Ok(bytes) if keyed_hash(&self.0, &[body]).verify_slice(&bytes).is_ok() => Ok(()),
            _ => Err(Error::new(ErrorKind::Unauthenticated, "the boot report's proof is not good")
                .with_hint("a report comes from the machine that was given the boot token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_token_its_node_and_its_bytes_alone() {
        let token = |text: &str| Secret::new(text.to_owned());
        let (node, other) = (NodeId::from_bits(7), NodeId::from_bits(8));
        let key = BootReportKey::of(&token("a"), node);
        let proof = key.proof(b"report");
        key.verify(b"report", &proof).unwrap();
        for (key, body, proof) in [
            (&BootReportKey::of(&token("b"), node), &b"report"[..], proof.as_str()),
            (&BootReportKey::of(&token("a"), other), b"report", &proof),
            (&key, b"Report", &proof),
            (&key, b"report", ""),
            (&key, b"report", "\u{fc}"),
            (&key, b"report", proof.get(1..).unwrap()),
            (&key, b"report", &format!("{proof}=")),
        ] {
            let error = key.verify(body, proof).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        }
    }

    /// Computed by Python's `hmac` and `hashlib`, which is what machines use.
    #[test]
    fn the_derivation_is_the_one_that_machines_make() {
        let token = Secret::new("token-7".to_owned());
        let key = BootReportKey::of(&token, NodeId::from_bits(7));
        assert_eq!(key.proof(b"{\"a\": 1}"), "LRS1Av2bk186_nuubO7lO2mXL0J1GjndpQqZYkJQp8I");
    }
}
