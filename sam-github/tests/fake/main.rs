//! The crate against the fake GitHub. Every exchange is held to GitHub's own description where the
//! contracts are there.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod git;
#[cfg(test)]
mod repositories;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod workspaces;
