//! For tests of embedders and of providers: outside semver, behind the feature `testkit`.

pub mod sim;
