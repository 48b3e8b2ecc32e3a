//! From a text as people paste it to the keys in it, in DER.
//!
//! Taken are PEM with any line ends, indents, blank lines and text around it; line breaks that
//! became blanks or the two characters `\n`; quotes and a byte order mark around it; and base64 of
//! all that, wrapped or not. Whatever holds a part of a key on the way is wiped.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::flaw::Flaw;

/// Longest text, in bytes: base64 of a PEM of an 8192-bit key has less than a fifth of it.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Most blocks in a text: a key, its public half and a chain of certificates have fewer.
const BLOCKS_MAX: usize = 16;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Padding gets lost where people copy; the length of the key says enough.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands between two lines of dashes.
pub(super) struct Block {
    /// What its first line calls it; empty for DER without armour.
    pub(super) label: String,
    text: Zeroizing<String>,
    closed_by: Option<String>,
    der: Option<Zeroizing<Vec<u8>>>,
}

impl Block {
    /// Returns the bytes of the block.
    pub(super) fn der(self) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        if let Some(der) = self.der {
            return Ok(der);
        }
        if self.text.contains("Proc-Type:") && self.text.contains("ENCRYPTED") {
            return Err(Flaw::Encrypted);
        }
        match self.closed_by {
            None => Err(Flaw::Truncated),
            Some(end) if end != self.label => Err(Flaw::LabelMismatch),
            Some(_) => decode(&self.text),
        }
    }
}

/// Returns the blocks of a text, in their order; there is at least one.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, Flaw> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Flaw::TooLong);
    }
    let text = tidy(text);
    if text.is_empty() {
        return Err(Flaw::Empty);
    }
    if text.contains(BEGIN) {
        return split(&text);
    }
    let bytes = decode(&text).map_err(|_| Flaw::NotPem)?;
    match std::str::from_utf8(&bytes) {
        Ok(inner) if inner.contains(BEGIN) => split(&tidy(inner)),
        // Every key in DER is a SEQUENCE.
        _ if bytes.first() == Some(&0x30) => Ok(vec![Block {
            label: String::new(),
            text: Zeroizing::default(),
            closed_by: None,
            der: Some(bytes),
        }]),
        _ => Err(Flaw::NotPem),
    }
}

/// Takes off what surrounds a pasted value and turns escaped line breaks into real ones.
fn tidy(text: &str) -> Zeroizing<String> {
    let mut text = text.trim_start_matches('\u{feff}').trim();
    for quote in ['"', '\'', '`'] {
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        text = inner.unwrap_or(text).trim();
    }
    let without_returns = Zeroizing::new(text.replace("\\r", ""));
    Zeroizing::new(without_returns.replace("\\n", "\n").trim().to_owned())
}

fn split(text: &str) -> Result<Vec<Block>, Flaw> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        if found.len() == BLOCKS_MAX {
            return Err(Flaw::TooLong);
        }
        let Some((label, after)) = after.split_once(DASHES) else { break };
        let (body, closed_by, after) = match after.split_once(END) {
            Some((body, after)) => {
                let (end, after) = after.split_once(DASHES).unwrap_or((after, ""));
                (body, Some(end.trim().to_owned()), after)
            }
            None => (after, None, ""),
        };
        found.push(Block {
            label: label.trim().to_owned(),
            text: Zeroizing::new(body.to_owned()),
            closed_by,
            der: None,
        });
        rest = after;
    }
    if found.is_empty() { Err(Flaw::NotPem) } else { Ok(found) }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let dense: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    BASE64.decode(dense.as_bytes()).map(Zeroizing::new).map_err(|_| Flaw::Base64)
}
