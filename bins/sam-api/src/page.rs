//! One page of a list.

use serde::{Deserialize, Serialize};

/// One page of a list, ordered by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items, at most 200.
    pub items: Vec<T>,
    /// Pass it as `after` for the next page; absent on the last.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Most items of one page.
    pub const LIMIT_MAX: usize = 200;

    /// Makes a page.
    pub const fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

// `#[serde(default)]` would ask for `T: Default`, which items have no reason to be.
const fn none() -> Option<String> {
    None
}
