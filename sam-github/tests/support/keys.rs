//! The key and the time of the tests.

use std::sync::Arc;

use sam_core::time::Timestamp;
use sam_github::Rs256Signer;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(crate) fn signer() -> Arc<Rs256Signer> {
    let pem = include_str!("../keys/rsa2048.pkcs1.pem");
    let key = pem.parse().expect("the key of the tests is one");
    Arc::new(Rs256Signer::new(&key).expect("it signs"))
}
