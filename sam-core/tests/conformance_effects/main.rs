//! The implementations in memory of the effect traits, bare, shared and boxed, held to the suite of
//! their trait; and the suites, held to implementations with a planted flaw, which they must catch.

#[cfg(test)]
mod blob;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod node_link;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod signer;
#[cfg(test)]
mod volume;

use sam_core::conformance_main;
use sam_core::{Error, ErrorKind};

/// What a flawed implementation says.
fn refuse(kind: ErrorKind) -> Error {
    Error::new(kind, "refused by a flaw")
}

conformance_main! {
    blob::trials(),
    dns::trials(),
    forge::trials(),
    keys::trials(),
    node_link::trials(),
    secrets::trials(),
    signer::trials(),
    volume::trials(),
}
