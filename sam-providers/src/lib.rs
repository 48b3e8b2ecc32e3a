//! Implementations of `sam-core`'s effect traits. Each is a feature of its own, none is on by
//! default, and none knows another.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod archive;
#[cfg(feature = "postgres")]
mod batch;
#[cfg(any(feature = "docker", feature = "postgres", feature = "system"))]
mod deadline;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "process")]
pub mod process;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod retention;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
