//! A compute provider of one's own, held to the same suite as ours: machines are lines of a file.
//!
//! Run with `cargo run -p sam-examples --bin custom_compute`.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::Page;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl,
};
use sam_core::engine::Stepped;
use sam_core::store::MemoryStore;
use sam_core::volume::VolumeProvider;
use sam_core::workspace::NewWorkspace;
use sam_core::{Caller, Error, ErrorKind, Result, Sam};
use sam_providers::system::SystemClock;

/// Machines as JSON in one file. A real provider would call a cloud here.
#[derive(Debug)]
struct FileCompute {
    path: PathBuf,
    lock: Mutex<()>,
}

impl FileCompute {
    /// Reads, changes and writes all machines; nobody else does meanwhile.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Machine>) -> T) -> Result<T> {
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = |error: std::io::Error| {
            // Nothing was written: the caller may simply try again.
            Error::new(ErrorKind::Unavailable, "the machine file is not usable").with_source(error)
        };
        let mut machines = match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::new(ErrorKind::Corrupt, "the machine file is damaged").with_source(error)
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(trouble(error)),
        };
        let result = change(&mut machines);
        let text = serde_json::to_vec_pretty(&machines).unwrap_or_default();
        std::fs::write(&self.path, text).map_err(trouble)?;
        Ok(result)
    }
}

impl fmt::Display for FileCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("file")
    }
}

#[async_trait]
impl ComputeProvider for FileCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal().with_create_settles_within(Duration::ZERO)
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::default())
    }

    async fn verify_credentials(&self) -> Result<()> {
        Ok(())
    }

    /// The heart of the contract: the same key gives the same machine, however often it is asked.
    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        self.change(|machines| {
            if let Some(known) = machines.iter().find(|machine| machine.key == request.key) {
                return known.clone();
            }
            let id = format!("line-{}", request.key);
            let machine = Machine::new(request.key.clone(), id, request.labels.clone());
            machines.push(machine.clone());
            machine
        })
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.change(|machines| machines.iter().find(|machine| machine.key == *key).cloned())
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let matching = self.change(|machines| {
            machines.iter().filter(|m| m.labels.contains(&query.labels)).cloned().collect()
        })?;
        Ok(Page::new(matching, None))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.change(|machines| machines.retain(|machine| machine.key != *key))?;
        Ok(Deletion::Gone)
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        None
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        None
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::temp_dir().join(format!("sam-machines-{}.json", std::process::id()));
    let compute = Arc::new(FileCompute { path: path.clone(), lock: Mutex::new(()) });
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let sam = Sam::builder(store, compute).clock(clock).build()?;
    let ann = Caller::named("ann");

    let made = sam.create_workspace(NewWorkspace::new("octo/hello".parse()?), &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    println!("the file holds: {}", std::fs::read_to_string(&path)?);

    sam.delete_workspace(made.record.id, &ann).await?;
    while sam.step().await? == Stepped::Worked {}
    println!("and now: {}", std::fs::read_to_string(&path)?);
    std::fs::remove_file(path)?;
    Ok(())
}
