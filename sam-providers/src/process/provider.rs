//! The traits.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::Page;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl, Size,
    SizeOffer,
};
use sam_core::volume::VolumeProvider;
use sam_core::{Effect, Error, ErrorKind, Result};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::wire::{self, MachineFile};
use super::{Local, ProcessCompute, blocking, map, processes, start};

/// Machines per page.
const PAGE: usize = 100;

/// How long a creation whose caller went away may still make the directory: as long as it waits for
/// the root's lock. From then on the machine is seen.
const CREATE_SETTLES_WITHIN: Duration = Duration::from_secs(10);

impl fmt::Display for ProcessCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("process")
    }
}

impl ProcessCompute {
    /// Runs an operation to its end, even when its caller goes away.
    async fn run<T, F>(
        &self,
        operation: &'static str,
        work: impl FnOnce(Arc<Local>) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let outcome = tokio::spawn(work(Arc::clone(&self.local))).await;
        outcome.map_err(map::interrupted).flatten().map_err(|error| error.with_operation(operation))
    }
}

#[async_trait]
impl ComputeProvider for ProcessCompute {
    fn capabilities(&self) -> ComputeCapabilities {
        ComputeCapabilities::minimal()
            .with_power()
            .with_owned()
            .with_create_settles_within(CREATE_SETTLES_WITHIN)
    }

    async fn catalog(&self) -> Result<Catalog> {
        // Every size is the whole computer: nothing is set aside for a machine.
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let memory_mib = memory_mib().map_err(map::processes)?;
        let offer = |size| {
            SizeOffer::new(
                size,
                "local".to_owned(),
                cpus.try_into().unwrap_or(u32::MAX),
                memory_mib,
            )
        };
        Ok(Catalog::new(Vec::new(), [Size::Small, Size::Medium, Size::Large].map(offer).into()))
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.run("verify_credentials", |local| async move {
            local.program()?;
            local.tree.lock().await.map(drop)
        })
        .await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let request = request.clone();
        self.run("create_machine", |local| async move { local.create(request).await }).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        let key = key.clone();
        self.run("machine", |local| async move {
            map::check_key(key.as_str())?;
            blocking(move || local.describe(&key)).await
        })
        .await
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let ListMachines { labels, after, .. } = query.clone();
        self.run("list_machines", |local| local.list(labels, after)).await
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        let key = key.clone();
        self.run("delete_machine", |local| async move { local.delete(&key).await }).await
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
impl PowerControl for ProcessCompute {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let key = key.clone();
        self.run("set_power", |local| async move {
            match power {
                Power::Off => local.switch_off(&key).await,
                Power::On => local.switch_on(&key).await,
                other => Err(Error::new(
                    ErrorKind::BadInput,
                    format!("a local machine cannot be switched to {other:?}"),
                )),
            }
        })
        .await
    }
}

#[async_trait]
impl OwnedResources for ProcessCompute {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let ListOwned { labels, after, .. } = query.clone();
        let page = self.run("list_owned", |local| local.list(labels, after)).await?;
        Ok(page.map(OwnedResource::machine))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        if resource.sort != OwnedResource::MACHINE {
            return Ok(());
        }
        let key = key_of(&resource.provider_id)?;
        self.run("delete_owned", |local| async move {
            match local.delete(&key).await? {
                Deletion::Gone => Ok(()),
                _ => Err(map::still_running(&key)),
            }
        })
        .await
    }
}

impl Local {
    async fn create(&self, request: CreateMachine) -> Result<Machine> {
        let key = request.key.clone();
        map::check_key(key.as_str())?;
        if let Some(region) = &request.region {
            return Err(Error::new(ErrorKind::BadInput, format!("there is no region {region:?}"))
                .with_hint("leave the region out: this computer is the only place"));
        }
        self.program()?;
        if self.tree.place(key.as_str())?.is_some_and(|place| place.deleting)
            && self.delete(&key).await? != Deletion::Gone
        {
            return Err(start::deleting(&key));
        }
        let (names, tree) = (self.tree.lock().await?, self.tree.clone());
        blocking(move || {
            let made = tree.make(&request);
            drop(names);
            made
        })
        .await?;
        self.switch_on(&key).await.map_err(|error| error.with_effect(Effect::Unknown))?;
        self.describe(&key)?.ok_or_else(|| start::deleting(&key))
    }

    /// Describes a machine as it is now; `None` when its directory is absent.
    fn describe(&self, key: &MachineKey) -> Result<Option<Machine>> {
        // Twice, for a deletion may rename it between finding and reading.
        let mut place = self.tree.place(key.as_str())?;
        let mut file = None;
        for _ in 0..2 {
            let Some(found) = &place else { return Ok(None) };
            let path = found.dir.join(wire::MACHINE);
            file = wire::read::<MachineFile>(&path).map_err(|error| map::file(&path, error))?;
            if file.is_some() {
                break;
            }
            place = self.tree.place(key.as_str())?;
        }
        match (place, file) {
            (Some(place), Some(file)) => {
                let holder = processes::holder(&place.dir, key.as_str()).map_err(map::processes)?;
                let power = if holder.is_some() { Power::On } else { Power::Off };
                let machine = Machine::new(key.clone(), key.to_string(), file.labels);
                Ok(Some(machine.with_power(power)))
            }
            // The last thing a deletion removes is this file, and then the empty directory.
            (Some(place), None) if !place.deleting => {
                Err(map::file(&place.dir.join(wire::MACHINE), io::ErrorKind::InvalidData.into()))
            }
            _ => Ok(None),
        }
    }

    async fn list(self: Arc<Self>, labels: Labels, after: Option<String>) -> Result<Page<Machine>> {
        if !self.tree.exists()? {
            return Ok(Page::default());
        }
        let names = self.tree.lock().await?;
        let tree = self.tree.clone();
        let keys = blocking(move || {
            tree.sweep();
            let keys = tree.keys();
            drop(names);
            keys
        })
        .await?;
        let keys = keys.into_iter().filter(|key| after.as_ref().is_none_or(|after| key > after));
        let mut machines = Vec::new();
        let mut next = None;
        for key in keys {
            let key = key_of(&key)?;
            if self.tree.place(key.as_str())?.is_some_and(|place| place.deleting) {
                self.resume(&key).await;
            }
            let (local, wanted) = (Arc::clone(&self), key.clone());
            let machine = blocking(move || local.describe(&wanted)).await?;
            let Some(machine) = machine.filter(|machine| machine.labels.contains(&labels)) else {
                continue;
            };
            if machines.len() == PAGE {
                next = machines.last().map(|last: &Machine| last.key.to_string());
                break;
            }
            machines.push(machine);
        }
        Ok(Page::new(machines, next))
    }
}

/// Returns the memory of this computer in MiB.
fn memory_mib() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or(io::ErrorKind::InvalidData)? / 1_024)
}

fn key_of(text: &str) -> Result<MachineKey> {
    map::check_key(text)?;
    let text: StrDeserializer<'_, ValueError> = text.into_deserializer();
    MachineKey::deserialize(text).map_err(|error| {
        Error::new(ErrorKind::BadInput, "the key of a machine is not readable").with_source(error)
    })
}
