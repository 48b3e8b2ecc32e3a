//! Which changes of the feed a durable store keeps.

use std::time::Duration;

/// Which changes of the feed to keep: all that are young, and the newest whatever their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Changes younger than this are kept.
    pub age: Duration,
    /// So many of the newest are kept.
    pub count: u64,
}

impl Default for Retention {
    /// A week and at least 100,000 changes: longer than a reader is usually away.
    fn default() -> Self {
        Self::new(Duration::from_hours(7 * 24), 100_000)
    }
}

impl Retention {
    /// Keeps what is younger than `age`, and at least the newest `count`.
    pub const fn new(age: Duration, count: u64) -> Self {
        Self { age, count }
    }
}
