//! What a server checks before it lets a link in: who the node is, and which version it speaks.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sam_core::auth::ChallengeKey;
use sam_core::keys::{Ed25519Verifier, Verifier as _, ed25519_key_id};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, NodeId, Result};

use crate::wire::{LINK_VERSION, assertion_text, request_text};

/// Longest assertion header, in bytes.
const HEADER_BYTES_MAX: usize = 512;

/// The header [`ASSERTION_HEADER`](crate::wire::ASSERTION_HEADER), parsed but not believed yet.
///
/// ```
/// use sam_agent::controller::Assertion;
/// assert!("nonsense".parse::<Assertion>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    node: NodeId,
    nonce: String,
    signature: [u8; 64],
}

impl Assertion {
    /// Returns the node it claims to come from, so that its public key can be looked up.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Checks that the nonce is a fresh one of ours and that the node's key signed it.
    ///
    /// # Errors
    /// `Unauthenticated`; `BadInput` when the public key is none.
    pub fn verify(
        &self,
        public_key: [u8; 32],
        challenge: &ChallengeKey,
        now: Timestamp,
    ) -> Result<()> {
        challenge.check(&self.nonce, now)?;
        self.check(public_key, assertion_text(self.node, &self.nonce).as_bytes())
    }

    /// Checks that the nonce is a fresh one of ours and that the node's key signed it together with
    /// this path and this body.
    ///
    /// # Errors
    /// As [`Assertion::verify`].
    pub fn verify_request(
        &self,
        public_key: [u8; 32],
        (challenge, now): (&ChallengeKey, Timestamp),
        path: &str,
        body: &[u8],
    ) -> Result<()> {
        challenge.check(&self.nonce, now)?;
        self.check(public_key, &request_text(self.node, &self.nonce, path, body))
    }

    fn check(&self, public_key: [u8; 32], text: &[u8]) -> Result<()> {
        let key_id = ed25519_key_id(&public_key);
        Ed25519Verifier::new([public_key])?.verify(&key_id, text, &self.signature)
    }
}

impl FromStr for Assertion {
    type Err = Error;

    fn from_str(header: &str) -> Result<Self> {
        let parse = || {
            let (node, rest) = header.split_once('.')?;
            let (nonce, signature) = rest.split_once('.')?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            Some(Self {
                node: node.parse().ok()?,
                nonce: nonce.to_owned(),
                signature: signature.try_into().ok()?,
            })
        };
        (header.len() <= HEADER_BYTES_MAX).then(parse).flatten().ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "the node's assertion is malformed")
        })
    }
}

/// Agent and server have no link version in common; a server answers 426.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the agent speaks link version {offered:?}, this server speaks {LINK_VERSION}")]
#[non_exhaustive]
pub struct LinkVersionError {
    /// What the agent offered, cut to 32 characters.
    pub offered: String,
}

