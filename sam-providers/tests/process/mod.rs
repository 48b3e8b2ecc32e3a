//! Parts of the tests of local machines.

pub(crate) mod hard;
pub(crate) mod harness;
pub(crate) mod holder;
