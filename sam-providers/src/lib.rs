//! Implementations of `sam-core`'s effect traits. Each is a feature of its own, none is on by
//! default, and none knows another.

#[cfg(feature = "system")]
mod deadline;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
