//! Ed25519 with keys in memory. Checking is strict: weak keys and malleable signatures fail.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::{Signer, Verifier};
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the hash that name a key; as hex, 16 characters.
const KEY_ID_BYTES: usize = 8;

/// Returns the name of a public key: the first 16 hex characters of its SHA-256.
pub fn ed25519_key_id(public_key: &[u8; 32]) -> String {
    let digest = Sha256::digest(public_key);
    digest
        .iter()
        .take(KEY_ID_BYTES)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(hex_digit)
        .collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or_default()
}

/// Signs with a private key held in memory; the key is wiped on drop.
pub struct Ed25519Signer {
    key: SigningKey,
    key_id: String,
}

impl Ed25519Signer {
    /// Derives the key pair of a seed: 32 random bytes.
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Self {
        let key = SigningKey::from_bytes(seed.expose());
        let key_id = ed25519_key_id(key.verifying_key().as_bytes());
        Self { key, key_id }
    }

    /// Returns the public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Signer for Ed25519Signer {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}

/// Checks against a fixed set of public keys, each known by its [`ed25519_key_id`].
#[derive(Debug, Clone, Default)]
pub struct Ed25519Verifier {
    keys: BTreeMap<String, VerifyingKey>,
}

impl Ed25519Verifier {
    /// Takes the public keys to accept.
    ///
    /// # Errors
    /// `BadInput` when one of them is no Ed25519 key, or a weak one.
    pub fn new(public_keys: impl IntoIterator<Item = [u8; 32]>) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for bytes in public_keys {
            let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
            let key = key.ok_or_else(|| {
                Error::new(ErrorKind::BadInput, "32 bytes are not a usable Ed25519 public key")
            })?;
            keys.insert(ed25519_key_id(&bytes), key);
        }
        Ok(Self { keys })
    }
}

impl Verifier for Ed25519Verifier {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        let key = self.keys.get(key_id);
        let signature = <[u8; 64]>::try_from(signature).map(|bytes| Signature::from_bytes(&bytes));
        match (key, signature) {
            (Some(key), Ok(signature)) if key.verify_strict(message, &signature).is_ok() => Ok(()),
            _ => Err(Error::new(ErrorKind::Unauthenticated, "the signature is not valid")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn signer(seed: u8) -> Ed25519Signer {
        Ed25519Signer::from_seed(&Secret::new([seed; 32]))
    }

    fn sign(signer: &Ed25519Signer, message: &[u8]) -> Vec<u8> {
        signer.sign(message).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn the_first_vector_of_rfc_8032_holds() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let signer = Ed25519Signer::from_seed(&Secret::new(seed));
        assert_eq!(signer.public_key()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(sign(&signer, b"")[..4], [0xe5, 0x56, 0x43, 0x00]);
    }

    #[test]
    fn only_the_named_key_the_exact_message_and_the_whole_signature_pass() {
        let (mine, other) = (signer(1), signer(2));
        let verifier = Ed25519Verifier::new([mine.public_key(), other.public_key()]).unwrap();
        let good = sign(&mine, b"m");
        verifier.verify(mine.key_id(), b"m", &good).unwrap();
        let mut bent = good.clone();
        bent[63] ^= 1;
        for (key, message, signature) in [
            (other.key_id(), &b"m"[..], &good[..]),
            ("0000000000000000", b"m", &good),
            (mine.key_id(), b"n", &good),
            (mine.key_id(), b"m", &good[..63]),
            (mine.key_id(), b"m", &bent),
            (mine.key_id(), b"m", b""),
        ] {
            let error = verifier.verify(key, message, signature).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        }
    }

    #[test]
    fn key_ids_are_sixteen_hex_characters_and_debug_hides_the_seed() {
        let signer = signer(5);
        assert_eq!(signer.key_id().len(), 16);
        assert!(signer.key_id().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(
            format!("{signer:?}"),
            format!("Ed25519Signer {{ key_id: {:?}, .. }}", signer.key_id())
        );
    }

    #[test]
    fn weak_keys_are_refused() {
        // The neutral element: every signature by it could be made by anybody.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert_eq!(Ed25519Verifier::new([weak]).unwrap_err().kind(), ErrorKind::BadInput);
    }
}
