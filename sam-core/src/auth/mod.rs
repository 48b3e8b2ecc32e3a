//! Proofs of who asks: single-use boot tokens and what is reported under them, link challenges and
//! short-lived node tokens.
//!
//! Nothing here reads a clock or random bytes of its own: both are handed in.

mod boot_report;
mod bootstrap;
mod challenge;
mod hop;
mod token;

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::Secret;

pub use self::boot_report::{BOOT_PROOF_HEADER, BootReportKey};
pub use self::bootstrap::BootKey;
pub use self::challenge::ChallengeKey;
pub use self::hop::{HopToken, sign_hop_token, verify_hop_token};
pub use self::token::{NodeRight, NodeToken, sign_node_token, verify_node_token};

/// How far the clocks of two computers may be apart before their tokens fail.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

/// Starts an HMAC-SHA256 over the given parts. The caller sees to it that no two lists of parts
/// join to the same bytes: every part but the last has a fixed length.
fn keyed_hash(key: &Secret<[u8; 32]>, parts: &[&[u8]]) -> Hmac<Sha256> {
    // A key shorter than the hash's block is padded with zeros, by definition of HMAC; doing it
    // here makes the constructor infallible.
    let mut block = [0_u8; 64];
    block[..32].copy_from_slice(key.expose());
    let block = Secret::new(block);
    let mut mac = Hmac::<Sha256>::new(block.expose().into());
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyed_hash_is_hmac_sha256() {
        let key = [0x0b; 32];
        let mut reference = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        reference.update(b"Hi There");
        let expected = reference.finalize().into_bytes();
        let found = keyed_hash(&Secret::new(key), &[b"Hi ", b"There"]).finalize().into_bytes();
        assert_eq!(found, expected);
    }
}
