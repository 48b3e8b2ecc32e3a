//! Tools for the tests of embedders and of those who implement the traits. Outside semver.

pub mod conformance;
