//! Private keys in DER: what they are, checked before anything is done with them.
//!
//! The outline is read here; that the numbers of an RSA key belong together is checked by
//! aws-lc-rs, which refuses one where they do not.

use aws_lc_rs::rsa::KeyPair;
use pkcs8::der::{Decode as _, Header, Reader as _, SliceReader};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo, SubjectPublicKeyInfoRef};
use sam_core::Secret;
use zeroize::Zeroizing;

use super::armour::{Block, blocks};
use super::flaw::Flaw;

/// rsaEncryption.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Fewest bits of an RSA key: what RFC 7518 asks of RS256.
const RSA_BITS_MIN: usize = 2_048;
/// Most bits: a larger key only makes every signature slower.
const RSA_BITS_MAX: usize = 8_192;

/// A private key whose parts belong together.
pub(super) enum Private {
    Rsa {
        pair: Box<KeyPair>,
        /// PKCS#1, as it was read.
        pkcs1: Secret<Vec<u8>>,
    },
    Ed25519(Secret<[u8; 32]>),
}

/// Reads the first private key of a text, in any wrapping.
pub(super) fn read(text: &str) -> Result<Private, Flaw> {
    let mut instead = None;
    for block in blocks(text)? {
        match block.label.as_str() {
            "" | "RSA PRIVATE KEY" | "PRIVATE KEY" => return of_block(block),
            "ENCRYPTED PRIVATE KEY" => return Err(Flaw::Encrypted),
            "EC PRIVATE KEY" => return Err(Flaw::Sort("an EC key")),
            "DSA PRIVATE KEY" => return Err(Flaw::Sort("a DSA key")),
            "OPENSSH PRIVATE KEY" => return Err(Flaw::Sort("a key of OpenSSH")),
            label if label.ends_with("PUBLIC KEY") => {
                instead.get_or_insert(Flaw::PublicKey);
            }
            label if label.contains("CERTIFICATE") => {
                instead.get_or_insert(Flaw::Certificate);
            }
            _ => {}
        }
    }
    Err(instead.unwrap_or(Flaw::NotPem))
}

fn of_block(block: Block) -> Result<Private, Flaw> {
    of_der(&block.der()?)
}

/// Reads PKCS#8 or PKCS#1. The two begin differently after the version, so at most one fits.
pub(super) fn of_der(der: &[u8]) -> Result<Private, Flaw> {
    let Ok(info) = PrivateKeyInfo::from_der(der) else { return rsa(der) };
    match info.algorithm.oid {
        RSA => rsa(info.private_key),
        ED25519 => ed25519(&info),
        EC => Err(Flaw::Sort("an EC key")),
        RSA_PSS => Err(Flaw::Sort("an RSA key for PSS signatures only")),
        _ => Err(Flaw::Sort("a key of another sort")),
    }
}

fn rsa(der: &[u8]) -> Result<Private, Flaw> {
    let key = pkcs1::RsaPrivateKey::from_der(der).map_err(|_| sort(der))?;
    if key.other_prime_infos.is_some() {
        return Err(Flaw::Sort("an RSA key of more than two primes"));
    }
    // Before any arithmetic: its cost grows with the cube of the size.
    check_size(key.modulus.as_bytes())?;
    let pair = KeyPair::from_der(der).map_err(|_| Flaw::Inconsistent)?;
    Ok(Private::Rsa { pair: Box::new(pair), pkcs1: Secret::new(der.to_vec()) })
}

/// Checks the size of a modulus without leading zeros.
pub(super) fn check_size(modulus: &[u8]) -> Result<(), Flaw> {
    let lead = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - lead;
    let fits = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits);
    fits.then_some(()).ok_or(Flaw::Size(bits))
}

fn ed25519(info: &PrivateKeyInfo<'_>) -> Result<Private, Flaw> {
    // RFC 8410: an OCTET STRING within the OCTET STRING.
    let seed = match info.private_key {
        [4, 32, seed @ ..] => <[u8; 32]>::try_from(seed).map_err(|_| Flaw::Malformed)?,
        _ => return Err(Flaw::Malformed),
    };
    let seed = Secret::new(*Zeroizing::new(seed));
    let public = sam_core::keys::Ed25519Signer::from_seed(&seed).public_key();
    match info.public_key {
        Some(named) if named != public => Err(Flaw::Inconsistent),
        _ => Ok(Private::Ed25519(seed)),
    }
}

/// Says what DER is when it is no key that is taken.
fn sort(der: &[u8]) -> Flaw {
    let public = pkcs1::RsaPublicKey::from_der(der).is_ok()
        || SubjectPublicKeyInfoRef::from_der(der).is_ok();
    if public {
        return Flaw::PublicKey;
    }
    if is_cut(der) { Flaw::Truncated } else { Flaw::Malformed }
}

/// Returns whether DER promises more bytes than there are.
fn is_cut(der: &[u8]) -> bool {
    let Ok(mut reader) = SliceReader::new(der) else { return false };
    Header::decode(&mut reader).is_ok_and(|header| header.length > reader.remaining_len())
}
