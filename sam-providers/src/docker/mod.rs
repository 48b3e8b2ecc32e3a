//! Machines that are containers of a Docker engine, or of Podman's socket that speaks the same.
//!
//! A machine is a container whose name is the machine's key, a volume of the same name that holds
//! the node's directory, and a network that all share. The container runs our *holder*, which
//! starts the agent; both dial out, so no port is published. Names are unique at the engine, which
//! is what adopting rests on; each thing carries a mark with the labels it was made with, and what
//! carries none is never touched.
//!
//! Invariants: the single-use token goes into the node's volume as a file, before the first start,
//! and into nothing that can be inspected (no variable, argument or label). A container is started
//! by a creation only when it never was: what somebody switched off stays off. Every wait has a
//! deadline. Nothing is kept here between calls but what the engine's version is.
//!
//! Limits: sizes are upper bounds, nothing is set aside. A machine that ends because its computer
//! was rebooted is off, and not started by the engine. The engine's answers have no bound of their
//! own but their deadline: whoever serves the socket is root here anyhow.
//!
//! There are no volumes in the sense of [`VolumeProvider`](sam_core::volume::VolumeProvider): an
//! engine cannot attach one to a container that exists, cannot make one larger, and its local
//! volumes have no size. So none are claimed, and the one that each machine has goes with it.
//!
//! ```no_run
//! use sam_core::compute::{ComputeProvider as _, ListMachines};
//! use sam_providers::docker::{DockerCompute, DockerConfig};
//! # async fn example() -> sam_core::Result<()> {
//! let config = DockerConfig::new("unix:/var/run/docker.sock", "sam-node:latest")
//!     .with_program("/usr/local/bin/sam".into())
//!     .with_control_dir("/var/lib/sam/agents".into());
//! let compute = DockerCompute::new(config)?;
//! assert!(compute.list_machines(&ListMachines::default()).await?.items.is_empty());
//! # Ok(())
//! # }
//! ```

mod client;
mod config;
mod map;
mod network;
mod nodes;
mod owned;
mod provider;
mod wire;

use sam_core::Result;
use tokio::sync::RwLock;

use self::client::Client;
pub use self::config::DockerConfig;
use self::nodes::Switching;

/// Lends an engine's containers as machines. Calls run on the tokio runtime they are made from,
/// which must have time and I/O enabled.
#[derive(Debug)]
pub struct DockerCompute {
    local: Local,
}

impl DockerCompute {
    /// Makes a provider; the engine is not asked until it is called.
    ///
    /// # Errors
    /// `BadInput` when the configuration cannot work.
    pub fn new(config: DockerConfig) -> Result<Self> {
        let client = Client::new(config.check()?);
        let (network, switching) = (RwLock::default(), Switching::default());
        Ok(Self { local: Local { config, client, network, switching } })
    }
}

/// What the operations share.
#[derive(Debug)]
struct Local {
    config: DockerConfig,
    client: Client,
    /// Shared while a container is made, held alone while the network is removed.
    network: RwLock<()>,
    /// Held while a machine is changed.
    switching: Switching,
}
