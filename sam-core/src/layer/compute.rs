//! A layered provider of machines is a provider of machines.

use std::fmt;

use async_trait::async_trait;

use super::{Call, Layer, Layered, Repeat};
use crate::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::volume::{CreateVolume, Volume, VolumeProvider};

/// A call that only looks.
const fn reads(operation: &'static str) -> Call {
    Call::new(operation, Repeat::Reads)
}

/// A call that may be repeated by contract; that is every change of a machine or a volume.
const fn changes(operation: &'static str) -> Call {
    Call::new(operation, Repeat::Safe)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer, P: ComputeProvider> ComputeProvider for Layered<L, P> {
    fn capabilities(&self) -> ComputeCapabilities {
        self.inner.capabilities()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.layer.around(&self.inner, reads("catalog"), || self.inner.catalog()).await
    }

    async fn verify_credentials(&self) -> Result<()> {
        let call = reads("verify_credentials");
        self.layer.around(&self.inner, call, || self.inner.verify_credentials()).await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let call = changes("create_machine");
        self.layer.around(&self.inner, call, || self.inner.create_machine(request)).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.layer.around(&self.inner, reads("machine"), || self.inner.machine(key)).await
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        let call = reads("list_machines");
        self.layer.around(&self.inner, call, || self.inner.list_machines(query)).await
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        let call = changes("delete_machine");
        self.layer.around(&self.inner, call, || self.inner.delete_machine(key)).await
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        self.inner.power().map(|_| -> &dyn PowerControl { self })
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.inner.volumes().map(|_| -> &dyn VolumeProvider { self })
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        self.inner.owned().map(|_| -> &dyn OwnedResources { self })
    }
}

/// Reached only when a part of a provider comes and goes.
fn gone(provider: &impl fmt::Display, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{provider} has no {what}"))
}

impl<L, P: ComputeProvider> Layered<L, P> {
    fn inner_power(&self) -> Result<&dyn PowerControl> {
        self.inner.power().ok_or_else(|| gone(&self.inner, "power control"))
    }

    fn inner_volumes(&self) -> Result<&dyn VolumeProvider> {
        self.inner.volumes().ok_or_else(|| gone(&self.inner, "volumes"))
    }

    fn inner_owned(&self) -> Result<&dyn OwnedResources> {
        self.inner.owned().ok_or_else(|| gone(&self.inner, "list of what it made"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer, P: ComputeProvider> PowerControl for Layered<L, P> {
    async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
        let inner = self.inner_power()?;
        let call = changes("set_power");
        self.layer.around(&self.inner, call, || inner.set_power(key, power)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer, P: ComputeProvider> VolumeProvider for Layered<L, P> {
    async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        let (inner, call) = (self.inner_volumes()?, changes("create_volume"));
        self.layer.around(&self.inner, call, || inner.create_volume(request)).await
    }

    async fn volume(&self, key: &str) -> Result<Option<Volume>> {
        let (inner, call) = (self.inner_volumes()?, reads("volume"));
        self.layer.around(&self.inner, call, || inner.volume(key)).await
    }

    async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
        let (inner, call) = (self.inner_volumes()?, reads("list_volumes"));
        self.layer.around(&self.inner, call, || inner.list_volumes(labels)).await
    }

    async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
        let (inner, call) = (self.inner_volumes()?, changes("attach"));
        self.layer.around(&self.inner, call, || inner.attach(key, machine)).await
    }

    async fn detach(&self, key: &str) -> Result<()> {
        let (inner, call) = (self.inner_volumes()?, changes("detach"));
        self.layer.around(&self.inner, call, || inner.detach(key)).await
    }

    async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
        let (inner, call) = (self.inner_volumes()?, changes("grow"));
        self.layer.around(&self.inner, call, || inner.grow(key, size_gib)).await
    }

    async fn delete_volume(&self, key: &str) -> Result<()> {
        let (inner, call) = (self.inner_volumes()?, changes("delete_volume"));
        self.layer.around(&self.inner, call, || inner.delete_volume(key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<L: Layer, P: ComputeProvider> OwnedResources for Layered<L, P> {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let (inner, call) = (self.inner_owned()?, reads("list_owned"));
        self.layer.around(&self.inner, call, || inner.list_owned(query)).await
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        let (inner, call) = (self.inner_owned()?, changes("delete_owned"));
        self.layer.around(&self.inner, call, || inner.delete_owned(resource)).await
    }
}
