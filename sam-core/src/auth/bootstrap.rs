//! The single-use token of a node's first boot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Secret;
use crate::id::NodeId;

/// Makes bootstrap tokens. A token is a function of the node, so that asking a provider twice
/// gives the machine the same one, and nothing secret is stored.
#[derive(Debug, Clone)]
pub struct BootKey(Secret<[u8; 32]>);

impl BootKey {
    /// Wraps a key of 32 unpredictable bytes.
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    fn mac(&self, node: NodeId, generation: u32) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to its block, so this is the key itself.
        let mut block = [0; 64];
        block[..32].copy_from_slice(self.0.expose());
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(b"sam-boot-v1\0");
        mac.update(&node.to_bits().to_be_bytes());
        mac.update(&generation.to_be_bytes());
        mac
    }

    /// Returns the token of a node's generation.
    pub fn token(&self, node: NodeId, generation: u32) -> Secret<String> {
        let bytes = self.mac(node, generation).finalize().into_bytes();
        Secret::new(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Checks a token in constant time.
    pub fn verify(&self, node: NodeId, generation: u32, token: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        self.mac(node, generation).verify_slice(&bytes).is_ok()
    }
}
