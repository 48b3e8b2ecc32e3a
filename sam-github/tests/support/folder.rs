//! Where the contracts lie.

use std::path::{Path, PathBuf};

/// Where the contracts lie: beside the checkout, or under `SAM_SHARED`.
#[expect(clippy::disallowed_methods, reason = "a test finds its vectors by it")]
pub(crate) fn contracts() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SAM_SHARED").map_or_else(beside, PathBuf::from).join("contracts")
}
