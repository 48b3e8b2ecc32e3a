//! Machines that are processes of this computer: a directory each, in which a *holder* runs.
//!
//! The machine is the directory, the process its power state: after a reboot, or when the holder
//! was killed, the machine is off and not lost. A holder is known by boot id, pid and start time,
//! never by a bare pid. Whatever the node started is ended with it, and what a crash of this
//! program left half done is finished by the next call.
//!
//! An operation that was begun runs to its end even when the caller's future is dropped, because
//! half a start helps nobody; a crash of the whole program is what the directory is made for.
//!
//! Limits: a process is found while its holder lives, or by the `SAM_NODE_ID` in its environment,
//! or in the node's control group (version 2, where this user may make one). One that clears its
//! environment, leaves every parent and outlives a holder killed from outside, on a computer
//! without control groups, is not found.
//!
//! ```no_run
//! use sam_core::compute::{ComputeProvider as _, ListMachines};
//! use sam_providers::process::{ProcessCompute, ProcessConfig};
//! # async fn example() -> sam_core::Result<()> {
//! let config = ProcessConfig::new("/var/lib/sam/nodes".into(), vec!["/usr/bin/sam".into()]);
//! let compute = ProcessCompute::new(config);
//! assert!(compute.list_machines(&ListMachines::default()).await?.items.is_empty());
//! # Ok(())
//! # }
//! ```

mod cgroup;
mod config;
mod ending;
mod map;
mod processes;
mod provider;
mod start;
mod tree;
mod wire;

use std::ffi::OsString;
use std::sync::Arc;

use sam_core::{Error, ErrorKind, Result};

pub use self::config::ProcessConfig;
use self::tree::Tree;

/// Lends this computer as machines. Calls run on the tokio runtime they are made from, which must
/// have time and I/O enabled.
#[derive(Debug)]
pub struct ProcessCompute {
    local: Arc<Local>,
}

impl ProcessCompute {
    /// Makes a provider; touches nothing until it is called.
    pub fn new(config: ProcessConfig) -> Self {
        let tree = Tree::new(config.root.clone());
        Self { local: Arc::new(Local { config, tree }) }
    }
}

/// What the operations share.
#[derive(Debug)]
struct Local {
    config: ProcessConfig,
    tree: Tree,
}

impl Local {
    /// Returns what starts a node.
    ///
    /// # Errors
    /// `BadInput` when nothing is configured.
    fn program(&self) -> Result<(&OsString, &[OsString])> {
        self.config.node_command.split_first().ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "no command is configured that starts a local node")
                .with_hint("set node_command to the absolute path of the sam program")
        })
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(map::interrupted)?
}
