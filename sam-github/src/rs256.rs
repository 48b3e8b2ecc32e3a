//! RS256: RSA signatures (PKCS#1 v1.5) over SHA-256, made and checked by aws-lc-rs.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use sam_core::keys::{Signer, Verifier};
use sam_core::{Error, ErrorKind, Result};

use crate::{PrivateKey, PrivateKeyError};

/// Signs with the private key of a GitHub App, held in memory.
///
/// The key's id is its [`PrivateKey::fingerprint`], as GitHub shows it in the App's settings. A key
/// that may not leave a key service signs through a [`Signer`] of the host's own instead.
pub struct Rs256Signer {
    pair: KeyPair,
    key_id: String,
    random: SystemRandom,
}

impl Rs256Signer {
    /// Takes a key.
    ///
    /// # Errors
    /// [`PrivateKeyError::Inconsistent`] when the signing library refuses it.
    pub fn new(key: &PrivateKey) -> Result<Self, PrivateKeyError> {
        let pair = KeyPair::from_pkcs8(key.to_pkcs8_der().expose())
            .map_err(|_| PrivateKeyError::Inconsistent)?;
        Ok(Self { pair, key_id: key.fingerprint()?, random: SystemRandom::new() })
    }

    /// Returns the public half: `RSAPublicKey` of PKCS#1 in DER.
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }
}

impl fmt::Debug for Rs256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rs256Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl Signer for Rs256Signer {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .map_err(|_| Error::new(ErrorKind::Bug, "the key does not sign"))?;
        Ok(signature)
    }
}

/// Checks RS256 signatures against a fixed set of public keys.
///
/// ```
/// use sam_core::keys::{Signer, Verifier};
/// use sam_github::{PrivateKey, Rs256Signer, Rs256Verifier};
/// # let pem = include_str!("../tests/keys/rsa2048.pkcs1.pem");
/// # futures_util::future::FutureExt::now_or_never(async {
/// let signer = Rs256Signer::new(&pem.parse()?)?;
/// let verifier = Rs256Verifier::new([(signer.key_id().to_owned(), signer.public_key())]);
/// let signature = signer.sign(b"hello").await?;
/// verifier.verify(signer.key_id(), b"hello", &signature)?;
/// assert!(verifier.verify(signer.key_id(), b"hullo", &signature).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Rs256Verifier {
    keys: BTreeMap<String, Vec<u8>>,
}

impl Rs256Verifier {
    /// Takes the public keys to accept, each with its id: `RSAPublicKey` of PKCS#1 in DER, of 2048
    /// to 8192 bits. Nothing passes under one that is something else.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }
}

impl Verifier for Rs256Verifier {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        self.keys
            .get(key_id)
            .map(|key| UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key))
            .and_then(|key| key.verify(message, signature).ok())
            .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "the signature is not valid"))
    }
}
