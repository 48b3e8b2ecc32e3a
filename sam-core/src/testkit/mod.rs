//! Tools for the tests of embedders and of those who implement the traits: conformance suites and
//! a simulation. Behind the feature `testkit`, outside semver.

pub mod conformance;
pub mod inventories;
pub mod sim;
