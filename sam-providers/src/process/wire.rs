//! The files of a machine's directory that others read or write.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sam_core::NodeId;
use sam_core::compute::{BootData, Labels, MachineKey, Size};
use sam_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What was asked for; written once, before the machine exists under its name.
pub(super) const MACHINE: &str = "machine.json";
/// What the agent reads on its first start.
pub(super) const BOOT: &str = "boot.json";
/// Who the holder is; written by the holder once it listens.
pub(super) const HOLDER: &str = "holder.json";
/// Where the holder listens.
pub(super) const HOLDER_SOCKET: &str = "holder.sock";
/// What the holder prints.
pub(super) const HOLDER_LOG: &str = "holder.log";
/// Held while a machine is switched or deleted.
pub(super) const START_LOCK: &str = "start.lock";

/// Longest file of these that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// `machine.json`, format 1.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MachineFile {
    format: u32,
    pub(super) key: MachineKey,
    #[serde(default)]
    pub(super) labels: Labels,
    size: Size,
    created_at: Timestamp,
}

impl MachineFile {
    pub(super) const fn new(
        key: MachineKey,
        labels: Labels,
        size: Size,
        created_at: Timestamp,
    ) -> Self {
        Self { format: 1, key, labels, size, created_at }
    }
}

/// `boot.json`, which holds the single-use token: mode 0600.
#[derive(Serialize)]
pub(super) struct BootFile<'a> {
    node_id: NodeId,
    control_url: &'a str,
    token: &'a str,
}

impl<'a> BootFile<'a> {
    pub(super) fn new(boot: &'a BootData) -> Self {
        Self {
            node_id: boot.node_id,
            control_url: &boot.control_url,
            token: boot.token.expose().as_str(),
        }
    }
}

/// `holder.json`, as far as the provider cares.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HolderFile {
    /// The boot it was started in.
    pub(super) boot_id: String,
    pub(super) pid: i32,
    /// In clock ticks since that boot, field 22 of `/proc/<pid>/stat`.
    pub(super) start_time: u64,
}

/// Writes a new file, readable by its owner only, through to the disk.
pub(super) fn write_new<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()
}

/// Reads a file; `None` when there is none. A file that is no JSON of this shape is `InvalidData`.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
