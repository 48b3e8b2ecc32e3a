//! SAM's control plane over HTTP: a router that a host can mount, and the two ways we run it: as
//! a server on a TCP address, and as the daemon of one data directory on a Unix socket.
//!
//! No rule of the domain lives here: handlers parse, call [`sam_core::Sam`], and show.

#![expect(
    clippy::exhaustive_structs,
    reason = "a host that mounts the router spells its parts out"
)]

mod access;
mod after_start;
mod app;
mod deadline;
mod follow;
mod installation;
mod listen;
mod problem;
mod project;
mod replica;
mod routes;
mod running;
mod sign_in;
mod store;

pub mod backup;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod github;
pub mod logging;
pub mod naming;
pub mod providers;
pub mod server;
pub mod settings;
pub mod signals;
pub mod tasks;

pub use self::access::{Access, Admin, Identity, Person};
pub use self::app::{App, AppParts};
pub use self::installation::{Installation, Keys};
pub use self::problem::ApiError;
pub use self::routes::{agent_router, router};
pub use self::sign_in::{SignInDesk, SignInParts, SignInSettings, Site};
pub use self::store::{Backing, Schema, StorePlan, Upkeep};
