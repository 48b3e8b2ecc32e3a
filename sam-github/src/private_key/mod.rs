//! The private key of a GitHub App: read from every wrapping, checked, converted.
//!
//! A [`PrivateKey`] keeps the PKCS#1 bytes it came with, never a re-encoding, so converting to PKCS#8
//! and back gives the same bytes.

mod der;
mod error;
mod read;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs1::der::Decode as _;
use pkcs1::{EncodeRsaPrivateKey as _, LineEnding, ObjectIdentifier};
use pkcs8::{EncodePublicKey as _, PrivateKeyInfo};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey};
use sam_core::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use self::der::{pkcs1_to_pkcs8_der, pkcs8_to_pkcs1_der};
pub use self::error::PrivateKeyError;

/// An RSA private key of 2048 to 8192 bits whose numbers belong together.
///
/// ```
/// use sam_github::{PrivateKey, PrivateKeyError};
/// let refused = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".parse::<PrivateKey>();
/// let error = refused.unwrap_err();
/// assert_eq!(error, PrivateKeyError::PublicKey);
/// assert!(error.hint().contains("Generate a private key"));
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    pkcs1: Secret<Vec<u8>>,
    public: RsaPublicKey,
}

const PEM_PKCS1: &str = "RSA PRIVATE KEY";
const PEM_PKCS8: &str = "PRIVATE KEY";

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

impl PrivateKey {
    /// Fewest bits: what RFC 7518 asks of RS256.
    pub const BITS_MIN: usize = 2_048;
    /// Most bits: a larger key only makes every request slower.
    pub const BITS_MAX: usize = 8_192;

