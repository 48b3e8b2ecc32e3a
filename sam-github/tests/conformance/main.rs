//! The suites of sam-core: `RepoAccess` against the fake GitHub, `Signer` and `Verifier` by
//! aws-lc-rs.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod access;
#[cfg(test)]
mod rs256;

use sam_core::testkit::conformance::{forge, signer};

sam_core::conformance_main! {
    forge::trials("github", "", access::Github::new),
    signer::trials("rs256", "", rs256::Keys::new),
}
