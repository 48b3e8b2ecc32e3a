//! The provider: a machine is a JSON file, named by its key. A real one would call a cloud wherever
//! this one calls the file system.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl, Size,
    SizeOffer,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Error, ErrorKind, Page, Result};

/// Machines on one page of a listing.
pub(crate) const PAGE: usize = 50;

/// Machines as files of one directory.
#[derive(Debug)]
pub(crate) struct DirCompute {
    dir: PathBuf,
    /// Held while something changes: two writers must not lose each other's change.
    writing: Mutex<()>,
}

impl DirCompute {
    /// Keeps machines in a directory, which is made when it is needed.
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self { dir, writing: Mutex::new(()) }
    }

    /// Returns the file of a machine. A key becomes part of a path, so it is checked first.
    fn path(&self, key: &str) -> Result<PathBuf> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if key.is_empty() || key.len() > 63 || !key.bytes().all(legal) {
            return Err(Error::new(ErrorKind::BadInput, format!("{key:?} is not a machine's key")));
        }
        Ok(self.dir.join(format!("{key}.json")))
    }

    /// Writes beside, then moves into place: no reader ever sees half a file. `place` is what
    /// moves it, and decides what happens when the file is there already.
    fn write(
        &self,
        machine: &Machine,
        place: fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<io::Result<()>> {
        let path = self.path(machine.key.as_str())?;
        let beside = path.with_extension("new");
        let text = serde_json::to_vec_pretty(machine).map_err(damaged)?;
        std::fs::create_dir_all(&self.dir).map_err(unusable)?;
        std::fs::write(&beside, text).map_err(unusable)?;
        let placed = place(&beside, &path);
        // A rename has taken it away, a link has not.
        std::fs::remove_file(&beside).or_else(absent_is_fine).map_err(unusable)?;
        Ok(placed)
    }

    fn one_writer(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let _one = self.one_writer();
        std::fs::remove_file(path).or_else(absent_is_fine).map_err(unusable)
    }

    fn read(&self, key: &str) -> Result<Option<Machine>> {
        match std::fs::read(self.path(key)?) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_err(damaged)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(error)),
        }
    }

    /// Returns the keys of all machines, in order.
    fn keys(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(unusable)?.file_name();
            keys.extend(
                name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned),
            );
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The file system failed before anything changed: the caller may simply try again.
fn unusable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the directory of machines is not usable")
        .with_source(error)
        .with_hint("check its permissions and the free space")
}

fn damaged(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "the file of a machine is damaged").with_source(error)
}

impl fmt::Display for DirCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("directory")
    }
}

#[async_trait]
impl ComputeProvider for DirCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_owned()
            .with_create_settles_within(Duration::ZERO)
    }

    async fn catalog(&self) -> Result<Catalog> {
        let offer =
            |size, cpus, memory_mib| SizeOffer::new(size, size.code().to_owned(), cpus, memory_mib);
        let sizes = vec![
            offer(Size::Small, 2, 4_096),
            offer(Size::Medium, 4, 8_192),
            offer(Size::Large, 8, 16_384),
        ];
        Ok(Catalog::new(Vec::new(), sizes))
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.keys().map(drop)
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        if let Some(region) = &request.region {
            return Err(Error::new(ErrorKind::BadInput, format!("there is no region {region:?}"))
                .with_hint("leave the region out"));
        }
        let key = request.key.clone();
        let _one = self.one_writer();
        let machine = Machine::new(key.clone(), key.to_string(), request.labels.clone());
        // A link, unlike a rename, never replaces: of two creations one makes it.
        match self.write(&machine, |from, to| std::fs::hard_link(from, to))? {
            Ok(()) => Ok(machine),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let known = self.read(key.as_str())?;
                // Only another process can have deleted it: ask again, and it is made anew.
                known.ok_or_else(|| {
                    Error::new(ErrorKind::Conflict, "the machine was deleted meanwhile")
                })
            }
            Err(error) => Err(unusable(error)),
        }
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.read(key.as_str())
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let mut machines = Vec::new();
        for key in self.keys()? {
            if query.after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            // One that was deleted since its name was read is not missed.
            machines.extend(self.read(&key)?.filter(|m| m.labels.contains(&query.labels)));
            if machines.len() > PAGE {
                break;
            }
        }
        Ok(Page::first(machines, PAGE, |machine| machine.key.to_string()))
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.remove(key.as_str())?;
        Ok(Deletion::Gone)
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        None
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        Some(self)
    }
}

#[async_trait]
impl PowerControl for DirCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let _one = self.one_writer();
        let Some(machine) = self.read(key.as_str())? else {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no machine {key}")));
        };
        self.write(&machine.with_power(power), |from, to| std::fs::rename(from, to))?
            .map_err(unusable)
    }
}

#[async_trait]
impl OwnedResources for DirCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let listing = ListMachines::new(query.labels.clone()).with_after(query.after.clone());
        Ok(self.list_machines(&listing).await?.map(OwnedResource::machine))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        if resource.sort != OwnedResource::MACHINE {
            return Ok(());
        }
        self.remove(&resource.provider_id)
    }
}
