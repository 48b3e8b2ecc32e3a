//! The two processes of a node: the holder, which keeps terminals and commands, and the agent,
//! which keeps the link. `sam-agentd` is both; so is `sam`, by hidden subcommands.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use sam_agent::node::AgentConfig;
use sam_agent::terminal::HolderConfig;
use sam_core::{Error, ErrorKind, NodeId, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Name-value pairs as the operating system gives them.
pub type Environment = Vec<(OsString, OsString)>;

/// Is the holder of the node in `dir`, whose name is the node's id, until SIGTERM. It starts the
/// agent with `program` and `agent --dir <dir>`, and has git ask `program git-credential`.
///
/// # Errors
/// `Conflict` when the node has a holder; `BadInput` when the directory is no node's; others by
/// what failed.
pub fn holder(dir: &Path, program: &OsStr, environment: Environment) -> Result<()> {
    let name = dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let node: NodeId = name.parse().map_err(|error| {
        Error::new(ErrorKind::BadInput, format!("{} is no node's directory", dir.display()))
            .with_source(error)
    })?;
    let agent = [program, OsStr::new("agent"), OsStr::new("--dir"), dir.as_os_str()];
    let config = HolderConfig::new(dir, node)
        .with_agent_command(agent.map(OsStr::to_owned).to_vec())
        .with_git_helper(program.to_owned())
        .with_environment(environment);
    block_on(sam_agent::terminal::run(config))
}

/// Is the agent of the node in `dir` until SIGTERM or SIGINT, and has git ask
/// `program git-credential` while it checks out.
///
/// # Errors
/// By what failed; a control plane that cannot be reached is waited for.
pub fn agent(dir: &Path, program: &OsStr, environment: Environment) -> Result<()> {
    let config = AgentConfig::new(dir.to_owned())
        .with_environment(environment)
        .with_git_helper(program.to_owned());
    block_on(sam_agent::node::run(config, ended()))
}

/// Is git's credential helper in a workspace, for one question on standard input.
///
/// # Errors
/// As [`sam_agent::git_credential::run`].
pub fn git_credential(action: &str, environment: &Environment) -> Result<()> {
    block_on(sam_agent::git_credential::run(action, environment))
}

/// Everything a node does waits for sockets: one thread is enough, and small.
fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the runtime cannot be started").with_source(error)
    })?;
    runtime.block_on(work)
}

async fn ended() {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
