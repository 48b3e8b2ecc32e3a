//! Where an installation buys its nodes: what is in this program, and what is set up.

mod shown;

pub(crate) use self::shown::{missing, offered, stored, surveyed};

/// A vendor whose adapter is in this program.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// What its providers are called.
    pub(crate) name: &'static str,
    /// What sets it up.
    pub(crate) set_up: &'static str,
}

/// Every vendor in this program.
pub(crate) const VENDORS: [Vendor; 1] = [Vendor {
    name: "process",
    set_up: "it is always there: nodes are processes of this computer",
}];
