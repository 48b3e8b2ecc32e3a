//! Public keys as JSON Web Keys (RFC 7517, RFC 8037): what `/.well-known/jwks.json` serves, and a
//! verifier over them. The algorithm belongs to the key and is never read from a token.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs8::SubjectPublicKeyInfoRef;
use pkcs8::der::Decode as _;
use sam_core::keys::{Ed25519Verifier, KeyId, Verifier, ed25519_key_id};
use sam_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::armour::blocks;
use super::flaw::Flaw;
use super::private::{ED25519, RSA, check_size};

/// An algorithm of JSON Web Signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA with PKCS#1 v1.5 padding over SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    /// Returns the name that a token's header gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// The public half of a key that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Public {
    /// Both numbers big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

impl Public {
    /// Takes `RSAPublicKey` of PKCS#1 in DER.
    pub(super) fn of_pkcs1(der: &[u8]) -> Result<Self, Flaw> {
        let key = pkcs1::RsaPublicKey::from_der(der).map_err(|_| Flaw::Malformed)?;
        let (n, e) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
        check_size(n)?;
        Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    /// Takes `SubjectPublicKeyInfo` in DER.
    pub(super) fn of_spki(der: &[u8]) -> Result<Self, Flaw> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| Flaw::Malformed)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(Flaw::Malformed)?;
        match info.algorithm.oid {
            RSA => Self::of_pkcs1(bytes),
            ED25519 => {
                let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| Flaw::Malformed)?;
                Ed25519Verifier::new([bytes]).map_err(|_| Flaw::Inconsistent)?;
                Ok(Self::Ed25519(bytes))
            }
            _ => Err(Flaw::Sort("a public key of another sort")),
        }
    }

    /// Reads the first public key of a text, in any wrapping.
    pub(super) fn read(text: &str) -> Result<Self, Flaw> {
        let mut instead = None;
        for block in blocks(text)? {
            match block.label.as_str() {
                "PUBLIC KEY" => return Self::of_spki(&block.der()?),
                "RSA PUBLIC KEY" => return Self::of_pkcs1(&block.der()?),
                "" => {
                    let der = block.der()?;
                    return Self::of_spki(&der).or_else(|_| Self::of_pkcs1(&der));
                }
                label if label.ends_with("PRIVATE KEY") => {
                    instead.get_or_insert(Flaw::PrivateKey);
                }
                label if label.contains("CERTIFICATE") => {
                    instead.get_or_insert(Flaw::Certificate);
                }
                _ => {}
            }
        }
        Err(instead.unwrap_or(Flaw::NotPem))
    }

    /// Returns the SHA-256 of the key's required members in the order of their names (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match self {
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n))
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
        };
        text(&Sha256::digest(members.as_bytes()))
    }

    fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Self::Ed25519(key) => Ed25519Verifier::new([*key])
                .and_then(|known| known.verify(&ed25519_key_id(key), message, signature))
                .is_ok(),
        }
    }
}

/// One public key that checks signatures, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Jwk {
    kty: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: SigningAlgorithm,
    kid: String,
    #[serde(flatten)]
    numbers: BTreeMap<&'static str, String>,
    #[serde(skip)]
    public: Public,
}

impl Jwk {
    pub(super) fn new(kid: String, public: Public) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (kty, alg, numbers) = match &public {
            Public::Rsa { n, e } => {
                ("RSA", SigningAlgorithm::Rs256, BTreeMap::from([("n", text(n)), ("e", text(e))]))
            }
            Public::Ed25519(x) => (
                "OKP",
                SigningAlgorithm::EdDsa,
                BTreeMap::from([("crv", "Ed25519".to_owned()), ("x", text(x))]),
            ),
        };
        Self { kty, usage: "sig", alg, kid, numbers, public }
    }

    /// Reads a public key in PEM, or base64 of PEM; without a name it is called by its thumbprint
    /// (RFC 7638).
    ///
    /// # Errors
    /// `BadInput` when the text is no public key that checks RS256 or `EdDSA`.
    pub fn read(text: &str, key_id: Option<KeyId>) -> Result<Self> {
        Public::read(text)
            .map(|public| Self::named(key_id, public))
            .map_err(|flaw| flaw.of("the public key"))
    }

    pub(super) fn named(key_id: Option<KeyId>, public: Public) -> Self {
        let kid = key_id.map_or_else(|| public.thumbprint(), |id| id.as_str().to_owned());
        Self::new(kid, public)
    }

    pub(super) fn into_public(self) -> Public {
        self.public
    }

    /// Returns the key's name.
    pub fn key_id(&self) -> &str {
        &self.kid
    }

    /// Returns what its signatures are made with.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.alg
    }

    /// Returns the key's thumbprint (RFC 7638): its SHA-256 as base64url.
    pub fn thumbprint(&self) -> String {
        self.public.thumbprint()
    }
}

/// A set of public keys, the one that signs now first. It serializes to a JSON Web Key Set, and
/// checks signatures.
///
/// ```
/// use sam_core::Secret;
/// use sam_core::keys::{Signer, Verifier};
/// use sam_providers::keys::{JwkSet, SigningKey};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let key = SigningKey::ed25519(&Secret::new([7; 32]));
/// let published = JwkSet::new([key.public_key().clone()]);
/// let json = serde_json::to_value(&published)?;
/// assert_eq!(json["keys"][0]["kty"], "OKP");
/// assert_eq!(json["keys"][0]["kid"], key.key_id());
/// let signature = key.sign(b"header.claims").await?;
/// published.verify(key.key_id(), b"header.claims", &signature)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Puts keys together; of two with one name the first counts.
    pub fn new(keys: impl IntoIterator<Item = Jwk>) -> Self {
        let mut set = Self::default();
        for key in keys {
            if set.keys.iter().all(|known| known.kid != key.kid) {
                set.keys.push(key);
            }
        }
        set
    }

    /// Returns the keys.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }
}

impl Verifier for JwkSet {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        let known = self.keys.iter().find(|key| key.kid == key_id);
        if known.is_some_and(|key| key.public.accepts(message, signature)) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unauthenticated, "the signature is not valid"))
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