    /// Reads a key from PKCS#1 or PKCS#8 in DER.
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        // The two begin differently after the version, so at most one of them fits.
        match PrivateKeyInfo::from_der(der) {
            Ok(info) => Self::from_pkcs8(&info),
            Err(_) => Self::from_pkcs1_der(der),
        }
    }

    /// Reads a key from the bytes of a file: DER, or text in any layout.
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PrivateKeyError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.parse(),
            Err(_) => Self::from_der(bytes),
        }
    }

    /// Reads a key from a file: DER, or text in any layout.
    ///
    /// # Errors
    /// [`PrivateKeyError::File`] when it cannot be read, else what it is instead.
    pub fn from_file(path: &Path) -> Result<Self, PrivateKeyError> {
        let failed = |error: std::io::Error| PrivateKeyError::File { why: error.kind() };
        let file = std::fs::File::open(path).map_err(failed)?;
        // One more than is taken, so that a longer one is noticed; room for it from the start, so
        // that growing leaves no copies behind.
        let limit = read::TEXT_BYTES_MAX + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(&bytes)
    }

    /// Reads what a setting holds: a key in any wrapping, or the path of a file with one.
    ///
    /// What begins with `/`, `./`, `../` or `file://` is a path: no key does.
    ///
    /// # Errors
    /// As of [`PrivateKey::from_file`] for a path, else what it is instead.
    pub fn from_setting(value: &str) -> Result<Self, PrivateKeyError> {
        let trimmed = value.trim().trim_matches(['"', '\'']);
        let path = trimmed.strip_prefix("file://").unwrap_or(trimmed);
        let is_path = ["/", "./", "../"].iter().any(|start| path.starts_with(start));
        // Base64 may hold slashes, but no key's begins with one, and no path has a line break.
        if is_path && !path.contains(['\n', '\r']) {
            return Self::from_file(Path::new(path));
        }
        value.parse()
    }

    /// Reads a key from PKCS#1 in DER.
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let key = der::outline(der)?;
        let number = |number: pkcs1::UintRef<'_>| BigUint::from_bytes_be(number.as_bytes());
        let modulus = number(key.modulus);
        // Before any arithmetic: its cost grows with the cube of the size.
        if !(Self::BITS_MIN..=Self::BITS_MAX).contains(&modulus.bits()) {
            return Err(PrivateKeyError::Size { bits: modulus.bits() });
        }
        let checked = RsaPrivateKey::from_components(
            modulus,
            number(key.public_exponent),
            number(key.private_exponent),
            vec![number(key.prime1), number(key.prime2)],
        )
        .and_then(|checked| checked.validate().map(|()| checked))
        .map_err(|_| PrivateKeyError::Inconsistent)?;
        // The remaining three numbers follow from these. A signer that trusts wrong ones makes
        // signatures that give the key away, and DER has one form only, so bytes are compared.
        let encoded = checked.to_pkcs1_der().map_err(|_| PrivateKeyError::Inconsistent)?;
        if encoded.as_bytes() != der {
            return Err(PrivateKeyError::Inconsistent);
        }
        Ok(Self { pkcs1: Secret::new(der.to_vec()), public: checked.to_public_key() })
    }

    /// Reads a key from PKCS#8 in DER.
    ///
    /// # Errors
    /// What it is instead.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        let info = PrivateKeyInfo::from_der(der).map_err(|_| der::sort(der))?;
        Self::from_pkcs8(&info)
    }

    fn from_pkcs8(info: &PrivateKeyInfo<'_>) -> Result<Self, PrivateKeyError> {
        der::is_rsa(info)?;
        Self::from_pkcs1_der(info.private_key)
    }

    /// Returns the key as PKCS#1 in DER, byte for byte as it was read.
    pub fn to_pkcs1_der(&self) -> Secret<Vec<u8>> {
        self.pkcs1.clone()
    }

    /// Returns the key as PKCS#8 in DER.
    pub fn to_pkcs8_der(&self) -> Secret<Vec<u8>> {
        der::wrap(self.pkcs1.expose())
    }

    /// Returns the key as PKCS#1 in PEM with line feeds, as GitHub hands it out.
    ///
    /// # Errors
    /// None for a key that was read; the encoder has an error all the same.
    pub fn to_pkcs1_pem(&self) -> Result<Secret<String>, PrivateKeyError> {
        armour(PEM_PKCS1, &self.pkcs1)
    }

    /// Returns the key as PKCS#8 in PEM with line feeds.
    ///
    /// # Errors
    /// None for a key that was read; the encoder has an error all the same.
    pub fn to_pkcs8_pem(&self) -> Result<Secret<String>, PrivateKeyError> {
        armour(PEM_PKCS8, &self.to_pkcs8_der())
    }

    /// Returns how many bits the modulus has.
    pub fn bits(&self) -> usize {
        self.public.n().bits()
    }

    /// Returns what GitHub shows beside the key in the App's settings: `SHA256:` and the base64 of
    /// the public key's hash. It is no secret.
    ///
    /// # Errors
    /// None for a key that was read; the encoder has an error all the same.
    pub fn fingerprint(&self) -> Result<String, PrivateKeyError> {
        let spki = self.public.to_public_key_der().map_err(|_| PrivateKeyError::Malformed)?;
        Ok(format!("SHA256:{}", STANDARD.encode(Sha256::digest(spki.as_bytes()))))
    }
}

impl FromStr for PrivateKey {
    type Err = PrivateKeyError;

    /// Reads whatever was pasted: PEM or base64 of a PEM, PKCS#1 or PKCS#8, in any layout.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_der(&read::read(text)?)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("bits", &self.bits()).finish_non_exhaustive()
    }
}

fn armour(label: &str, der: &Secret<Vec<u8>>) -> Result<Secret<String>, PrivateKeyError> {
    pkcs1::pem::encode_string(label, LineEnding::LF, der.expose())
        .map(Secret::new)
        .map_err(|_| PrivateKeyError::Malformed)
}

/// Converts a key in PEM, PKCS#1 in any layout, to PKCS#8 in PEM. One in PKCS#8 stays what it is.
///
/// # Errors
/// What the text is instead.
pub fn pkcs1_to_pkcs8_pem(pem: &str) -> Result<Secret<String>, PrivateKeyError> {
    pem.parse::<PrivateKey>()?.to_pkcs8_pem()
}

/// Converts a key in PEM, PKCS#8 in any layout, to PKCS#1 in PEM. One in PKCS#1 stays what it is.
///
/// # Errors
/// What the text is instead.
pub fn pkcs8_to_pkcs1_pem(pem: &str) -> Result<Secret<String>, PrivateKeyError> {
    pem.parse::<PrivateKey>()?.to_pkcs1_pem()
}

#[cfg(test)]
mod tests;
