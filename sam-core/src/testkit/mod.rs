//! What authors of providers and embedders test with. Outside semver.

pub mod conformance;
