//! The processes of a node, which the same binary can be: the agent and the holder.

use std::path::Path;

use sam_core::{Error, ErrorKind, Result};

/// Runs the agent of the node in `dir` until it is told to end.
pub(crate) fn agent(dir: &Path) -> Result<()> {
    Err(missing("agent", dir))
}

/// Runs the process that keeps the terminals of the node in `dir`.
pub(crate) fn holder(dir: &Path) -> Result<()> {
    Err(missing("holder", dir))
}

fn missing(what: &str, dir: &Path) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this build of sam has no {what}"))
        .with_context("dir", dir.display())
        .with_hint("build sam with its agent")
}
