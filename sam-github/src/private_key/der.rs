//! Keys in DER: what they are by their outline, and from PKCS#1 to PKCS#8 without arithmetic.
//!
//! The outline alone is looked at here: tags, lengths and the numbers' form. Whether the numbers
//! belong together is [`PrivateKey`](super::PrivateKey)'s to check.

use pkcs1::der::Decode as _;
use pkcs8::PrivateKeyInfo;
use sam_core::Secret;

use super::PrivateKeyError;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate: its first member, tagged.
const EXPLICIT_0: u8 = 0xa0;

/// `INTEGER 0`, and the algorithm rsaEncryption with its NULL parameters.
const PKCS8_PREFIX: [u8; 18] = [
    0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    0x05, 0x00,
];
/// Where all password based encryptions of keys begin: PKCS#5 and PKCS#12.
const PASSWORD_BASED: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c],
];

/// Converts PKCS#1 in DER to PKCS#8 in DER: the key's own bytes, with what PKCS#8 puts before them.
///
/// It checks the outline and does no arithmetic, so that it is quick enough for every request; it
/// allocates once, for the result. [`PrivateKey::from_der`](super::PrivateKey::from_der) checks
/// that the numbers belong together as well.
///
/// # Errors
/// What the bytes are instead.
pub fn pkcs1_to_pkcs8_der(pkcs1: &[u8]) -> Result<Secret<Vec<u8>>, PrivateKeyError> {
    outline(pkcs1)?;
    Ok(wrap(pkcs1))
}

/// Converts PKCS#8 in DER to PKCS#1 in DER: the key's own bytes, without what stands before them.
/// Like [`pkcs1_to_pkcs8_der`], it checks the outline and allocates once.
///
/// # Errors
/// What the bytes are instead.
pub fn pkcs8_to_pkcs1_der(pkcs8: &[u8]) -> Result<Secret<Vec<u8>>, PrivateKeyError> {
    let info = PrivateKeyInfo::from_der(pkcs8).map_err(|_| sort(pkcs8))?;
    is_rsa(&info)?;
    outline(info.private_key)?;
    Ok(Secret::new(info.private_key.to_vec()))
}

/// Checks that a PKCS#8 key is one for RSA signatures.
pub(super) fn is_rsa(info: &PrivateKeyInfo<'_>) -> Result<(), PrivateKeyError> {
    let found = match info.algorithm.oid {
        pkcs1::ALGORITHM_OID => return Ok(()),
        super::RSA_PSS => "an RSA key for PSS signatures only",
        super::EC => "an EC key",
        super::ED25519 => "an Ed25519 key",
        _ => "a key of another sort",
    };
    Err(PrivateKeyError::NotRsa { found })
}

/// Reads a PKCS#1 key's outline.
pub(super) fn outline(pkcs1: &[u8]) -> Result<pkcs1::RsaPrivateKey<'_>, PrivateKeyError> {
    let key = pkcs1::RsaPrivateKey::from_der(pkcs1).map_err(|_| sort(pkcs1))?;
    if key.other_prime_infos.is_some() {
        return Err(PrivateKeyError::NotRsa { found: "an RSA key of more than two primes" });
    }
    Ok(key)
}

/// Puts a PKCS#1 key into PKCS#8.
pub(super) fn wrap(pkcs1: &[u8]) -> Secret<Vec<u8>> {
    let inner = PKCS8_PREFIX.len() + header_bytes(pkcs1.len()) + pkcs1.len();
    let mut out = Vec::with_capacity(header_bytes(inner) + inner);
    put_header(&mut out, SEQUENCE, inner);
    out.extend_from_slice(&PKCS8_PREFIX);
    put_header(&mut out, OCTET_STRING, pkcs1.len());
    out.extend_from_slice(pkcs1);
    Secret::new(out)
}

/// Returns how many bytes a tag and a length take.
fn header_bytes(length: usize) -> usize {
    if length < 0x80 { 2 } else { 2 + significant(length) }
}

/// Returns how many bytes a number has without leading zeros.
fn significant(length: usize) -> usize {
    length.to_be_bytes().iter().skip_while(|byte| **byte == 0).count()
}

fn put_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let bytes = length.to_be_bytes();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let count = significant(length);
            // At most eight.
            out.push(0x80 | u8::try_from(count).unwrap_or_default());
            out.extend_from_slice(bytes.split_at(bytes.len() - count).1);
        }
    }
}

/// One element of DER.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
    /// Whether it promises more bytes than there are.
    cut: bool,
}

/// Reads the element at the beginning; what is missing at its end is left out.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        // More than four bytes of length is no key.
        if !(1..=4).contains(&count) {
            return None;
        }
        let (bytes, after) = rest.split_at_checked(count)?;
        length = bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        rest = after;
    }
    let cut = rest.len() < length;
    let (content, rest) = rest.split_at(length.min(rest.len()));
    Some(Element { tag, content, rest, cut })
}

/// Says what DER without a label is, when it is not an RSA private key.
pub(super) fn sort(der: &[u8]) -> PrivateKeyError {
    let Some(outer) = element(der).filter(|outer| outer.tag == SEQUENCE) else {
        return PrivateKeyError::Malformed;
    };
    if outer.cut {
        return PrivateKeyError::Truncated;
    }
    let is_public = pkcs1::RsaPublicKey::from_der(der).is_ok()
        || pkcs8::SubjectPublicKeyInfoRef::from_der(der).is_ok();
    if is_public {
        return PrivateKeyError::PublicKey;
    }
    let Some(first) = element(outer.content) else { return PrivateKeyError::Malformed };
    let second = element(first.rest).map(|second| second.tag);
    let inner = element(first.content);
    match (first.tag, second, inner) {
        (INTEGER, Some(OCTET_STRING), _) if first.content == [1] => {
            PrivateKeyError::NotRsa { found: "an EC key" }
        }
        (SEQUENCE, Some(OCTET_STRING), Some(inner))
            if inner.tag == OBJECT_IDENTIFIER
                && PASSWORD_BASED.iter().any(|start| inner.content.starts_with(start)) =>
        {
            PrivateKeyError::Encrypted
        }
        (SEQUENCE, Some(SEQUENCE), Some(inner)) if inner.tag == EXPLICIT_0 => {
            PrivateKeyError::Certificate
        }
        _ => PrivateKeyError::Malformed,
    }
}
