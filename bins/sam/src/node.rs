//! The processes of a node, which the same binary can be: the agent and the holder.

use std::path::{Path, PathBuf};

use sam_core::{Error, ErrorKind, Result};

use crate::config;

/// Runs the agent of the node in `dir` until it is told to end.
pub(crate) fn agent(dir: &Path) -> Result<()> {
    config::start_log();
    sam_agentd::agent(dir, program()?.as_os_str(), config::environment())
}

/// Answers git in a workspace when it asks for a credential.
pub(crate) fn git_credential(action: &str) -> Result<()> {
    sam_agentd::git_credential(action, &config::environment())
}

/// Runs the process that keeps the terminals of the node in `dir`.
pub(crate) fn holder(dir: &Path) -> Result<()> {
    config::start_log();
    sam_agentd::holder(dir, program()?.as_os_str(), config::environment())
}

fn program() -> Result<PathBuf> {
    config::current_exe().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "this program does not know where it is")
            .with_source(error)
    })
}
