//! What the provider is told.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the machines are kept and how a node is started in one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// The directory that holds one directory for each machine. Absolute; made when absent.
    pub root: PathBuf,
    /// The program that becomes a node, absolute, and its first arguments; `holder --dir <dir>`
    /// is appended.
    pub node_command: Vec<OsString>,
    /// The whole environment of the holder beside `SAM_NODE_ID`; nothing else is inherited.
    pub environment: Vec<(OsString, OsString)>,
}

impl ProcessConfig {
    /// Keeps machines under `root` and starts them with `node_command`, in an empty environment.
    pub const fn new(root: PathBuf, node_command: Vec<OsString>) -> Self {
        Self { root, node_command, environment: Vec::new() }
    }

    /// Sets what the holder finds in its environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(OsString, OsString)>) -> Self {
        self.environment = environment;
        self
    }
}