/// Chooses the link version from [`LINK_VERSION_HEADER`](crate::wire::LINK_VERSION_HEADER), a
/// range `min-max`.
///
/// # Errors
/// When the ranges do not overlap, or the header is missing or no range.
///
/// ```
/// use sam_agent::controller::link_version;
/// assert_eq!(link_version(Some("1-3")), Ok(1));
/// assert!(link_version(Some("7-9")).is_err());
/// assert!(link_version(None).is_err());
/// ```
pub fn link_version(header: Option<&str>) -> std::result::Result<u32, LinkVersionError> {
    let offered = header.unwrap_or_default();
    let range = offered.split_once('-').and_then(|(low, high)| {
        Some((low.trim().parse::<u32>().ok()?, high.trim().parse::<u32>().ok()?))
    });
    match range {
        Some((low, high)) if (low..=high).contains(&LINK_VERSION) => Ok(LINK_VERSION),
        _ => Err(LinkVersionError { offered: offered.chars().take(32).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_core::Secret;
    use sam_core::entropy::SeededEntropy;
    use sam_core::keys::{Ed25519Signer, Signer as _};

    const NODE: NodeId = NodeId::from_bits(3);
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    async fn header(node: NodeId, nonce: &str, signer: &Ed25519Signer) -> String {
        let signature = signer.sign(assertion_text(node, nonce).as_bytes()).await.unwrap();
        format!("{node}.{nonce}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[tokio::test]
    async fn only_the_nodes_key_over_a_fresh_nonce_opens_a_link() {
        let signer = Ed25519Signer::from_seed(&Secret::new([1; 32]));
        let stranger = Ed25519Signer::from_seed(&Secret::new([2; 32]));
        let challenge = ChallengeKey::new([4; 32].into());
        let nonce = challenge.issue(NOW, &SeededEntropy::new(1));
        let foreign = ChallengeKey::new([5; 32].into()).issue(NOW, &SeededEntropy::new(1));
        let late = NOW.plus(ChallengeKey::LIFETIME + std::time::Duration::from_secs(1));
        let key = signer.public_key();
        for (text, now, good) in [
            (header(NODE, &nonce, &signer).await, NOW, true),
            (header(NODE, &nonce, &signer).await, late, false),
            (header(NODE, &nonce, &stranger).await, NOW, false),
            (header(NODE, &foreign, &signer).await, NOW, false),
        ] {
            let assertion: Assertion = text.parse().unwrap();
            assert_eq!(assertion.node(), NODE);
            assert_eq!(assertion.verify(key, &challenge, now).is_ok(), good, "{text}");
        }
        // A signature for one node is none for another.
        let text = header(NODE, &nonce, &signer).await;
        let moved = text.replace(&NODE.to_string(), &NodeId::from_bits(4).to_string());
        let error = moved.parse::<Assertion>().unwrap().verify(key, &challenge, NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }

    #[tokio::test]
    async fn a_signed_request_is_good_for_its_path_and_body_and_opens_no_link() {
        let signer = Ed25519Signer::from_seed(&Secret::new([1; 32]));
        let (key, challenge) = (signer.public_key(), ChallengeKey::new([4; 32].into()));
        let nonce = challenge.issue(NOW, &SeededEntropy::new(1));
        let signature = signer.sign(&request_text(NODE, &nonce, "/a", b"body")).await.unwrap();
        let header = format!("{NODE}.{nonce}.{}", URL_SAFE_NO_PAD.encode(signature));
        let assertion: Assertion = header.parse().unwrap();
        let verify = |now, path, body| assertion.verify_request(key, (&challenge, now), path, body);
        verify(NOW, "/a", &b"body"[..]).unwrap();
        let late = NOW.plus(ChallengeKey::LIFETIME + std::time::Duration::from_secs(1));
        for (now, path, body) in
            [(NOW, "/b", &b"body"[..]), (NOW, "/a", b"other"), (late, "/a", b"body")]
        {
            assert_eq!(verify(now, path, body).unwrap_err().kind(), ErrorKind::Unauthenticated);
        }
        let as_link = assertion.verify(key, &challenge, NOW).unwrap_err();
        assert_eq!(as_link.kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn malformed_assertions_are_refused() {
        let node = NODE.to_string();
        for text in [
            String::new(),
            node.clone(),
            format!("{node}.n"),
            format!("{node}.n.AAAA"),
            format!("nd-x.n.{}", "A".repeat(86)),
            format!("{node}.{}.{}", "n".repeat(512), "A".repeat(86)),
        ] {
            assert!(text.parse::<Assertion>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_that_do_not_overlap_are_an_error_of_their_own() {
        for (header, good) in [
            ("1-1", true),
            ("0-5", true),
            ("2-3", false),
            ("1", false),
            ("3-1", false),
            ("", false),
        ] {
            assert_eq!(link_version(Some(header)).is_ok(), good, "{header}");
        }
    }
}
