//! From whatever was pasted to the bytes of the key.
//!
//! Taken are: PEM with any line ends, indents, blank lines, text before and other blocks after;
//! line breaks that became blanks or the two characters `\n`; quotes and a byte order mark around
//! it; and base64 of all that, wrapped or not. Whatever holds a part of the key on the way is wiped.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::PrivateKeyError;

/// Longest text, in bytes: base64 of a PEM of an 8192-bit key has less than a fifth of it.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 10;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Padding gets lost where people copy; the length of the key says enough.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the DER of the private key in a text, PKCS#1 or PKCS#8.
pub(super) fn read(text: &str) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PrivateKeyError::TooLong);
    }
    let text = tidy(text);
    if text.is_empty() {
        return Err(PrivateKeyError::Empty);
    }
    if text.contains(BEGIN) {
        return armoured(&text);
    }
    let bytes = decode(&text).map_err(|_| PrivateKeyError::NotPem)?;
    match std::str::from_utf8(&bytes) {
        Ok(inner) if inner.contains(BEGIN) => armoured(&tidy(inner)),
        // Every key in DER is a SEQUENCE.
        _ if bytes.first() == Some(&0x30) => Ok(bytes),
        _ => Err(PrivateKeyError::NotPem),
    }
}

/// Takes off what surrounds a pasted value and turns escaped line breaks into real ones.
fn tidy(text: &str) -> Zeroizing<String> {
    let mut text = text.trim_start_matches('\u{feff}').trim();
    for quote in ['"', '\'', '`'] {
        text = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)).unwrap_or(text).trim();
    }
    let spaced = Zeroizing::new(text.replace("\\r", ""));
    Zeroizing::new(spaced.replace("\\n", "\n").trim().to_owned())
}

/// One block of PEM.
struct Block<'a> {
    label: &'a str,
    body: &'a str,
    closed_by: Option<&'a str>,
}

/// Returns the first block of a text, and what follows it.
fn block(text: &str) -> Option<(Block<'_>, &str)> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (label, rest) = rest.split_once(DASHES)?;
    match rest.split_once(END) {
        Some((body, rest)) => {
            let (end, rest) = rest.split_once(DASHES).unwrap_or((rest, ""));
            Some((Block { label, body, closed_by: Some(end) }, rest))
        }
        None => Some((Block { label, body: rest, closed_by: None }, "")),
    }
}

/// Finds the private key among the blocks of a text; without one, says what the first is.
fn armoured(text: &str) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let mut rest = text;
    let mut instead = None;
    // Each round takes a block off a bounded text.
    while let Some((block, after)) = block(rest) {
        rest = after;
        match block.label.trim() {
            "RSA PRIVATE KEY" | "PRIVATE KEY" => return body(&block),
            "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyError::Encrypted),
            "EC PRIVATE KEY" => return Err(PrivateKeyError::NotRsa { found: "an EC key" }),
            "DSA PRIVATE KEY" => return Err(PrivateKeyError::NotRsa { found: "a DSA key" }),
            "OPENSSH PRIVATE KEY" => {
                return Err(PrivateKeyError::NotRsa { found: "a key of OpenSSH" });
            }
            label if label.ends_with("PUBLIC KEY") => {
                instead.get_or_insert(PrivateKeyError::PublicKey);
            }
            label if label.contains("CERTIFICATE") => {
                instead.get_or_insert(PrivateKeyError::Certificate);
            }
            _ => {}
        }
    }
    Err(instead.unwrap_or(PrivateKeyError::NotPem))
}

fn body(block: &Block<'_>) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    if block.body.contains("Proc-Type:") && block.body.contains("ENCRYPTED") {
        return Err(PrivateKeyError::Encrypted);
    }
    match block.closed_by {
        None => Err(PrivateKeyError::Truncated),
        Some(end) if end.trim() != block.label.trim() => Err(PrivateKeyError::LabelMismatch),
        Some(_) => decode(block.body),
    }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
    let dense: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    let bytes = BASE64.decode(dense.as_bytes()).map_err(|_| PrivateKeyError::Base64)?;
    Ok(Zeroizing::new(bytes))
}
