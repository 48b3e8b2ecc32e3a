//! Keys that sign: RS256 by aws-lc-rs, `EdDSA` by the core. Both are wiped on drop.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use sam_core::entropy::Entropy;
use sam_core::keys::{Ed25519Signer, KeyId, Signer};
use sam_core::{Error, ErrorKind, Result, Secret};
use zeroize::Zeroizing;

use super::flaw::Flaw;
use super::jwk::{Jwk, Public, SigningAlgorithm};
use super::private::{Private, of_der, read};

/// A private key in memory that signs RS256 or `EdDSA`.
///
/// It is called by the thumbprint of its public half (RFC 7638) unless it is given a name. See
/// [`JwkSet`](super::JwkSet) for an example.
pub struct SigningKey {
    half: Half,
    public: Jwk,
}

enum Half {
    Rsa {
        pair: Box<KeyPair>,
        /// PKCS#1, to be stored.
        pkcs1: Secret<Vec<u8>>,
        random: SystemRandom,
    },
    Ed25519 {
        signer: Box<Ed25519Signer>,
        seed: Secret<[u8; 32]>,
    },
}

impl SigningKey {
    /// Derives the Ed25519 key pair of a seed: 32 random bytes.
    pub fn ed25519(seed: &Secret<[u8; 32]>) -> Self {
        Self::of_seed(seed.clone(), None)
    }

    /// Reads a private key as people paste it: PEM, PKCS#1 or PKCS#8, or base64 of it, in any
    /// layout.
    ///
    /// # Errors
    /// `BadInput` with what it is instead.
    pub fn read(text: &Secret<String>) -> Result<Self> {
        Self::parse(text, None).map_err(|flaw| flaw.of("the private key"))
    }

    /// Reads a private key for one algorithm and no other.
    ///
    /// # Errors
    /// `BadInput` with what it is instead.
    pub fn read_for(algorithm: SigningAlgorithm, text: &Secret<String>) -> Result<Self> {
        let key = Self::read(text)?;
        if key.algorithm() == algorithm {
            return Ok(key);
        }
        Err(Flaw::WrongAlgorithm(algorithm).of("the private key"))
    }

    /// Makes a fresh key. The seed of an Ed25519 key is taken from `entropy`; an RSA key of 2048 bits
    /// is made by aws-lc-rs from the random bytes of the system, which takes up to a second.
    ///
    /// # Errors
    /// `Unavailable` when no RSA key could be made.
    pub fn generate(algorithm: SigningAlgorithm, entropy: &dyn Entropy) -> Result<Self> {
        match algorithm {
            SigningAlgorithm::EdDsa => {
                let mut seed = Zeroizing::new([0; 32]);
                entropy.fill(&mut *seed);
                Ok(Self::of_seed(Secret::new(*seed), None))
            }
            SigningAlgorithm::Rs256 => {
                let failed = || Error::new(ErrorKind::Unavailable, "no RSA key could be made");
                let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| failed())?;
                let pkcs8 = pair.as_der().map_err(|_| failed())?;
                Self::of_der(pkcs8.as_ref(), None).map_err(|flaw| flaw.of("a fresh RSA key"))
            }
        }
    }

    /// Gives the key another name.
    #[must_use]
    pub fn with_key_id(mut self, id: KeyId) -> Self {
        self.public = Jwk::named(Some(id), self.public.into_public());
        self
    }

    /// Returns the public half.
    pub const fn public_key(&self) -> &Jwk {
        &self.public
    }

    /// Returns what it signs with.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.public.algorithm()
    }

    pub(super) fn parse(text: &Secret<String>, id: Option<KeyId>) -> Result<Self, Flaw> {
        read(text.expose()).and_then(|private| Self::of_private(private, id))
    }

    /// Reads what [`SigningKey::stored`] gave, or PKCS#8.
    pub(super) fn of_der(der: &[u8], id: Option<KeyId>) -> Result<Self, Flaw> {
        of_der(der).and_then(|private| Self::of_private(private, id))
    }

    pub(super) fn of_seed(seed: Secret<[u8; 32]>, id: Option<KeyId>) -> Self {
        let signer = Ed25519Signer::from_seed(&seed);
        let public = Jwk::named(id, Public::Ed25519(signer.public_key()));
        Self { half: Half::Ed25519 { signer: Box::new(signer), seed }, public }
    }

    /// Returns what is kept of it: PKCS#1 in DER, or the seed.
    pub(super) fn stored(&self) -> Secret<Vec<u8>> {
        match &self.half {
            Half::Rsa { pkcs1, .. } => pkcs1.clone(),
            Half::Ed25519 { seed, .. } => Secret::new(seed.expose().to_vec()),
        }
    }

    fn of_private(private: Private, id: Option<KeyId>) -> Result<Self, Flaw> {
        match private {
            Private::Ed25519(seed) => Ok(Self::of_seed(seed, id)),
            Private::Rsa { pair, pkcs1 } => {
                let public = Jwk::named(id, Public::of_pkcs1(pair.public_key().as_ref())?);
                Ok(Self { half: Half::Rsa { pair, pkcs1, random: SystemRandom::new() }, public })
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("key_id", &self.key_id())
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Signer for SigningKey {
    fn key_id(&self) -> &str {
        self.public.key_id()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.half {
            Half::Ed25519 { signer, .. } => signer.sign(message).await,
            Half::Rsa { pair, random, .. } => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, message, &mut signature)
                    .map_err(|_| Error::new(ErrorKind::Bug, "the key does not sign"))?;
                Ok(signature)
            }
        }
    }
}
