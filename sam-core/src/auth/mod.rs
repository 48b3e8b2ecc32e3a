//! Tokens and how they are checked.

mod bootstrap;

pub use self::bootstrap::BootKey;
