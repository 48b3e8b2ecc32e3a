//! Refuses what a provider does not claim, before it is sent.
//!
//! The only layer that reads requests, so it is a wrapper of its own and not a [`Layer`](super::Layer).

use std::fmt;

use async_trait::async_trait;

use crate::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::volume::VolumeProvider;

/// A provider that is asked only for what it claims in its [`ComputeCapabilities`].
#[derive(Debug)]
pub struct Guarded<P>(P);

impl<P> Guarded<P> {
    /// Puts a guard before a provider.
    pub const fn new(inner: P) -> Self {
        Self(inner)
    }
}

impl<P: fmt::Display> fmt::Display for Guarded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: ComputeProvider> ComputeProvider for Guarded<P> {
    fn capabilities(&self) -> ComputeCapabilities {
        self.0.capabilities()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.0.catalog().await
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.0.verify_credentials().await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        if let Some(region) = &request.region
            && !self.0.capabilities().regions
        {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("the provider {} has no regions to choose from", self.0),
            )
            .with_operation("create_machine")
            .with_context("region", region)
            .with_hint("leave the region out"));
        }
        self.0.create_machine(request).await
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        self.0.machine(key).await
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        self.0.list_machines(query).await
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        self.0.delete_machine(key).await
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        self.0.power().filter(|_| self.0.capabilities().power)
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.0.volumes().filter(|_| self.0.capabilities().volumes)
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        self.0.owned().filter(|_| self.0.capabilities().owned)
    }
}
