//! Keys that seal: their names, and what is refused as one.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sam_core::keys::KeyId;
use sam_core::{Error, ErrorKind, Result, Secret};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::hex::hex;

/// A key of AES-256, in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// Longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Fewest different bytes: of 32 random ones, fewer come once in 10¹⁷ keys.
const DIFFERENT_BYTES_MIN: usize = 16;
/// Bytes of the hash that name a key; as hex, 16 characters.
const NAME_BYTES: usize = 8;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Returns the name of a key: `k-` and 16 hex characters of a hash of it. The same key is called
/// the same in a file and in the environment, and no two keys share a name.
pub(super) fn name_of(key: &Secret<[u8; KEY_BYTES]>) -> Result<KeyId> {
    let mut hash = Sha256::new();
    hash.update(b"sam-sealing-key-v1");
    hash.update(key.expose());
    let digest = hash.finalize();
    let (name, _) = digest.split_at(NAME_BYTES);
    format!("k-{}", hex(name)).parse()
}

/// Reads a key as the reference documents have it made: `openssl rand -base64 32`; base64url and
/// hex are taken, too. `whose` names the variable.
pub(super) fn read(whose: &str, text: &Secret<String>) -> Result<Secret<[u8; KEY_BYTES]>> {
    let text = text.expose().trim();
    let quoted = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(text).trim();
    if text.is_empty() {
        return Err(refused(whose, "it is empty"));
    }
    let plain = text.to_ascii_lowercase();
    for word in ["changeme", "change-me", "change_me", "your-", "your_", "example", "placeholder"] {
        if plain.contains(word) {
            return Err(refused(whose, "it is a placeholder, not a key"));
        }
    }
    let bytes = decode(text).ok_or_else(|| refused(whose, "it is neither base64 nor hex"))?;
    let key = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| {
        refused(whose, &format!("it has {} bytes, and {KEY_BYTES} are needed", bytes.len()))
    })?);
    match weakness(&key) {
        Some(why) => Err(refused(whose, why)),
        None => Ok(Secret::new(*key)),
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let dense: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    // As base64 these would be 48 bytes, which is no key: nothing is read two ways.
    if dense.len() == 2 * KEY_BYTES && dense.bytes().all(|b| b.is_ascii_hexdigit()) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pairs = dense.as_bytes().chunks(2);
        let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
        return pairs.map(byte).collect::<Option<Vec<u8>>>().map(Zeroizing::new);
    }
    let standard = STANDARD.decode(dense.as_bytes());
    standard.or_else(|_| URL_SAFE.decode(dense.as_bytes())).ok().map(Zeroizing::new)
}

/// Says why nobody's random bytes look like this.
fn weakness(key: &[u8; KEY_BYTES]) -> Option<&'static str> {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    let step = key[1].wrapping_sub(key[0]);
    if key.iter().all(|byte| *byte == 0) {
        Some("it is all zeros")
    } else if key.iter().all(|byte| *byte == key[0]) {
        Some("it is one byte, repeated")
    } else if key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
        Some("its bytes are a plain sequence")
    } else if key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        Some("it is a text, not random bytes")
    } else if seen.iter().filter(|seen| **seen).count() < DIFFERENT_BYTES_MIN {
        Some("its bytes repeat, so they are not random")
    } else {
        None
    }
}

fn refused(whose: &str, why: &str) -> Error {
    Error::new(ErrorKind::BadInput, format!("{whose} is no usable encryption key: {why}"))
        .with_operation("read_key")
        .with_hint(
            "make one with `openssl rand -base64 32`, and keep the one that sealed what you have",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_read(text: &str) -> Result<Secret<[u8; 32]>> {
        read("ENCRYPTION_KEY", &Secret::new(text.to_owned()))
    }

    fn random() -> [u8; 32] {
        Sha256::digest(b"random enough").into()
    }

    #[test]
    fn a_key_is_read_from_every_form_that_people_make() {
        let key = random();
        let hex = hex(&key);
        let standard = STANDARD.encode(key);
        for text in [
            standard.clone(),
            format!(" {standard}\n"),
            format!("\"{standard}\""),
            standard.trim_end_matches('=').to_owned(),
            standard.replacen('=', "\n=", 1),
            URL_SAFE.encode(key),
            hex.to_uppercase(),
            hex,
        ] {
            assert_eq!(try_read(&text).unwrap().expose(), &key, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_the_name_of_its_variable_and_never_shown() {
        let mut pattern = [0x5a; 32];
        pattern[..14].copy_from_slice(&random()[..14]);
        let sequence: Vec<u8> = (0..32).collect();
        for (text, why) in [
            (String::new(), "empty"),
            ("changeme".to_owned(), "placeholder"),
            ("your-encryption-key-from-generate-keys".to_owned(), "placeholder"),
            (STANDARD.encode([0; 32]), "zeros"),
            (STANDARD.encode([7; 32]), "repeated"),
            (STANDARD.encode(sequence), "sequence"),
            (STANDARD.encode(pattern), "repeat"),
            (STANDARD.encode("correct horse battery staple 123"), "text"),
            (STANDARD.encode([9; 31]), "31 bytes"),
            (STANDARD.encode([9; 33]), "33 bytes"),
            ("0123456789abcdef0123456789abcdef".to_owned(), "24 bytes"),
            ("not base64 at all!".to_owned(), "neither"),
        ] {
            let error = try_read(&text).unwrap_err();
            let shown = format!("{error:?} {}", error.public_message());
            assert!(error.public_message().starts_with("ENCRYPTION_KEY"), "{shown}");
            assert!(error.public_message().contains(why), "{text}: {shown}");
            assert!(text.len() < 12 || !shown.contains(&text), "{shown}");
        }
    }

    #[test]
    fn keys_have_names_of_their_own() {
        let name = |key| name_of(&Secret::new(key)).unwrap();
        assert_eq!(name(random()), name(random()));
        assert_ne!(name(random()), name([1; 32]));
        assert_eq!(name(random()).as_str().len(), 18);
    }
}
