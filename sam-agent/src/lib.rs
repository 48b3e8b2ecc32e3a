//! The agent that runs on a node, the link it dials out on, and the controller that ends the link.

#[cfg(feature = "controller")]
pub mod controller;
#[cfg(feature = "node")]
pub mod git_credential;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "node")]
pub mod terminal;
#[cfg(feature = "wire")]
pub mod wire;

#[cfg(any(feature = "controller", feature = "node"))]
mod deadline;
#[cfg(any(feature = "controller", feature = "node"))]
mod link;
#[cfg(any(feature = "controller", feature = "node"))]
mod problem;
